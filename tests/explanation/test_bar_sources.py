from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings

from songwright.explanation.likelihood import ShippedNetwork
from songwright.explanation.sources import (
    bar_log_probabilities,
    bar_relation,
    bar_sources,
    describe_sources,
    place_of,
    silence,
    sounding_bars,
    source_matrix,
)
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from tests.explanation.networks import ConvolutionBody, CopyingNetwork, LstmBody, TorchNetwork, train
from tests.music import lead_sheets, make_song

CHORD = (ChordChange(0, ChordSymbol(0, "maj", 0)),)


def sheet_of_bars(form: str, bars: list[list[tuple[int, int]]]) -> LeadSheet:
    """Return a lead sheet of bars given as (onset in the bar, pitch), each note an eighth."""
    rows = [(48 * bar + onset, 6, pitch) for bar, notes in enumerate(bars) for onset, pitch in notes]
    return LeadSheet(Key(0), 90.0, Form.parse(form), CHORD, grid_notes(*np.array(rows).T))


def random_sheet(seed: int, num_bars: int = 12) -> LeadSheet:
    """Bars that have nothing in common, and the same number of notes each."""
    rng = np.random.default_rng(seed)
    pitches = rng.choice(np.arange(48, 96), (num_bars, 4))
    return sheet_of_bars(f"A{num_bars}", [[(12 * beat, int(p)) for beat, p in enumerate(bar)] for bar in pitches])


def test_silencing_takes_the_notes_of_a_bar_and_nothing_else():
    sheet = make_song(1).lead_sheet
    silent = silence(sheet, [5, 7])
    assert not {5, 7} & set(sounding_bars(silent).tolist())
    assert {5, 7} | set(sounding_bars(silent).tolist()) == set(sounding_bars(sheet).tolist())
    assert silent.chords == sheet.chords


def test_a_network_that_copies_four_bars_back_takes_from_exactly_there():
    sheet = random_sheet(0)
    found = source_matrix(sheet, CopyingNetwork(4)).nats_per_note
    lag = np.subtract.outer(np.arange(12), np.arange(12))
    assert (found[lag == 4] > 1).all()
    assert (found[lag != 4] == 0).all()
    sources = bar_sources(sheet, 9, CopyingNetwork(4))
    assert [source.bar for source in sources.sources] == [6]
    assert sources.text == "Bar 10 takes most from bar 6 (4 bars before; same rhythm)."


def test_one_bar_alone_and_the_whole_song_agree():
    sheet = random_sheet(1)
    network = CopyingNetwork(2)
    matrix = source_matrix(sheet, network)
    for bar in (3, 11):
        alone = bar_sources(sheet, bar, network)
        assert alone == matrix.sources(bar)
        assert alone.sources[0].nats_per_note == pytest.approx(matrix.nats_per_note[bar, bar - 2])


class HalfHalfCopy(CopyingNetwork):
    """Believes equally in the bar four before and in the bar eight before."""

    def log_probabilities(self, tokens, channels, hints):
        both = [CopyingNetwork(lag).log_probabilities(tokens, channels, hints) for lag in (4, 8)]
        return np.logaddexp(*both) - np.float32(np.log(2))


def test_two_bars_that_stand_in_for_each_other_are_both_named():
    notes = [[(12 * beat, 60 + (5 * bar + beat) % 17) for beat in range(4)] for bar in range(4)]
    found = bar_sources(sheet_of_bars("A4A4A4", notes * 3), 9, HalfHalfCopy())
    assert {source.bar for source in found.sources} == {2, 6}
    first, second = (source.nats_per_note for source in found.sources)
    assert second > 4 * first


@pytest.mark.parametrize("body", [LstmBody, ConvolutionBody])
def test_silencing_a_bar_changes_nothing_earlier_in_any_torch_network(body):
    sheet = make_song(2, "A4B4A4").lead_sheet
    found = source_matrix(sheet, TorchNetwork(body)).nats_per_note
    assert np.isfinite(found).all()
    assert (found[np.triu_indices(12)] == 0).all()
    assert np.abs(found).max() > 1e-4


def test_a_convolution_takes_from_no_bar_beyond_its_reach():
    sheet = random_sheet(2)
    found = source_matrix(sheet, TorchNetwork(ConvolutionBody, with_channels=False)).nats_per_note
    lag = np.subtract.outer(np.arange(12), np.arange(12))
    # A bar has 15 tokens and the convolution sees 16: the bar before only.
    assert np.abs(found[lag == 1]).min() > 1e-6
    np.testing.assert_allclose(found[lag >= 3], 0, atol=1e-6)


