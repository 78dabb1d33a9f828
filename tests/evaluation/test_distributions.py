from __future__ import annotations

import numpy as np
import pytest

from songwright.evaluation.distributions import (
    constant_aware_overlap,
    cross_entropy,
    group_overlap,
    kullback_leibler_divergence,
    overlapping_area,
    overlapping_areas,
)
from songwright.evaluation.resampling import real_floor, subsample_interval


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


@pytest.mark.parametrize("width", [1.0, 0.3, 1e-6])
def test_the_areas_of_many_subsets_are_those_of_each(width):
    rng = np.random.default_rng(8)
    real, ours = rng.gamma(2, size=60), rng.normal(2, width, size=50)
    real[3], ours[:4] = np.nan, (np.nan, np.inf, 9, 9)
    real_draws = np.array([rng.permutation(60)[:40] for _ in range(6)])
    our_draws = np.array([rng.permutation(50)[:20] for _ in range(6)])
    for first in (real_draws, np.arange(60)[None]):
        found = overlapping_areas(real, ours, first, our_draws)
        for area, one, other in zip(found, np.broadcast_to(first, (6, first.shape[1])), our_draws, strict=True):
            assert area == pytest.approx(constant_aware_overlap(real[one], ours[other]), abs=1e-3)


def test_subsets_may_be_constant_or_empty():
    real, ours = np.array([1.0, 1, 1, 1, 2, 3, np.nan, np.nan]), np.array([1.0, 1, 5, 6])
    draws = np.array([[0, 1], [4, 5], [6, 7], [2, 3]])
    found = overlapping_areas(real, ours, draws, np.array([[0, 1], [2, 3], [0, 1], [2, 3]]))
    assert found == pytest.approx([1, constant_aware_overlap([2, 3], [5, 6]), np.nan, 0], abs=1e-3, nan_ok=True)


def test_divergence_is_zero_for_equal_samples_and_grows_with_distance():
    rng = np.random.default_rng(3)
    sample = rng.normal(size=200)
    near, far = (kullback_leibler_divergence(sample, sample + shift) for shift in (0.5, 2.0))
    assert kullback_leibler_divergence(sample, sample) == 0.0
    assert 0.0 < near < far


def test_divergence_and_cross_entropy_are_those_of_the_histograms():
    # Edges at the quantiles .1 and 3.9 of 0 to 4: one bin below, one within, one above; one is added to each.
    reference, generated = [0.0, 1, 2, 3, 4], [1.0, 1, 9, float("nan")]
    real, ours = np.array([2, 4, 2]) / 8, np.array([1, 3, 2]) / 6
    assert kullback_leibler_divergence(reference, generated, num_bins=3) == pytest.approx(
        (real * np.log2(real / ours)).sum()
    )
    assert cross_entropy(reference, generated, num_bins=3) == pytest.approx(-(real * np.log2(ours)).sum())


def test_one_song_far_off_does_not_hide_the_others():
    rng = np.random.default_rng(4)
    real, ours = rng.normal(size=200), rng.normal(1, size=200)
    assert kullback_leibler_divergence(real, np.append(ours, 1e6)) == pytest.approx(
        kullback_leibler_divergence(real, ours), abs=0.02
    )


def test_divergence_from_a_constant_tells_below_equal_and_above():
    assert kullback_leibler_divergence([1.0, 1.0], [1.0, 1.0]) == 0.0
    below, above = (kullback_leibler_divergence([1.0, 1.0], [value, value]) for value in (0.0, 2.0))
    assert below == above > 0.5
    with pytest.raises(ValueError, match="at least one value"):
        kullback_leibler_divergence([1.0], [float("nan")])


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


def test_the_floor_takes_songs_from_beside_the_reference():
    def statistic(reference: np.ndarray, judged: np.ndarray) -> float:
        assert reference.tolist() == list(range(7))
        assert len(set(judged)) == len(judged)
        return float(len(judged)) + (judged.max() >= 7)

    assert float(real_floor(statistic, 7, 10, np.random.default_rng(0), num_others=100).value) == 11.0
    assert float(real_floor(statistic, 7, 80, np.random.default_rng(0), num_others=100).low) == 51.0
    with pytest.raises(ValueError, match="at least 4 real songs, got 3"):
        real_floor(statistic, 7, 10, np.random.default_rng(0), num_others=3)


def test_values_that_differ_by_rounding_alone_are_one_value():
    nearly = np.array([1.0, 1.0 - 2e-16, 1.0])
    draws = np.array([[0, 1, 2]])
    assert overlapping_areas(nearly, nearly[::-1], draws, draws).tolist() == [1.0]
    assert constant_aware_overlap(nearly, [1.0, 1.0]) == 1.0
    assert constant_aware_overlap(nearly, [1.1, 1.1]) == 0.0
