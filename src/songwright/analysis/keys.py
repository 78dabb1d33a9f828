"""The key of each section of a piece, and the piece moved to C major or A minor by it.

The evidence for a key is linear in what sounds: pitch classes, lowest notes, likely chords (`half_bars`), and the
lowest note at the end; the same weights serve all twelve tonics. They were fitted by logistic regression on the
training songs of POP909 that have one key, and on their melodies and pianos alone (`benchmarks/harmony.py --fit`).

A piece is first cut where its key signature changes, on a grid of two bars and with a high cost for each change; then
each section's mode is decided from all of it. So a verse in A minor with a chorus in C major is one section, which
loses nothing in `normalize`: both have the same shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.analysis.half_bars import NUM_CHORDS, HalfBars, best_path, measure_half_bars
from songwright.analysis.weights import stored_arrays
from songwright.score.grid_score import GridScore, GridTrack
from songwright.score.pitch import Key

CHORD_FAMILY = np.array([0, 1, 2, 0, 1, 3, 3, 3, 0, 1, 0, 4, 4, 4, 4])
"""What a quality (in the order of QUALITIES) counts as: major, minor, dominant, suspended, diminished or augmented."""
_WINDOW_BARS = 2
# Nats, summed over half bars of two quarters: about ten bars of music that speaks clearly for another key signature.
# Chosen on the training songs of POP909.
_CHANGE_COST = np.float32(80.0)


class KeyRegion(NamedTuple):
    """`key` from bar `bar` on."""

    bar: int
    key: Key


class _Weights(NamedTuple):
    sounding: NDArray[np.float32]
    """Shape (24, 24): weights of the presence and of the bass of each pitch class in a half bar."""
    chords: NDArray[np.float32]
    """Shape (NUM_CHORDS, 24): weights of the probabilities of chords in a half bar."""
    end: NDArray[np.float32]
    """Shape (12, 24): weights of the lowest notes of the last half bar."""
    bias: NDArray[np.float32]
    profile: NDArray[np.float32]
    """Shape (12, 24): weights of pitch classes alone."""
    profile_bias: NDArray[np.float32]


@cache
def _weights() -> _Weights:
    arrays = stored_arrays("keys")
    tones, profile = arrays["tones"], arrays["profile"]
    bias, profile_bias = np.tile(arrays["bias"], 12), np.tile(arrays["profile_bias"], 12)
    wide = _for_all_tonics(tones)
    chords = wide[:, 2 + CHORD_FAMILY]  # (12 roots, qualities, 24)
    return _Weights(
        np.concatenate([wide[:, 0], wide[:, 1]]),
        chords.reshape(NUM_CHORDS, 24),
        np.ascontiguousarray(wide[:, -1]),
        bias,
        _for_all_tonics(profile)[:, 0],
        profile_bias,
    )


def _for_all_tonics(tones: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights of shape (12 pitch classes, num_values, 24 keys); keys are numbered tonic * 2 + is_minor.

    `tones` has shape (2 modes, 12 steps above the tonic, num_values).
    """
    wide = np.zeros((12, tones.shape[2], 12, 2), dtype=np.float32)
    for tonic in range(12):
        for step in range(12):
            wide[(tonic + step) % 12, :, tonic] = tones[:, step].T
    return wide.reshape(12, tones.shape[2], 24)


def find_key(weights: ArrayLike) -> Key:
    """Return the key that fits weights of pitch classes, such as summed durations.

    Knows less than `find_keys`, which also hears basses and chords.

    Parameters
    ----------
    weights : array_like, shape (12,)
        At least 0; C first. All zero: C major.

    Raises
    ------
    ValueError
        If there are not twelve finite weights of at least 0.

    Examples
    --------
    >>> find_key([0, 0, 3, 0, 2, 0, 2, 2, 0, 3, 0, 1]).name
    'D major'
    """
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (12,) or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("weights must be twelve finite numbers, at least 0")
    if not values.any():
        return Key(0)
    found = _weights()
    share = (values / values.max()) / (values / values.max()).sum()
    return _key(int(np.argmax(share @ found.profile + found.profile_bias)))


