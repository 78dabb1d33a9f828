"""A song as a piano roll that plays: notes, phrases, bar numbers, rows of values by bar, a cursor and a player.

Time runs across in grid steps (48 a bar), pitch up. Everything in a roll is placed by shares of its width, so it fits
any screen, zooms and prints; notes are one path for each tint, which keeps a song of three minutes under 60 kB. The
player is `assets/player.js`: plain tones, or the recording. On a click it sends the event `bar` (its `detail` is the
bar, as numbered on the roll) to its `.player` element, whose property `player` has `seek(seconds)`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.reporting.words import bars_words, is_number
from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR
from songwright.score.song import Song
from songwright.score.spelling import pitch_name

PHRASE_TINTS: Mapping[str, str] = {
    "A": "#1d4ed8", "B": "#b91c1c", "C": "#047857", "D": "#7e22ce", "E": "#a16207", "X": "#be185d",
}  # fmt: skip
"""Of sung phrases by letter; all others are grey."""
OTHER_TINT = "#475569"
PIANO_TINT = "#94a3b8"
_SURPRISE_TINT = "#d97706"


class BarRow(NamedTuple):
    """Values by bar, drawn as columns under the notes; `name` says what and in which unit."""

    name: str
    values: Sequence[float | None]
    tint: str = _SURPRISE_TINT


class MarkedSpan(NamedTuple):
    """Steps from the start of the roll to point at, and why."""

    start_step: float
    end_step: float
    meaning: str


def phrase_tint(letter: str) -> str:
    """Return the colour of a phrase letter."""
    return PHRASE_TINTS.get(letter, OTHER_TINT)


def roll_part(
    song: Song,
    *,
    part_id: str,
    title: str,
    bars: tuple[int, int] | None = None,
    rows: Sequence[BarRow] = (),
    marks: Sequence[MarkedSpan] = (),
    melody_tints: Sequence[str] | None = None,
    under: str = "",
    sound: tuple[str, bytes] | None = None,
    height: int = 260,
) -> str:
    """Return a roll with its player, as HTML.

    Parameters
    ----------
    song : Song
    part_id : str
        Id of the element, once on a page.
    title : str
        What the roll shows; its text alternative adds bars, notes and phrases.
    bars : (int, int), optional
        First bar (counted from zero) and the bar after the last; all without it.
    rows : sequence of BarRow
        One value for each bar of the song, shown under the notes.
    marks : sequence of MarkedSpan
        Tinted over the whole height.
    melody_tints : sequence of str, optional
        CSS colour of each melody note of the song; those of their phrases without it.
    under : str
        HTML put under the rows, as wide as the song: what is placed by shares of the width stays in line with the bars.
    sound : (str, bytes), optional
        MIME type and content of a recording of the song, which may then be played instead of plain tones.
    height : int
        Of the notes, in pixels.
    """
    first, after = bars or (0, song.lead_sheet.num_bars)
    start, num_steps = first * STEPS_PER_BAR, (after - first) * STEPS_PER_BAR
    melody, is_shown = _within(song.lead_sheet.melody, start, num_steps)
    piano, _ = _within(song.piano, start, num_steps)
    pitches = np.concatenate([melody["pitch"], piano["pitch"]])
    low, high = (int(pitches.min()) - 1, int(pitches.max()) + 1) if len(pitches) else (59, 73)
    phrases = _phrases(song, first, after)
    if melody_tints is None:
        tint_of_bar = [phrase_tint(letter) for letter, _, begin, end in phrases for _ in range(begin, end)]
        tints = [tint_of_bar[bar] for bar in (melody["onset_step"] // STEPS_PER_BAR).tolist()]
    else:
        tints = [melody_tints[place] for place in np.flatnonzero(is_shown).tolist()]
    drawing = (
        f'<svg viewBox="0 -0.5 {num_steps} {high - low + 1}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(_alternative(title, melody, piano, phrases, first, after), quote=True)}">'
        + _backdrop(phrases, num_steps, low, high)
        + note_path(piano, PIANO_TINT, high)
        + "".join(note_path(melody[np.array(tints) == tint], tint, high) for tint in dict.fromkeys(tints))
        + "</svg>"
    )
    octaves = "".join(
        f'<span style="top:{(high - pitch + 0.5) / (high - low + 1) * 100:.1f}%">C{pitch // 12 - 1}</span>'
        for pitch in range(low, high + 1)
        if pitch % 12 == 0
    )
    spans = "".join(
        f'<div class="span-mark" style="left:{max(mark.start_step, 0) / num_steps * 100:.2f}%;'
        f'width:{(min(mark.end_step, num_steps) - max(mark.start_step, 0)) / num_steps * 100:.2f}%" '
        f'title="{escape(mark.meaning, quote=True)}"></div>'
        for mark in marks
        if mark.end_step > 0 and mark.start_step < num_steps
    )
    music = {
        "qpm": round(float(song.lead_sheet.tempo_qpm), 3), "bar": STEPS_PER_BAR, "steps": num_steps, "first": first + 1,
        "melody": _packed(melody), "piano": _packed(piano),
    }  # fmt: skip
    return (
        f'<div class="player" id="{escape(part_id, quote=True)}">{_transport(title, sound)}'
        f'<div class="roll"><div class="roll-scroll" tabindex="0" role="group" '
        f'aria-label="{escape(title, quote=True)}: arrow keys move by a bar, space plays">'
        f'<div class="strip" style="--bars:{after - first}">'
        f'<div class="names" aria-hidden="true">{_names(phrases, after - first)}</div>'
        f'<div class="notes" style="height:{height}px">{drawing}<div class="pitches" aria-hidden="true">{octaves}</div>'
        f'{spans}</div><div class="numbers" aria-hidden="true">{_numbers(first, after)}</div>'
        + "".join(_row(row, first, after) for row in rows)
        + f'{under}<div class="cursor"></div></div></div></div>'
        f'<script type="application/json" class="music">{json.dumps(music, separators=(",", ":"))}</script></div>'
    )


def note_path(notes: NDArray[np.void], tint: str, high: int) -> str:
    """Return notes as one SVG path, a unit a step and a semitone, the pitch `high` at the top; empty without notes."""
    if not len(notes):
        return ""
    lines = "".join(
        f"M{onset} {high - pitch}h{max(duration - 1, 1)}" for onset, duration, pitch in notes.tolist()
    )  # a step less, so that repeated notes stay apart
    return f'<path d="{lines}" stroke="{tint}" stroke-width=".9" fill="none"/>'


def phrase_words(song: Song) -> str:
    """Return the phrases with their bars, such as `Intro bars 1 to 4, A bars 5 to 12`."""
    phrases = _phrases(song, 0, song.lead_sheet.num_bars)
    return ", ".join(f"{name} {bars_words(begin + 1, end)}" for _, name, begin, end in phrases)


def _within(notes: NDArray[np.void], start: int, num_steps: int) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Return the notes that start in some steps, moved to their start and cut at their end, and which those are."""
    is_shown = (notes["onset_step"] >= start) & (notes["onset_step"] < start + num_steps)
    shown = notes[is_shown].astype(GRID_NOTE_DTYPE)
    shown["onset_step"] -= start
    shown["duration_step"] = np.minimum(shown["duration_step"], num_steps - shown["onset_step"])
    return shown, is_shown


