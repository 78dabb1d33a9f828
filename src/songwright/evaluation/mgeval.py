"""The features and distances of mgeval [1]_, so that published tables can be compared.

Works as the authors' code (github.com/RichardYang40148/mgeval, `core.py`, `utils.py`, `__main__.py`): features of one
track, distances between songs within a set and between two sets, and how alike the densities of these distances are.
Our own figures compare densities of the features themselves (`distributions`), and integrate them wholly.

References
----------
.. [1] L.-C. Yang and A. Lerch, "On the evaluation of generative models in music", Neural Computing and Applications 32,
   2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.score.grid import STEPS_PER_BEAT
from songwright.score.grid_score import GridScore

SCALARS = ("total_used_pitch", "total_used_note", "pitch_range", "avg_pitch_shift", "avg_IOI")
"""Features that are one number."""

# Lengths of note classes in 96ths of a bar: full to sixteenth, the same dotted, half to eighth triplets.
_NOTE_LENGTHS = np.array([96, 48, 24, 12, 6, 72, 36, 18, 9, 32, 16, 8])
_FRAMES_PER_SECOND = 100
_TRANSITION_SECONDS = 0.05  # pretty_midi's: a note follows another that ends so near its start
_NUM_SAMPLES = 1000
_CELLS_PER_BANDWIDTH = 20
_MAX_CELLS = 4096

MgevalFeatures = dict[str, NDArray[np.float64]]


class MgevalDistance(NamedTuple):
    """How alike the distances within a set and between two sets are, for one feature; NaN where undefined.

    Attributes
    ----------
    kld, overlap : float
        Kullback-Leibler divergence (nats) and overlapping area of the generated set's own distances and those between
        the sets: 0 and 1 where generated songs differ from real ones as from each other.
    reference_kld, reference_overlap : float
        The same for the real set's own distances.
    """

    kld: float
    overlap: float
    reference_kld: float
    reference_overlap: float


def mgeval_features(grid: GridScore, *, num_bars: int | None = None) -> MgevalFeatures:
    """Return mgeval's absolute features of the melody, of all pitched notes where there is none.

    Parameters
    ----------
    grid : GridScore
        The authors take bars of one length; here each bar has its own, note lengths are in 96ths of the first.
    num_bars : int, optional
        Bars of the features by bar, the first ones; silent ones are added where there are fewer. All without.

    Returns
    -------
    dict of ndarray
        total_used_pitch, total_used_note : numbers of pitches and notes, shape ().
        pitch_range : highest - lowest pitch, semitones.
        avg_pitch_shift : mean absolute interval, semitones.
        avg_IOI : mean time between onsets, seconds.
        bar_used_pitch, bar_used_note : the numbers by bar, shape (num_bars,).
        total_pitch_class_histogram, bar_pitch_class_histogram : shares of sounding time times velocity, in frames of
            10 ms; shape (12,) and (num_bars, 12).
        pitch_class_transition_matrix : counts of notes that start within 50 ms of the end of another, shape (12, 12).
        note_length_hist : shares of the twelve lengths, each note the nearest; shape (12,).
        note_length_transition_matrix : counts of successions of lengths, shape (12, 12).
    """
    notes = grid.notes_of("melody")
    notes = notes if len(notes) else grid.notes_of()
    num_bars = grid.num_bars if num_bars is None else num_bars
    onset, duration = notes["onset_step"].astype(np.int64), notes["duration_step"].astype(np.int64)
    pitch = notes["pitch"].astype(np.int64)
    start, end = _seconds(grid, onset), _seconds(grid, onset + duration)
    starts = grid.bar_starts
    bar = np.searchsorted(starts, onset, side="right") - 1
    length = np.abs(_NOTE_LENGTHS * grid.meters[0].bar_steps / 96 - duration[:, None]).argmin(axis=1)
    bar_pitches = np.unique(np.stack([bar, pitch]), axis=1)[0]
    edges = (_seconds(grid, starts) * _FRAMES_PER_SECOND).astype(np.int64)
    frames = np.stack([start, end]) * _FRAMES_PER_SECOND
    loudness = notes["velocity"].astype(np.float64)
    by_bar = np.zeros((num_bars, 12))
    for number in range(min(num_bars, grid.num_bars)):
        low, high = np.clip(frames.astype(np.int64), edges[number], edges[number + 1])
        by_bar[number] = np.bincount(pitch % 12, (high - low) * loudness, 12)
    whole = np.bincount(pitch % 12, np.diff(frames.astype(np.int64), axis=0)[0] * loudness, 12)
    return {
        "total_used_pitch": np.array(float(len(np.unique(pitch)))),
        "total_used_note": np.array(float(len(notes))),
        "pitch_range": np.array(float(np.ptp(pitch)) if len(notes) else np.nan),
        "avg_pitch_shift": np.array(np.abs(np.diff(pitch)).mean() if len(notes) > 1 else np.nan),
        "avg_IOI": np.array(np.diff(start).mean() if len(notes) > 1 else np.nan),
        "bar_used_pitch": np.bincount(bar_pitches, minlength=num_bars)[:num_bars].astype(np.float64),
        "bar_used_note": np.bincount(bar, minlength=num_bars)[:num_bars].astype(np.float64),
        "total_pitch_class_histogram": _shares(whole),
        "bar_pitch_class_histogram": _shares(by_bar),
        "pitch_class_transition_matrix": _transitions(start, end, pitch % 12),
        "note_length_hist": _shares(np.bincount(length, minlength=12)),
        "note_length_transition_matrix": np.bincount(length[:-1] * 12 + length[1:], minlength=144)
        .reshape(12, 12)
        .astype(np.float64),
    }


def mgeval_means(grid: GridScore) -> dict[str, float]:
    """Return those of the features that are numbers, and the means over bars of those by bar."""
    found = mgeval_features(grid)
    names = (*SCALARS, "bar_used_pitch", "bar_used_note")
    return {name: float(found[name].mean()) if found[name].size else math.nan for name in names}


def mgeval_distances(
    reference: Sequence[MgevalFeatures], generated: Sequence[MgevalFeatures]
) -> dict[str, MgevalDistance]:
    """Return the divergence and overlap of each feature.

    Euclidean distances of each song to the others of its set and to those of the other set are pooled. As in the
    authors' code, sets are cut to the size of the smaller one.

    Parameters
    ----------
    reference, generated : sequences of dict
        Of `mgeval_features`. Songs that do not define a feature are passed over, and so are features by bar where songs
        have different numbers of bars (`num_bars` makes them equal).
    """
    num_songs = min(len(reference), len(generated))
    found: dict[str, MgevalDistance] = {}
    for name in reference[0] if num_songs else ():
        if len({one[name].shape for songs in (reference, generated) for one in songs[:num_songs]}) > 1:
            continue
        real, ours = (
            np.array([one[name].ravel() for one in songs[:num_songs]], dtype=np.float64)
            for songs in (reference, generated)
        )
        real, ours = (table[np.isfinite(table).all(axis=1)] for table in (real, ours))
        if min(len(real), len(ours)) < 2:
            found[name] = MgevalDistance(*[math.nan] * 4)
            continue
        between = _distances(ours, real).ravel()
        inside = [_distances(table, table)[~np.eye(len(table), dtype=bool)] for table in (ours, real)]
        found[name] = MgevalDistance(
            *(statistic(own, between) for own in inside for statistic in (mgeval_divergence, mgeval_overlap))
        )
    return found


def mgeval_divergence(first: ArrayLike, second: ArrayLike) -> float:
    """Return mgeval's Kullback-Leibler divergence of two samples, in nats; NaN for a constant sample.

    As in the authors' `kl_dist`, each density is sampled at 1,000 places between the ends of *its own* sample and
    scaled to sum 1: it compares the shapes of densities and does not see where they lie.
    """
    samples = [np.asarray(values, dtype=np.float64) for values in (first, second)]
    if any(_is_constant(values) for values in samples):
        return math.nan
    densities = [_density(values, np.linspace(values.min(), values.max(), _NUM_SAMPLES)) for values in samples]
    real, ours = (density / density.sum() for density in densities)
    if np.any((real > 0) & (ours == 0)):
        return math.inf
    is_seen = real > 0
    return float(np.sum(real[is_seen] * np.log(real[is_seen] / ours[is_seen])))


def mgeval_overlap(first: ArrayLike, second: ArrayLike) -> float:
    """Return mgeval's overlapping area of two samples; NaN for a constant sample.

    As in the authors' `overlap_area`, densities are integrated from the lowest to the highest value of both and no
    further, so that equal samples score under 1: `distributions.overlapping_area` reaches past them.
    """
    samples = [np.asarray(values, dtype=np.float64) for values in (first, second)]
    if any(_is_constant(values) for values in samples):
        return math.nan
    everything = np.concatenate(samples)
    places = np.linspace(everything.min(), everything.max(), 2 * _NUM_SAMPLES)
    densities = [_density(values, places) for values in samples]
    return float(np.trapezoid(np.minimum(*densities), places))


def _is_constant(values: NDArray[np.float64]) -> bool:
    return len(values) < 2 or values.min() == values.max()


def _density(values: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Gaussian kernel density with Scott's bandwidth (SciPy's `gaussian_kde`) at some places.

    Values are shared out between the two nearest cells of a fine grid first: there are 40,000 distances in two sets of
    200 songs.
    """
    bandwidth = float(values.std(ddof=1)) * len(values) ** -0.2
    low, span = values.min(), np.ptp(values)
    num_cells = min(int(np.ceil(span * _CELLS_PER_BANDWIDTH / bandwidth)), _MAX_CELLS)
    place = (values - low) * (num_cells / span)
    cell = np.minimum(place.astype(np.int64), num_cells - 1)
    counts = np.bincount(cell, 1 - (place - cell), num_cells + 1) + np.bincount(cell + 1, place - cell, num_cells + 1)
    filled = np.flatnonzero(counts > 0)
    centres, counts = low + filled * (span / num_cells), counts[filled]
    kernels = np.exp(-0.5 * ((places[:, None] - centres) / bandwidth) ** 2)
    return kernels @ counts / (len(values) * bandwidth * np.sqrt(2 * np.pi))


