from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from songwright.engine.sampling import Sampler, allow, epsilon, min_p, sample, temperature, top_p

PROBABILITIES = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
LOGITS = np.log(PROBABILITIES) + 3.7
ALL = np.ones(5, dtype=bool)


def kept(sampler: Sampler, logits: np.ndarray = LOGITS) -> list[int]:
    return np.flatnonzero(np.isfinite(sampler(logits))).tolist()


@pytest.mark.parametrize(
    ("sampler", "mask", "expected"),
    [
        (temperature(1.0), ALL, PROBABILITIES),
        (temperature(2.0), ALL, PROBABILITIES**0.5),
        (epsilon(0.02), ALL, PROBABILITIES * [1, 1, 1, 1, 0]),
        (min_p(0.2), ALL, PROBABILITIES * [1, 1, 1, 0, 0]),
        (top_p(0.7), ALL, PROBABILITIES * [1, 1, 0, 0, 0]),
        (temperature(1.0), np.array([False, True, True, False, True]), PROBABILITIES * [0, 1, 1, 0, 1]),
    ],
    ids=["plain", "temperature", "epsilon", "min_p", "top_p", "mask"],
)
def test_tokens_are_drawn_as_often_as_their_probability_says(sampler, mask, expected):
    rng = np.random.default_rng(11)
    draws = np.array([sample(LOGITS, mask, rng, [sampler]) for _ in range(20_000)])
    counts = np.bincount(draws, minlength=5)
    possible = expected > 0
    assert not counts[~possible].any()
    expected = expected[possible] / expected[possible].sum() * len(draws)
    assert chisquare(counts[possible], expected).pvalue > 0.01


def test_the_mask_counts_before_truncation():
    """Half the mass is forbidden, so what is left counts twice and passes a threshold it failed before."""
    mask = np.array([False, True, True, True, True])
    rng = np.random.default_rng(0)
    assert {sample(LOGITS, mask, rng, [epsilon(0.05)]) for _ in range(500)} == {1, 2, 3}


def test_truncations_keep_the_tokens_of_their_definition():
    assert kept(epsilon(0.03)) == [0, 1, 2, 3]
    assert kept(min_p(0.09)) == [0, 1, 2]
    assert kept(top_p(0.5)) == [0]
    assert kept(top_p(0.51)) == [0, 1]
    assert kept(top_p(1.0)) == [0, 1, 2, 3, 4]
    assert np.isfinite(top_p(0.0)(np.full(64, 2.0))).nonzero()[0].tolist() == [0]  # of equal ones the first
    assert kept(allow(np.array([True, False, False, False, True]))) == [0, 4]


@given(
    logits=st.lists(st.floats(-30, 30), min_size=1, max_size=30),
    sampler=st.sampled_from(
        [epsilon(0.0), epsilon(1.0), min_p(1.0), min_p(0.0), top_p(0.0), top_p(1.0), temperature(0.3)]
    ),
)
@settings(max_examples=100, deadline=None)
def test_the_most_likely_token_always_stays(logits, sampler):
    values = np.array(logits)
    result = sampler(values)
    assert np.isfinite(result.max())
    assert result[values.argmax()] == result.max()


def test_the_same_seed_draws_the_same_tokens():
    first, second = (
        [sample(LOGITS, ALL, rng, [min_p(0.01)]) for _ in range(50)] for rng in map(np.random.default_rng, (3, 3))
    )
    assert first == second


def test_a_single_allowed_token_needs_no_random_number():
    rng = np.random.default_rng(5)
    state = rng.bit_generator.state
    assert sample(LOGITS, np.array([False, False, False, True, False]), rng) == 3
    assert rng.bit_generator.state == state


def test_no_allowed_token_is_an_error():
    with pytest.raises(ValueError, match="no token is allowed"):
        sample(LOGITS, ~ALL, np.random.default_rng(0))


@pytest.mark.parametrize(
    "make", [lambda: temperature(0), lambda: min_p(1.2), lambda: epsilon(-0.1), lambda: top_p(float("nan"))]
)
def test_impossible_settings_are_errors(make):
    with pytest.raises(ValueError, match="must be"):
        make()
