from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from songwright.composition.weights import find_style
from songwright.errors import InputError
from songwright.explanation.likelihood import ShippedNetwork, read, surprise, surprise_of
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import LeadSheet
from songwright.tokens.lead_sheet import DUR_0, PITCH_0, POS_0
from songwright.tokens.streams import STREAMS, lead_sheet_sequence
from songwright.training.validation import validate
from tests.explanation.networks import CopyingNetwork, LstmBody, TorchNetwork
from tests.music import lead_sheets, make_song

SONG = make_song(3, "i2A4B4A4B4o2")


@pytest.fixture(scope="module")
def shipped() -> ShippedNetwork:
    return ShippedNetwork()


def test_surprise_adds_up_to_the_likelihood_of_the_whole_sequence(shipped):
    tokens, channels, hints = lead_sheet_sequence(SONG.lead_sheet)
    found = shipped.log_probabilities(tokens[:-1], channels[:-1], hints[:-1])
    nats = -found[np.arange(len(tokens) - 1), tokens[1:]].astype(float).sum()
    surprised = surprise(SONG, shipped)
    assert surprised.total_bits == pytest.approx(nats / np.log(2), rel=1e-6)
    assert surprised.duration_bits.sum() == pytest.approx(surprised.bar_duration_bits.sum())


def test_bits_of_notes_are_those_of_their_bars_but_for_the_bar_lines_after_the_last_note(shipped):
    reading = read(SONG, shipped)
    surprised = surprise_of(reading)
    after = reading.bits[int(reading.note_rows[-1]) + 3 :]
    is_chord = (reading.targets[-len(after) :] > 3) & (reading.targets[-len(after) :] < POS_0)
    assert surprised.note_bits.sum() + after[~is_chord].sum() == pytest.approx(surprised.bar_bits.sum())
    assert len(surprised.note_bits) == len(SONG.lead_sheet.melody) == surprised.bar_notes.sum()
    assert surprised.note_bars.tolist() == (SONG.lead_sheet.melody["onset_step"] // 48).tolist()


def test_bits_per_note_are_those_with_which_networks_are_validated():
    network = TorchNetwork(LstmBody)
    tokens, channels, hints = (
        torch.from_numpy(array.astype(np.int64))[None] for array in lead_sheet_sequence(SONG.lead_sheet)
    )
    batch = (tokens[:, :-1], channels[:, :-1], hints[:, :-1], tokens[:, 1:])
    expected = validate(network, [batch], STREAMS["lead_sheet"])
    surprised = surprise(SONG, network)
    for name in ("bits_per_note", "bits_per_note_first", "bits_per_note_later"):
        assert getattr(surprised, name) == pytest.approx(expected[name], rel=0.01), name  # validated in bfloat16
    assert surprised.bits_per_chord == pytest.approx(expected["nats_per_chord"] / np.log(2), rel=0.01)


def test_a_repeated_phrase_is_less_surprising_the_second_time(shipped):
    surprised = surprise(SONG, shipped)
    assert surprised.bits_per_note_later < 0.7 * surprised.bits_per_note_first
    assert np.flatnonzero(surprised.is_later).tolist() == list(range(10, 18))


def test_a_song_is_as_surprising_in_any_key(shipped):
    first, second = surprise(SONG, shipped), surprise(SONG.transpose(5), shipped)
    np.testing.assert_allclose(first.note_bits, second.note_bits, atol=1e-4)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_what_was_read_before_changes_nothing(precision):
    other = make_song(4, "A8B8A8B8").lead_sheet
    cut = LeadSheet(other.key, other.tempo_qpm, other.form, other.chords, other.melody[:-20])
    used = ShippedNetwork(precision=precision)
    for sheet in (other, SONG.lead_sheet, cut):
        fresh = read(sheet, ShippedNetwork(path=find_style("pop").weights("lead_sheet", precision)))
        np.testing.assert_allclose(read(sheet, used).log_probabilities, fresh.log_probabilities, atol=2e-3)


def test_songs_longer_than_the_first_room_are_read(shipped):
    long = make_song(5, "A64B64A64B64")
    assert len(lead_sheet_sequence(long.lead_sheet)[0]) > 2048
    assert np.isfinite(surprise(long, shipped).note_bits).all()


def test_a_song_without_melody_has_no_bits_per_note(shipped):
    sheet = SONG.lead_sheet
    silent = LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, sheet.melody[:0])
    surprised = surprise(silent, shipped)
    assert len(surprised.note_bits) == 0
    assert surprised.bits_per_note is surprised.bits_per_note_first is surprised.bits_per_note_later is None
    assert surprised.bits_per_chord > 0


def test_a_song_that_cannot_be_read_is_refused_in_one_sentence(shipped):
    sheet = SONG.lead_sheet
    with pytest.raises(InputError, match="no chords"):
        surprise(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, (), sheet.melody), shipped)
    held = sheet.melody.copy()
    held["duration_step"] = 96
    with pytest.raises(InputError, match="not one voice"):
        surprise(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, held), shipped)
    close = grid_notes(np.array([48, 49]), np.array([1, 12]), np.array([60, 62]))
    with pytest.raises(InputError, match="two melody notes of bar 2"):
        surprise(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, close), shipped)


@settings(max_examples=20)
@given(lead_sheets())
def test_every_note_of_any_lead_sheet_has_its_three_decisions(sheet):
    reading = read(sheet, CopyingNetwork())
    rows = reading.note_rows
    assert len(rows) == len(sheet.melody)
    assert ((reading.targets[rows + 1] >= PITCH_0) & (reading.targets[rows + 1] < DUR_0)).all()
    assert (reading.targets[rows + 2] >= DUR_0).all()
    surprised = surprise_of(reading)
    assert surprised.total_bits == pytest.approx(reading.bits.sum())
