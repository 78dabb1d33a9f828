"""Melodies as sequences of tokens, and how to compare such sequences fast.

A melody token is (interval, inter-onset interval) between neighbouring notes, so a melody of n notes has n - 1 tokens
and a transposed melody the same ones. Sequences are compared through 64-bit hashes of their n-grams: two different
n-grams share a hash with a chance of 5e-20, under 1e-11 for a song against 300,000 tokens, which is ignored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import STEPS_PER_SIXTEENTH

MAX_INTER_ONSET = 16
"""Inter-onset intervals are counted in sixteenths up to this value, and as this value beyond."""
CODES_PER_INTERVAL = MAX_INTER_ONSET + 1
"""A melody token is (interval + 128) times this, plus the inter-onset interval."""
# An odd multiplier has an inverse modulo 2**64, which turns a sum of prefixes into the hash of any window.
_MULTIPLIER = 0x9E3779B97F4A7C15
_INVERSE = pow(_MULTIPLIER, -1, 2**64)


def melody_tokens(melody: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the melody tokens as integer codes.

    Parameters
    ----------
    melody : ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
        One voice, sorted by onset.

    Returns
    -------
    ndarray of int64, shape (max(num_notes - 1, 0),)
        `(interval + 128) * 17 + inter_onset`: interval in semitones, inter-onset interval in sixteenths (rounded,
        from 1 to MAX_INTER_ONSET).
    """
    interval = np.diff(melody["pitch"].astype(np.int64))
    inter_onset = np.rint(np.diff(melody["onset_step"]) / STEPS_PER_SIXTEENTH).astype(np.int64)
    return (interval + 128) * CODES_PER_INTERVAL + np.clip(inter_onset, 1, MAX_INTER_ONSET)


def decode_melody_token(code: int) -> tuple[int, int]:
    """Return (interval in semitones, inter-onset interval in sixteenths) of a code of `melody_tokens`.

    Examples
    --------
    >>> decode_melody_token((128 - 2) * 17 + 4)
    (-2, 4)
    """
    return code // CODES_PER_INTERVAL - 128, code % CODES_PER_INTERVAL


def mix_bits(codes: NDArray[np.integer] | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64-bit integers scattered by the finalizer of SplitMix64, one to one."""
    value = codes.astype(np.uint64) + np.uint64(_MULTIPLIER)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def ngram_hashes(codes: NDArray[np.integer] | NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every window of `length` codes.

    Parameters
    ----------
    codes : ndarray of int, shape (num_codes,)
    length : int
        Codes in a window, at least 1.

    Returns
    -------
    ndarray of uint64, shape (max(num_codes - length + 1, 0),)

    Notes
    -----
    Polynomial rolling hash modulo 2**64 of scattered codes, in time independent of `length`.
    """
    num_windows = len(codes) - length + 1
    if num_windows < 1:
        return np.empty(0, dtype=np.uint64)
    weighted = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mix_bits(codes) * _powers(_INVERSE, len(codes)))])
    windows = weighted[length:] - weighted[:num_windows]
    return mix_bits(windows * _powers(_MULTIPLIER, num_windows))


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def longest_repeat(codes: NDArray[np.integer]) -> int:
    """Return the length of the longest window that occurs twice without overlapping itself.

    Parameters
    ----------
    codes : ndarray of int, shape (num_codes,)

    Returns
    -------
    int
        Codes in the window; 0 if no code occurs twice.

    Examples
    --------
    >>> longest_repeat(np.array([1, 2, 3, 9, 1, 2, 3, 4]))
    3
    >>> longest_repeat(np.array([5, 5, 5, 5, 5]))
    2
    """
    shortest, longest = 0, len(codes) // 2
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        _, group = np.unique(ngram_hashes(codes, middle), return_inverse=True)
        position = np.arange(len(group))
        first = np.full(len(group), len(group))
        np.minimum.at(first, group, position)
        if np.any(position - first[group] >= middle):
            shortest = middle
        else:
            longest = middle - 1
    return shortest