@pytest.mark.parametrize("body", [LstmBody, ConvolutionBody])
def test_a_trained_torch_network_takes_from_the_same_place_in_the_earlier_phrase(body):
    songs = [make_song(seed, "A2B2A2B2").lead_sheet for seed in range(12)]
    found = source_matrix(make_song(50, "A2B2A2B2").lead_sheet, train(TorchNetwork(body), songs, steps=36))
    strongest = found.nats_per_note[4:].argmax(axis=1)
    assert np.sum(strongest == np.arange(4)) >= 3


def test_the_shipped_network_takes_a_repeat_from_where_it_repeats():
    song = make_song(3, "A4B4A4B4")
    calls: list[tuple[int, int]] = []
    network = ShippedNetwork()
    matrix = source_matrix(song.transpose(4), network, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 15) for done in range(1, 16)]
    strongest = matrix.nats_per_note[8:].argmax(axis=1)
    assert np.sum(strongest == np.arange(8)) >= 6
    assert bar_sources(song.transpose(4), 8, network).sources[0].place == "the same place in the first A"


def test_a_network_that_says_how_far_it_sees_is_explained_as_if_it_had_not():
    sheet = make_song(4, "A8B8A8B8A8B8").lead_sheet
    windowed = ShippedNetwork()

    class Whole:
        def log_probabilities(self, tokens, channels, hints):
            return windowed.log_probabilities(tokens, channels, hints)

    for bar in (7, 25, 47):
        nats = [
            bar_log_probabilities(sheet, network, first_bar=bar, last_bar=bar)[bar] for network in (windowed, Whole())
        ]
        assert nats[0] == pytest.approx(nats[1], abs=1e-4)


def test_a_repeat_whose_sources_are_not_missed_says_so():
    sheet = sheet_of_bars("A1A1A1", [[(0, 60), (12, 64)]] * 3)
    assert (
        describe_sources(sheet, 2, []).text
        == "Bar 3 repeats bars 1, 2, but would be about as probable without any one of them."
    )
    assert (
        describe_sources(sheet, 1, [(0, 0.01)]).text
        == "Bar 2 repeats bar 1, but would be about as probable without it."
    )


@pytest.mark.parametrize(
    ("notes", "relation"),
    [
        ([(0, 60), (12, 64), (24, 67)], "exact repeat"),
        ([(0, 62), (12, 66), (24, 69)], "transposed up 2 semitones"),
        ([(0, 59), (12, 63), (24, 66)], "transposed down 1 semitone"),
        ([(0, 60), (12, 64), (24, 69)], "varied, 2 of 3 notes the same"),
        ([(0, 71), (12, 65), (24, 62)], "same rhythm"),
        ([(6, 55), (18, 62), (30, 69)], "same contour"),
        ([(0, 60), (18, 62), (24, 69)], "same contour"),
        ([(0, 60), (18, 72), (30, 69)], "not alike"),
        ([(0, 60), (18, 72)], "varied a lot, 1 of 2 notes the same"),
        ([], "not alike"),
    ],
)
def test_bars_are_compared_in_words(notes, relation):
    sheet = sheet_of_bars("A2", [[(0, 60), (12, 64), (24, 67)], notes])
    assert bar_relation(sheet, 1, 0) == relation


def test_places_are_named_by_phrase_and_by_distance():
    form = Form.parse("i2A4B4A4A4")
    assert place_of(form, 11, 3) == "the same place in the first A"
    assert place_of(form, 15, 11) == "the same place in the second A"
    assert place_of(form, 11, 10) == "the bar before"
    assert place_of(form, 11, 4) == "7 bars before"
    assert place_of(Form.parse("A1" * 12), 11, 10) == "the same place in the 11th A"


def test_silent_and_first_bars_take_from_nothing():
    sheet = make_song(1, "i2A4A4").lead_sheet
    network = CopyingNetwork()
    assert bar_sources(sheet, 0, network).text == "Bar 1 has no melody."
    assert bar_sources(sheet, 2, network).text == "Bar 3 takes from no earlier bar: it is new."
    with pytest.raises(ValueError, match="bar must be from 0 to 9"):
        bar_sources(sheet, 10, network)


@settings(max_examples=15)
@given(lead_sheets())
def test_any_lead_sheet_has_sources_without_a_crash(sheet):
    matrix = source_matrix(sheet, CopyingNetwork(1))
    assert matrix.nats_per_note.shape == (sheet.num_bars, sheet.num_bars)
    assert np.isfinite(matrix.nats_per_note).all()
    found = [asdict(matrix.sources(bar)) for bar in range(sheet.num_bars)]
    json.dumps(found, allow_nan=False)
