"""What phrase follows in a form: the contexts that predict its letter and length, and their interpolation.

Knows the statistics of phrase labels and how to mix them into one distribution. Counting them in
labelled songs is left to `training.forms`, drawing whole forms to `composition.form`.

A letter is predicted by several count tables at once (Jelinek-Mercer interpolation), each keyed by
one context: the previous letters, how often the last one was repeated (now and earlier), how many sung
letters were heard, the place in the first half of the song, and the letter that followed when the song last
passed here (the longest earlier match, a cache of order 3). The length of a letter that returns is mostly
the length it had; that of a new letter follows the letter, the song's length, the last sung phrase and the
tempo. Lengths are in bars.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LETTERS = "ixbXABCDEo"
"""Axis of every letter distribution: intro, one-off and returning instrumental, one-off sung, sung, outro."""
SUNG_LETTERS = "ABCDE"
START = "^"
MAX_LENGTH = 32
"""Longest phrase that is learned or drawn, in bars: axis of every length distribution, index 0 unused."""

_TEMPO_EDGES = (62.0, 70.0, 82.0, 100.0)  # fifths of the songs, in quarter notes per minute
_SIZE_EDGES = (56, 64, 72, 84, 100)  # sixths of the songs, in bars
_MAX_MATCH = 3
_MAX_RUN = 4
_LETTER_INDEX = {letter: index for index, letter in enumerate(LETTERS)}


class PhraseContext(NamedTuple):
    """What is known of a song where its next phrase starts.

    Attributes
    ----------
    previous, before : str
        Last letter and the one before; `^` before the start.
    run, earlier_run : int
        How many times in a row the last letter has sounded, now and the time before, at most 4.
    num_sung : int
        Distinct letters A to E heard so far.
    part : int
        Eighth of the song in which the phrase starts, 0 to 3; 4 for the whole second half. How near the end is does
        not belong to the context: who draws forms of a given length weighs choices by the bars that are left.
    match, match_letter, match_length : int, str, int
        Letters (up to 3) that agree with the longest, then latest, earlier place like this one, and the phrase
        that followed there; 0, `-`, 0 without one.
    lengths : mapping
        Earlier lengths of every letter heard, in order.
    last_sung : int
        Length of the last sung phrase, 0 without one.
    previous_length : int
        Length of the last phrase, 0 at the start.
    num_bars : int
        Length of the song.
    """

    previous: str
    before: str
    run: int
    earlier_run: int
    num_sung: int
    part: int
    match: int
    match_letter: str
    match_length: int
    lengths: Mapping[str, tuple[int, ...]]
    last_sung: int
    previous_length: int
    num_bars: int


def phrase_context(phrases: Sequence[tuple[str, int]], num_bars: int) -> PhraseContext:
    """Return the context of the phrase that follows `phrases` in a song of `num_bars` bars."""
    letters = [letter for letter, _ in phrases]
    run, earlier_run = _runs(letters)
    match, place = _longest_match(letters)
    lengths: dict[str, tuple[int, ...]] = {}
    last_sung = bars = 0
    for letter, length in phrases:
        lengths[letter] = (*lengths.get(letter, ()), length)
        bars += length
        if letter in SUNG_LETTERS:
            last_sung = length
    return PhraseContext(
        previous=letters[-1] if letters else START,
        before=letters[-2] if len(letters) > 1 else START,
        run=run,
        earlier_run=earlier_run,
        num_sung=sum(letter in lengths for letter in SUNG_LETTERS),
        part=min(4, 8 * bars // num_bars),
        match=match,
        match_letter=letters[place] if match else "-",
        match_length=phrases[place][1] if match else 0,
        lengths=lengths,
        last_sung=last_sung,
        previous_length=phrases[-1][1] if phrases else 0,
        num_bars=num_bars,
    )


def _runs(letters: Sequence[str]) -> tuple[int, int]:
    """Return how often the last letter has sounded in a row, and how often in its run before (0 without one)."""
    run = 0
    while run < len(letters) and letters[-1 - run] == letters[-1]:
        run += 1
    earlier_run = 0
    for letter in reversed(letters[: len(letters) - run]):
        if letter == letters[-1]:
            earlier_run += 1
        elif earlier_run:
            break
    return min(run, _MAX_RUN), min(earlier_run, _MAX_RUN)


def _longest_match(letters: Sequence[str]) -> tuple[int, int]:
    """Return how many letters before an earlier place equal the last letters, at most _MAX_MATCH, and that place."""
    match, place = 0, 0
    for end in range(len(letters) - 1, 0, -1):
        length = 0
        while length < min(end, _MAX_MATCH) and letters[end - 1 - length] == letters[-1 - length]:
            length += 1
        if length > match:
            match, place = length, end
            if match == _MAX_MATCH:
                break
    return match, place


def letter_keys(context: PhraseContext) -> tuple[str, ...]:
    """Return the context's key in each letter table; the first table backs off the others."""
    followed = f"{context.match_letter}{context.match}"
    runs = f"{context.previous}{context.run}{context.earlier_run}"
    third = context.part // 2
    return (
        context.previous,
        f"{context.before}{context.previous}{context.num_sung}{third}",
        f"{followed}{context.previous}",
        f"{followed}{context.part}",
        f"{context.previous}{context.run}{context.match_letter}{third}{context.num_sung}",
        f"{runs}{context.match_letter}",
        f"{runs}{context.match_letter}{third}",
    )


