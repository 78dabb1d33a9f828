"""Spectrograms for transcription: samples -> levels of thirds of a semitone.

Two in one: windows of half and a quarter of a second, which tell neighbouring pitches apart, and windows of 64 ms,
which tell when a note starts. Frames are `HOP` samples apart at `recordings.SAMPLE_RATE`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from songwright.files.recordings import SAMPLE_RATE

HOP = 256
"""Samples from one frame to the next: 16 ms."""
LOWEST_PITCH, NUM_PITCHES = 21, 88
"""The keys of a piano: A0 to C8."""
BINS_PER_SEMITONE = 3
NUM_BINS = 294
"""Bins, a third of a semitone each; bin 3 p + 1 is the middle of pitch `LOWEST_PITCH` + p."""
NUM_RESOLUTIONS = 2
"""Spectrograms: one fine in frequency, one fine in time."""

# Windows in samples: fine in frequency below and above the split, and fine in time.
_LOW_WINDOW, _HIGH_WINDOW, _SHORT_WINDOW = 8192, 4096, 1024
_SPLIT_BIN = BINS_PER_SEMITONE * (57 - LOWEST_PITCH)  # 220 Hz
_FLOOR = 1e-9  # power added before the logarithm, 90 dB under full scale
_LEVEL_SECONDS = 0.1


@cache
def _window(length: int) -> NDArray[np.float32]:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return (window / window.sum() * 2).astype(np.float32)  # a sine of amplitude 1 has a peak of power 1


@cache
def _filters(window: int, first_bin: int, end_bin: int) -> NDArray[np.float32]:
    """Return triangles over the logarithm of frequency, shape (window / 2 + 1, num_bins), of peak 1.

    They are a third of a semitone wide on either side, or one line of the spectrum where that is more.
    """
    pitch = LOWEST_PITCH + (np.arange(first_bin, end_bin) - 1) / BINS_PER_SEMITONE
    centre = 440 * 2 ** ((pitch - 69) / 12)
    frequency = np.arange(window // 2 + 1)[:, None] * SAMPLE_RATE / window
    width = np.maximum(centre * (2 ** (1 / (12 * BINS_PER_SEMITONE)) - 1), SAMPLE_RATE / window)
    return np.clip(1 - np.abs(frequency - centre) / width, 0, None).astype(np.float32)


_PLAN = (  # resolution, window, first and last bin
    (0, _LOW_WINDOW, 0, _SPLIT_BIN),
    (0, _HIGH_WINDOW, _SPLIT_BIN, NUM_BINS),
    (1, _SHORT_WINDOW, 0, NUM_BINS),
)


def num_frames(num_samples: int) -> int:
    """Return how many frames a recording has: one at every multiple of `HOP` samples, the first at 0."""
    return num_samples // HOP + 1


def spectrogram(audio: NDArray[np.float32], first_frame: int = 0, end_frame: int | None = None) -> NDArray[np.float32]:
    """Return the level of each third of a semitone in each frame.

    Parameters
    ----------
    audio : array, shape (num_samples,)
        At `SAMPLE_RATE`.
    first_frame, end_frame : int
        Frames wanted; frame t is centred on sample t * HOP. Beyond both ends of the audio there is silence.

    Returns
    -------
    array of float32, shape (NUM_RESOLUTIONS, num_frames, NUM_BINS)
        In dB relative to a sine at full scale, at least -90.
    """
    end_frame = num_frames(len(audio)) if end_frame is None else end_frame
    count = end_frame - first_frame
    half = _LOW_WINDOW // 2
    start, stop = first_frame * HOP - half, (end_frame - 1) * HOP + half
    inside = audio[max(start, 0) : max(stop, 0)]
    padded = np.zeros(stop - start, dtype=np.float32)
    offset = max(start, 0) - start
    padded[offset : offset + len(inside)] = inside
    levels = np.empty((NUM_RESOLUTIONS, count, NUM_BINS), dtype=np.float32)
    for resolution, window, first_bin, end_bin in _PLAN:
        skip = half - window // 2
        frames = np.lib.stride_tricks.sliding_window_view(padded[skip : len(padded) - skip], window)[::HOP]
        spectrum = np.fft.rfft(frames * _window(window))
        power = spectrum.real**2 + spectrum.imag**2
        levels[resolution, :, first_bin:end_bin] = power @ _filters(window, first_bin, end_bin)
    levels += np.float32(_FLOOR)
    return 10 * np.log10(levels, out=levels)


def reference_level(audio: NDArray[np.float32]) -> float:
    """Return the level of the loud moments of a recording, in dB: the 90th percentile over tenths of a second."""
    length = round(_LEVEL_SECONDS * SAMPLE_RATE)
    blocks = np.pad(audio, (0, -len(audio) % length)).reshape(-1, length)
    power = np.einsum("ij,ij->i", blocks, blocks) / length
    return float(10 * np.log10(np.percentile(power, 90) + 1e-12))
