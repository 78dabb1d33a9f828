"""Spelling: the letters a musician would write."""

from __future__ import annotations

import numpy as np
import pytest

from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import QUALITIES, ChordChange, ChordSymbol, parse_chord
from songwright.score.pitch import Key, pitch_class_from_name
from songwright.score.spelling import spell_chord, spell_melody


def name(spelled: tuple[str, int]) -> str:
    """Return `F#` of ("F", 1)."""
    letter, alteration = spelled
    return letter + ("#" * alteration if alteration > 0 else "b" * -alteration)


def melody(key: str, pitches: list[int], chord: str = "") -> str:
    """Spell quarter notes over one chord."""
    onsets = np.arange(len(pitches)) * 12
    symbol = parse_chord(chord)
    changes = (ChordChange(0, symbol),) if symbol else ()
    notes = grid_notes(onsets, np.full(len(pitches), 12), np.array(pitches))
    return " ".join(f"{name(pitch[:2])}{pitch.octave}" for pitch in spell_melody(notes, changes, Key.parse(key)))


@pytest.mark.parametrize(
    ("key", "pitches", "chord", "expected"),
    [
        ("C", [60, 61, 62, 61, 60], "", "C4 C#4 D4 Db4 C4"),  # up as a sharp, down as a flat
        ("A minor", [69, 68, 69, 66, 68], "", "A4 G#4 A4 F#4 G#4"),
        ("C minor", [72, 71, 72, 68], "", "C5 B4 C5 Ab4"),
        ("G# minor", [68, 67, 68], "", "G#4 F##4 G#4"),  # the raised seventh is a double sharp
        ("C", [68, 68], "F:min", "Ab4 Ab4"),
        ("C", [68, 68], "E:7", "G#4 G#4"),
        ("C", [70, 67], "C:7", "Bb4 G4"),
        ("Gb", [71, 59, 65], "", "Cb5 Cb4 F4"),  # the octave goes with the letter
        ("F#m", [65, 66], "", "E#4 F#4"),
    ],
)
def test_notes_follow_key_chord_and_motion(key: str, pitches: list[int], chord: str, expected: str) -> None:
    assert melody(key, pitches, chord) == expected


@pytest.mark.parametrize(
    ("key", "label", "root", "bass"),
    [
        ("C", "Ab:maj", "Ab", "Ab"),
        ("C", "G#:dim7", "G#", "G#"),
        ("C", "E:7/3", "E", "G#"),
        ("C", "Bb:maj/5", "Bb", "F"),
        ("A minor", "D:maj/3", "D", "F#"),
        ("Gb", "B:maj", "Cb", "Cb"),
        ("E", "C#:7/3", "C#", "E#"),
        ("Eb", "Ab:min", "Ab", "Ab"),
        ("Eb", "Ab:min/b3", "Ab", "Cb"),
    ],
)
def test_chords_are_spelled_by_quality(key: str, label: str, root: str, bass: str) -> None:
    chord = parse_chord(label)
    assert chord is not None
    spelled = spell_chord(chord, Key.parse(key))
    assert (name(spelled.root), name(spelled.bass)) == (root, bass)


def test_every_chord_in_every_key_is_spelled_right_and_without_double_accidentals() -> None:
    for key in (Key(tonic, is_minor) for tonic in range(12) for is_minor in (False, True)):
        for root in range(12):
            for quality in QUALITIES:
                chord = ChordSymbol(root, quality, (root + QUALITIES[quality][-1]) % 12)
                spelled = spell_chord(chord, key)
                assert pitch_class_from_name(name(spelled.root)) == root
                assert pitch_class_from_name(name(spelled.bass)) == chord.bass
                assert max(abs(spelled.root[1]), abs(spelled.bass[1])) < 2