def length_keys(context: PhraseContext, letter: str, tempo_qpm: float) -> tuple[str, ...]:
    """Return a letter's key in each length table, earlier lengths aside; the first two tables back off the others."""
    tempo = bisect.bisect(_TEMPO_EDGES, tempo_qpm)
    size = bisect.bisect(_SIZE_EDGES, context.num_bars)
    return (
        letter,
        f"{letter}n{size}",
        f"{letter}{context.last_sung}",
        f"{letter}n{size}t{tempo}",
        f"{letter}{context.last_sung}t{tempo}",
        f"{letter}{context.previous}{context.previous_length}",
        f"{letter}{context.previous}{context.part // 2}n{size // 2}",
    )


def letter_group(context: PhraseContext) -> str:
    """Return the group of contexts that share interpolation weights for letters."""
    return f"{context.match}{'ab'[context.part == 4]}"


def return_group(context: PhraseContext, letter: str) -> str:
    """Return the group of returning phrases that share weights between old lengths and a fresh one."""
    kind = "S" if letter in SUNG_LETTERS else letter
    return kind + ("m" if context.match_letter == letter else "-")


@dataclass(frozen=True)
class FormModel:
    """Interpolated count tables of letters and lengths; distributions are kept once computed.

    Attributes
    ----------
    letter_tables, length_tables : sequence of mappings
        Key to counts by letter, and to counts by length; one mapping per key of `letter_keys` and `length_keys`.
    letter_weights, length_weights, return_weights : mappings
        Interpolation weights by group, each summing to 1: over the letter tables; over the length tables (by
        letter); over (matched, last, any earlier, fresh) lengths of a returning letter.
    end_share : mapping
        Share of the phrases of each letter that end their song.
    """

    letter_tables: Sequence[Mapping[str, Mapping[str, int]]]
    length_tables: Sequence[Mapping[str, Mapping[str, int]]]
    letter_weights: Mapping[str, Sequence[float]]
    length_weights: Mapping[str, Sequence[float]]
    return_weights: Mapping[str, Sequence[float]]
    end_share: Mapping[str, float]
    _kept: dict[tuple[str, ...], NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)

    def letter_components(self, context: PhraseContext) -> NDArray[np.float64]:
        """Return what each letter table predicts, shape (num_tables, num_letters); letters out of order get 0."""
        allowed = _allowed_letters(context)
        base = allowed / allowed.sum()
        rows = []
        for table, key in zip(self.letter_tables, letter_keys(context), strict=True):
            row = _smoothed(table.get(key), base, _LETTER_INDEX) * allowed
            rows.append(row / row.sum())
            base = rows[0]
        return np.array(rows)

    def letter_distribution(self, context: PhraseContext) -> NDArray[np.float64]:
        """Return the probability of each of LETTERS, shape (num_letters,)."""
        keys = letter_keys(context)
        if keys not in self._kept:
            weights = self.letter_weights.get(letter_group(context), self.letter_weights["*"])
            self._kept[keys] = np.asarray(weights) @ self.letter_components(context)
        return self._kept[keys]

    def length_components(self, context: PhraseContext, letter: str, tempo_qpm: float) -> NDArray[np.float64]:
        """Return what each length table predicts, shape (num_tables, MAX_LENGTH + 1)."""
        base = np.zeros(MAX_LENGTH + 1)
        base[1:] = 0.02 / MAX_LENGTH
        base[1:17] += 0.98 / 16  # nearly all phrases have up to 16 bars
        rows = []
        for table, key in zip(self.length_tables, length_keys(context, letter, tempo_qpm), strict=True):
            rows.append(_smoothed(table.get(key), base, None))
            base = rows[min(1, len(rows) - 1)]
        return np.array(rows)

    def fresh_length_distribution(self, context: PhraseContext, letter: str, tempo_qpm: float) -> NDArray[np.float64]:
        """Return the probability of each length, earlier ones of the letter aside, shape (MAX_LENGTH + 1,)."""
        keys = ("length", *length_keys(context, letter, tempo_qpm))
        if keys not in self._kept:
            weights = self.length_weights.get(letter, self.length_weights["*"])
            self._kept[keys] = np.asarray(weights) @ self.length_components(context, letter, tempo_qpm)
        return self._kept[keys]

    def length_distribution(self, context: PhraseContext, letter: str, tempo_qpm: float) -> NDArray[np.float64]:
        """Return the probability of each length of `letter` here, shape (MAX_LENGTH + 1,)."""
        fresh = self.fresh_length_distribution(context, letter, tempo_qpm)
        if letter not in context.lengths:
            return fresh
        weights = self.return_weights.get(return_group(context, letter), self.return_weights["*"])
        return np.asarray(weights) @ return_components(context, letter, fresh)


