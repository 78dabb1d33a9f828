"""The judge of the classifier two-sample test: it cannot tell equals apart, sees what no single feature shows."""

from __future__ import annotations

import numpy as np
import pytest

from songwright.evaluation.excerpts import loop_bars, shuffle_bars
from songwright.evaluation.figures import MeasuredSongs
from songwright.evaluation.two_sample import Features, two_sample_test


def songs(values: np.ndarray) -> Features:
    """Features named a, b, ... of made-up songs; values has shape (num_songs, num_features)."""
    return {"local": dict(zip("abcdefgh", values.T, strict=False))}


def test_songs_of_one_kind_cannot_be_told_apart():
    found = [
        two_sample_test(songs(values[:60]), songs(values[60:]), np.random.default_rng(0)).auc
        for seed in range(8)
        for values in [np.random.default_rng(seed).normal(size=(120, 6))]
    ]
    assert 0.42 < np.mean(found) < 0.56


def test_the_judge_sees_a_pair_of_features_that_tell_nothing_alone():
    rng = np.random.default_rng(1)
    real, ours = rng.normal(size=(80, 4)), rng.normal(size=(80, 4))
    real[:, 1] = real[:, 0] + 0.2 * real[:, 1]
    ours[:, 1] = -ours[:, 0] + 0.2 * ours[:, 1]
    found = two_sample_test(songs(real), songs(ours), rng)
    assert found.auc > 0.9
    assert {found.telling[0].name, found.telling[1].name} == {"a", "b"}
    assert max(one.alone for one in found.telling) < 0.65
    assert found.telling[0].loss > 0.1 > found.telling[2].loss


def test_the_telling_feature_is_named_with_its_direction_and_medians():
    rng = np.random.default_rng(2)
    real, ours = rng.normal(size=(40, 3)), rng.normal(size=(50, 3))
    ours[:, 2] -= 3
    best = two_sample_test(songs(real), songs(ours), rng).telling[0]
    assert (best.name, best.direction, best.alone_direction) == ("c", "lower", "lower")
    assert best.generated == pytest.approx(float(np.median(ours[:, 2])))
    assert best.alone > 0.95
    ours[:, 2] = rng.normal(size=50) * 0.1
    assert two_sample_test(songs(real), songs(ours), rng).telling[0].alone_direction == "less varied"


def test_the_answer_does_not_depend_on_units_or_on_outliers():
    rng = np.random.default_rng(3)
    real, ours = rng.normal(size=(40, 3)), rng.normal(0.7, 1, size=(40, 3))
    plain = two_sample_test(songs(real), songs(ours), np.random.default_rng(0))
    scaled = two_sample_test(songs(np.exp(5 * real)), songs(np.exp(5 * ours)), np.random.default_rng(0))
    assert plain.auc == pytest.approx(scaled.auc)
    assert plain.interval[0] < plain.auc < plain.interval[1]


def test_features_that_songs_leave_undefined_or_constant_are_survived():
    rng = np.random.default_rng(4)
    real, ours = rng.normal(size=(30, 5)), rng.normal(size=(30, 5))
    real[:, 0] = ours[:, 0] = np.nan
    real[::3, 1] = ours[::4, 1] = np.nan
    real[:, 2] = ours[:, 2] = 1.0
    real[:, 3] = np.nan
    ours[0, 4] = np.inf
    found = two_sample_test(songs(real), songs(ours), rng)
    assert 0.2 < found.auc < 0.8
    assert [one.name for one in found.telling if one.name in "ad"] == []


@pytest.mark.parametrize(("num_real", "num_ours"), [(9, 30), (30, 9), (1, 1)])
def test_too_few_songs_have_no_judge(num_real, num_ours):
    values = np.random.default_rng(5).normal(size=(60, 2))
    assert two_sample_test(songs(values[:num_real]), songs(values[-num_ours:]), np.random.default_rng(0)) == (
        None, None, None, None, (),
    )  # fmt: skip


def test_the_floor_takes_other_real_songs_where_there_are_any():
    values = np.random.default_rng(6).normal(size=(100, 3))
    divided = two_sample_test(songs(values[:40]), songs(values[40:60]), np.random.default_rng(0))
    beside = two_sample_test(songs(values[:40]), songs(values[40:60]), np.random.default_rng(0), songs(values[60:] + 9))
    assert divided.auc == beside.auc
    assert 0.2 < divided.real < 0.8
    assert beside.real > 0.99


def test_shuffled_and_looped_bars_are_told_from_real_songs(real_songs):
    rng = np.random.default_rng(7)
    reals = MeasuredSongs.measure(real_songs).features
    for spoil in (shuffle_bars, loop_bars):
        spoilt = MeasuredSongs.measure([spoil(song, rng) for song in real_songs]).features
        assert two_sample_test(reals, spoilt, np.random.default_rng(0)).auc >= 0.99
