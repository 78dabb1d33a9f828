"""Mastering: loudness and true peak of a mix, measured and set.

Knows ITU-R BS.1770-5 [1]_ (K-weighted, gated loudness; peak of the oversampled signal) and a look-ahead limiter.
Leaves the balance of instruments to `rendering.synthesis`. Audio is float, full scale 1.0, shape (num_samples, 2) or
(num_samples,); loudness in LUFS, true peak in dBTP.

References
----------
.. [1] ITU-R BS.1770-5, "Algorithms to measure audio programme loudness and true-peak audio level", 2023.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from songwright.rendering.filtering import filtered, high_pass, impulse_response

_BLOCK_SECONDS, _HOP_SECONDS = 0.4, 0.1
_ABSOLUTE_GATE, _RELATIVE_GATE = -70.0, -10.0  # LUFS, LU
_LOUDNESS_OFFSET = -0.691

_RUMBLE_HZ = 20.0
_PIECE = 1 << 18  # samples filtered at a time
_OVERSAMPLING = 4
_HALF_WIDTH = 12  # samples either side of an interpolated point
_PEAK_BLOCK = 48  # samples for which one peak is kept, and one gain of the limiter: 1 ms at 48 kHz
_LOOK_AHEAD = 5  # blocks
_RELEASE_DB = 0.04  # recovery of the limiter a block: 40 dB a second
_CEILING_MARGIN_DB = 0.05  # room for the moving gain


def integrated_loudness(audio: NDArray[np.floating], sample_rate: int) -> float:
    """Return the integrated loudness of one or two channels.

    Parameters
    ----------
    audio : array, shape (num_samples, num_channels) or (num_samples,)
        Left and right weigh 1 each.
    sample_rate : int
        In Hz.

    Returns
    -------
    float
        LUFS; -inf for silence and for audio shorter than one block of 0.4 s.

    Examples
    --------
    >>> seconds = np.arange(3 * 48000) / 48000
    >>> round(integrated_loudness(np.sin(2 * np.pi * 997 * seconds), 48000), 2)
    -3.01
    """
    hop = round(_HOP_SECONDS * sample_rate)
    num_hops = len(audio) // hop
    hops_per_block = round(_BLOCK_SECONDS / _HOP_SECONDS)
    if num_hops < hops_per_block:
        return -math.inf
    hop_power = np.zeros(num_hops)
    first = 0
    for weighted in filtered(_k_weighting(sample_rate), _channels_last(audio)[: num_hops * hop], 64 * hop):
        hops = weighted.reshape(len(weighted), -1, hop)
        hop_power[first : first + hops.shape[1]] = np.einsum("cij,cij->i", hops, hops) / hop
        first += hops.shape[1]
    power = np.convolve(hop_power, np.ones(hops_per_block) / hops_per_block, mode="valid")
    power = power[power > 10 ** ((_ABSOLUTE_GATE - _LOUDNESS_OFFSET) / 10)]
    if not len(power):
        return -math.inf
    power = power[power > power.mean() * 10 ** (_RELATIVE_GATE / 10)]
    return _LOUDNESS_OFFSET + 10 * math.log10(power.mean())


@cache
def _k_weighting(sample_rate: int) -> NDArray[np.float64]:
    """Return the impulse response of K-weighting at any rate, from the analogue prototypes behind BS.1770's tables."""
    frequency, quality, gain_db = 1681.974450955533, 0.7071752369554196, 3.999843853973347
    k = math.tan(math.pi * frequency / sample_rate)
    a0 = 1 + k / quality + k * k
    high, band = 10 ** (gain_db / 20), 10 ** (gain_db / 20 * 0.4996667741545416)
    shelf = (
        (high + band * k / quality + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - band * k / quality + k * k) / a0,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / quality + k * k) / a0,
    )
    # BS.1770 leaves the numerator of its high-pass unnormalised.
    poles = high_pass(38.13547087602444, sample_rate, quality=0.5003270373238773)[3:]
    return impulse_response([shelf, (1.0, -2.0, 1.0, *poles)], sample_rate)


