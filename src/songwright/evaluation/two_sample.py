"""Whether a classifier can tell generated songs from real ones: the classifier two-sample test (C2ST) [1]_.

Works on features of songs and knows no music. The judge is trained on most of the songs and asked about the rest, in
turns: the share of (real, generated) pairs that it orders rightly is the area under its ROC curve (AUC). Half means
that it cannot tell. It sees all features at once, so it finds what no comparison of single features shows.

The judge is kernel ridge regression (least-squares support vector machine [2]_) with a Gaussian and a linear kernel on
normal scores of the features: in one solve as strong here as forests and boosting of hundreds of trees.

References
----------
.. [1] D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", ICLR 2017 (which counts right answers; the
   AUC needs no threshold and no equal numbers).
.. [2] J. A. K. Suykens and J. Vandewalle, "Least squares support vector machine classifiers", Neural Processing
   Letters 9, 1999.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.evaluation.resampling import draw_divisions, range_of

Features = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""Values by group and name, shape (num_songs,), as in `figures.MeasuredSongs.features`; NaN where undefined."""

GROUPS = ("local", "harmony", "structure")
"""What the judge sees. Form is left out: a song cut to length has no ending, and half its power was that."""

MIN_SONGS = 10
"""Songs that each set needs for a judge to be trained on some and asked about the others."""

_NUM_FOLDS = 5
_NUM_REPEATS = 4
_NUM_FLOOR_DRAWS = 20
_KERNEL_WIDTH = 0.5  # exp(-0.5 · mean squared difference of the scores)
_RIDGE = 0.2
# DeLong's variance holds for judges as trained; with new songs others would be trained. Standard deviation over 200
# random halves of 169 real songs: 0.056, by DeLong 0.040.
_TRAINING_FACTOR = 1.35

Direction = Literal["higher", "lower", "more varied", "less varied"]
_DIRECTIONS: tuple[Direction, ...] = ("higher", "lower", "more varied", "less varied")


class TellingFeature(NamedTuple):
    """What one feature tells the judge, beside the others and alone.

    Attributes
    ----------
    group, name : str
    loss : float
        AUC that the judge loses where the feature is hidden from it (every song has the middle value).
    direction : {"higher", "lower"}
        What makes a song look generated, its other features being what they are.
    alone : float
        Share of (real, generated) pairs that this feature alone orders rightly, 0.5 to 1.
    alone_direction : str
        How generated songs differ alone: in level, or in how far they lie from the middle real song.
    generated, reference : float
        Medians.
    """

    group: str
    name: str
    loss: float
    direction: Direction
    alone: float
    alone_direction: Direction
    generated: float
    reference: float


class TwoSampleTest(NamedTuple):
    """How well generated songs are told from real ones; None where there are too few songs.

    Attributes
    ----------
    auc : float or None
        0.5: cannot tell; 1: always.
    interval : (float, float) or None
        95 % interval over songs.
    real : float or None
        What the same test finds between real songs and other real songs, mean.
    real_range : (float, float) or None
        95 % range of that.
    telling : tuple of TellingFeature
        The most telling first, by `loss` and `alone` together: where several features tell the same, none is missed.
    """

    auc: float | None
    interval: tuple[float, float] | None
    real: float | None
    real_range: tuple[float, float] | None
    telling: tuple[TellingFeature, ...]


