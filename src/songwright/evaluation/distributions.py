"""Whether two sets of songs have the same distribution of features.

Compares samples of one number per song; knows nothing of music. Comparisons of finite samples never reach the ideal
value: `resampling` gives each its interval, and its floor between real songs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DECIMALS = 9  # values that differ by less are the same but for rounding
_REACH = 4.0  # bandwidths past the outermost values; the normal tail beyond holds 3e-5
_GRID_POINTS = 256  # per sample
_CELLS_PER_BANDWIDTH = 10  # of the narrowest density: the areas of all subsets then agree with the exact ones to 0.001
_MAX_CELLS = 2**15
_NUM_BINS = 20


def overlapping_area(reference: ArrayLike, generated: ArrayLike) -> float:
    """Return the area shared by the densities of two samples of one feature.

    Densities are Gaussian kernel estimates [1]_ with Scott's bandwidth, standard deviation × n^(-1/5).

    Parameters
    ----------
    reference : array_like, shape (num_reference,)
        Feature values of the reference songs, in the unit of the feature.
    generated : array_like, shape (num_generated,)
        Feature values of the generated songs, in the same unit.

    Returns
    -------
    float
        Overlapping area, dimensionless: 0 no overlap, 1 the same distribution.

    Raises
    ------
    ValueError
        If a sample is not 1-D, holds a value that is not finite, or has fewer than two distinct values.

    Notes
    -----
    Differs from the authors' `mgeval`, which integrates between the smallest and the largest value and loses the tails:
    20 normal values score 0.82 to 0.94 with themselves. Ours reaches four bandwidths past both ranges.

    References
    ----------
    .. [1] L.-C. Yang and A. Lerch, "On the evaluation of generative models in music", Neural Computing and
       Applications 32, 2020.

    Examples
    --------
    >>> round(overlapping_area([12.0, 19.0, 24.0], [12.0, 19.0, 24.0]), 3)
    1.0
    """
    samples = [_checked(reference, "reference"), _checked(generated, "generated")]
    bandwidths = [float(sample.std(ddof=1)) * len(sample) ** -0.2 for sample in samples]
    reach = _REACH * max(bandwidths)
    low, high = min(sample.min() for sample in samples) - reach, max(sample.max() for sample in samples) + reach
    # A grid even over both ranges would step over a narrow sample: each sample brings a grid of its own.
    grids = [np.linspace(low, high, _GRID_POINTS)]
    grids += [
        np.linspace(sample.min() - _REACH * width, sample.max() + _REACH * width, _GRID_POINTS)
        for sample, width in zip(samples, bandwidths, strict=True)
    ]
    grid = np.unique(np.concatenate(grids))
    densities = [_density(sample, width, grid) for sample, width in zip(samples, bandwidths, strict=True)]
    return min(float(np.trapezoid(np.minimum(*densities), grid)), 1.0)


def _checked(sample: ArrayLike, name: str) -> NDArray[np.float64]:
    values = np.asarray(sample, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {values.shape}")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} holds values that are not finite")
    if len(np.unique(values)) < 2:
        raise ValueError(f"{name} needs at least two distinct values for a density")
    return values


def _density(sample: NDArray[np.float64], bandwidth: float, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    values, counts = np.unique(sample, return_counts=True)
    kernels = np.exp(-0.5 * ((grid[:, None] - values) / bandwidth) ** 2)
    return kernels @ counts / (len(sample) * bandwidth * np.sqrt(2 * np.pi))


def constant_aware_overlap(reference: ArrayLike, generated: ArrayLike) -> float:
    """Return the overlapping area where samples may be constant or hold NaN, as features of real songs do.

    NaN are left out. A constant sample is a point: it overlaps an equal point by 1 and anything else by 0.

    Raises
    ------
    ValueError
        If a sample is empty.
    """
    samples = [np.round(np.asarray(sample, dtype=np.float64), _DECIMALS) for sample in (reference, generated)]
    samples = [sample[np.isfinite(sample)] for sample in samples]
    if not all(len(sample) for sample in samples):
        raise ValueError("a feature is undefined in every song of a set")
    distinct = [np.unique(sample) for sample in samples]
    if min(len(values) for values in distinct) < 2:
        return 1.0 if np.array_equal(*distinct) else 0.0
    return overlapping_area(*samples)


def group_overlap(
    reference: dict[str, NDArray[np.float64]], generated: dict[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Return the overlapping area of every feature, in the order of `reference`.

    Parameters
    ----------
    reference, generated : dict of name -> ndarray, shape (num_songs,)
        Values of each feature; NaN where a song does not define it. A feature that all songs of a set leave undefined
        is left out.
    """
    areas: dict[str, float] = {}
    for name, values in reference.items():
        if np.isfinite(values).any() and np.isfinite(generated[name]).any():
            areas[name] = constant_aware_overlap(values, generated[name])
    return areas


