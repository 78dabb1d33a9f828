from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet, parse_chord
from songwright.score.pitch import Key
from songwright.score.spelling import chord_name
from tests.music import forms, lead_sheets


@given(forms())
def test_a_form_is_read_back_from_its_text(form):
    assert Form.parse(str(form)) == form


def test_a_form_may_be_written_in_names():
    form = Form.parse("intro 4, verse 8, chorus 8, bridge 4, chorus 8; outro 2")
    assert str(form) == "i4A8B8b4B8o2"
    assert form.section_names() == ("Intro", "A", "B (1)", "Bridge", "B (2)", "Outro")
    assert form.start_bars == (0, 4, 12, 20, 24, 32)


@pytest.mark.parametrize("text", ["", "A", "A0", "q4", "verse eight", "A8, 8", "A99", "8A"])
def test_what_is_no_form_is_refused(text):
    with pytest.raises(ValueError, match=r"form|phrase"):
        Form.parse(text)


@pytest.mark.parametrize(
    ("label", "chord"),
    [
        ("C:maj", ChordSymbol(0, "maj", 0)),
        ("Bb:min7/b3", ChordSymbol(10, "min7", 1)),
        ("G:7/7", ChordSymbol(7, "7", 5)),
        ("C:maj7/7", ChordSymbol(0, "maj7", 11)),
        ("F#:sus4(b7,9)", ChordSymbol(6, "7sus4", 6)),
        ("D:maj(9)", ChordSymbol(2, "add9", 2)),
        ("A:min11", ChordSymbol(9, "min7", 9)),
        ("E:hdim7", ChordSymbol(4, "hdim7", 4)),
        ("N", None),
    ],
)
def test_chord_labels_are_read(label, chord):
    assert parse_chord(label) == chord


@pytest.mark.parametrize("label", ["H:maj", "C:weird", "C:maj/x"])
def test_unknown_chord_labels_are_refused(label):
    with pytest.raises(ValueError, match=r"note name|quality|bass"):
        parse_chord(label)


def test_chord_symbols_are_spelled_in_their_key():
    chord = ChordSymbol(6, "min7", 1)
    assert chord_name(chord, Key(2)) == "F#m7/C#"
    assert chord_name(chord, Key(1)) == "Gbm7/Db"


@given(lead_sheets(), st.integers(-6, 6))
def test_transposing_there_and_back_changes_nothing(sheet, semitones):
    back = sheet.transpose(semitones).transpose(-semitones)
    assert np.array_equal(back.melody, sheet.melody)
    assert (back.chords, back.key) == (sheet.chords, sheet.key)


@given(lead_sheets())
def test_made_up_lead_sheets_are_valid(sheet):
    assert sheet.problems() == []


def test_problems_are_named():
    melody = grid_notes(np.array([0, 6, 90]), np.array([12, 0, 12]), np.array([60, 60, 130]))
    chord = ChordSymbol(0, "maj", 0)
    sheet = LeadSheet(Key(0), 90, Form.parse("A2"), (ChordChange(12, chord), ChordChange(0, chord)), melody)
    words = " ".join(sheet.problems())
    for word in ("leaves the bars", "without length", "one voice", "outside 0 to 127", "not in order"):
        assert word in words
