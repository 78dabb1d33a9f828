"""What is usual in one real song, and how far a song lies from it, group by group of features.

A song is *unusual* in a group in two ways: one feature lies far out, or the features do not go together as in real
songs (Mahalanobis distance). Both are measured in the same unit, with real songs as the yardstick: 0 is the middle real
song and 1 as unusual as one real song in twenty; the larger of the two counts. Features are scaled by the real songs'
medians and 95 % bands, each side by itself, for most are skewed.

Limits are set so that FAMILY_SHARE of real songs stay within all of them. Knows no set of songs and no wording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.features import FeatureGroups
from songwright.evaluation.figures import MeasuredSongs

MIN_REAL_SONGS = 50
"""Fewer real songs show no limits of the unusual."""
FAMILY_SHARE = 0.98
"""Real songs that stay within all limits."""
ENDINGS = ("melody_ends_on_tonic", "final_chord_on_tonic")
"""What a song has or has not. A fifth to a third of real songs lack one, and to have it is never a fault."""
_SHRINKAGE = 0.1  # of the correlations towards none
_NUM_FOLDS = 5
_TAIL = 0.1  # of the real songs
_BAND = (0.025, 0.975)
_FARTHEST = 12.0  # standard deviations


class Deviation(NamedTuple):
    """A feature that lies outside what is usual.

    Attributes
    ----------
    group, name : str
    is_high : bool
        Whether it is above the usual.
    value : float
    share : float or None
        Of a song: share of real songs that it leaves behind, 0.975 to 1. None for sets.
    """

    group: str
    name: str
    is_high: bool
    value: float
    share: float | None = None


@dataclass(frozen=True, eq=False)
class _GroupNorm:
    """Middle, scales and correlations of one group, shape (num_features,) and (num_features, num_features)."""

    middle: NDArray[np.float64]
    below: NDArray[np.float64]
    above: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @classmethod
    def fit(cls, table: NDArray[np.float64]) -> _GroupNorm:
        middle = np.nanmedian(table, axis=0)
        low, high = np.nanquantile(table, _BAND, axis=0)
        # A feature that hardly varies on one side still gets some room there.
        least = 0.25 * np.nanstd(table, axis=0) + 1e-6
        norm = cls(middle, np.maximum((middle - low) / 1.96, least), np.maximum((high - middle) / 1.96, least), table)
        scores = norm.scores(table).clip(-3, 3)
        scores = np.nan_to_num(scores - np.nanmean(scores, axis=0))
        covariance = scores.T @ scores / len(scores)
        deviation = np.sqrt(np.diag(covariance)) + 1e-9
        correlation = (1 - _SHRINKAGE) * covariance / np.outer(deviation, deviation)
        np.fill_diagonal(correlation, 1.0)
        return cls(norm.middle, norm.below, norm.above, correlation)

    def scores(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return features in deviations from the middle, each side by its own scale."""
        away = table - self.middle
        return (away / np.where(away < 0, self.below, self.above)).clip(-_FARTHEST, _FARTHEST)

    def distances(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (farthest feature, joint distance) of each song, shape (num_songs, 2); NaN where half is undefined.

        The joint distance is the cube root of the mean square, which is nearly normal for any number of features [1]_.

        References
        ----------
        .. [1] E. B. Wilson and M. M. Hilferty, "The distribution of chi-square", PNAS 17, 1931.
        """
        found = np.full((len(table), 2), np.nan)
        for place, scores in enumerate(self.scores(table)):
            known = np.isfinite(scores)
            if 2 * known.sum() < len(scores) or not known.any():
                continue
            joint = scores[known] @ np.linalg.solve(self.correlation[np.ix_(known, known)], scores[known])
            found[place] = np.abs(scores[known]).max(), _nearly_normal(float(joint), int(known.sum()))
        return found


def _nearly_normal(square: float, num_features: int) -> float:
    spread = 2 / (9 * num_features)
    return ((square / num_features) ** (1 / 3) - (1 - spread)) / spread**0.5


class _Usual(NamedTuple):
    """How unusual real songs are in a group: median and 95 % point of both distances, shape (2,) each."""

    middle: NDArray[np.float64]
    edge: NDArray[np.float64]

    def unusual(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((distances - self.middle) / np.maximum(self.edge - self.middle, 1e-9)).max(axis=-1)


@dataclass(frozen=True, eq=False)
class SongNorms:
    """What real songs teach about one song; made by `fit`.

    Attributes
    ----------
    num_songs : int
        Real songs behind it.
    limits : dict of group -> float
        How unusual a song may be in each group.
    """

    num_songs: int
    limits: dict[str, float]
    _names: dict[str, list[str]]
    _norms: dict[str, _GroupNorm]
    _usual: dict[str, _Usual]
    _real: dict[str, dict[str, NDArray[np.float64]]]  # finite values in order, by group and name

    @classmethod
    def fit(cls, real: MeasuredSongs, *, seed: int = 0) -> SongNorms:
        """Learn from real songs, at least MIN_REAL_SONGS, measured over the length of the songs to come.

        Distances of each real song are measured against the others (five folds, drawn by `seed`).

        Raises
        ------
        ValueError
            If there are fewer songs.
        """
        if real.num_songs < MIN_REAL_SONGS:
            raise ValueError(f"norms need at least {MIN_REAL_SONGS} real songs, got {real.num_songs}")
        names = {group: _usable(features) for group, features in real.features.items()}
        names = {group: found for group, found in names.items() if found}
        norms: dict[str, _GroupNorm] = {}
        usual: dict[str, _Usual] = {}
        folds = np.array_split(np.random.default_rng(seed).permutation(real.num_songs), _NUM_FOLDS)
        unusual = np.empty((real.num_songs, len(names)))
        for column, (group, members) in enumerate(names.items()):
            table = np.stack([real.features[group][name] for name in members], axis=1)
            distances = np.empty((real.num_songs, 2))
            for fold in folds:
                distances[fold] = _GroupNorm.fit(np.delete(table, fold, axis=0)).distances(table[fold])
            norms[group] = _GroupNorm.fit(table)
            middle, edge = np.nanquantile(distances, [0.5, 0.95], axis=0)
            usual[group] = _Usual(middle, edge)
            unusual[:, column] = usual[group].unusual(distances)
        share = 1 - FAMILY_SHARE ** (1 / len(names))
        limits = {group: _tail_limit(column, share) for group, column in zip(names, unusual.T, strict=True)}
        values = {
            group: {name: np.sort(column[np.isfinite(column)]) for name, column in features.items()}
            for group, features in real.features.items()
        }
        return cls(real.num_songs, limits, names, norms, usual, values)

    def unusual(self, features: FeatureGroups) -> dict[str, float]:
        """Return how unusual a song is in each group; NaN where the song leaves half of the group undefined."""
        found: dict[str, float] = {}
        for group, names in self._names.items():
            values = np.array([[features.get(group, {}).get(name, np.nan) for name in names]], dtype=np.float64)
            found[group] = float(self._usual[group].unusual(self._norms[group].distances(values))[0])
        return found

    def deviations(self, features: FeatureGroups) -> list[Deviation]:
        """Return the features outside the 95 % band of real songs, the farthest out first."""
        found: list[tuple[float, Deviation]] = []
        for group, names in self._names.items():
            values = np.array([features.get(group, {}).get(name, np.nan) for name in names], dtype=np.float64)
            scores = self._norms[group].scores(values)
            for name, value, score in zip(names, values.tolist(), scores.tolist(), strict=True):
                real = self._real[group][name]
                below, upto = np.searchsorted(real, value), np.searchsorted(real, value, side="right")
                for is_high, passed in ((True, below / len(real)), (False, 1 - upto / len(real))):
                    if np.isfinite(value) and passed >= _BAND[1]:
                        found.append((abs(score), Deviation(group, name, is_high, value, float(passed))))
        return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


def _usable(features: dict[str, NDArray[np.float64]]) -> list[str]:
    """Return the features that at least half of the songs define and that are not the same in nearly all."""
    return [
        name
        for name, values in features.items()
        if name not in ENDINGS and np.isfinite(values).mean() >= 0.5 and np.nanstd(values) > 0
    ]


def _tail_limit(unusual: NDArray[np.float64], share: float) -> float:
    """Return the value that a share of real songs exceeds, read from a generalized Pareto tail above the 90 % point.

    The tail is fitted by probability-weighted moments [1]_, steadier than the second or third most unusual song.

    References
    ----------
    .. [1] J. R. M. Hosking and J. R. Wallis, "Parameter and quantile estimation for the generalized Pareto
       distribution", Technometrics 29, 1987.
    """
    values = unusual[np.isfinite(unusual)]
    start = float(np.quantile(values, 1 - _TAIL))
    excess = np.sort(values[values > start]) - start
    weights = 1 - (np.arange(1, len(excess) + 1) - 0.35) / len(excess)
    mean, weighted = (float(excess.mean()), float((weights * excess).mean())) if len(excess) else (0.0, 0.0)
    if mean <= 2 * weighted:  # a tail of equal values
        return float(values.max())
    shape = mean / (mean - 2 * weighted) - 2
    scale = 2 * mean * weighted / (mean - 2 * weighted)
    rarity = share / _TAIL
    return start + scale * ((1 - rarity**shape) / shape if abs(shape) > 1e-6 else -float(np.log(rarity)))