def two_sample_test(
    reference: Features,
    generated: Features,
    rng: np.random.Generator,
    others: Features | None = None,
    *,
    with_floor: bool = True,
) -> TwoSampleTest:
    """Return how well a trained judge tells generated songs from real ones, and by what.

    Parameters
    ----------
    reference, generated : dict of group -> name -> ndarray, shape (num_songs,)
        Features of real songs, cut to the length of the generated ones, and of those. Groups beyond GROUPS are passed
        over, and features that no song of a set defines; a song that does not define one counts as the middle.
    rng : numpy Generator
        Of the folds and of the real songs' divisions.
    others : the same, optional
        More real songs, cut alike: the real value is then theirs against the whole reference; else that of two parts
        of the reference.
    with_floor : bool
        Whether to find the real value; it takes most of the time.

    References
    ----------
    .. [1] E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, "Comparing the areas under two or more correlated
       receiver operating characteristic curves", Biometrics 44, 1988.
    """
    sets = (reference, generated) if others is None else (reference, generated, others)
    names = [
        (group, name)
        for group in GROUPS
        for name in reference.get(group, {})
        if all(np.isfinite(features[group][name]).any() for features in sets)
    ]
    real, ours = (_table(features, names) for features in (reference, generated))
    beside = None if others is None else _table(others, names)
    if min(len(real), len(ours)) < MIN_SONGS or not names:
        return TwoSampleTest(None, None, None, None, ())
    real_share, our_share = _pair_shares(real, ours, rng)
    auc = float(real_share.mean())
    error = np.sqrt(real_share.var(ddof=1) / len(real) + our_share.var(ddof=1) / len(ours))
    reach = 1.96 * _TRAINING_FACTOR * float(error)
    interval = (max(auc - reach, 0.0), min(auc + reach, 1.0))
    telling = tuple(_telling(names, real, ours, rng))
    if not with_floor or min(len(ours), len(real if beside is None else beside) // 2) < MIN_SONGS:
        return TwoSampleTest(auc, interval, None, None, telling)
    divisions = draw_divisions(
        len(real),
        len(ours),
        rng,
        num_others=None if beside is None else len(beside),
        num_draws=_NUM_FLOOR_DRAWS,
    )
    judges = real if beside is None else beside
    whole, parts = (np.broadcast_to(draws, (_NUM_FLOOR_DRAWS, draws.shape[1])) for draws in divisions)
    floor = range_of(
        [
            _pair_shares(real[first], judges[second], rng, num_repeats=1)[0].mean()
            for first, second in zip(whole, parts, strict=True)
        ]
    )
    return TwoSampleTest(auc, interval, float(floor.value), (float(floor.low), float(floor.high)), telling)


def _table(features: Features, names: list[tuple[str, str]]) -> NDArray[np.float64]:
    """Return the features of each song, shape (num_songs, num_features)."""
    columns = [np.asarray(features[group][name], dtype=np.float64) for group, name in names]
    table = np.stack(columns, axis=1) if columns else np.empty((0, 0))
    return np.where(np.isfinite(table), table, np.nan)


class _Trial(NamedTuple):
    """A judge with the songs it is asked about and never saw; tables are normal scores."""

    seen: NDArray[np.float64]
    weights: NDArray[np.float64]
    asked: NDArray[np.float64]
    real: NDArray[np.intp]
    ours: NDArray[np.intp]

    def scores(self, asked: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how much the real and the generated songs asked about look generated."""
        found = _kernel(asked, self.seen) @ self.weights
        return found[: len(self.real)], found[len(self.real) :]


def _trials(real: NDArray[np.float64], ours: NDArray[np.float64], rng: np.random.Generator) -> Iterator[_Trial]:
    """Train a judge for each fold; `real` and `ours` of a trial are the places of the songs it is asked about."""
    folds = [np.arange(len(table)) % _NUM_FOLDS for table in (real, ours)]
    for fold in folds:
        rng.shuffle(fold)
    for number in range(_NUM_FOLDS):
        places = [np.flatnonzero(fold == number) for fold in folds]
        known = [np.delete(table, out, axis=0) for table, out in zip((real, ours), places, strict=True)]
        seen, asked = _normal_scores(np.concatenate(known), np.concatenate([real[places[0]], ours[places[1]]]))
        # Both sets weigh the same, whatever their sizes.
        sizes = [len(table) for table in known]
        target = np.repeat([-0.5 / sizes[0], 0.5 / sizes[1]], sizes) * len(seen)
        weights = np.asarray(np.linalg.solve(_kernel(seen, seen) + _RIDGE * np.eye(len(seen)), target), np.float64)
        yield _Trial(seen, weights, asked, *places)


def _pair_shares(
    real: NDArray[np.float64], ours: NDArray[np.float64], rng: np.random.Generator, *, num_repeats: int = _NUM_REPEATS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, for each real and each generated song, the share of songs of the other set ordered rightly to it.

    Songs are only compared within a fold, by one judge; means over the repeats.
    """
    real_share, our_share = np.zeros(len(real)), np.zeros(len(ours))
    for _ in range(num_repeats):
        for trial in _trials(real, ours, rng):
            real_score, our_score = trial.scores(trial.asked)
            is_right = (our_score > real_score[:, None]) + 0.5 * (our_score == real_score[:, None])
            real_share[trial.real] += is_right.mean(axis=1) / num_repeats
            our_share[trial.ours] += is_right.mean(axis=0) / num_repeats
    return real_share, our_share


def _kernel(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    product = first @ second.T
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * product
    return np.exp(-_KERNEL_WIDTH * squares / first.shape[1]) + product / first.shape[1]


def _normal_scores(
    seen: NDArray[np.float64], asked: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both tables as standard normal quantiles of the ranks among the songs seen; NaN stands in their middle."""
    num_seen = len(seen)
    is_defined = np.isfinite(seen).any(axis=0)
    middle = np.zeros(seen.shape[1])
    middle[is_defined] = np.nanmedian(seen[:, is_defined], axis=0)
    tables = [np.where(np.isfinite(table), table, middle) for table in (seen, asked)]
    # Ranks are multiples of a half: 0 below every song seen, num_seen above.
    shares = (np.arange(2 * num_seen + 1) / 2 + 0.5) / (num_seen + 1)
    quantiles = np.array([NormalDist().inv_cdf(share) for share in shares])
    ordered = np.sort(tables[0], axis=0)
    scores = [np.empty_like(table) for table in tables]
    for column, among in enumerate(ordered.T):
        for table, score in zip(tables, scores, strict=True):
            values = table[:, column]
            score[:, column] = quantiles[np.searchsorted(among, values) + np.searchsorted(among, values, side="right")]
    return scores[0], scores[1]


def _telling(
    names: list[tuple[str, str]], real: NDArray[np.float64], ours: NDArray[np.float64], rng: np.random.Generator
) -> list[TellingFeature]:
    losses, slopes = np.zeros(len(names)), np.zeros(len(names))
    for trial in _trials(real, ours, rng):
        whole = _pair_share(*trial.scores(trial.asked))
        for column in range(len(names)):
            changed = trial.asked.copy()
            changed[:, column] = 0
            losses[column] += (whole - _pair_share(*trial.scores(changed))) / _NUM_FOLDS
            for value in (-1, 1):
                changed[:, column] = value
                slopes[column] += value * sum(part.sum() for part in trial.scores(changed))
    found: list[TellingFeature] = []
    for place, (group, name) in enumerate(names):
        reals, judged = (table[:, place][np.isfinite(table[:, place])] for table in (real, ours))
        middle = float(np.median(reals))
        level, spread = _pair_share(reals, judged), _pair_share(np.abs(reals - middle), np.abs(judged - middle))
        shares = (level, 1 - level, spread, 1 - spread)
        best = int(np.argmax(shares))
        direction = _DIRECTIONS[int(slopes[place] < 0)]
        medians = float(np.median(judged)), middle
        found.append(
            TellingFeature(group, name, float(losses[place]), direction, shares[best], _DIRECTIONS[best], *medians)
        )
    return sorted(found, key=lambda one: -(one.loss + one.alone))


def _pair_share(lower: NDArray[np.float64], higher: NDArray[np.float64]) -> float:
    """Return the share of pairs in which the second value is the higher one; equal values count half."""
    ordered = np.sort(lower)
    below, upto = (np.searchsorted(ordered, higher, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(lower)))
