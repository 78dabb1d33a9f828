from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from songwright.rendering.filtering import fft_length, filtered, high_pass, impulse_response

RATE = 48_000


@pytest.mark.parametrize("frequency", [20.0, 80.0, 1000.0])
def test_a_high_pass_is_butterworths(frequency):
    expected = butter(2, frequency, "highpass", fs=RATE, output="sos")[0]
    assert np.allclose(high_pass(frequency, RATE), expected, atol=1e-12)


@pytest.mark.parametrize("num_samples", [1000, 7001, 50_000])
def test_filtering_by_pieces_equals_the_recursion(num_samples):
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((30_000, 2))
    section = high_pass(20.0, RATE)
    expected = sosfilt(np.array([section]), audio, axis=0)
    pieces = list(filtered(impulse_response([section], RATE), audio, num_samples))
    assert np.allclose(np.concatenate(pieces, axis=1).T, expected, atol=1e-9)
    assert all(piece.shape == (2, num_samples) for piece in pieces[:-1])


def test_the_impulse_response_has_decayed():
    response = impulse_response([high_pass(20.0, RATE)], RATE)
    assert np.abs(response[-100:]).max() < 1e-12


@pytest.mark.parametrize("at_least", [1, 2, 3, 17, 1000, 323_584])
def test_a_transform_is_long_enough_and_quick(at_least):
    length = fft_length(at_least)
    assert at_least <= length < 2 * at_least + 1
    while length % 2 == 0:
        length //= 2
    assert length in (1, 3, 5)
