"""The McGill Billboard annotations: chords and sections of chart songs, as songs without notes.

Reads `salami_chords.txt` as published [1]_: a line is a time and a row of bars, with the section's letter and name
where one starts. Only songs wholly in 4/4 are read. Sections become phrases: verses, choruses and what else is sung
by capital letters, by their names rather than the annotators' letters, which tell harmony.

References
----------
.. [1] J. A. Burgoyne, J. Wild and I. Fujinaga, "An expert ground truth set for audio chord recognition and music
   analysis", ISMIR 2011.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from songwright.errors import InputError
from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR, STEPS_PER_BEAT
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet, Phrase, parse_chord
from songwright.score.pitch import Key, pitch_class_from_name
from songwright.score.song import Song

_LETTERS = {
    "intro": "i", "pre-intro": "i", "outro": "o", "coda": "o", "fadeout": "o", "fade out": "o", "ending": "o",
    "verse": "A", "chorus": "B", "refrain": "B", "pre-chorus": "C", "prechorus": "C", "pre-verse": "x", "bridge": "D",
    "middle eight": "D", "secondary theme": "E", "main theme": "A", "theme": "A", "chorus a": "B", "chorus b": "B",
    "verse one": "A", "verse two": "A", "interlude": "b", "solo": "c", "instrumental": "c", "trans": "x",
    "transition": "x", "key change": "x", "modulation": "x", "vocal": "X", "spoken": "X", "spoken verse": "X",
}  # fmt: skip
_SILENT = ("silence", "end", "z", "noise", "applause")
MIN_BARS = 8
MAX_PHRASE_BARS = 64


@dataclass
class _Bars:
    """What is read so far."""

    chords: list[list[ChordSymbol | None]] = field(default_factory=list)
    tonics: list[int] = field(default_factory=list)
    sections: list[tuple[str, int]] = field(default_factory=list)
    line_times: list[tuple[float, int]] = field(default_factory=list)


def read_billboard(path: Path) -> Song:
    """Read one song, in C major or A minor, without melody or accompaniment.

    Raises
    ------
    InputError
        If the file cannot be read, or is not wholly in 4/4, or is too short.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error.__class__.__name__})") from error
    bars, tonic = _Bars(), 0
    for number, line in enumerate(lines, 1):
        try:
            if line.startswith("#"):
                name, _, value = line[1:].partition(":")
                if name.strip() == "metre" and value.strip() != "4/4":
                    raise InputError(f"{path}: not in 4/4 ({value.strip()})")
                if name.strip() == "tonic":
                    tonic = pitch_class_from_name(value.strip())
            elif line.strip():
                _read_line(line, tonic, bars)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    if len(bars.chords) < MIN_BARS:
        raise InputError(f"{path}: only {len(bars.chords)} bars of chords")
    return _song(bars, path)


def _read_line(line: str, tonic: int, bars: _Bars) -> None:
    time, tab, content = line.partition("\t")
    if not tab:
        raise ValueError(f"expected a time and bars, found {line.strip()!r}")
    words = [word.strip() for word in content.split(",")]
    names = [word.lower() for word in words if "|" not in word and not re.search(r"[()]", word)]
    if names and names[0] in _SILENT and "|" not in content:
        return
    start = len(bars.chords)
    label = next((name for name in names if not re.fullmatch(r"[a-z]'*", name)), "")
    has_letter = any(re.fullmatch(r"[a-z]'*", name) for name in names)
    if label in _LETTERS or has_letter:
        bars.sections.append((_LETTERS.get(label, "X"), start))
    found = re.search(r"\|(.*)\|([^|]*)$", content)
    if found is None:
        return
    row: list[list[ChordSymbol | None]] = []
    previous: ChordSymbol | None = bars.chords[-1][-1] if bars.chords else None
    for text in found.group(1).split("|"):
        beats = _read_bar(text, previous)
        previous = beats[-1]
        row.append(beats)
    times = re.search(r"x\s*(\d+)", found.group(2))
    row *= min(int(times.group(1)), 64) if times else 1
    bars.line_times.append((float(time), start))
    bars.chords += row
    bars.tonics += [tonic] * len(row)


def _read_bar(text: str, previous: ChordSymbol | None) -> list[ChordSymbol | None]:
    """Return the chord of each of the four beats."""
    if re.search(r"\(\d+/\d+\)", text):
        raise InputError("changes its metre")
    beats: list[ChordSymbol | None] = []
    for word in text.split():
        if word == ".":
            beats.append(beats[-1] if beats else previous)
        elif ":" in word or word == "N":
            beats.append(parse_chord(word))
        elif word in ("*", "&pause"):
            beats.append(None)
    if not beats:
        return [previous] * 4
    if len(beats) not in (1, 2, 4):
        beats = (beats + [beats[-1]] * 4)[:4]
    return [chord for chord in beats for _ in range(4 // len(beats))]


def _song(bars: _Bars, path: Path) -> Song:
    num_bars = len(bars.chords)
    keys = {tonic: _key(tonic, bars) for tonic in set(bars.tonics)}
    shift = [keys[tonic].semitones_to_normal for tonic in bars.tonics]
    changes: list[ChordChange] = []
    for bar, beats in enumerate(bars.chords):
        for beat, chord in enumerate(beats):
            moved = chord.transpose(shift[bar]) if chord else None
            if moved and (not changes or changes[-1].chord != moved):
                changes.append(ChordChange(bar * STEPS_PER_BAR + beat * STEPS_PER_BEAT, moved))
    if not changes:
        raise InputError(f"{path}: there are no chords")
    phrases: list[Phrase] = []
    starts = [*(section for section in bars.sections if section[1] < num_bars)]
    if not starts or starts[0][1]:
        starts.insert(0, ("X", 0))
    for (letter, start), end in zip(starts, [*(start for _, start in starts[1:]), num_bars], strict=True):
        begins = range(start, end, MAX_PHRASE_BARS)
        phrases.extend(Phrase(letter, min(MAX_PHRASE_BARS, end - begin)) for begin in begins)
    is_minor = sum(keys[tonic].is_minor for tonic in bars.tonics) * 2 > num_bars
    key = Key(9 if is_minor else 0, is_minor)
    melody = np.empty(0, dtype=GRID_NOTE_DTYPE)
    return Song(LeadSheet(key, _tempo(bars), Form(tuple(phrases)), tuple(changes), melody), melody)


def _key(tonic: int, bars: _Bars) -> Key:
    """Return the key of a tonic: minor where its chords on the tonic are mostly minor."""
    qualities = [
        chord.quality.startswith(("min", "dim", "hdim"))
        for beats, own in zip(bars.chords, bars.tonics, strict=True)
        for chord in beats
        if own == tonic and chord and chord.root == tonic
    ]
    return Key(tonic, sum(qualities) * 2 > len(qualities))


def _tempo(bars: _Bars) -> float:
    """Return quarter notes per minute from the times at which lines start; 120 where there is but one."""
    table = np.array(bars.line_times)
    rows = np.diff(table, axis=0)
    rows = rows[(rows[:, 1] > 0) & (rows[:, 0] > 0)]
    return float(np.clip(240 / np.median(rows[:, 0] / rows[:, 1]), 30, 300)) if len(rows) else 120.0
