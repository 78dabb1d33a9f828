"""Linear filters over long sounds, by fast convolution; NumPy alone.

A recursive filter is applied through its impulse response, cut where it has decayed: at 20 Hz and 48 kHz the last
kept sample is below 1e-13 of the first. That spares the base installation SciPy, a third of its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Section = tuple[float, float, float, float, float, float]
"""A second-order section b0, b1, b2, a0, a1, a2: (b0 + b1/z + b2/z²) / (a0 + a1/z + a2/z²)."""

IMPULSE_SECONDS = 0.35


def high_pass(frequency: float, sample_rate: int, *, quality: float = math.sqrt(0.5)) -> Section:
    """Return a high-pass section by the bilinear transform (a Butterworth filter at the default quality).

    Parameters
    ----------
    frequency : float
        Corner, in Hz.
    sample_rate : int
        In Hz.
    quality : float
        Q of the pole pair.
    """
    k = math.tan(math.pi * frequency / sample_rate)
    a0 = 1 + k / quality + k * k
    return (1 / a0, -2 / a0, 1 / a0, 1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0)


def impulse_response(sections: Sequence[Section], sample_rate: int) -> NDArray[np.float64]:
    """Return the response of sections in a row to a single 1, shape (num_samples,), over `IMPULSE_SECONDS`.

    Taken from the frequency response; what has not decayed by the end would wrap around, hence no corner under 20 Hz.
    """
    length = fft_length(round(IMPULSE_SECONDS * sample_rate))
    delay = np.exp(-2j * np.pi * np.arange(length // 2 + 1) / length)
    spectrum = np.ones(len(delay), dtype=np.complex128)
    for b0, b1, b2, a0, a1, a2 in sections:
        spectrum *= (b0 + delay * (b1 + delay * b2)) / (a0 + delay * (a1 + delay * a2))
    return np.fft.irfft(spectrum, length)


def fft_length(at_least: int) -> int:
    """Return a length that is quick to transform: the least power of two, times 1, 3 or 5, that suffices."""
    return min(factor << max(0, math.ceil(math.log2(at_least / factor))) for factor in (1, 3, 5))


def filtered(
    response: NDArray[np.floating], audio: NDArray[np.floating], num_samples: int
) -> Iterator[NDArray[np.floating]]:
    """Yield the filtered audio in pieces, by overlap-save convolution.

    Parameters
    ----------
    response : array, shape (response_length,)
        Impulse response; its precision is that of the result.
    audio : array, shape (num_audio_samples, num_channels)
    num_samples : int
        Samples of a piece; the last may be shorter.

    Yields
    ------
    array, shape (num_channels, num_samples)
    """
    history = len(response) - 1
    length = fft_length(num_samples + history)
    spectrum = np.fft.rfft(response, length)
    segment = np.zeros((audio.shape[1], length), dtype=response.dtype)
    for start in range(0, len(audio), num_samples):
        stop = min(start + num_samples, len(audio))
        before = min(start, history)
        segment[:] = 0
        segment[:, history - before : history + stop - start] = audio[start - before : stop].T
        yield np.fft.irfft(np.fft.rfft(segment) * spectrum, length)[:, history : history + stop - start]