def _phrases(song: Song, first: int, after: int) -> list[tuple[str, str, int, int]]:
    """Return (letter, name, first bar, bar after the last) of the phrases in some bars, counted from `first`."""
    form = song.lead_sheet.form
    found: list[tuple[str, str, int, int]] = []
    for phrase, begin, name in zip(form.phrases, form.start_bars, form.section_names(), strict=True):
        left, right = max(begin, first), min(begin + phrase.num_bars, after)
        if left < right:
            found.append((phrase.letter, name, left - first, right - first))
    return found


def _backdrop(phrases: Iterable[tuple[str, str, int, int]], num_steps: int, low: int, high: int) -> str:
    """Return the tints of phrases, the lines of octaves and those of every fourth bar."""
    rects = "".join(
        f'<rect x="{begin * STEPS_PER_BAR}" y="-.5" width="{(end - begin) * STEPS_PER_BAR}" height="{high - low + 1}" '
        f'fill="{phrase_tint(letter)}" fill-opacity="{0.09 if letter.isupper() else 0.05}"/>'
        for letter, _, begin, end in phrases
    )
    octaves = "".join(f"M0 {high - pitch + 0.5}H{num_steps}" for pitch in range(low, high + 1) if pitch % 12 == 0)
    bars = "".join(f"M{step} -.5V{high - low + 0.5}" for step in range(0, num_steps, 4 * STEPS_PER_BAR))
    return (
        f'{rects}<path d="{octaves}{bars}" stroke="#0f172a" stroke-opacity=".15" fill="none" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _alternative(
    title: str, melody: NDArray[np.void], piano: NDArray[np.void], phrases: Sequence[tuple[str, str, int, int]],
    first: int, after: int,
) -> str:  # fmt: skip
    if len(melody):
        low, high = (pitch_name(int(pitch)) for pitch in (melody["pitch"].min(), melody["pitch"].max()))
        sung = f"{len(melody)} melody notes from {low} to {high}"
    else:
        sung = "no melody"
    named = ", ".join(f"{name} {bars_words(first + begin + 1, first + end)}" for _, name, begin, end in phrases)
    return f"{title}. Piano roll of {bars_words(first + 1, after)}: {sung}, {len(piano)} piano notes. Phrases: {named}."


