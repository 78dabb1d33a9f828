"""Music as a picture: time across, pitch up. Songs by phrase, any other piece by the roles of its tracks."""

from __future__ import annotations

from html import escape

from songwright.score.grid import STEPS_PER_BAR
from songwright.score.grid_score import GridScore
from songwright.score.song import Song

_WIDTH, _NOTE_HEIGHT, _MARGIN, _HEAD = 1400, 6.0, 16, 64
_TINTS = {"A": "#2563eb", "B": "#dc2626", "C": "#059669", "D": "#9333ea", "E": "#ca8a04", "X": "#db2777"}
_OTHER_TINT = "#64748b"
_ROLE_TINTS = {"melody": "#dc2626", "bass": "#059669", "chords": "#64748b", "other": "#9333ea", "drums": "#ca8a04"}
MAX_ROLL_BARS = 32
"""Bars that a picture of a piece shows."""


def piano_roll_svg(song: Song, *, title: str) -> str:
    """Return the picture of a song as a standalone SVG document, about 100 kB for three minutes.

    Parameters
    ----------
    song : Song
    title : str
        Printed above, with key, tempo and form.
    """
    sheet = song.lead_sheet
    pitches = [*song.piano["pitch"].tolist(), *sheet.melody["pitch"].tolist()] or [60]
    low, high = min(pitches) - 2, max(pitches) + 2
    height = _HEAD + (high - low + 1) * _NOTE_HEIGHT + _MARGIN
    per_step = (_WIDTH - 2 * _MARGIN) / (sheet.num_bars * STEPS_PER_BAR)
    facts = f"{sheet.key.name} · {sheet.tempo_qpm:g} quarter notes a minute · {sheet.form}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" font-family="sans-serif">',
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_MARGIN}" y="24" font-size="18" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_WIDTH - _MARGIN}" y="24" font-size="13" fill="#475569" text-anchor="end">{escape(facts)}</text>',
    ]
    tint_of_bar: list[str] = []
    for phrase, start, name in zip(sheet.form.phrases, sheet.form.start_bars, sheet.form.section_names(), strict=True):
        tint = _TINTS.get(phrase.letter, _OTHER_TINT)
        tint_of_bar += [tint] * phrase.num_bars
        left, width = _MARGIN + start * STEPS_PER_BAR * per_step, phrase.num_bars * STEPS_PER_BAR * per_step
        parts.append(
            f'<rect x="{left:.1f}" y="{_HEAD - 26}" width="{width:.1f}" height="{height - _HEAD + 26 - _MARGIN:.1f}" '
            f'fill="{tint}" fill-opacity="0.07" stroke="white"/>'
        )
        label = name if width > 8 * len(name) else phrase.letter
        parts.append(f'<text x="{left + 4:.1f}" y="{_HEAD - 12}" font-size="12" fill="{tint}">{escape(label)}</text>')
    for notes, is_melody in ((song.piano, False), (sheet.melody, True)):
        for onset, duration, pitch in notes.tolist():
            tint = tint_of_bar[onset // STEPS_PER_BAR] if is_melody else "#94a3b8"
            left, top = _MARGIN + onset * per_step, _HEAD + (high - pitch) * _NOTE_HEIGHT
            width = max(duration * per_step - 0.5, 1.0)
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_NOTE_HEIGHT - 0.5}" rx="1" '
                f'fill="{tint}"/>'
            )
    return "\n".join([*parts, "</svg>\n"])


def grid_score_svg(score: GridScore, *, title: str) -> str:
    """Return the first bars of a piece as an `<svg>` element: time across, pitch up, one tint a role, bar lines.

    Parameters
    ----------
    score : GridScore
    title : str
        Printed above, and the text alternative.
    """
    num_bars = min(score.num_bars, MAX_ROLL_BARS)
    starts = score.bar_starts[: num_bars + 1]
    end = max(int(starts[-1]), 1)
    shown = [(track, track.notes[track.notes["onset_step"] < end]) for track in score.tracks]
    pitches = [pitch for _, notes in shown for pitch in notes["pitch"].tolist()] or [60]
    low, high = min(pitches) - 1, max(pitches) + 1
    note_height, head = 2.4, 18
    height = head + (high - low + 1) * note_height + 4
    per_step = (_WIDTH - 8) / end
    parts = [
        f'<svg class="roll" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}">',
        f'<text x="4" y="13" font-size="13" font-weight="600">{escape(title)}</text>',
    ]
    parts += [
        f'<line x1="{4 + start * per_step:.1f}" x2="{4 + start * per_step:.1f}" y1="{head}" y2="{height - 3:.0f}" '
        'stroke="#e2e8f0"/>'
        for start in starts.tolist()
    ]
    for track, notes in sorted(shown, key=lambda item: item[0].role == "melody"):
        tint = _ROLE_TINTS[track.role]
        for onset, duration, pitch, _ in notes.tolist():
            width = max(min(duration, end - onset) * per_step - 0.3, 0.8)
            parts.append(
                f'<rect x="{4 + onset * per_step:.1f}" y="{head + (high - pitch) * note_height:.1f}" '
                f'width="{width:.1f}" height="{note_height - 0.2:.1f}" fill="{tint}"/>'
            )
    return "".join([*parts, "</svg>"])