def overlapping_areas(
    reference: NDArray[np.float64],
    generated: NDArray[np.float64],
    reference_draws: NDArray[np.intp],
    generated_draws: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return `constant_aware_overlap` of many subsets of two samples at once, to 0.001.

    All subsets are counted on one grid and smoothed by fast Fourier transforms, each with its own bandwidth.

    Parameters
    ----------
    reference, generated : ndarray, shape (num_reference,) and (num_generated,)
        Values of one feature; NaN where a song does not define it.
    reference_draws, generated_draws : ndarray of int, shape (num_draws, size)
        Places of the songs of each subset; one row serves every row of the other.

    Returns
    -------
    ndarray, shape (num_draws,)
        NaN where a subset defines no value.
    """
    reference, generated = (np.round(sample, _DECIMALS) for sample in (reference, generated))
    sides = [_Side.of(reference[reference_draws]), _Side.of(generated[generated_draws])]
    real, ours = sides
    areas = ((real.low == ours.low) & (real.low == real.high) & (ours.low == ours.high)).astype(np.float64)
    areas[np.broadcast_to((real.num_values == 0) | (ours.num_values == 0), areas.shape)] = np.nan
    is_smooth = (real.low < real.high) & (ours.low < ours.high)
    if not is_smooth.any():
        return areas
    narrowest = min(side.bandwidth[side.low < side.high].min() for side in sides)
    reach = _REACH * max(side.bandwidth[side.low < side.high].max() for side in sides)
    low = min(np.nanmin(side.low) for side in sides) - reach
    span = max(np.nanmax(side.high) for side in sides) + reach - low
    if span * _CELLS_PER_BANDWIDTH > narrowest * _MAX_CELLS:
        for draw in np.flatnonzero(is_smooth):
            areas[draw] = constant_aware_overlap(*(side.values[draw % len(side.values)] for side in sides))
        return areas
    # A power of two is the quickest to transform.
    num_cells = 1 << int(np.ceil(np.log2(span * _CELLS_PER_BANDWIDTH / narrowest)))
    densities = [_cell_shares(side, low, span / num_cells, num_cells) for side in sides]
    found = np.minimum(*densities).sum(axis=1).clip(0, 1)
    areas[is_smooth] = np.broadcast_to(found, areas.shape)[is_smooth]
    return areas


class _Side(NamedTuple):
    """Subsets of one sample, a row each: values with NaN, how many are defined, the range, Scott's bandwidth."""

    values: NDArray[np.float64]
    num_values: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bandwidth: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> _Side:
        is_value = np.isfinite(values)
        count = is_value.sum(axis=1)
        low = np.where(is_value, values, np.inf).min(axis=1, initial=np.inf)
        high = np.where(is_value, values, -np.inf).max(axis=1, initial=-np.inf)
        mean = np.where(is_value, values, 0.0).sum(axis=1) / np.maximum(count, 1)
        squares = (np.where(is_value, values - mean[:, None], 0.0) ** 2).sum(axis=1)
        bandwidth = np.sqrt(squares / np.maximum(count - 1, 1)) * np.maximum(count, 1) ** -0.2
        low, high = (np.where(count > 0, bound, np.nan) for bound in (low, high))
        return cls(values, count, low, high, bandwidth)


def _cell_shares(side: _Side, low: float, width: float, num_cells: int) -> NDArray[np.float64]:
    """Return the share of each row's kernel density in each cell, shape (num_rows, num_cells)."""
    rows, columns = np.nonzero(np.isfinite(side.values))
    place = (side.values[rows, columns] - low) / width
    cell = place.astype(np.int64)
    right = place - cell  # each value is shared out between the two nearest cells
    size = len(side.values) * num_cells
    first = rows * num_cells + cell
    counts = np.bincount(first, 1 - right, size) + np.bincount(first + 1, right, size)
    frequency = 2 * np.pi * np.fft.rfftfreq(num_cells, width)
    kernel = np.exp(-0.5 * (side.bandwidth[:, None] * frequency) ** 2)
    smoothed = np.fft.irfft(np.fft.rfft(counts.reshape(-1, num_cells)) * kernel, num_cells)
    return smoothed / np.maximum(side.num_values, 1)[:, None]


def kullback_leibler_divergence(reference: ArrayLike, generated: ArrayLike, *, num_bins: int = _NUM_BINS) -> float:
    """Return KL(reference ‖ generated) of one feature, in bits, between histograms with one added to each bin.

    Parameters
    ----------
    reference, generated : array_like, shape (num_songs,)
        Values of one feature; NaN are left out.
    num_bins : int
        At least 3.

    Raises
    ------
    ValueError
        If a sample is empty.

    Notes
    -----
    The bins depend on the reference alone, so that systems compare: equal ones over its middle 95 %, and one on each
    side for whatever lies beyond. The added ones keep empty bins finite and shrink the divergence of small samples:
    read it beside that of as many real songs. `mgeval.mgeval_divergence` is the authors' version.

    Examples
    --------
    >>> kullback_leibler_divergence([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    0.0
    """
    real, ours = _binned(reference, generated, num_bins)
    return float(np.sum(real * np.log2(real / ours)))


def cross_entropy(reference: ArrayLike, generated: ArrayLike, *, num_bins: int = _NUM_BINS) -> float:
    """Return the cross-entropy −Σ reference · log₂ generated of one feature, in bits.

    Histograms as in `kullback_leibler_divergence`, which is this less the entropy of the reference: the least that any
    set of songs can reach.
    """
    real, ours = _binned(reference, generated, num_bins)
    return float(-np.sum(real * np.log2(ours)))


def _binned(
    reference: ArrayLike, generated: ArrayLike, num_bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    samples = [np.round(np.asarray(sample, dtype=np.float64), _DECIMALS) for sample in (reference, generated)]
    samples = [sample[np.isfinite(sample)] for sample in samples]
    if not all(len(sample) for sample in samples):
        raise ValueError("a divergence needs at least one value in each sample")
    low, high = np.quantile(samples[0], [0.025, 0.975])
    if low == high:  # below, equal, above
        high, num_bins = np.nextafter(low, np.inf), 3
    edges = np.linspace(low, high, num_bins - 1)
    real, ours = (
        np.bincount(np.searchsorted(edges, sample, side="right"), minlength=num_bins) + 1.0 for sample in samples
    )
    return real / real.sum(), ours / ours.sum()
