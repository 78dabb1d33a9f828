from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings

from songwright.explanation.alternatives import chord_degree, note_alternatives
from songwright.explanation.likelihood import ShippedNetwork, read, surprise_of
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.tokens.lead_sheet import VOCABULARY
from tests.explanation.networks import CopyingNetwork
from tests.music import lead_sheets, make_song

SONG = make_song(3, "A4B4A4B4")
F_MAJOR = ChordSymbol(5, "maj", 5)
B_FLAT = ChordSymbol(10, "maj", 10)


@pytest.fixture(scope="module")
def shipped() -> ShippedNetwork:
    return ShippedNetwork()


def small_sheet() -> LeadSheet:
    """Two phrases of one bar in F major: A4, Bb4, C5, then the same."""
    onset = np.array([0, 18, 24, 48, 66, 72])
    melody = grid_notes(onset, np.array([18, 6, 24] * 2), np.array([69, 70, 72] * 2))
    chords = tuple(ChordChange(24 * half, (F_MAJOR, B_FLAT)[half % 2]) for half in range(4))
    return LeadSheet(Key(5), 90.0, Form.parse("A1A1"), chords, melody)


def test_the_chosen_probability_is_the_surprise(shipped):
    reading = read(SONG, shipped)
    surprised = surprise_of(reading)
    bits = np.stack([surprised.onset_bits, surprised.pitch_bits, surprised.duration_bits], axis=1)
    for found in note_alternatives(reading):
        for kind, expected in zip((found.onset, found.pitch, found.duration), bits[found.note].tolist(), strict=True):
            assert -np.log2(kind.chosen.probability * (1 - kind.forbidden)) == pytest.approx(expected, abs=1e-4)


def test_probabilities_are_sorted_and_sum_to_one_at_most(shipped):
    reading = read(SONG, shipped)
    for found in note_alternatives(reading):
        for decision in (found.onset, found.pitch, found.duration):
            probabilities = [choice.probability for choice in decision.alternatives]
            assert probabilities == sorted(probabilities, reverse=True)
            assert sum(probabilities) <= 1 + 1e-9
            is_chosen = [choice.is_chosen for choice in decision.alternatives]
            assert is_chosen == [decision.rank == place for place in range(1, len(is_chosen) + 1)]
    (everything,) = note_alternatives(reading, [5], count=len(VOCABULARY))
    assert sum(choice.probability for choice in everything.pitch.alternatives) == pytest.approx(1)
    assert all(choice.pitch is not None for choice in everything.pitch.alternatives)
    assert all(choice.duration_step is not None for choice in everything.duration.alternatives)


def test_choices_are_named_in_the_songs_own_key():
    first, second, third, fourth, fifth, sixth = note_alternatives(read(small_sheet(), CopyingNetwork(1)))
    assert first.pitch.chosen.text == "A4, chord tone of F (third)"
    assert second.pitch.chosen.text == "Bb4, a half step above the third of F, in the scale"
    assert second.onset.chosen.text == "on the and of beat 2"
    assert first.duration.chosen.text == "a dotted quarter"
    assert third.onset.chosen.text == "on beat 3"
    assert fourth.pitch.chosen.text == "A4, chord tone of F (third), as in bar 1"
    assert fifth.onset.chosen.text == "on the and of beat 2, as in bar 1"
    assert sixth.pitch.chosen.text == "C5, a step above the root of Bb, in the scale, as in bar 1"
    assert [found.bar for found in (third, fourth)] == [1, 2]
    assert fourth.pitch.chosen.as_in_bar == 1
    assert fourth.pitch.chosen.pitch == 69
    assert fifth.onset.chosen.onset_step == 66


def test_a_choice_reads_as_a_phrase_with_its_share():
    fourth = note_alternatives(read(small_sheet(), CopyingNetwork(1)))[3]
    # The copying network gives the pitch of the bar before .9, and the grammar leaves 64 others a little of the rest.
    assert str(fourth.pitch.alternatives[0]) == "A4, chord tone of F (third), as in bar 1, 98 %"
    assert str(fourth.pitch.alternatives[1]).endswith("under 1 %")


def test_onsets_compete_with_rests_and_chords():
    (first,) = note_alternatives(read(small_sheet(), CopyingNetwork(1)), [0], count=60)
    texts = [choice.text for choice in first.onset.alternatives]
    assert "rests until the next bar" in texts
    assert "first a chord change on beat 4" in texts
    assert "a sixteenth before the bar line" in texts
    (last,) = note_alternatives(read(small_sheet(), CopyingNetwork(1)), [5], count=60)
    assert "the song ends" in [choice.text for choice in last.onset.alternatives]


def test_the_grammar_forbids_a_start_before_the_last_note_ends():
    (second,) = note_alternatives(read(small_sheet(), CopyingNetwork(1)), [1], count=60)
    assert min(choice.onset_step for choice in second.onset.alternatives if choice.onset_step is not None) == 18
    assert 0 < second.onset.forbidden < 1


def test_names_of_a_note_below_the_vocabulary_keep_its_octave():
    sheet = small_sheet()
    low = sheet.melody.copy()
    low["pitch"] -= 48
    moved = LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, low)
    (first,) = note_alternatives(read(moved, CopyingNetwork(1)), [0])
    assert first.pitch.chosen.text == "A0, chord tone of F (third)"
    assert first.pitch.chosen.pitch == 21


@pytest.mark.parametrize(
    ("chord", "pitch", "degree"),
    [
        (ChordSymbol(2, "sus2", 2), 64, "second"),
        (ChordSymbol(2, "add9", 2), 64, "ninth"),
        (ChordSymbol(2, "7sus4", 2), 67, "fourth"),
        (ChordSymbol(11, "dim7", 11), 68, "seventh"),
        (ChordSymbol(0, "maj6", 0), 69, "sixth"),
        (ChordSymbol(0, "maj", 2), 62, "bass"),
        (ChordSymbol(0, "maj", 0), 62, ""),
    ],
)
def test_tones_of_a_chord_have_their_names(chord, pitch, degree):
    assert chord_degree(chord, pitch) == degree


def test_a_note_that_is_not_there_is_an_error():
    reading = read(small_sheet(), CopyingNetwork(1))
    assert note_alternatives(reading, []) == []
    for note in (-1, 6):
        with pytest.raises(ValueError, match="from 0 to 5"):
            note_alternatives(reading, [note])


@settings(max_examples=20)
@given(lead_sheets())
def test_alternatives_of_any_lead_sheet_can_be_written_as_json(sheet):
    found = note_alternatives(read(sheet, CopyingNetwork()))
    assert len(found) == len(sheet.melody)
    text = json.dumps([asdict(note) for note in found], allow_nan=False)
    assert text.count('"is_chosen": true') >= 3 * len(found)
