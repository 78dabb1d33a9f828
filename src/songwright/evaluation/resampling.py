"""How sure a figure of a set of songs is, and what real songs score against other real songs at the same number.

Everything works on places in a set: callers measure the songs chosen. Songs are drawn without replacement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Estimate(NamedTuple):
    """Figures with the bounds of their 95 % intervals, each of shape (num_figures,), or () for one figure."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def draw_halves(num_songs: int, rng: np.random.Generator, *, num_draws: int = 60) -> NDArray[np.intp]:
    """Return random halves of a set, drawn without replacement: shape (num_draws, num_songs // 2).

    Raises
    ------
    ValueError
        If there are fewer than 4 songs.
    """
    if num_songs < 4:
        raise ValueError(f"an interval needs at least 4 songs, got {num_songs}")
    return np.array([np.sort(rng.permutation(num_songs)[: num_songs // 2]) for _ in range(num_draws)])


def interval_of(value: ArrayLike, draws: ArrayLike) -> Estimate:
    """Return figures with their 95 % intervals from the figures of `draw_halves`, shape (num_draws, num_figures).

    The spread of halves about their own mean estimates that of the whole, and no song counts twice (ties of a bootstrap
    distort kernel densities) [1]_.

    References
    ----------
    .. [1] D. N. Politis, J. P. Romano and M. Wolf, Subsampling, Springer 1999. With halves the corrections for
       size (√½) and for drawing without replacement (√2) cancel.
    """
    whole, halves = np.asarray(value, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    low, high = np.quantile(halves - halves.mean(axis=0), [0.025, 0.975], axis=0)
    return Estimate(whole, whole + low, whole + high)


def subsample_interval(
    statistic: Callable[[NDArray[np.intp]], ArrayLike], num_songs: int, rng: np.random.Generator, *, num_draws: int = 60
) -> Estimate:
    """Return figures of a set of songs and their 95 % intervals over songs (`draw_halves`, `interval_of`).

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
    """
    halves = draw_halves(num_songs, rng, num_draws=num_draws)
    return interval_of(statistic(np.arange(num_songs)), np.array([statistic(half) for half in halves]))


def draw_divisions(
    num_reference: int,
    num_generated: int,
    rng: np.random.Generator,
    *,
    num_others: int | None = None,
    num_draws: int = 20,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the real songs that play the reference, and those that play the generated set.

    Parameters
    ----------
    num_reference : int
        Real songs, at least 4.
    num_generated : int
        Size of the generated set.
    rng : numpy Generator
    num_others : int, optional
        Real songs beside the reference, at least 4. They then play the generated set, and the whole reference itself;
        else the reference is divided.

    Returns
    -------
    reference, judged : ndarray of int, shape (num_draws or 1, size)
        `judged` are places among the others where there are any. As many as were generated, at most half of those drawn
        from: more would hardly differ from one draw to the next.

    Raises
    ------
    ValueError
        If there are fewer than 4 real songs to draw from.
    """
    num_songs = num_reference if num_others is None else num_others
    if min(num_songs, num_reference) < 4:
        raise ValueError(f"a floor needs at least 4 real songs, got {min(num_songs, num_reference)}")
    size = min(num_generated, num_songs // 2)
    orders = np.array([rng.permutation(num_songs) for _ in range(num_draws)])
    reference = orders[:, size:] if num_others is None else np.arange(num_reference)[None]
    return reference, orders[:, :size]


def range_of(draws: ArrayLike) -> Estimate:
    """Return the means and 95 % ranges of figures of `draw_divisions`, shape (num_draws, num_figures)."""
    found = np.asarray(draws, dtype=np.float64)
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    return Estimate(found.mean(axis=0), low, high)


def real_floor(
    statistic: Callable[[NDArray[np.intp], NDArray[np.intp]], ArrayLike],
    num_reference: int,
    num_generated: int,
    rng: np.random.Generator,
    *,
    num_others: int | None = None,
    num_draws: int = 20,
) -> Estimate:
    """Return what real songs score against other real songs: means and 95 % ranges (`draw_divisions`, `range_of`).

    Parameters
    ----------
    statistic : callable
        Takes indices of the songs that play the reference and of those that play the generated set; returns figures,
        shape (num_figures,) or one number.
    num_reference, num_generated, rng, num_others
        See `draw_divisions`.

    Raises
    ------
    ValueError
        If there are fewer than 4 real songs.
    """
    reference, judged = draw_divisions(num_reference, num_generated, rng, num_others=num_others, num_draws=num_draws)
    pairs = zip(np.broadcast_to(reference, (len(judged), reference.shape[1])), judged, strict=True)
    return range_of(np.array([statistic(real, ours) for real, ours in pairs]))
