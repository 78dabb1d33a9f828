"""Whether two sets of songs have the same distribution of features.

Compares samples of one number per song; knows nothing of music. Comparisons of finite samples never reach the ideal
value, so each comes with its *floor*: what real songs score against other real songs at the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_REACH = 4.0  # bandwidths past the outermost values; the normal tail beyond holds 3e-5
_GRID_POINTS = 256  # per sample


class Estimate(NamedTuple):
    """Figures with the bounds of their 95 % intervals, each of shape (num_figures,), or () for one figure."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


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
    samples = [np.asarray(sample, dtype=np.float64) for sample in (reference, generated)]
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


def kullback_leibler_divergence(reference: ArrayLike, generated: ArrayLike, *, num_bins: int = 20) -> float:
    """Return KL(reference ‖ generated) in bits, between histograms over the common range with one added to each bin.

    Parameters
    ----------
    reference, generated : array_like, shape (num_songs,)
        Finite values.

    Raises
    ------
    ValueError
        If a sample is empty.
    """
    samples = [np.asarray(reference, dtype=np.float64), np.asarray(generated, dtype=np.float64)]
    if not all(len(sample) for sample in samples):
        raise ValueError("a divergence needs at least one value in each sample")
    values = np.concatenate(samples)
    span = (float(values.min()), float(values.max()) if np.ptp(values) else float(values.min()) + 1)
    real, ours = (np.histogram(sample, bins=num_bins, range=span)[0] + 1.0 for sample in samples)
    real, ours = real / real.sum(), ours / ours.sum()
    return float(np.sum(real * np.log2(real / ours)))


def subsample_interval(
    statistic: Callable[[NDArray[np.intp]], ArrayLike], num_songs: int, rng: np.random.Generator, *, num_draws: int = 60
) -> Estimate:
    """Return figures of a set of songs and their 95 % intervals over songs.

    Draws halves of the set without replacement: their spread about their own mean estimates that of the whole, and no
    song counts twice (ties of a bootstrap distort kernel densities) [1]_.

    Parameters
    ----------
    statistic : callable
        Takes indices of songs, returns the figures of those songs, shape (num_figures,) or one number.
    num_songs : int
        At least 4.
    rng : numpy Generator

    Raises
    ------
    ValueError
        If there are fewer than 4 songs.

    References
    ----------
    .. [1] D. N. Politis, J. P. Romano and M. Wolf, Subsampling, Springer 1999. With halves the corrections for
       size (√½) and for drawing without replacement (√2) cancel.
    """
    if num_songs < 4:
        raise ValueError(f"an interval needs at least 4 songs, got {num_songs}")
    value = np.asarray(statistic(np.arange(num_songs)), dtype=np.float64)
    draws = np.array([statistic(np.sort(rng.permutation(num_songs)[: num_songs // 2])) for _ in range(num_draws)])
    low, high = np.quantile(draws - draws.mean(axis=0), [0.025, 0.975], axis=0)
    return Estimate(value, value + low, value + high)


def real_floor(
    statistic: Callable[[NDArray[np.intp], NDArray[np.intp]], ArrayLike],
    num_reference: int,
    num_generated: int,
    rng: np.random.Generator,
    *,
    num_draws: int = 20,
) -> Estimate:
    """Return what real songs score against other real songs: means and 95 % ranges over random divisions.

    Parameters
    ----------
    statistic : callable
        Takes indices of the songs that play the reference and of those that play the generated set; returns figures,
        shape (num_figures,) or one number.
    num_reference : int
        Real songs, at least 4.
    num_generated : int
        Size of the generated set; at most half the real songs play its part.
    rng : numpy Generator

    Raises
    ------
    ValueError
        If there are fewer than 4 real songs.
    """
    if num_reference < 4:
        raise ValueError(f"a floor needs at least 4 reference songs, got {num_reference}")
    size = min(num_generated, num_reference // 2)
    orders = [rng.permutation(num_reference) for _ in range(num_draws)]
    draws = np.array([statistic(order[size:], order[:size]) for order in orders], dtype=np.float64)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return Estimate(draws.mean(axis=0), low, high)
