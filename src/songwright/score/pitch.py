"""Pitch classes, keys and their spelling.

Pitch is the MIDI note number (60 = C4); pitch class is pitch modulo 12 with C = 0.
A key here is major or minor; its spelling follows its key signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAJOR_STEPS = (0, 2, 4, 5, 7, 9, 11)
MINOR_STEPS = (0, 2, 3, 5, 7, 8, 10)
_LETTERS = "CDEFGAB"
_LETTER_PITCH_CLASS = dict(zip(_LETTERS, MAJOR_STEPS, strict=True))
_LETTER_FIFTHS = dict(zip("FCGDAEB", range(-1, 6), strict=True))
# Usual signatures, in fifths from C, of the major key on each pitch class: the flat side up to six flats.
_MAJOR_FIFTHS = (0, -5, 2, -3, 4, -1, -6, 1, -4, 3, -2, 5)


def pitch_class_from_name(name: str) -> int:
    """Return the pitch class of a note name such as `C`, `F#` or `Bb`.

    Raises
    ------
    ValueError
        If the name is not a letter A to G followed by sharps or flats.
    """
    match = re.fullmatch(r"([A-Ga-g])([#♯]*|[b♭]*)", name.strip())
    if match is None:
        raise ValueError(f"not a note name: {name!r}")
    letter, accidentals = match.groups()
    sign = 1 if accidentals[:1] in ("#", "♯") else -1
    return (_LETTER_PITCH_CLASS[letter.upper()] + sign * len(accidentals)) % 12


def fifths_from_pitch_class(pitch_class: int, *, center: int = 0) -> int:
    """Return the place of a pitch class on the line of fifths (F = -1, C = 0, G = 1), nearest to `center`.

    Ties (six fifths either way) fall on the sharp side.
    """
    fifths = (pitch_class * 7) % 12
    while fifths - center > 6:
        fifths -= 12
    while fifths - center < -5:
        fifths += 12
    return fifths


def spell_fifths(fifths: int) -> tuple[str, int]:
    """Return (letter, alteration in semitones) of a place on the line of fifths."""
    letter = "FCGDAEB"[(fifths + 1) % 7]
    return letter, (fifths - _LETTER_FIFTHS[letter]) // 7


@dataclass(frozen=True)
class Key:
    """A major or minor key.

    Attributes
    ----------
    tonic : int
        Pitch class of the tonic, 0 to 11.
    is_minor : bool
        Mode.
    """

    tonic: int
    is_minor: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.tonic < 12:
            raise ValueError(f"tonic must be a pitch class from 0 to 11, got {self.tonic}")

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read `C`, `A minor`, `F#m`, `Bb major`, `Gb:maj` or `Eb:min`.

        Raises
        ------
        ValueError
            If the text names no key.

        Examples
        --------
        >>> Key.parse("A minor"), Key.parse("Gb:maj").name
        (Key(tonic=9, is_minor=True), 'Gb major')
        """
        match = re.fullmatch(r"\s*([A-Ga-g][#b♯♭]*)(?:\s*[: ]?\s*((?i:major|minor|maj|min)|M|m))?\s*", text)
        if match is None:
            raise ValueError(f"not a key: {text!r}")
        name, mode = match.groups()
        return cls(pitch_class_from_name(name), mode is not None and (mode == "m" or mode.lower().startswith("min")))

    @property
    def fifths(self) -> int:
        """Sharps (positive) or flats (negative) of the key signature, -6 to 5."""
        return _MAJOR_FIFTHS[(self.tonic + 3) % 12 if self.is_minor else self.tonic]

    @property
    def name(self) -> str:
        """Name with conventional spelling, such as `Eb major` or `F# minor`."""
        letter, alteration = spell_fifths(self.fifths + (3 if self.is_minor else 0))
        return (
            letter
            + ("#" * alteration if alteration > 0 else "b" * -alteration)
            + (" minor" if self.is_minor else " major")
        )

    @property
    def pitch_classes(self) -> frozenset[int]:
        """Pitch classes of the scale (natural minor)."""
        steps = MINOR_STEPS if self.is_minor else MAJOR_STEPS
        return frozenset((self.tonic + step) % 12 for step in steps)

    @property
    def semitones_to_normal(self) -> int:
        """Transposition that brings the key to C major or A minor, from -6 to 5 semitones."""
        target = 9 if self.is_minor else 0
        return (target - self.tonic + 6) % 12 - 6
