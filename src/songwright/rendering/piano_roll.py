"""A song as a picture: time across, pitch up, melody over piano, one tint a phrase letter."""

from __future__ import annotations

from html import escape

from songwright.score.grid import STEPS_PER_BAR
from songwright.score.song import Song

_WIDTH, _NOTE_HEIGHT, _MARGIN, _HEAD = 1400, 6.0, 16, 64
_TINTS = {"A": "#2563eb", "B": "#dc2626", "C": "#059669", "D": "#9333ea", "E": "#ca8a04", "X": "#db2777"}
_OTHER_TINT = "#64748b"


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