def _distances(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.sqrt(np.maximum(squares, 0))


def _seconds(grid: GridScore, step: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the instant of each step at the tempos of its bars."""
    starts = np.append(grid.bar_starts, grid.bar_starts[-1] + 2**33).astype(np.float64)
    tempo = np.full(len(starts) - 1, grid.tempos[0].tempo_qpm)
    for change in grid.tempos:
        tempo[change.bar :] = change.tempo_qpm
    passed = np.concatenate([[0.0], np.cumsum(np.diff(starts) * 60 / (STEPS_PER_BEAT * tempo))])
    return np.interp(step, starts, passed)


def _transitions(
    start: NDArray[np.float64], end: NDArray[np.float64], pitch_class: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return how often a note of one class (row) ends within 50 ms of the start of one of another (column)."""
    order = np.argsort(start, kind="stable")
    first = np.searchsorted(start[order], end - _TRANSITION_SECONDS, side="right")
    last = np.searchsorted(start[order], end + _TRANSITION_SECONDS)
    count = np.maximum(last - first, 0)
    target = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    cell = np.repeat(pitch_class, count) * 12 + pitch_class[order][target]
    return np.bincount(cell, minlength=144).reshape(12, 12).astype(np.float64)


def _shares(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return each row divided by its sum; zeros where that is zero."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