@cache
def _rumble_filter(sample_rate: int) -> NDArray[np.float32]:
    return impulse_response([high_pass(_RUMBLE_HZ, sample_rate)], sample_rate).astype(np.float32)


def true_peak(audio: NDArray[np.floating]) -> float:
    """Return the peak of the signal oversampled four times.

    Parameters
    ----------
    audio : array, shape (num_samples, num_channels) or (num_samples,)

    Returns
    -------
    float
        dBTP; -inf for silence.

    Notes
    -----
    Interpolates from 24 samples (Kaiser window) where the example in BS.1770 takes 12. Only stretches whose samples
    are high enough to hide the peak between them are oversampled, which changes no result.
    """
    if not audio.size:
        return -math.inf
    samples = _channels_last(audio)
    highest = float(np.abs(samples).max(initial=0.0))
    peak = float(_block_peaks(samples, highest).max(initial=0.0))
    return 20 * math.log10(peak) if peak > 0 else -math.inf


def master(
    audio: NDArray[np.floating], sample_rate: int = 48000, target_lufs: float = -14.0, ceiling_dbtp: float = -1.0
) -> NDArray[np.float32]:
    """Return the mix at the target loudness under the ceiling: rumble removed, levelled, peaks limited.

    Parameters
    ----------
    audio : array, shape (num_samples, num_channels) or (num_samples,)
    sample_rate : int
        In Hz.
    target_lufs : float
        Integrated loudness to reach. Too short to have a loudness (under 0.4 s), audio keeps its level.
    ceiling_dbtp : float
        True peak that is not exceeded.

    Returns
    -------
    array of float32, same shape
        Silence stays silence.
    """
    if not audio.size:
        return audio.astype(np.float32)
    clean = np.empty(_channels_last(audio).shape, dtype=np.float32)
    for number, piece in enumerate(filtered(_rumble_filter(sample_rate), _channels_last(audio), _PIECE)):
        clean[number * _PIECE : (number + 1) * _PIECE] = piece.T
    loudness = integrated_loudness(clean, sample_rate)
    gain_db = 0.0 if math.isinf(loudness) else target_lufs - loudness
    limited = _limit(clean * np.float32(_amplitude(gain_db)), ceiling_dbtp)
    # Limiting takes a little loudness away: give it back, once.
    missing_db = 0.0 if math.isinf(loudness) else target_lufs - integrated_loudness(limited, sample_rate)
    if abs(missing_db) > 0.05:
        limited = _limit(clean * np.float32(_amplitude(gain_db + missing_db)), ceiling_dbtp)
    excess_db = true_peak(limited) - ceiling_dbtp
    if excess_db > 0:
        limited *= np.float32(_amplitude(-excess_db - 1e-4))
    return limited.reshape(audio.shape)


def _amplitude(decibels: float) -> float:
    return 10 ** (decibels / 20)


def _channels_last(audio: NDArray[np.floating]) -> NDArray[np.floating]:
    return audio[:, None] if audio.ndim == 1 else audio


def _limit(audio: NDArray[np.float32], ceiling_dbtp: float) -> NDArray[np.float32]:
    """Return the audio with its peaks under the ceiling, by a gain that starts to fall 5 ms before them."""
    ceiling = _amplitude(ceiling_dbtp - _CEILING_MARGIN_DB)
    peaks = _block_peaks(audio, ceiling)
    if peaks.max(initial=0.0) > ceiling:
        wanted_db = 20 * np.log10(np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9)))
        padded = np.pad(wanted_db, (0, _LOOK_AHEAD), mode="edge")
        ahead_db = np.lib.stride_tricks.sliding_window_view(padded, _LOOK_AHEAD + 1).min(axis=1)
        # Recovery at a constant rate: the lowest of all earlier gains, each raised by the time since.
        risen = _RELEASE_DB * np.arange(len(ahead_db))
        held = 10 ** ((np.minimum.accumulate(ahead_db - risen) + risen) / 20)
        # A mean of values that look ahead as far as the mean looks back is never above the gain wanted here.
        ramp = np.convolve(
            np.pad(held, (_LOOK_AHEAD, 0), mode="edge"), np.ones(_LOOK_AHEAD + 1) / (_LOOK_AHEAD + 1), "valid"
        )
        audio = audio * _sample_gains(np.minimum(ramp, 1.0), len(audio))[:, None]
    return audio


