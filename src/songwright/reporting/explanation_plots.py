"""An explanation as pictures: SVG that stands alone as a file, and in a page or notebook.

Time runs across (48 steps a bar), one user unit a step or a bar as said. Colours of surprise go from blue (expected) to
dark red. Every picture has a text alternative; texts are in the reader's sans-serif.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from songwright.explanation.alternatives import Alternative, Decision
from songwright.explanation.sources import MIN_NATS
from songwright.reporting.explanation import Explanation, phrase_place
from songwright.reporting.roll import PIANO_TINT, note_path, phrase_tint
from songwright.reporting.words import number
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.spelling import pitch_name

SURPRISE_STEPS = ((1.0, "#3b82f6"), (2.0, "#7c5cd6"), (4.0, "#b03aa0"), (6.0, "#d9254f"), (float("inf"), "#7f1d1d"))
"""Upper ends in bits, and their colours."""
SOURCE_TINT = "#0f766e"
_INK, _SOFT, _LINE = "#0f172a", "#475569", "#e2e8f0"
_WIDTH, _MARGIN = 1400, 46
_TOP_BITS = 8.0  # the curve's scale; higher surprises are cut there
_FULL_NATS = 1.0  # nats a note at which a source is drawn in full strength


def surprise_tint(bits: float) -> str:
    """Return the colour of a note that costs so many bits."""
    return next(tint for bound, tint in SURPRISE_STEPS if bits < bound)


def surprise_legend() -> list[tuple[str, str]]:
    """Return the colours of surprise and what they stand for."""
    words = ["under 1 bit: expected", "1 to 2", "2 to 4", "4 to 6", "6 and more: a surprise"]
    return [(tint, text) for (_, tint), text in zip(SURPRISE_STEPS, words, strict=True)]


def note_tints(explanation: Explanation) -> list[str]:
    """Return the colour of each melody note."""
    return [surprise_tint(bits) for bits in explanation.surprise.note_bits.tolist()]


def strength(nats: float) -> float:
    """Return from 0 to 1 how strongly to draw what a bar takes from another."""
    return min(max(nats / _FULL_NATS, 0.0), 1.0)


def stems(explanation: Explanation, *, height: float, per_step: float = 1.0) -> str:
    """Return a stem for each note, as high as its bits: `per_step` units a step across, `height` from the bottom."""
    onsets = explanation.song.lead_sheet.melody["onset_step"].tolist()
    paths: dict[str, list[str]] = {}
    for onset, bits in zip(onsets, explanation.surprise.note_bits.tolist(), strict=True):
        tall = height * min(bits, _TOP_BITS) / _TOP_BITS
        paths.setdefault(surprise_tint(bits), []).append(
            f"M{(onset + 1) * per_step:.1f} {height:g}v{-max(tall, 0.5):.1f}"
        )
    return "".join(
        f'<path d="{"".join(lines)}" stroke="{tint}" stroke-width="2" vector-effect="non-scaling-stroke" fill="none"/>'
        for tint, lines in paths.items()
    )


def arcs(explanation: Explanation, *, height: float, per_bar: float = 1.0) -> str:
    """Return an arc from each bar to the bars it takes from, hanging from the top; the strongest are the darkest.

    A bar is `per_bar` units wide, the deepest arc `height`.
    """
    drawn: list[str] = []
    for found in explanation.sources:
        for source in found.sources:
            right, left = (found.bar - 0.5) * per_bar, (source.bar - 0.5) * per_bar
            depth = height * min(2 * np.sqrt((found.bar - source.bar) / explanation.num_bars), 1.95)
            force = strength(source.nats_per_note)
            drawn.append(
                f'<path class="arc" data-bar="{found.bar}" '
                f'd="M{right:.5g} 0Q{(left + right) / 2:.5g} {depth:.1f} {left:.5g} 0" '
                f'stroke="{SOURCE_TINT}" stroke-opacity="{0.12 + 0.6 * force:.2f}" '
                f'stroke-width="{0.7 + 2.3 * force:.1f}" vector-effect="non-scaling-stroke" fill="none">'
                f"<title>bar {found.bar} takes from bar {source.bar}: {escape(source.place)}; {escape(source.relation)}"
                "</title></path>"
            )
    return "".join(drawn)


def surprise_svg(explanation: Explanation) -> str:
    """Return the surprise of every note over time, with the mean of each bar and the phrases, as an SVG document."""
    height, per_step = 170, _per_step(explanation)
    per_bar = per_step * STEPS_PER_BAR
    means = "".join(
        f"M{bar * per_bar:.1f} {height * (1 - min(value, _TOP_BITS) / _TOP_BITS):.1f}h{per_bar:.1f}"
        for bar, value in enumerate(explanation.bar_surprise)
        if value is not None
    )
    levels = "".join(
        f"M0 {height * (1 - bits / _TOP_BITS):g}h{explanation.num_bars * per_bar:.1f}" for bits in (2, 4, 6)
    )
    content = (
        f'{_phrases(explanation, height)}<path d="{levels}" stroke="{_INK}" stroke-opacity=".12" fill="none"/>'
        + stems(explanation, height=height, per_step=per_step)
        + f'<path d="{means}" stroke="{_INK}" stroke-width="1.5" fill="none"/>'
    )
    labels = [
        f'<text x="{_MARGIN - 6}" y="{62 + height * (1 - bits / _TOP_BITS) + 4:.1f}" text-anchor="end">{bits:g}</text>'
        for bits in (0, 2, 4, 6, 8)
    ]
    bits = explanation.surprise.bits_per_note
    words = (
        f"Surprise of each note in bits; the black line is the mean of each bar. Whole song: {number(bits)} bits a note"
    )
    return _timeline(explanation, "Surprise", words, content, height, labels)


def roll_svg(explanation: Explanation) -> str:
    """Return the piano roll, tinted by surprise, with arcs to the bars that bars take from, as an SVG document."""
    sheet = explanation.song.lead_sheet
    pitches = np.concatenate([sheet.melody["pitch"], explanation.song.piano["pitch"]])
    low, high = (int(pitches.min()) - 1, int(pitches.max()) + 1) if len(pitches) else (59, 73)
    height, roll = 420.0, 300.0
    scale = roll / (high - low + 1)
    tints = np.array(note_tints(explanation))
    notes = note_path(explanation.song.piano, PIANO_TINT, high) + "".join(
        note_path(sheet.melody[tints == tint], tint, high) for tint in dict.fromkeys(tints.tolist())
    )
    per_step = _per_step(explanation)
    content = (
        f'{_phrases(explanation, height)}<g transform="scale({per_step:.6f} {scale:.4f}) translate(0 .5)">{notes}</g>'
        f'<g transform="translate(0 {roll + 4:g})">'
        + arcs(explanation, height=height - roll - 8, per_bar=per_step * STEPS_PER_BAR)
        + "</g>"
    )
    labels = [
        f'<text x="{_MARGIN - 6}" y="{66 + (high - pitch + 0.5) * scale:.1f}" text-anchor="end">'
        f"{pitch_name(pitch)}</text>"
        for pitch in range(low, high + 1)
        if pitch % 12 == 0
    ]
    arc_words = "; arcs lead from each bar to the bars it takes from" if explanation.sources else ""
    words = f"Melody from blue (expected) to dark red (a surprise), accompaniment grey{arc_words}"
    return _timeline(explanation, "Piano roll", words, content, height, labels)


def sources_svg(explanation: Explanation) -> str:
    """Return the matrix of what each bar (line) takes from each earlier one (column), with the form drawn on it."""
    num_bars, form = explanation.num_bars, explanation.song.lead_sheet.form
    size, left, top = 560, 60, 58
    scale = size / num_bars
    cells: list[str] = []
    for bar, source in np.argwhere(explanation.matrix >= MIN_NATS).tolist():
        value = float(explanation.matrix[bar, source])
        cells.append(
            f'<rect x="{source}" y="{bar}" width="1" height="1" '
            f'fill-opacity="{0.1 + 0.9 * strength(value):.2f}">'
            f"<title>bar {bar + 1} from bar {source + 1}: {value:.2f} nats a note</title></rect>"
        )
    frames = "".join(
        f'<rect x="{start}" y="{start}" width="{phrase.num_bars}" height="{phrase.num_bars}" fill="none" '
        f'stroke="{phrase_tint(phrase.letter)}" stroke-width="{2 / scale:.4f}"/>'
        for phrase, start in zip(form.phrases, form.start_bars, strict=True)
    )
    borders = "".join(f"M{start} {start}V{num_bars}M0 {start}H{start}" for start in form.start_bars[1:])
    letters = "".join(
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-weight="600" fill="{phrase_tint(phrase.letter)}">'
        f"{escape(phrase.letter)}</text>"
        for phrase, start in zip(form.phrases, form.start_bars, strict=True)
        for x, y in (
            (left + (start + phrase.num_bars / 2) * scale, top - 8),
            (left - 12, top + (start + phrase.num_bars / 2) * scale + 4),
        )
    )
    words = "What each bar (line) takes from each earlier bar (column); squares are the phrases"
    return _document(
        explanation,
        words,
        left + size + 20,
        top + size + 44,
        f'<text x="{left}" y="20" font-size="15" font-weight="600" fill="{_INK}">Where each bar comes from</text>'
        f'{letters}<g transform="translate({left} {top}) scale({scale:.5f})">'
        f'<path d="M0 0H{num_bars}V{num_bars}H0ZM0 0L{num_bars} {num_bars}" stroke="{_SOFT}" fill="none" '
        f'stroke-opacity=".5" stroke-width="{1 / scale:.4f}"/>'
        f'<path d="{borders}" stroke="{_INK}" stroke-opacity=".25" fill="none" stroke-width="{1 / scale:.4f}"/>'
        f'<g fill="{SOURCE_TINT}">{"".join(cells)}</g>{frames}</g>'
        f'<text x="{left}" y="{top + size + 20}">→ earlier bar, 1 to {num_bars}; ↓ the bar that takes</text>'
        f'<text x="{left}" y="{top + size + 36}">{escape(_scale_words(explanation))}</text>',
    )


def alternatives_svg(explanation: Explanation, note: int) -> str:
    """Return the most probable choices at a melody note (from 0) as bars of probability, as an SVG document."""
    found = explanation.notes[note]
    place = phrase_place(explanation.song.lead_sheet.form, found.bar - 1)
    heads: Mapping[str, str] = {"onset": "When it starts", "pitch": "Its pitch", "duration": "How long it lasts"}
    parts = [
        f'<text x="16" y="24" font-size="15" font-weight="600" fill="{_INK}">Note {note + 1}, in bar {found.bar} '
        f"({escape(place)})</text>"
    ]
    y = 52.0
    for decision in (found.onset, found.pitch, found.duration):
        parts.append(
            f'<text x="16" y="{y:.0f}" font-size="13" font-weight="600" fill="{_INK}">{heads[decision.kind]}</text>'
        )
        for one in _shown(decision):
            y += 22
            width = 260 * one.probability
            tint = SOURCE_TINT if one.is_chosen else PIANO_TINT
            weight = ' font-weight="600"' if one.is_chosen else ""
            parts.append(
                f'<rect x="16" y="{y - 12:.0f}" width="{max(width, 1):.1f}" height="15" fill="{tint}"/>'
                f'<text x="{max(width, 1) + 24:.0f}" y="{y:.0f}"{weight}>{escape(str(one))}'
                f"{' (written)' if one.is_chosen else ''}</text>"
            )
        y += 32
    words = f"Choices of the network at note {note + 1}: {found.pitch.chosen} was written"
    return _document(explanation, words, 820, y - 4, "".join(parts))


def _shown(decision: Decision) -> Sequence[Alternative]:
    """Return the best choices, and the written one after them if it is none of them."""
    is_there = any(one.is_chosen for one in decision.alternatives)
    return decision.alternatives if is_there else (*decision.alternatives, decision.chosen)


def _scale_words(explanation: Explanation) -> str:
    if explanation.method == "silencing":
        return "dark: without that bar each note would be at least 2.7 times less probable (1 nat)"
    return "dark: copying from that bar and looking at it count for 1 nat a note or more"


def _per_step(explanation: Explanation) -> float:
    """Return the units that a step has in pictures over time."""
    return (_WIDTH - _MARGIN - 14) / (explanation.num_bars * STEPS_PER_BAR)


def _phrases(explanation: Explanation, height: float) -> str:
    """Return the tints of the phrases."""
    form, per_bar = explanation.song.lead_sheet.form, _per_step(explanation) * STEPS_PER_BAR
    return "".join(
        f'<rect x="{start * per_bar:.1f}" y="0" width="{phrase.num_bars * per_bar:.1f}" height="{height:g}" '
        f'fill="{phrase_tint(phrase.letter)}" fill-opacity="{0.09 if phrase.is_sung else 0.05}"/>'
        for phrase, start in zip(form.phrases, form.start_bars, strict=True)
    )


def _timeline(
    explanation: Explanation, name: str, words: str, content: str, height: float, labels: Iterable[str]
) -> str:
    """Return a picture over time: content, phrase names above, bar numbers below."""
    num_bars = explanation.num_bars
    per_bar = _per_step(explanation) * STEPS_PER_BAR
    form = explanation.song.lead_sheet.form
    every = next(step for step in (1, 2, 4, 8, 16, 32, 64) if num_bars <= 24 * step or step == 64)
    names = "".join(
        f'<text x="{_MARGIN + start * per_bar + 3:.1f}" y="56" font-weight="600" '
        f'fill="{phrase_tint(phrase.letter)}">'
        f"{escape(_fit(title, phrase.letter, phrase.num_bars * per_bar))}</text>"
        for phrase, start, title in zip(form.phrases, form.start_bars, form.section_names(), strict=True)
    )
    numbers = "".join(
        f'<text x="{_MARGIN + bar * per_bar:.1f}" y="{height + 78:g}">{bar + 1}</text>'
        for bar in range(0, num_bars, every)
    )
    return _document(
        explanation,
        words,
        _WIDTH,
        height + 88,
        f'<text x="{_MARGIN}" y="20" font-size="16" font-weight="600" fill="{_INK}">{escape(explanation.title)}: '
        f'{escape(name)}</text><text x="{_MARGIN}" y="37">{escape(words)}</text>{names}{"".join(labels)}'
        f'<g transform="translate({_MARGIN} 62)">{content}</g>{numbers}',
    )


def _fit(name: str, letter: str, width: float) -> str:
    return name if len(name) * 7 + 6 < width else letter if width > 10 else ""


def _document(explanation: Explanation, words: str, width: float, height: float, content: str) -> str:
    label = escape(f"{explanation.title}. {words}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{label}" font-family="system-ui, DejaVu Sans, sans-serif" '
        f'font-size="12" fill="{_SOFT}"><rect width="100%" height="100%" fill="#fff"/>{content}</svg>\n'
    )
