"""Chord symbols, form and the lead sheet: melody, harmony and sections on the grid.

Times are grid steps (`score.grid`: 12 a quarter, 48 a bar) from the start of bar 1; 4/4.
Form letters follow the phrase labels of Dai, Zhang and Dannenberg (2020): capitals are sung phrases, small
letters instrumental ones, `i` intro, `o` outro, `X`/`x` phrases that return nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR
from songwright.score.pitch import Key, pitch_class_from_name

QUALITIES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "maj": (0, 4, 7),
        "min": (0, 3, 7),
        "7": (0, 4, 7, 10),
        "maj7": (0, 4, 7, 11),
        "min7": (0, 3, 7, 10),
        "sus2": (0, 2, 7),
        "sus4": (0, 5, 7),
        "7sus4": (0, 5, 7, 10),
        "maj6": (0, 4, 7, 9),
        "min6": (0, 3, 7, 9),
        "add9": (0, 2, 4, 7),
        "dim": (0, 3, 6),
        "dim7": (0, 3, 6, 9),
        "hdim7": (0, 3, 6, 10),
        "aug": (0, 4, 8),
    }
)
"""Chord qualities and their intervals above the root, in semitones."""


class ChordSymbol(NamedTuple):
    """A chord: root pitch class, quality (a key of QUALITIES), bass pitch class (the root unless inverted)."""

    root: int
    quality: str
    bass: int

    @property
    def pitch_classes(self) -> frozenset[int]:
        """Pitch classes of the chord, bass included."""
        return frozenset((self.root + step) % 12 for step in QUALITIES[self.quality]) | {self.bass}

    def transpose(self, semitones: int) -> ChordSymbol:
        """Return the chord moved by that many semitones."""
        return ChordSymbol((self.root + semitones) % 12, self.quality, (self.bass + semitones) % 12)


class ChordChange(NamedTuple):
    """A chord that sounds from `onset_step` to the next change."""

    onset_step: int
    chord: ChordSymbol


SECTION_LETTERS = "ioxXbcdABCDE"
"""Letters a form may hold; labels beyond them are folded by the corpus."""
_NAMED = {"intro": "i", "verse": "A", "prechorus": "C", "pre-chorus": "C", "chorus": "B", "bridge": "b", "outro": "o",
          "solo": "b", "interlude": "b", "refrain": "B"}  # fmt: skip
_SECTION_NAMES = {"i": "Intro", "o": "Outro", "b": "Bridge", "c": "Bridge c", "d": "Bridge d", "x": "Interlude",
                  "X": "Extra"}  # fmt: skip


class Phrase(NamedTuple):
    """A formal unit: its letter and its length in bars."""

    letter: str
    num_bars: int

    @property
    def is_sung(self) -> bool:
        """Whether the phrase carries the melody (capital letter)."""
        return self.letter.isupper()


@dataclass(frozen=True)
class Form:
    """The phrases of a song in order.

    Examples
    --------
    >>> form = Form.parse("i4A8B8o2")
    >>> form.num_bars, str(form), form.phrases[1]
    (22, 'i4A8B8o2', Phrase(letter='A', num_bars=8))
    >>> str(Form.parse("intro 4, verse 8, chorus 8, outro 2"))
    'i4A8B8o2'
    """

    phrases: tuple[Phrase, ...]

    def __post_init__(self) -> None:
        if not self.phrases:
            raise ValueError("a form needs at least one phrase")
        for letter, num_bars in self.phrases:
            if letter not in SECTION_LETTERS:
                raise ValueError(f"unknown phrase letter {letter!r}: use one of {', '.join(SECTION_LETTERS)}")
            if not 1 <= num_bars <= 64:
                raise ValueError(f"phrase {letter}{num_bars}: a phrase lasts from 1 to 64 bars")

    @classmethod
    def parse(cls, text: str) -> Form:
        """Read phrase labels (`i4A8B8o2`) or names (`intro 4, verse 8, chorus 8, outro 2`).

        Raises
        ------
        ValueError
            If a part of the text is neither.
        """
        compact = text.strip()
        if re.fullmatch(r"(?:[A-Za-z]\d+)+", compact):
            found = re.findall(r"([A-Za-z])(\d+)", compact)
            return cls(tuple(Phrase(letter, int(num_bars)) for letter, num_bars in found))
        phrases = []
        for part in re.split(r"[,;\s]+(?=[A-Za-z])", compact):
            match = re.fullmatch(r"([A-Za-z-]+)\s*[:=]?\s*(\d+)", part.strip(" ,;"))
            name = match.group(1) if match else part
            letter = _NAMED.get(name.lower(), name if len(name) == 1 else "")
            if match is None or not letter:
                known = ", ".join(_NAMED)
                raise ValueError(f"cannot read {part!r} in form {text!r}: write i4A8B8o2, or names with bars ({known})")
            phrases.append(Phrase(letter, int(match.group(2))))
        return cls(tuple(phrases))

    def __str__(self) -> str:
        return "".join(f"{letter}{num_bars}" for letter, num_bars in self.phrases)

    @property
    def num_bars(self) -> int:
        """Length of the whole form."""
        return sum(phrase.num_bars for phrase in self.phrases)

    @property
    def start_bars(self) -> tuple[int, ...]:
        """Bar (counted from zero) where each phrase starts."""
        return tuple(int(bar) for bar in np.cumsum([0] + [phrase.num_bars for phrase in self.phrases[:-1]]))

    def section_names(self) -> tuple[str, ...]:
        """Return a name for each phrase, such as `Intro` or `B (2)` for the second B phrase."""
        seen: dict[str, int] = {}
        names = []
        for phrase in self.phrases:
            seen[phrase.letter] = seen.get(phrase.letter, 0) + 1
            name = _SECTION_NAMES.get(phrase.letter, phrase.letter)
            total = sum(other.letter == phrase.letter for other in self.phrases)
            names.append(f"{name} ({seen[phrase.letter]})" if total > 1 else name)
        return tuple(names)


@dataclass(frozen=True, eq=False)
class LeadSheet:
    """Melody, chords and form of a song in 4/4.

    Attributes
    ----------
    key : Key
    tempo_qpm : float
        Quarter notes per minute.
    form : Form
        Its bars are the length of the song.
    chords : tuple of ChordChange
        Ordered by onset; at most one change a beat.
    melody : ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
        One voice: no note starts before the previous one ends.
    """

    key: Key
    tempo_qpm: float
    form: Form
    chords: tuple[ChordChange, ...]
    melody: NDArray[np.void]

    def __post_init__(self) -> None:
        if self.melody.dtype != GRID_NOTE_DTYPE:
            raise ValueError(f"melody must be an array of GRID_NOTE_DTYPE, got {self.melody.dtype}")

    @property
    def num_bars(self) -> int:
        """Length in bars."""
        return self.form.num_bars

    @property
    def duration_seconds(self) -> float:
        """Length of all the bars at the tempo."""
        return self.num_bars * 240.0 / self.tempo_qpm

    def transpose(self, semitones: int) -> LeadSheet:
        """Return the lead sheet moved by that many semitones, key included."""
        melody = self.melody.copy()
        melody["pitch"] += semitones
        chords = tuple(ChordChange(onset, chord.transpose(semitones)) for onset, chord in self.chords)
        key = Key((self.key.tonic + semitones) % 12, self.key.is_minor)
        return LeadSheet(key, self.tempo_qpm, self.form, chords, melody)

    def problems(self) -> list[str]:
        """Return what is wrong with the lead sheet, in words; empty if it is valid."""
        found = []
        onset, end = self.melody["onset_step"], self.melody["onset_step"] + self.melody["duration_step"]
        if len(onset) and (onset.min() < 0 or end.max() > self.num_bars * STEPS_PER_BAR):
            found.append("melody leaves the bars of the form")
        if np.any(self.melody["duration_step"] <= 0):
            found.append("melody has a note without length")
        if np.any(onset[1:] < end[:-1]):
            found.append("melody is not one voice")
        if np.any((self.melody["pitch"] < 0) | (self.melody["pitch"] > 127)):
            found.append("melody pitch outside 0 to 127")
        starts = [change.onset_step for change in self.chords]
        if any(later <= earlier for earlier, later in pairwise(starts)):
            found.append("chord changes are not in order")
        if starts and (starts[0] < 0 or starts[-1] >= self.num_bars * STEPS_PER_BAR):
            found.append("a chord lies outside the bars of the form")
        return found


# Labels beyond QUALITIES and what they are reduced to, by how they begin; the first that fits.
_REDUCTIONS = {
    "maj(9)": "add9", "maj(2)": "add9", "min(9)": "min", "minmaj7": "min", "maj7": "maj7", "maj9": "maj7",
    "maj13": "maj7", "maj6": "maj6", "min6": "min6", "min7": "min7", "min9": "min7", "min11": "min7", "min13": "min7",
    "hdim": "hdim7", "dim7": "dim7", "dim": "dim", "aug": "aug", "sus2": "sus2", "sus4(b7": "7sus4", "sus4": "sus4",
    "min": "min", "maj": "maj", "9": "7", "11": "7sus4", "13": "7", "7": "7",
    "5(b7": "7", "5": "maj", "1": "maj",  # bare fifths and roots have no third: the plain triad stands for them
}  # fmt: skip


def parse_chord(label: str) -> ChordSymbol | None:
    """Read a chord label of the MIREX syntax (`Bb:min7/b3`); qualities are reduced to QUALITIES.

    Returns
    -------
    ChordSymbol or None
        None for `N` (no chord).

    Raises
    ------
    ValueError
        If the root is no note name or the degree of the bass unknown.
    """
    if label in ("N", "X", ""):
        return None
    head, _, bass_degree = label.partition("/")
    root_name, _, quality_name = head.partition(":")
    root = pitch_class_from_name(root_name)
    quality = _reduce_quality(quality_name or "maj")
    bass = root
    if bass_degree:
        match = re.fullmatch(r"([b#]*)(\d+)", bass_degree)
        if match is None:
            raise ValueError(f"unknown bass degree in chord label {label!r}")
        degree = (int(match.group(2)) - 1) % 7
        alteration = match.group(1).count("#") - match.group(1).count("b")
        bass = (root + (0, 2, 4, 5, 7, 9, 11)[degree] + alteration) % 12
        # The label says 7 for the seventh of the chord itself, major or minor.
        if degree == 6 and alteration == 0 and 10 in QUALITIES[quality]:
            bass = (root + 10) % 12
    return ChordSymbol(root, quality, bass)


def _reduce_quality(name: str) -> str:
    if name in QUALITIES:
        return name
    for prefix, quality in _REDUCTIONS.items():
        if name.startswith(prefix):
            return quality
    raise ValueError(f"unknown chord quality {name!r}")
