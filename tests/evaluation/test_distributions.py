from __future__ import annotations

import numpy as np
import pytest

from songwright.evaluation.distributions import (
    constant_aware_overlap,
    group_overlap,
    kullback_leibler_divergence,
    overlapping_area,
    real_floor,
    subsample_interval,
)


def test_a_sample_overlaps_itself_wholly():
    sample = np.random.default_rng(0).normal(size=20)
    assert overlapping_area(sample, sample) == pytest.approx(1.0, abs=1e-3)


def test_far_samples_do_not_overlap():
    assert overlapping_area([0.0, 1.0, 2.0], [1000.0, 1001.0, 1003.0]) == pytest.approx(0.0, abs=1e-9)


def test_the_overlap_of_two_normal_densities_is_the_known_one():
    # Two normal densities of one width whose means lie d standard deviations apart share 2 Φ(-d/2); the kernels widen
    # a sample of 20,000 by 1 %. Φ(-0.5) = 0.3085.
    quantiles = (np.arange(20000) + 0.5) / 20000
    normal = np.sqrt(2) * _inverse_erf(2 * quantiles - 1)
    assert overlapping_area(normal, normal + 1) == pytest.approx(0.617, abs=0.01)


def _inverse_erf(values: np.ndarray) -> np.ndarray:
    from scipy.special import erfinv

    return erfinv(values)


def test_a_narrow_sample_inside_a_wide_one_is_not_stepped_over():
    rng = np.random.default_rng(1)
    wide, narrow = rng.normal(0, 100, 500), rng.normal(0, 0.01, 500)
    assert 0.0 < overlapping_area(wide, narrow) < 0.01


def test_overlap_does_not_depend_on_the_unit():
    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 1, 50), rng.normal(0.5, 2, 60)
    assert overlapping_area(first, second) == pytest.approx(
        overlapping_area(first * 1e4 + 7, second * 1e4 + 7), abs=1e-3
    )


@pytest.mark.parametrize("sample", [[3.0, 3.0, 3.0], [1.0], [], [[1.0, 2.0]], [1.0, float("nan")]])
def test_a_sample_without_density_is_refused(sample):
    with pytest.raises(ValueError, match="generated"):
        overlapping_area([1.0, 2.0, 3.0], sample)


def test_constant_features_overlap_only_equal_constants():
    assert constant_aware_overlap([1.0, 1.0], [1.0, 1.0, 1.0]) == 1.0
    assert constant_aware_overlap([1.0, 1.0], [0.5, 0.5]) == 0.0
    assert constant_aware_overlap([1.0, 1.0, float("nan")], [0.0, 1.0, 2.0]) == 0.0


def test_a_feature_that_no_song_defines_is_left_out():
    undefined = np.array([np.nan, np.nan])
    found = group_overlap(
        {"range": np.array([1.0, 2.0]), "empty": undefined}, {"range": np.array([1.0, 2.0]), "empty": undefined}
    )
    assert list(found) == ["range"]


def test_divergence_is_zero_for_equal_samples_and_grows_with_distance():
    rng = np.random.default_rng(3)
    sample = rng.normal(size=200)
    near, far = (kullback_leibler_divergence(sample, sample + shift) for shift in (0.5, 2.0))
    assert kullback_leibler_divergence(sample, sample) == 0.0
    assert 0.0 < near < far


def test_the_interval_of_a_mean_has_the_width_that_theory_gives():
    values = np.random.default_rng(4).normal(size=400)
    found = subsample_interval(lambda chosen: values[chosen].mean(), 400, np.random.default_rng(5), num_draws=2000)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.1)


def test_the_floor_divides_the_real_songs_without_sharing_any():
    seen: list[tuple[int, int]] = []

    def statistic(reference: np.ndarray, judged: np.ndarray) -> float:
        assert not set(reference) & set(judged)
        seen.append((len(reference), len(judged)))
        return 0.5

    found = real_floor(statistic, 10, 200, np.random.default_rng(0), num_draws=3)
    assert seen == [(5, 5)] * 3
    assert (float(found.value), float(found.low), float(found.high)) == (0.5, 0.5, 0.5)