def _names(phrases: Iterable[tuple[str, str, int, int]], num_bars: int) -> str:
    return "".join(
        f'<span style="left:{begin / num_bars * 100:.2f}%;width:{(end - begin) / num_bars * 100:.2f}%;'
        f'color:{phrase_tint(letter)}" title="{escape(name, quote=True)}, {end - begin} bars">{escape(name)}</span>'
        for letter, name, begin, end in phrases
    )


def _numbers(first: int, after: int) -> str:
    """Return the numbers of bars, at most sixteen of them."""
    num_bars = after - first
    every = next(step for step in (1, 2, 4, 8, 16, 32, 64, 1 << 20) if num_bars <= 16 * step)
    return "".join(
        f'<span style="left:{bar / num_bars * 100:.2f}%">{first + bar + 1}</span>' for bar in range(0, num_bars, every)
    )


def _row(row: BarRow, first: int, after: int) -> str:
    values = [value if is_number(value) else None for value in row.values[first:after]]
    top = max((value for value in values if value is not None), default=0)
    if top <= 0:
        return ""
    columns = "".join(
        f"M{bar + 0.5} 40v{-38 * max(value, 0) / top:.1f}" for bar, value in enumerate(values) if value is not None
    )
    highest = first + 1 + max(range(len(values)), key=lambda bar: values[bar] or 0)
    words = f"{row.name}: highest {top:.3g} in bar {highest}"
    return (
        f'<div class="row-name" aria-hidden="true">{escape(words)}</div><div class="row" style="height:48px">'
        f'<svg viewBox="0 0 {after - first} 40" preserveAspectRatio="none" role="img" aria-label="{escape(words)}">'
        f'<path d="{columns}" stroke="{row.tint}" stroke-width=".8"/></svg></div>'
    )


def _packed(notes: NDArray[np.void]) -> list[int]:
    """Return (steps since the onset before, duration, pitch) of each note, one after the other."""
    packed = np.empty((len(notes), 3), dtype=np.int64)
    packed[:, 0] = np.diff(notes["onset_step"], prepend=0)
    packed[:, 1], packed[:, 2] = notes["duration_step"], notes["pitch"]
    return packed.ravel().tolist()


def _transport(title: str, sound: tuple[str, bytes] | None) -> str:
    audio = choice = ""
    if sound is not None:
        kind, content = sound
        data = base64.b64encode(content).decode("ascii")
        audio = (
            '<audio controls preload="metadata" aria-label="Recording" '
            f'src="data:{escape(kind, quote=True)};base64,{data}"></audio>'
        )
        choice = (
            '<label class="small">Sound <select><option value="recording">recording</option>'
            '<option value="tones">plain tones</option></select></label>'
        )
    name = escape(title, quote=True)
    return (
        f'{audio}<div class="transport" hidden role="group" aria-label="Player: {name}">'
        '<button type="button" class="play">▶ Play</button>'
        '<input type="range" class="seek" min="0" max="1" step="0.05" value="0" aria-label="Position">'
        f'<output class="clock"></output>{choice}'
        '<button type="button" data-zoom="2" aria-label="Zoom in">+</button>'
        '<button type="button" data-zoom="0.5" aria-label="Zoom out">−</button></div>'
    )