def _key(number: int) -> Key:
    return Key(number // 2, bool(number % 2))


def find_keys(grid_score: GridScore, half_bars: HalfBars | None = None) -> tuple[KeyRegion, ...]:
    """Return the key of each section of a piece.

    Parameters
    ----------
    grid_score : GridScore
    half_bars : HalfBars, optional
        What `measure_half_bars` returned for the piece, where it is already there.

    Returns
    -------
    tuple of KeyRegion
        Ordered by bar, the first at bar 0; neighbours differ in key. C major if nothing but drums sounds.

    Raises
    ------
    InputError
        If the piece has more bars than `half_bars.MAX_BARS`.
    """
    halves = half_bars or measure_half_bars(grid_score)
    sounding = np.flatnonzero(halves.is_sounding)
    if not len(sounding):
        return (KeyRegion(0, Key(0)),)
    weights = _weights()
    # A half bar counts by its length, in units of two quarters.
    length = np.diff(halves.start_step).astype(np.float32) / 24
    length[~halves.is_sounding] = 0
    scores = np.concatenate([halves.presence, halves.bass], axis=1) @ weights.sounding
    scores += np.exp(halves.chord_log_likelihoods) @ weights.chords
    scores += weights.bias
    scores *= length[:, None]
    end = halves.bass[sounding[-1]] @ weights.end

    windows = np.searchsorted(halves.bar, np.arange(0, int(halves.bar[-1]) + 1, _WINDOW_BARS))
    window_scores = np.add.reduceat(scores, windows, axis=0)
    window_length = np.add.reduceat(length, windows)
    # Signatures are numbered by their major tonic; the relative minor lies nine semitones above it.
    by_signature = np.maximum(window_scores[:, 0::2], np.roll(window_scores[:, 1::2], 3, axis=1))
    by_signature -= by_signature.mean(axis=1, keepdims=True)
    signatures = best_path(by_signature, np.full(len(windows), _CHANGE_COST, dtype=np.float32))

    starts = np.flatnonzero(np.diff(signatures, prepend=-1))
    means = np.add.reduceat(window_scores, starts, axis=0)
    means /= np.maximum(np.add.reduceat(window_length, starts), np.float32(1e-6))[:, None]
    means[-1] += end
    if len(starts) == 1:
        return (KeyRegion(0, _key(int(means[0].argmax()))),)
    regions = []
    for start, mean in zip(starts.tolist(), means, strict=True):
        tonic = int(signatures[start])
        relative = (tonic + 9) % 12
        is_minor = bool(mean[2 * relative + 1] > mean[2 * tonic])
        regions.append(KeyRegion(start * _WINDOW_BARS, Key(relative if is_minor else tonic, is_minor)))
    return tuple(regions)


def normalize(grid_score: GridScore, regions: Sequence[KeyRegion]) -> GridScore:
    """Return the piece with each region moved to C major or A minor, by -6 to 5 semitones; drums stay as they are.

    A note belongs to the region in which it starts. `denormalize` with the same regions is the exact inverse: a pitch
    that would leave 0 to 127 (below 6 or above 122) comes in again at the other end.

    Raises
    ------
    ValueError
        If the regions are not in order or the first is not at bar 0.
    """
    return _shift(grid_score, regions, direction=1)


def denormalize(grid_score: GridScore, regions: Sequence[KeyRegion]) -> GridScore:
    """Return a piece in C major or A minor moved to the keys of the regions; the inverse of `normalize`.

    Raises
    ------
    ValueError
        If the regions are not in order or the first is not at bar 0.
    """
    return _shift(grid_score, regions, direction=-1)


def _shift(grid_score: GridScore, regions: Sequence[KeyRegion], *, direction: int) -> GridScore:
    bars = np.array([region.bar for region in regions], dtype=np.int64)
    if not len(bars) or bars[0] != 0 or (np.diff(bars) <= 0).any():
        raise ValueError("regions must be in order of their bars, the first at bar 0")
    starts = grid_score.bar_starts[np.minimum(bars, grid_score.num_bars)]
    shifts = np.array([direction * region.key.semitones_to_normal for region in regions], dtype=np.int16)
    return replace(grid_score, tracks=tuple(_shift_track(track, starts, shifts) for track in grid_score.tracks))


def _shift_track(track: GridTrack, starts: NDArray[np.int64], shifts: NDArray[np.int16]) -> GridTrack:
    if track.is_drum or track.role == "drums" or not shifts.any() or not len(track.notes):
        return track
    notes = track.notes.copy()
    region = np.maximum(np.searchsorted(starts, notes["onset_step"], side="right") - 1, 0)
    notes["pitch"] = (notes["pitch"] + shifts[region]) % 128
    order = np.argsort(notes["onset_step"].astype(np.int64) * 128 + notes["pitch"], kind="stable")
    return replace(track, notes=notes[order])
