"""Which style a piece is in, from its notes alone, with the features that speak for and against.

Six styles are known, each by the collections it was learned from: pop (POP909), jazz standard (OpenEWLD), art song
(OpenScore Lieder), chorale (Bach), folk (Essen, O'Neill, Ryan, Aird) and game (Freedoom, Simutrans, Tanner Helland).
Music of none of them is put with the nearest.

The score of a kind of music is a sum of one curve for each feature (`style_features`), so that what each feature adds
can be read off: a generalised additive model with a softmax. A style is one kind, but folk is three that share little
(songs of Europe, dance tunes, songs of China) and game two (rock, other); its probability is their sum.
`benchmarks/style_fitting.py` fits the model on training pieces of equal total weight for each style, and softens it by
one temperature so that probabilities are frequencies. There are three models: for a melody alone, with harmony, and
with an accompaniment. What is missing does not speak: where a style has no music with accompaniment, the curves were
fitted with that of other pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.style_catalog import GROUPS, STYLE_FEATURES, StyleFeature
from songwright.analysis.style_features import style_features
from songwright.analysis.weights import stored_arrays
from songwright.score.grid_score import GridScore

STYLES = ("pop", "jazz standard", "art song", "chorale", "folk", "game")
KINDS = (*STYLES, "folk dance", "folk song of China", "rock of games")
"""Kinds of music that have curves of their own: the styles, and further kinds of folk and of game music."""
STYLE_OF_KIND = np.array([0, 1, 2, 3, 4, 5, 4, 4, 5])


class Evidence(NamedTuple):
    """What one feature says about a style.

    Attributes
    ----------
    feature : StyleFeature
    value : float
        In this piece.
    low, median, high : float or None
        The 5th, 50th and 95th percentile of the style's training pieces; None where it has none with this group.
    log_odds : float
        What it adds to the log odds (nats) of the style against the other styles, weighted by their probabilities.
    """

    feature: StyleFeature
    value: float
    low: float | None
    median: float | None
    high: float | None
    log_odds: float

    @property
    def value_text(self) -> str:
        """The value with its unit."""
        return f"{_number(self.value, self.feature.unit)} {self.feature.unit}".strip()

    @property
    def typical_text(self) -> str:
        """The range from `low` to `high` with its unit; empty where it is not known."""
        if self.low is None or self.high is None:
            return ""
        unit = self.feature.unit
        return f"{_number(self.low, unit)} to {_number(self.high, unit)} {unit}".strip()

    def text(self, style: str) -> str:
        """Return the evidence as a musician would say it: `off-beat onsets: 58 % (pop 35 to 70 %)`."""
        typical = f" ({style} {self.typical_text})" if self.typical_text else ""
        return f"{self.feature.words}: {self.value_text}{typical}"


def _number(value: float, unit: str) -> str:
    return f"{100 * value:.0f}" if unit == "%" else f"{value:.1f}"


@dataclass(frozen=True, eq=False)
class StyleJudgement:
    """How probable each style is for a piece, and why.

    Attributes
    ----------
    probabilities : dict
        Of each of STYLES; they sum to 1 and are calibrated for music of which each style is equally frequent.
    heard : tuple of str
        The groups of features (GROUPS) that the piece has: `melody`, perhaps `harmony`, perhaps `accompaniment`.
    values : ndarray of float64, shape (len(STYLE_FEATURES),)
        NaN where the piece does not define a feature.
    kind_probabilities : ndarray of float64, shape (len(KINDS),)
    contributions : ndarray of float64, shape (len(STYLE_FEATURES), len(KINDS))
        What each feature adds to the score of each kind, on average 0 over music of all styles.
    """

    probabilities: dict[str, float]
    heard: tuple[str, ...]
    values: NDArray[np.float64]
    kind_probabilities: NDArray[np.float64]
    contributions: NDArray[np.float64]

    @property
    def style(self) -> str:
        """The most probable style."""
        return max(STYLES, key=self.probabilities.__getitem__)

    def log_odds(self, style: str) -> float:
        """Return the log odds of a style against all others: nats, at most 50 either way.

        Raises
        ------
        ValueError
            If the style is none of STYLES.
        """
        probability = self.probabilities[STYLES[_index(style)]]
        return float(np.clip(np.log(max(probability, 1e-300)) - np.log(max(1 - probability, 1e-300)), -50, 50))

    def evidence(self, style: str) -> tuple[Evidence, ...]:
        """Return what each feature that the piece defines says about a style, the weightiest first.

        Kinds of the style, and its rivals, are weighted by their probabilities. So the contributions sum to `log_odds`
        but for a constant: that of the biases and of how evenly the weights are spread.

        Raises
        ------
        ValueError
            If the style is none of STYLES.
        """
        index = _index(style)
        is_asked = np.equal(STYLE_OF_KIND, index)
        balance = _shares(self.kind_probabilities, is_asked) - _shares(self.kind_probabilities, ~is_asked)
        added = self.contributions @ balance
        typical = _weights()["typical"][index]
        found: list[Evidence] = []
        for row, feature in enumerate(STYLE_FEATURES):
            if feature.group in self.heard and np.isfinite(self.values[row]):
                low, median, high = (float(value) if np.isfinite(value) else None for value in typical[row])
                found.append(Evidence(feature, float(self.values[row]), low, median, high, float(added[row])))
        return tuple(sorted(found, key=lambda one: -abs(one.log_odds)))


def _shares(probability: NDArray[np.float64], is_member: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the probabilities among the members; alike where all are 0."""
    kept = np.where(is_member, np.maximum(probability, 1e-300), 0)
    return kept / kept.sum()