def return_components(context: PhraseContext, letter: str, fresh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length distributions (matched, last, any earlier, fresh) of a letter that was heard before."""
    rows = np.zeros((4, MAX_LENGTH + 1))
    earlier = context.lengths[letter]
    rows[0, context.match_length if context.match_letter == letter else earlier[-1]] = 1
    rows[1, earlier[-1]] = 1
    for length in earlier:
        rows[2, length] += 1 / len(earlier)
    rows[3] = fresh
    return rows


def _allowed_letters(context: PhraseContext) -> NDArray[np.float64]:
    """Return 1 for each letter that may come: the intro only first, A before B before C, one-offs and outro later."""
    at_start = context.previous == START
    return np.array(
        [
            SUNG_LETTERS.index(letter) <= context.num_sung
            if letter in SUNG_LETTERS
            else at_start
            if letter == "i"
            else not (at_start and letter in "xbo")
            for letter in LETTERS
        ],
        dtype=np.float64,
    )


def _smoothed(
    counts: Mapping[str, int] | None, base: NDArray[np.float64], index: Mapping[str, int] | None
) -> NDArray[np.float64]:
    """Return counts as probabilities, backed off to `base` by Witten and Bell's rule."""
    if not counts:
        return base
    probabilities = len(counts) * base
    for name, count in counts.items():
        probabilities[index[name] if index else int(name)] += count
    return probabilities / probabilities.sum()


def instrumental_share(phrases: Sequence[tuple[str, int]]) -> float:
    """Return the share of bars that are instrumental, 0 to 1."""
    return sum(bars for letter, bars in phrases if letter.islower()) / sum(bars for _, bars in phrases)


def repeated_share(phrases: Sequence[tuple[str, int]]) -> float:
    """Return the share of phrases whose letter was heard before, 0 to 1."""
    return 1 - len({letter for letter, _ in phrases}) / len(phrases)