def _sample_gains(block_gains: NDArray[np.floating], num_samples: int) -> NDArray[np.float32]:
    """Return the gain of every sample: straight lines between block borders, never above the gain of a block."""
    borders = np.minimum(np.r_[block_gains[:1], block_gains], np.r_[block_gains, block_gains[-1:]]).astype(np.float32)
    position = np.arange(_PEAK_BLOCK, dtype=np.float32) / np.float32(_PEAK_BLOCK)
    return (borders[:-1, None] + (borders[1:] - borders[:-1])[:, None] * position).ravel()[:num_samples]


@cache
def _interpolation() -> tuple[NDArray[np.float32], float]:
    """Return the matrix from a block with its neighbours to the points between its samples, and its largest gain."""
    offsets = np.arange(-_HALF_WIDTH + 1, _HALF_WIDTH + 1)
    phases = []
    for phase in range(1, _OVERSAMPLING):
        distance = phase / _OVERSAMPLING - offsets
        window = np.i0(8.0 * np.sqrt(np.maximum(1 - (distance / _HALF_WIDTH) ** 2, 0.0))) / np.i0(8.0)
        taps = np.sinc(distance) * window
        phases.append(taps / taps.sum())
    matrix = np.zeros((_PEAK_BLOCK + 2 * _HALF_WIDTH - 1, _PEAK_BLOCK, len(phases)), dtype=np.float32)
    for sample in range(_PEAK_BLOCK):
        matrix[sample : sample + 2 * _HALF_WIDTH, sample] = np.stack(phases, axis=1)
    return matrix.reshape(len(matrix), -1), max(float(np.abs(taps).sum()) for taps in phases)


def _block_peaks(audio: NDArray[np.floating], threshold: float) -> NDArray[np.float32]:
    """Return the highest value in each block of samples, between samples too where it could exceed the threshold.

    Parameters
    ----------
    audio : array, shape (num_samples, num_channels)
    threshold : float
        Blocks that cannot reach it between their samples keep their sample peak.

    Returns
    -------
    array of float32, shape (num_blocks,)
    """
    num_samples, num_channels = audio.shape
    num_blocks = -(-num_samples // _PEAK_BLOCK)
    lead, length = _HALF_WIDTH - 1, _PEAK_BLOCK + 2 * _HALF_WIDTH - 1
    padded = np.zeros((num_blocks * _PEAK_BLOCK + length, num_channels), dtype=np.float32)
    padded[lead : lead + num_samples] = audio
    body = padded[lead : lead + num_blocks * _PEAK_BLOCK].reshape(num_blocks, -1)
    peaks = np.maximum(body.max(axis=1, initial=0.0), -body.min(axis=1, initial=0.0))
    matrix, largest_gain = _interpolation()
    around = np.maximum(peaks, np.maximum(np.r_[peaks[1:], peaks[-1:]], np.r_[peaks[:1], peaks[:-1]]))
    candidates = np.flatnonzero((around * largest_gain > threshold) & (around > 0))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)[::_PEAK_BLOCK]
    for rows in np.split(candidates, range(4096, len(candidates), 4096)):
        between = windows[rows].reshape(-1, length) @ matrix
        highest = np.maximum(between.max(axis=1, initial=0.0), -between.min(axis=1, initial=0.0))
        peaks[rows] = np.maximum(peaks[rows], highest.reshape(-1, num_channels).max(axis=1, initial=0.0))
    return peaks