def _index(style: str) -> int:
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}: one of {', '.join(STYLES)}")
    return STYLES.index(style)


def classify_style(score: GridScore) -> StyleJudgement | None:
    """Return how probable each style is for a piece, or None where its melody has too few notes to say.

    Parameters
    ----------
    score : GridScore
        Any metre and key; tracks with their roles.

    Raises
    ------
    InputError
        If the piece has more bars than `half_bars.MAX_BARS`.
    """
    values = style_features(score)
    return None if values is None else judge_features(values)


def judge_features(values: NDArray[np.float64]) -> StyleJudgement:
    """Return the judgement of a piece whose features (from `style_features`) are known."""
    defined = np.isfinite(values)
    heard = tuple(group for group in GROUPS if defined[_COLUMNS[group]].any())
    weights, name = _weights(), heard[-1] if heard else GROUPS[0]
    curves = weights[f"{name}_curves"]
    contributions = np.zeros((len(STYLE_FEATURES), len(KINDS)))
    used = defined & np.isin(_GROUP_OF, heard)
    position = knot_positions(np.where(defined, values, 0.0)[None], weights["knots"])[0]
    left = np.minimum(position.astype(int), curves.shape[1] - 2)
    right_share = (position - left)[:, None]
    rows = np.arange(len(STYLE_FEATURES))
    contributions[used] = (curves[rows, left] * (1 - right_share) + curves[rows, left + 1] * right_share)[used]
    scores = contributions.sum(axis=0) + weights[f"{name}_bias"]
    kinds = np.exp(scores - scores.max())
    kinds /= kinds.sum()
    probability = np.bincount(STYLE_OF_KIND, kinds, len(STYLES))
    return StyleJudgement(dict(zip(STYLES, probability.tolist(), strict=True)), heard, values, kinds, contributions)


def knot_positions(values: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where values lie among the knots of their features, from 0 to num_knots - 1, by linear interpolation.

    Parameters
    ----------
    values : ndarray, shape (num_pieces, num_features)
        Without NaN.
    knots : ndarray, shape (num_features, num_knots)
        Strictly increasing in each row.
    """
    last = knots.shape[1] - 1
    left = np.clip((values[:, :, None] >= knots).sum(axis=2) - 1, 0, last - 1)
    rows = np.arange(len(knots))
    share = (values - knots[rows, left]) / (knots[rows, left + 1] - knots[rows, left])
    return left + np.clip(share, 0, 1)


_GROUP_OF = np.array([feature.group for feature in STYLE_FEATURES])
_COLUMNS = {group: np.flatnonzero(group == _GROUP_OF) for group in GROUPS}


@cache
def _weights() -> dict[str, NDArray[np.float64]]:
    """Return the stored arrays.

    `knots` (features, num_knots); `typical` (styles, features, 3); for each of GROUPS, `GROUP_curves` (features,
    num_knots, kinds), zero for the groups after it, and `GROUP_bias` (kinds,), both divided by the temperature.
    """
    return {name: array.astype(np.float64) for name, array in stored_arrays("style").items()}
