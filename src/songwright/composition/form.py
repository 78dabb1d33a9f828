"""Draw the form of a song: phrase letters and lengths that fill a number of bars exactly.

Knows how to draw from the statistics of labelled pop songs (`analysis.form_model`, learned by
`training.forms`, shipped as `pop_forms.json`). What key, tempo and number of bars a song has is `plan`'s.

A form is drawn phrase by phrase from the model, each choice weighed by a lookahead: the chance that a
simpler model (next letter by the last one, length by the letter) ends a song in exactly the bars then left. Several
candidates are drawn, and one is kept in proportion to its importance weight, which corrects for the simpler model,
times how usual its shares of instrumental bars and of repeated phrases are in songs of that length: these belong to the
song as a whole, and phrase by phrase they vary too much.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.form_model import (
    LETTERS,
    MAX_LENGTH,
    FormModel,
    instrumental_share,
    phrase_context,
    repeated_share,
)
from songwright.score.lead_sheet import Form, Phrase

MAX_BARS = 1000
"""Longest form that is drawn, in bars."""

_NUM_CANDIDATES = 32
# Standard deviations of the weight on shares, as multiples of those of real songs.
_USUALNESS_WIDTH = 1.4
_MAX_ROUNDS = 8
# Seconds that songs of the corpus last; the tempo that a form of unknown tempo is taken to have follows from it.
_USUAL_SECONDS = 247.0
# 95 % of labelled songs have under 35 % of their bars instrumental.
_MAX_INSTRUMENTAL_SHARE = 0.5


@functools.cache
def load_statistics(style: str) -> dict[str, Any]:
    """Return the statistics of a style as `training.forms.learn_forms` wrote them; pop's where it has none."""
    folder = importlib.resources.files("songwright.composition")
    file = folder / f"{style}_forms.json"
    if not style.isidentifier() or not file.is_file():
        file = folder / "pop_forms.json"
    return json.loads(file.read_text(encoding="utf-8"))


@functools.cache
def form_model(style: str = "pop") -> FormModel:
    """Return the form model of a style."""
    return FormModel(**load_statistics(style)["model"])


