"""Real music passes the gates, spoilt music fails one, and what cannot be judged is said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from songwright.analysis.copies import CopyFinding
from songwright.analysis.originality import Originality
from songwright.evaluation.excerpts import loop_bars, shuffle_bars
from songwright.evaluation.figures import MeasuredSongs
from songwright.evaluation.gates import LONGEST_RUN, Gate, set_gates, song_gates, with_form_of
from songwright.evaluation.measuring import gather, measure
from songwright.evaluation.norms import ENDINGS, SongNorms
from songwright.evaluation.set_numbers import real_range
from songwright.evaluation.two_sample import TwoSampleTest
from songwright.score.lead_sheet import LeadSheet
from songwright.score.song import Song
from tests.music import make_song

NOTHING_SHARED = Originality(7, 0, 0, 0.01, 0, -1, -1)
NO_COPY = CopyFinding(0.05, 8.0, 3, (), "")


def of(songs: MeasuredSongs, places: slice) -> MeasuredSongs:
    features = {group: {name: v[places] for name, v in found.items()} for group, found in songs.features.items()}
    return MeasuredSongs(features, songs.curves[places])


def one(songs: MeasuredSongs, place: int) -> dict[str, dict[str, float]]:
    return {group: {name: float(v[place]) for name, v in found.items()} for group, found in songs.features.items()}


def failed(gates: tuple[Gate, ...]) -> set[str]:
    return {gate.name for gate in gates if gate.is_passed is False}


def by_name(gates: tuple[Gate, ...], name: str) -> Gate:
    return next(gate for gate in gates if gate.name == name)


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    return [make_song(seed) for seed in range(110)]


@pytest.fixture(scope="module")
def measured(songs: list[Song]) -> MeasuredSongs:
    return gather([measure(song) for song in songs])


@pytest.fixture(scope="module")
def norms(measured: MeasuredSongs) -> SongNorms:
    return SongNorms.fit(of(measured, slice(20, None)))


def test_sets_of_real_songs_pass_all_gates(measured):
    for start in (0, 20):
        others = of(measured, slice(40, None))
        gates = set_gates(of(measured, slice(start, start + 20)), of(measured, slice(20 - start, 40 - start)), others)
        assert not failed(gates)
        assert sum(gate.is_passed is True for gate in gates) >= 15


@pytest.mark.parametrize("spoil", [shuffle_bars, loop_bars])
def test_spoilt_songs_fail_gates_of_repetition(songs, measured, spoil):
    rng = np.random.default_rng(0)
    spoilt = gather([measure(spoil(song, rng)) for song in songs[:20]])
    gates = set_gates(spoilt, of(measured, slice(20, 40)), of(measured, slice(40, None)))
    assert {"overlap_structure", "shift_structure"} <= failed(gates)
    shifted = by_name(gates, "shift_structure").deviations
    assert shifted[0].is_high == (spoil is loop_bars)
    assert {deviation.group for deviation in shifted} == {"structure"}


def test_one_song_over_and_over_has_no_variety(measured):
    same = MeasuredSongs(
        {group: {name: v[:1].repeat(20) for name, v in found.items()} for group, found in measured.features.items()},
        measured.curves[:1].repeat(20, axis=0),
    )
    gate = by_name(set_gates(same, of(measured, slice(20, 40)), of(measured, slice(40, None))), "variety")
    assert gate.is_passed is False
    assert gate.value == pytest.approx(0)


def test_without_other_songs_the_reference_is_divided(measured):
    gates = set_gates(of(measured, slice(20)), of(measured, slice(20, None)))
    assert not failed(gates)
    assert by_name(gates, "overlap_local").low is not None


def test_the_same_seed_gives_the_same_gates(measured):
    first, second = (set_gates(of(measured, slice(20)), of(measured, slice(20, None)), seed=5) for _ in range(2))
    assert first == second


def test_gates_are_json_without_nan(measured, norms):
    gates = (*set_gates(of(measured, slice(20)), of(measured, slice(20, None))), *song_gates(one(measured, 0), norms))
    json.dumps([gate._asdict() for gate in gates], allow_nan=False)
    assert len({gate.name for gate in gates}) == len(gates)


@pytest.mark.parametrize("num_songs", [1, 3])
def test_a_set_too_small_is_judged_by_originality_alone(measured, num_songs):
    quotation = NOTHING_SHARED._replace(melody_run=LONGEST_RUN + 1)
    gates = set_gates(
        of(measured, slice(num_songs)),
        of(measured, slice(20, None)),
        originality=[NOTHING_SHARED] * (num_songs - 1) + [quotation],
        copies=[NO_COPY] * num_songs,
    )
    assert failed(gates) == {"longest_run"}
    unjudged = [gate for gate in gates if gate.is_passed is None]
    assert len(unjudged) > 15
    assert all("at least 4 songs" in gate.meaning for gate in unjudged)


def test_fewer_songs_have_wider_limits(measured):
    others = of(measured, slice(40, None))
    wide, narrow = (
        by_name(set_gates(of(measured, slice(n)), of(measured, slice(20, 40)), others), "shift_local") for n in (5, 20)
    )
    assert wide.high > 1.3 * narrow.high
    assert wide.is_passed


def test_what_songs_leave_undefined_is_not_judged(songs, measured):
    sheet = songs[0].lead_sheet
    empty = Song(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, (), sheet.melody[:0]), songs[0].piano[:0])
    numbers = gather([measure(empty)] * 6)
    gates = set_gates(numbers, of(measured, slice(20, 40)), of(measured, slice(40, None)))
    gate = by_name(gates, "chord_tone_ratio")
    assert gate.is_passed is None
    assert "too few of the songs" in gate.meaning
    json.dumps([gate._asdict() for gate in gates], allow_nan=False)


def test_one_copy_in_a_set_fails_it(measured):
    copy = NO_COPY._replace(bits=200.0, score=1.0)
    gates = set_gates(of(measured, slice(5)), of(measured, slice(20, None)), copies=[NO_COPY, copy, NO_COPY])
    assert by_name(gates, "copies").value == 1
    assert "copies" in failed(gates)


def test_a_set_that_repeats_itself_fails(measured):
    within = [NOTHING_SHARED, NOTHING_SHARED._replace(melody_run=60)]
    gates = set_gates(of(measured, slice(5)), of(measured, slice(20, None)), within=within)
    assert by_name(gates, "within_run").is_passed is False


def test_bits_per_note_have_a_limit_on_each_side(measured):
    rng = np.random.default_rng(0)
    reference_bits = rng.normal(1.9, 0.3, 60)
    for shift, is_passed in ((0.0, True), (0.6, False), (-0.6, False)):
        bits = np.append(rng.normal(1.9 + shift, 0.3, 19), np.nan)
        gates = set_gates(
            of(measured, slice(20)), of(measured, slice(20, None)), bits=bits, reference_bits=reference_bits
        )
        assert by_name(gates, "bits_per_note").is_passed is is_passed


def test_a_judge_that_knows_the_songs_apart_fails_the_set(measured):
    for auc, is_passed in ((0.52, True), (0.97, False), (None, None)):
        test = TwoSampleTest(auc, None, 0.5, (0.4, 0.6), ())
        gates = set_gates(of(measured, slice(20)), of(measured, slice(20, None)), two_sample=test)
        assert by_name(gates, "two_sample").is_passed is is_passed


def test_form_is_taken_from_whole_songs(measured):
    whole = MeasuredSongs({"form": {"melody_in_key": np.ones(5)}}, np.empty((5, 0)))
    joined = with_form_of(of(measured, slice(5)), whole)
    assert joined.features["form"] is whole.features["form"]
    assert "local" in joined.features


def test_songs_that_norms_were_made_of_pass(measured, norms):
    gates = [song_gates(one(measured, place), norms) for place in range(110)]
    assert np.mean([not failed(found) for found in gates]) >= 0.95


def test_a_looped_song_fails_by_its_repetition(songs, norms):
    spoilt = measure(loop_bars(songs[3], np.random.default_rng(1))).features
    gates = song_gates(spoilt, norms, originality=NOTHING_SHARED, copy=NO_COPY)
    assert "usual_structure" in failed(gates)
    farthest = by_name(gates, "usual_structure").deviations[0]
    assert farthest.is_high
    assert farthest.share == 1.0


def test_a_quoting_song_fails_originality_alone(measured, norms):
    gates = song_gates(one(measured, 0), norms, originality=NOTHING_SHARED._replace(piano_run=9), copy=NO_COPY)
    assert failed(gates) == {"piano_run"}


def test_a_song_of_one_bar_is_not_judged_in_what_it_lacks(norms):
    gates = song_gates(measure(make_song(0, "A1")).features, norms)
    for group in ("structure", "coherence"):
        gate = by_name(gates, f"usual_{group}")
        assert gate.is_passed is None
        assert "too short or too plain" in gate.meaning


def test_without_enough_real_songs_nothing_is_usual(measured):
    with pytest.raises(ValueError, match="at least 50 real songs"):
        SongNorms.fit(of(measured, slice(20)))
    gates = song_gates(one(measured, 0), None, copy=NO_COPY)
    assert {gate.name for gate in gates if gate.is_passed} == {"copy"}
    assert all("too few real songs" in gate.meaning for gate in gates if gate.is_passed is None)


def test_deviations_are_outside_the_band_and_never_endings(measured, norms):
    for place in range(20):
        for deviation in norms.deviations(one(measured, place)):
            values = measured.features[deviation.group][deviation.name][20:]
            values = values[np.isfinite(values)]
            beyond = values < deviation.value if deviation.is_high else values > deviation.value
            assert beyond.mean() == pytest.approx(deviation.share)
            assert deviation.share >= 0.975
            assert deviation.name not in ENDINGS


def test_limits_hold_for_all_columns_together():
    draws = np.random.default_rng(0).normal(size=(2000, 10)) * np.arange(1, 11)
    found = real_range(draws, ["low", "both"] * 5, share=0.98)
    low, high = found.middle - found.width * found.below, found.middle + found.width * found.above
    high[::2] = np.inf
    inside = ((draws >= low) & (draws <= high)).all(axis=1)
    assert inside.mean() == pytest.approx(0.98, abs=0.002)
