"""Which phrases of a piece are the same: letters by the likeness of their bars.

Knows pairs of phrases as numbers and joins them into groups, average linkage first the surest; the letters are those of
`score.lead_sheet.Form`. Finds no phrases itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.phrase_features import BarContents

SUNG_SHARE = 0.4
"""Share of its bars that a sung phrase has melody in; best of .2 to .6 on POP909's training songs (99.4 % of bars)."""
MAX_COMPARED = 128
"""Phrases among which groups are formed; later phrases join them or stand alone."""
NUM_PAIR_FEATURES = 16
_COMPARED_BARS = 16  # of a phrase, from its start
_OPENING_BARS = 2
_SUNG_LETTERS, _INSTRUMENTAL_LETTERS = "ABCDE", "bcd"
_NEVER = -1e9


def letters_of(contents: BarContents, lengths: NDArray[np.int64], same: NDArray[np.floating]) -> list[str]:
    """Return the letter of each phrase.

    Parameters
    ----------
    contents : BarContents
        Of the whole piece.
    lengths : ndarray of int64, shape (num_phrases,)
        In bars; their sum is the number of bars.
    same : ndarray, shape (3, NUM_PAIR_FEATURES)
        Weights of the log odds that two phrases are the same: two instrumental ones, two sung ones, and two of a piece
        in which nothing is sung.
    """
    starts = np.cumsum(lengths) - lengths
    is_sung = sung_share(contents, starts, lengths) >= SUNG_SHARE
    free = np.ones(len(lengths), dtype=bool)
    letters = np.where(is_sung, "X", "x").tolist()
    if is_sung.any():
        for phrase, letter in ((0, "i"), (len(lengths) - 1, "o")):
            if not is_sung[phrase]:
                letters[phrase], free[phrase] = letter, False
    for sung, names in ((True, _SUNG_LETTERS), (False, _INSTRUMENTAL_LETTERS)):
        members = np.flatnonzero(free & (is_sung == sung))
        if len(members) < 2:
            continue
        weights = same[int(sung) if is_sung.any() else 2]
        head = members[:MAX_COMPARED]
        odds = pair_features(contents, starts, lengths, head, head) @ weights
        groups = [head[group] for group in join(odds)]
        for begin in range(MAX_COMPARED, len(members), MAX_COMPARED):
            rest = members[begin : begin + MAX_COMPARED]
            odds = pair_features(contents, starts, lengths, rest, head) @ weights
            mean = np.stack([odds[:, np.isin(head, group)].mean(axis=1) for group in groups], axis=1)
            nearest = np.where(mean.max(axis=1) > 0, mean.argmax(axis=1), -1)
            groups = [np.append(group, rest[nearest == index]) for index, group in enumerate(groups)]
        groups = [group for group in groups if len(group) > 1]
        longest = sorted(groups, key=lambda group: -int(lengths[group].sum()))[: len(names)]
        for name, group in zip(names, sorted(longest, key=lambda group: int(group.min())), strict=False):
            for phrase in group:
                letters[phrase] = name
    return letters


def sung_share(contents: BarContents, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of the bars of each phrase in which melody notes start."""
    sums = np.concatenate([[0], np.cumsum(contents.num_notes > 0)])
    return (sums[starts + lengths] - sums[starts]) / lengths


def pair_features(
    contents: BarContents,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Return what pairs of phrases have in common, laid one on the other from their first bars.

    Returns
    -------
    ndarray of float32, shape (len(rows), len(columns), NUM_PAIR_FEATURES)
        Mean cosine over the shorter phrase, and over its first two bars, of rhythm, tones, intervals, chords and
        accompaniment; share of bars with melody in both, in one; ratio of lengths (log); whether equal; shorter length
        (log); 1.
    """
    bars = np.arange(min(_COMPARED_BARS, int(lengths.max())))[:, None]
    last = len(contents.num_notes) - 1

    def gather(phrases: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        index = np.minimum(starts[phrases] + bars, last)
        return index, (bars < lengths[phrases]).astype(np.float32)

    row_bars, row_inside = gather(rows)
    column_bars, column_inside = gather(columns)
    inside = row_inside[:, :, None] * column_inside[:, None, :]
    weight = inside / inside.sum(axis=0)
    opening = inside[:_OPENING_BARS] / inside[:_OPENING_BARS].sum(axis=0)
    found = np.empty((len(rows), len(columns), NUM_PAIR_FEATURES), dtype=np.float32)
    tables = (contents.rhythm, contents.tones, contents.intervals, contents.chords, contents.accompaniment)
    for index, table in enumerate(tables):
        cosine = np.matmul(table[row_bars], table[column_bars].transpose(0, 2, 1))
        found[:, :, 2 * index] = (cosine * weight).sum(axis=0)
        found[:, :, 2 * index + 1] = (cosine[:_OPENING_BARS] * opening).sum(axis=0)
    filled = (contents.num_notes > 0).astype(np.float32)
    row_filled, column_filled = filled[row_bars][:, :, None], filled[column_bars][:, None, :]
    both = row_filled * column_filled
    found[:, :, 10] = (both * weight).sum(axis=0)
    found[:, :, 11] = ((row_filled + column_filled - 2 * both) * weight).sum(axis=0)
    row_length, column_length = np.log(lengths[rows])[:, None], np.log(lengths[columns])
    found[:, :, 12] = np.abs(row_length - column_length)
    found[:, :, 13] = row_length == column_length
    found[:, :, 14] = np.minimum(row_length, column_length)
    found[:, :, 15] = 1
    return found


def join(log_odds: NDArray[np.floating]) -> Iterator[NDArray[np.intp]]:
    """Yield groups of items, in order of their first: the pair with the highest mean is joined while that is above 0.

    Parameters
    ----------
    log_odds : ndarray, shape (num_items, num_items)
        Symmetric; the diagonal is not read.

    Examples
    --------
    >>> odds = np.array([[0, -1, 3], [-1, 0, -2], [3, -2, 0]])
    >>> [group.tolist() for group in join(odds)]
    [[0, 2], [1]]
    """
    mean = np.array(log_odds, dtype=np.float64)
    np.fill_diagonal(mean, _NEVER)
    groups: list[list[int]] = [[item] for item in range(len(mean))]
    for _ in range(len(mean) - 1):
        first, second = sorted(divmod(int(mean.argmax()), len(mean)))
        if mean[first, second] <= 0:
            break
        sizes = len(groups[first]), len(groups[second])
        mean[first] = (mean[first] * sizes[0] + mean[second] * sizes[1]) / sum(sizes)
        mean[:, first] = mean[first]
        mean[first, first] = mean[second] = mean[:, second] = _NEVER
        groups[first] += groups[second]
        groups[second] = []
    for group in groups:
        if group:
            yield np.array(sorted(group), dtype=np.intp)
