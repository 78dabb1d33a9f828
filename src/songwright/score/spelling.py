"""Which letter and accidental a pitch gets on the page, from key, chord and motion.

Works on the line of fifths (F = -1, C = 0, G = 1; seven places further is one sharp more). Leaves rhythm to
notation. Notes of the key keep the spelling of its signature; a chromatic note is spelled as a tone of the
chord under it, else as the raised sixth or seventh of a minor key, else by where it goes: up as a sharp, down as a
flat. Chord roots are spelled by quality: a diminished chord leads upwards (G#dim in C), a major one is borrowed (Ab in
C).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.score.lead_sheet import QUALITIES, ChordChange, ChordSymbol
from songwright.score.pitch import Key, fifths_from_pitch_class, pitch_class_from_name, spell_fifths

# Places on the line of fifths from a root to each interval in semitones, and where a quality needs another.
_INTERVAL_FIFTHS = (0, -5, 2, -3, 4, -1, 6, 1, -4, 3, -2, 5)
_QUALITY_INTERVAL_FIFTHS = {("dim", 6): -6, ("dim7", 6): -6, ("hdim7", 6): -6, ("dim7", 9): -9, ("aug", 8): 8}
# How many fifths sharpward of the signature the roots of a quality centre.
_ROOT_CENTER = {"min": 2, "min7": 2, "min6": 2, "dim": 4, "dim7": 4, "hdim7": 4}

_SUFFIX = {
    "maj": "", "min": "m", "7": "7", "maj7": "maj7", "min7": "m7", "sus2": "sus2", "sus4": "sus4", "7sus4": "7sus4",
    "maj6": "6", "min6": "m6", "add9": "add9", "dim": "dim", "dim7": "dim7", "hdim7": "m7b5", "aug": "aug",
}  # fmt: skip
_QUALITY_OF_SUFFIX = {suffix: quality for quality, suffix in _SUFFIX.items()}


class SpelledPitch(NamedTuple):
    """Letter, alteration in semitones, and octave (C4 is middle C)."""

    letter: str
    alteration: int
    octave: int


class SpelledChord(NamedTuple):
    """Root and bass, each as (letter, alteration in semitones)."""

    root: tuple[str, int]
    bass: tuple[str, int]


def spell_chord(chord: ChordSymbol, key: Key) -> SpelledChord:
    """Return root and bass as printed above a staff in the key.

    Examples
    --------
    >>> spell_chord(ChordSymbol(4, "7", 8), Key(9, is_minor=True))
    SpelledChord(root=('E', 0), bass=('G', 1))
    """
    root = _root_fifths(chord, key)
    bass = _tone_fifths(chord, chord.bass, key)
    if abs(spell_fifths(bass)[1]) > 1:
        bass -= 12 if bass > 0 else -12
    return SpelledChord(spell_fifths(root), spell_fifths(bass))


def chord_name(chord: ChordSymbol, key: Key) -> str:
    """Return the symbol of a chord as printed above a staff in the key.

    Examples
    --------
    >>> chord_name(ChordSymbol(6, "min7", 1), Key(2))
    'F#m7/C#'
    """
    root, bass = (note_name(*place) for place in spell_chord(chord, key))
    symbol = root + _SUFFIX[chord.quality]
    return symbol if chord.bass == chord.root else f"{symbol}/{bass}"


def read_chord_name(symbol: str) -> ChordSymbol:
    """Return the chord that a symbol as `chord_name` prints it stands for.

    Raises
    ------
    ValueError
        If the symbol is no such name.

    Examples
    --------
    >>> read_chord_name("F#m7/C#")
    ChordSymbol(root=6, quality='min7', bass=1)
    """
    match = re.fullmatch(r"([A-G](?:#+|b+)?)([^/]*)(?:/([A-G](?:#+|b+)?))?", symbol.strip())
    if match is None or match.group(2) not in _QUALITY_OF_SUFFIX:
        raise ValueError(f"cannot read chord {symbol!r}: write for example C, Am7, F#m7b5 or G/B")
    root = pitch_class_from_name(match.group(1))
    bass = pitch_class_from_name(match.group(3)) if match.group(3) else root
    return ChordSymbol(root, _QUALITY_OF_SUFFIX[match.group(2)], bass)


def note_name(letter: str, alteration: int) -> str:
    """Return a letter with its sharps or flats, such as `F#` or `Bb`."""
    return letter + ("#" * alteration if alteration > 0 else "b" * -alteration)


def pitch_name(pitch: int) -> str:
    """Return a pitch as a name with its octave, such as C4 for 60; black keys by their usual names.

    Examples
    --------
    >>> pitch_name(60), pitch_name(58), pitch_name(66)
    ('C4', 'Bb3', 'F#4')
    """
    letter, alteration = spell_fifths((pitch * 7 + 3) % 12 - 3)
    return f"{note_name(letter, alteration)}{(pitch - alteration) // 12 - 1}"


def spell_melody(melody: NDArray[np.void], chords: tuple[ChordChange, ...], key: Key) -> list[SpelledPitch]:
    """Return the spelling of each note of a melody.

    Parameters
    ----------
    melody : ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
    chords : tuple of ChordChange
        Ordered by onset.
    key : Key

    Returns
    -------
    list of SpelledPitch, length num_notes
    """
    starts = [change.onset_step for change in chords]
    pitches = melody["pitch"].tolist()
    spelled = []
    for index, (onset, pitch) in enumerate(zip(melody["onset_step"].tolist(), pitches, strict=True)):
        place = bisect_right(starts, onset)
        chord = chords[place - 1].chord if place else None
        motion = pitches[index + 1] - pitch if index + 1 < len(pitches) else 0
        letter, alteration = spell_fifths(_melody_fifths(pitch % 12, chord, key, motion))
        spelled.append(SpelledPitch(letter, alteration, (pitch - alteration) // 12 - 1))
    return spelled


def _root_fifths(chord: ChordSymbol, key: Key) -> int:
    if chord.root in key.pitch_classes:
        return _scale_fifths(chord.root, key)
    fifths = fifths_from_pitch_class(chord.root, center=key.fifths + _ROOT_CENTER.get(chord.quality, 0))
    if abs(spell_fifths(fifths)[1]) > 1:
        fifths -= 12 if fifths > 0 else -12
    return fifths


def _tone_fifths(chord: ChordSymbol, pitch_class: int, key: Key) -> int:
    interval = (pitch_class - chord.root) % 12
    step = _QUALITY_INTERVAL_FIFTHS.get((chord.quality, interval), _INTERVAL_FIFTHS[interval])
    return _root_fifths(chord, key) + step


def _scale_fifths(pitch_class: int, key: Key) -> int:
    """Place of a note of the key: from one fifth flatward of the major tonic to five sharpward."""
    return fifths_from_pitch_class(pitch_class, center=key.fifths + 2)


def _melody_fifths(pitch_class: int, chord: ChordSymbol | None, key: Key, motion: int) -> int:
    if pitch_class in key.pitch_classes:
        return _scale_fifths(pitch_class, key)
    # A chromatic note lies a semitone from two notes of the key.
    raised = _scale_fifths((pitch_class - 1) % 12, key) + 7
    lowered = _scale_fifths((pitch_class + 1) % 12, key) - 7
    is_raised_in_minor = key.is_minor and (pitch_class - key.tonic) % 12 in (9, 11)
    if chord is not None and (pitch_class - chord.root) % 12 in QUALITIES[chord.quality]:
        fifths = _tone_fifths(chord, pitch_class, key)
    elif is_raised_in_minor or motion == 1:
        fifths = raised
    elif motion == -1:
        fifths = lowered
    else:
        # Over a chord flatward of the key, as Bb in C, flats: the line of fifths is centred on the chord instead.
        flatward = min(0, _root_fifths(chord, key) - key.fifths) if chord is not None else 0
        fifths = fifths_from_pitch_class(pitch_class, center=key.fifths + 2 + flatward)
    if abs(spell_fifths(fifths)[1]) > 1 and not (is_raised_in_minor and fifths == raised):
        return lowered if fifths > 0 else raised
    return fifths
