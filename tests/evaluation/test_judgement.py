"""The judge is judged: real songs pass, spoilt ones fail, and every report is valid JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from songwright.analysis.originality import OriginalityIndex
from songwright.errors import InputError
from songwright.evaluation import evaluate_songs, format_report
from songwright.evaluation.excerpts import loop_bars, shuffle_bars
from songwright.evaluation.structure import similarity_curves, similarity_error
from songwright.score.lead_sheet import LeadSheet
from songwright.score.song import Song


@pytest.fixture(scope="module")
def reports(real_songs) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    ours, reals = real_songs[:16], real_songs[16:]
    return {
        "real": evaluate_songs(ours, reals, reals),
        "shuffled": evaluate_songs([shuffle_bars(song, rng) for song in ours], reals),
        "looped": evaluate_songs([loop_bars(song, rng) for song in ours], reals),
        "copied": evaluate_songs([song.transpose(3) for song in reals[:16]], reals, reals),
    }


def figure(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in report["figures"] if one["name"] == name)


def test_shuffled_bars_move_structure_and_leave_local_features(reports):
    shuffled = reports["shuffled"]
    assert figure(shuffled, "overlap_structure")["value"] < 0.6 * figure(reports["real"], "overlap_structure")["value"]
    assert figure(shuffled, "overlap_local")["value"] > figure(shuffled, "overlap_structure")["value"] + 0.2
    assert figure(shuffled, "similarity_error")["value"] > 3 * figure(reports["real"], "similarity_error")["value"]
    assert figure(shuffled, "repeated_windows")["value"] < 0.3 * figure(shuffled, "repeated_windows")["real"]
    assert shuffled["features"]["local"]["groove"]["generated"] == pytest.approx(
        reports["real"]["features"]["local"]["groove"]["generated"]
    )


def test_looped_bars_fail_as_clearly(reports):
    looped = reports["looped"]
    assert figure(looped, "overlap_structure")["value"] < 0.5 * figure(reports["real"], "overlap_structure")["value"]
    assert figure(looped, "overlap_worst")["value"] < 0.1
    assert figure(looped, "similarity_error")["value"] > 5 * figure(looped, "similarity_error")["real"]
    assert figure(looped, "similarity_lag_8")["value"] == pytest.approx(1.0, abs=0.02)
    assert figure(looped, "similarity_lag_8")["is_met"] is False


def test_a_copied_song_passes_distributions_and_fails_originality(reports):
    copied = reports["copied"]
    assert figure(copied, "overlap_structure")["value"] > 0.85
    assert figure(copied, "run_max")["is_met"] is False
    assert figure(copied, "coverage_99")["value"] == 1.0
    assert figure(copied, "piano_run_max")["is_met"] is False


def test_every_figure_stands_beside_real_songs(reports):
    for one in reports["real"]["figures"]:
        assert one["value"] is not None, one["name"]
        assert one["real"] is not None, one["name"]
        if one["section"] not in ("originality", "within the set"):
            assert one["interval"][0] <= one["value"] <= one["interval"][1], one["name"]
            assert one["real_range"][0] <= one["real_range"][1], one["name"]


def test_the_same_seed_gives_the_same_report(real_songs, reports):
    ours, reals = real_songs[:16], real_songs[16:]
    assert evaluate_songs(ours, reals, OriginalityIndex.from_songs(reals)) == reports["real"]


def test_reports_are_json_without_nan_and_print_as_a_table(reports):
    for report in reports.values():
        json.dumps(report, allow_nan=False)
        text = format_report(report)
        assert "16 songs of 168 s" in text
        assert "overlapping area, structure" in text
        assert "nan" not in text.lower()
        assert max(len(line) for line in text.splitlines()) <= 120
    assert "Note: 16 songs give wide intervals" in format_report(reports["real"])


def test_real_songs_are_cut_to_the_length_of_the_generated(real_songs, song_of_seed):
    report = evaluate_songs([song_of_seed(seed, "A8B8A8") for seed in range(50, 60)], real_songs[:10])
    assert report["reference_seconds"] == 72.0
    assert report["features"]["structure"]["longest_repeat"]["reference"] < 100
    assert report["num_short_reference"] == 0


def test_one_song_gives_what_is_valid_and_says_what_is_not(real_songs):
    report = evaluate_songs(real_songs[:1], real_songs[1:3], real_songs[1:3])
    json.dumps(report, allow_nan=False)
    assert figure(report, "overlap_local")["value"] is None
    assert figure(report, "chord_tone_ratio")["value"] is not None
    assert figure(report, "chord_tone_ratio")["is_met"] is None
    assert figure(report, "run_max")["is_met"] is True
    assert "no distribution" in " ".join(report["notes"])
    format_report(report)


def test_songs_without_notes_leave_figures_empty(real_songs):
    sheet = real_songs[0].lead_sheet
    empty = Song(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, (), sheet.melody[:0]), real_songs[0].piano[:0])
    report = evaluate_songs([empty] * 5, real_songs[:10], real_songs[:10])
    json.dumps(report, allow_nan=False)
    assert figure(report, "chord_tone_ratio")["value"] is None
    format_report(report)


@pytest.mark.parametrize(("songs", "references"), [(0, 3), (3, 0)])
def test_an_empty_set_is_refused(real_songs, songs, references):
    with pytest.raises(InputError, match="there is no"):
        evaluate_songs(real_songs[:songs], real_songs[:references])


def test_the_similarity_error_is_zero_against_itself(real_songs):
    curves = similarity_curves(real_songs[:5])
    assert curves.shape == (5, 40)
    assert similarity_error(curves, curves) == 0.0
    with pytest.raises(ValueError, match="no lag"):
        similarity_error(curves * np.nan, curves)