def sample_form(num_bars: int, rng: np.random.Generator, *, tempo_qpm: float | None = None, style: str = "pop") -> Form:
    """Draw a form of exactly `num_bars` bars.

    Parameters
    ----------
    num_bars : int
        Length of the song in bars, from 1 to MAX_BARS.
    rng : numpy.random.Generator
        Source of chance; only `rng.random` is used, whose stream NumPy keeps between versions.
    tempo_qpm : float, optional
        Tempo in quarter notes per minute: slow songs have shorter phrases. By default the tempo at which a song of that
        many bars usually stands.
    style : str
        Whose statistics to use.

    Returns
    -------
    Form
        Has an A phrase, and no more instrumental bars than sung ones.

    Raises
    ------
    ValueError
        If `num_bars` is out of range.
    """
    if not 1 <= num_bars <= MAX_BARS:
        raise ValueError(f"a form has from 1 to {MAX_BARS} bars, got {num_bars}")
    model = form_model(style)
    if tempo_qpm is None:
        tempo_qpm = min(max(num_bars * 240.0 / _USUAL_SECONDS, 60.0), 140.0)
    lookahead = _lookahead(model, num_bars)
    for _ in range(_MAX_ROUNDS):
        drawn = [_draw(model, lookahead, num_bars, tempo_qpm, rng) for _ in range(_NUM_CANDIDATES)]
        drawn = [(phrases, log_weight) for phrases, log_weight in drawn if _is_song(phrases)]
        if drawn:
            log_weights = np.array([log_weight + _usualness(phrases, style) for phrases, log_weight in drawn])
            chosen = drawn[_pick(np.exp(log_weights - log_weights.max()), rng)][0]
            return Form(tuple(Phrase(*phrase) for phrase in chosen))
    # Reached with a few bars only, where a song is one phrase.
    lengths = [MAX_LENGTH] * (num_bars // MAX_LENGTH) + [num_bars % MAX_LENGTH]
    return Form(tuple(Phrase("A", length) for length in lengths if length))


def _draw(
    model: FormModel, lookahead: NDArray[np.float64], num_bars: int, tempo_qpm: float, rng: np.random.Generator
) -> tuple[list[tuple[str, int]], float]:
    """Return phrases that fill the bars, and the logarithm of their importance weight."""
    phrases: list[tuple[str, int]] = []
    left, log_weight = num_bars, 0.0
    while left:
        context = phrase_context(phrases, num_bars)
        letters = model.letter_distribution(context)
        longest = min(MAX_LENGTH, left)
        # Guided probability of every (letter, length), shape (num_letters, longest)
        guided = lookahead[:, left - longest : left][:, ::-1] * letters[:, None]
        for index in np.flatnonzero(guided.any(1)):
            guided[index] *= model.length_distribution(context, LETTERS[index], tempo_qpm)[1 : longest + 1]
        index, length_index = divmod(_pick(guided.ravel(), rng), longest)
        left -= length_index + 1
        # Once all bars are filled, the last lookahead is the chance to end here, and cancels out.
        log_weight += float(np.log(guided.sum()))
        if left:
            log_weight += float(np.log1p(-model.end_share.get(LETTERS[index], 0.0)) - np.log(lookahead[index, left]))
        phrases.append((LETTERS[index], length_index + 1))
    return phrases, log_weight


def _is_song(phrases: Sequence[tuple[str, int]]) -> bool:
    has_verse = any(letter == "A" for letter, _ in phrases)
    return has_verse and instrumental_share(phrases) <= _MAX_INSTRUMENTAL_SHARE


def _usualness(phrases: Sequence[tuple[str, int]], style: str) -> float:
    """Return the logarithm of a Gaussian weight on the song's shares, 0 for the most usual ones."""
    log_bars = float(np.log(sum(length for _, length in phrases)))
    total = 0.0
    for name, share in (("instrumental", instrumental_share), ("repeated", repeated_share)):
        intercept, slope, deviation = load_statistics(style)["shares"][name]
        # The trend is known where songs are: few have less than 40 or more than 140 bars.
        usual = intercept + slope * min(max(log_bars, float(np.log(40))), float(np.log(140)))
        total -= ((share(phrases) - usual) / (_USUALNESS_WIDTH * deviation)) ** 2 / 2
    return total


def _lookahead(model: FormModel, num_bars: int) -> NDArray[np.float64]:
    """Return how likely a song ends after exactly that many more bars, shape (num_letters, num_bars + 1).

    Rows are the last letter so far. Letters follow the last letter alone, lengths their letter alone.
    """
    follow = np.array([_first_order(model.letter_tables[0].get(letter, {})) for letter in LETTERS])
    lengths = np.full((len(LETTERS), MAX_LENGTH + 1), 1e-4)
    lengths[:, 0] = 0.0
    for row, letter in zip(lengths, LETTERS, strict=True):
        for length, count in model.length_tables[0].get(letter, {}).items():
            row[int(length)] += count
    lengths /= lengths.sum(1, keepdims=True)
    end = np.array([model.end_share.get(letter, 0.0) for letter in LETTERS])
    values = np.zeros((len(LETTERS), num_bars + 1))
    values[:, 0] = end
    for left in range(1, num_bars + 1):
        longest = min(MAX_LENGTH, left)
        after = (lengths[:, 1 : longest + 1] * values[:, left - longest : left][:, ::-1]).sum(1)
        values[:, left] = (1 - end) * (follow @ after)
    return values


def _first_order(counts: Mapping[str, int]) -> NDArray[np.float64]:
    """Return the distribution of the next letter, shape (num_letters,); every letter but the intro can follow."""
    follow = np.array([counts.get(letter, 0) + (letter != "i") for letter in LETTERS], dtype=np.float64)
    return follow / follow.sum()


def _pick(weights: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Return an index drawn in proportion to the weights."""
    total = np.cumsum(weights)
    return min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), len(weights) - 1)
