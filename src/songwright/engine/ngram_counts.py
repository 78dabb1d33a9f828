"""How often tokens followed one another, as flat arrays: what an n-gram model is made of.

Knows ids and counts, and how much of each count is kept for what was not seen; predicting is left to `engine.ngram`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LEAST_DISCOUNT = 0.1  # keeps every token possible where counts of counts would discount nothing


@dataclass(frozen=True, kw_only=True)
class NgramSizes:
    """What an n-gram model looks at.

    Attributes
    ----------
    vocab_size : int
    order : int
        Tokens of an n-gram of the corpus; its longest context is one less.
    cache_order : int
        The same for the song so far; 0 if it is not counted.
    """

    vocab_size: int
    order: int
    cache_order: int = 0

    def __post_init__(self) -> None:
        if self.vocab_size < 1 or self.order < 1 or self.cache_order < 0:
            raise ValueError(f"vocab_size and order must be at least 1 and cache_order at least 0, got {self}")


@dataclass(frozen=True, eq=False)
class NgramCounts:
    """A tree of contexts as flat arrays: a context's child is the context one token longer into the past.

    Contexts are numbered by length, then by parent, then by the added token; number 0 is the empty one.

    Attributes
    ----------
    num_contexts : ndarray of int64, shape (order,)
        Contexts of each length from 0.
    keys : ndarray of int64, shape (total contexts - 1,)
        parent * vocab_size + added token of context 1, 2 and so on: strictly rising.
    ends : ndarray of int64, shape (total contexts,)
        Where the followers of each context end in the next two arrays.
    followers : ndarray of uint16, shape (num_ngrams,)
        Tokens that follow a context, rising within each.
    counts : ndarray of int32, shape (num_ngrams,)
        How often, for the longest contexts; for shorter ones after how many different tokens the n-gram was seen (the
        start of a song counts each time).
    """

    num_contexts: NDArray[np.int64]
    keys: NDArray[np.int64]
    ends: NDArray[np.int64]
    followers: NDArray[np.uint16]
    counts: NDArray[np.int32]

    @classmethod
    def of(cls, songs: Iterable[NDArray[np.integer]], *, vocab_size: int, order: int) -> NgramCounts:
        """Count every token of some songs but the first of each.

        Raises
        ------
        ValueError
            If no song has two tokens, or a token is outside the vocabulary.
        """
        kept = [np.asarray(song, dtype=np.int64) for song in songs if len(song) > 1]
        if not kept:
            raise ValueError("no song has two tokens")
        tokens = np.concatenate(kept)
        if tokens.min() < 0 or tokens.max() >= vocab_size:
            raise ValueError(f"token ids must be from 0 to {vocab_size - 1}")
        place = np.concatenate([np.arange(len(song)) for song in kept])
        target = np.flatnonzero(place)  # every token that has a past
        context = np.zeros(len(target), dtype=np.int64)
        keys: list[NDArray[np.int64]] = []
        ngrams: list[NDArray[np.int64]] = []
        counts: list[NDArray[np.int64]] = []
        num_contexts = [1]
        for length in range(order):
            if length:
                has_context = place[target] >= length
                target, context = target[has_context], context[has_context]
                found, inverse = np.unique(context * vocab_size + tokens[target - length], return_inverse=True)
                context = sum(num_contexts) + inverse
                keys.append(found)
                num_contexts.append(len(found))
            ngram, inverse, count = np.unique(
                context * vocab_size + tokens[target], return_inverse=True, return_counts=True
            )
            if length < order - 1:
                has_before = place[target] > length
                pairs = np.unique(inverse[has_before] * vocab_size + tokens[target[has_before] - length - 1])
                count = np.bincount(np.concatenate([pairs // vocab_size, inverse[~has_before]]), minlength=len(ngram))
            ngrams.append(ngram)
            counts.append(count)
        owner, followers = np.divmod(np.concatenate(ngrams), vocab_size)
        return cls(
            np.array(num_contexts),
            np.concatenate([np.zeros(0, dtype=np.int64), *keys]),
            np.cumsum(np.bincount(owner, minlength=sum(num_contexts))),
            followers.astype(np.uint16),
            np.concatenate(counts).astype(np.int32),
        )

    def check(self, sizes: NgramSizes) -> None:
        """Raise ValueError if the arrays do not fit each other."""
        total = int(self.num_contexts.sum())
        if len(self.num_contexts) != sizes.order or len(self.ends) != total or len(self.keys) != total - 1:
            raise ValueError("the contexts do not fit the order")
        if (np.diff(self.keys) <= 0).any() or (np.diff(self.ends, prepend=0) <= 0).any():
            raise ValueError("the contexts are not in order")
        if len(self.followers) != self.ends[-1] or len(self.counts) != self.ends[-1]:
            raise ValueError("the followers do not fit the contexts")
        if self.followers.max() >= sizes.vocab_size or self.counts.min() < 1:
            raise ValueError("followers or counts are impossible")

    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the discounted share of each follower in its context, and what each context leaves to shorter ones."""
        size = np.diff(self.ends, prepend=0)
        owner = np.repeat(np.arange(len(size)), size)
        length = np.repeat(np.arange(len(self.num_contexts)), self.num_contexts)[owner]
        capped = np.minimum(self.counts, 5)  # 5 or more: no formula asks how many
        seen = np.bincount(length * 6 + capped, minlength=6 * len(self.num_contexts)).reshape(-1, 6)
        by_length = np.array([discounts(row[1:5]) for row in seen])
        discount = by_length[length, np.minimum(capped, 3) - 1]
        total = np.bincount(owner, self.counts)
        return (self.counts - discount) / total[owner], np.bincount(owner, discount) / total


def discounts(counts_of_counts: ArrayLike) -> tuple[float, float, float]:
    """Return what is taken from a count of one, of two, and of three or more.

    With n_i n-grams counted i times and y = n_1 / (n_1 + 2 n_2): i - (i + 1) y n_(i+1) / n_i [1]_, but at least 0.1
    and at most i; i / 2 where one of the four is 0.

    Parameters
    ----------
    counts_of_counts : array_like of int, shape (4,)
        n_1 to n_4.

    References
    ----------
    .. [1] S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling", Computer
       Speech and Language 13, 1999, equation 17.

    Examples
    --------
    >>> [round(discount, 3) for discount in discounts([60, 20, 10, 5])]
    [0.6, 1.1, 1.8]
    """
    seen = [float(number) for number in np.asarray(counts_of_counts)]
    if not all(seen):
        return 0.5, 1.0, 1.5
    share = seen[0] / (seen[0] + 2 * seen[1])
    ratios = [later / earlier for earlier, later in pairwise(seen)]
    one, two, more = (
        min(max(number - (number + 1) * share * ratio, _LEAST_DISCOUNT), float(number))
        for number, ratio in enumerate(ratios, start=1)
    )
    return one, two, more
