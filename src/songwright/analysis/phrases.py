"""Phrases of a piece without labels: where they start, and which of them are the same.

A small convolutional network reads the features of the bars around each bar line (`analysis.phrase_features`) and says
how likely a phrase starts there; the phrases are the best path through these log odds and the lengths that phrases
have. `analysis.phrase_letters` names them. The weights are fitted on the training songs of POP909 by
`benchmarks/phrases.py --fit`: phrases of pop songs are what the model knows. Phrases start on bar lines; a pick-up
belongs to the bar before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.phrase_features import PieceBars
from songwright.analysis.phrase_letters import letters_of
from songwright.analysis.weights import stored_arrays
from songwright.errors import InputError
from songwright.score.grid import GRID_NOTE_DTYPE
from songwright.score.lead_sheet import ChordChange, Form, Phrase

MAX_PHRASE_BARS = 64
"""Longest phrase that a Form holds, in bars."""
_FEATURE_LIMIT = 8.0  # standard deviations: what lies further out tells no more


@dataclass(frozen=True, eq=False)
class PhraseWeights:
    """What `benchmarks/phrases.py --fit` learns; float32 arrays unless said.

    Attributes
    ----------
    mean, scale : shape (num_features,)
        Features enter as (feature - mean) / scale.
    dense, dense_bias : shapes (num_features, num_channels), (num_channels,)
        First layer, bar by bar.
    wide, wide_bias : shapes (width * num_channels, num_hidden), (num_hidden,)
        Second layer, over `width` bars around each.
    last, last_bias : shapes (width * num_hidden, 1), (1,)
        Third layer, over bars around each; gives the log odds of a phrase start.
    length_score : shape (MAX_PHRASE_BARS + 1,)
        Score of a phrase of each length, beside the log odds at its start.
    same : shape (3, num_pair_features)
        Log odds that two phrases share a letter (`analysis.phrase_letters`).
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    dense: NDArray[np.float32]
    dense_bias: NDArray[np.float32]
    wide: NDArray[np.float32]
    wide_bias: NDArray[np.float32]
    last: NDArray[np.float32]
    last_bias: NDArray[np.float32]
    length_score: NDArray[np.float32]
    same: NDArray[np.float32]


@cache
def phrase_weights() -> PhraseWeights:
    """Return the weights that ship with the package."""
    return PhraseWeights(**stored_arrays("phrases"))


def find_phrases(
    melody: NDArray[np.void],
    chords: Sequence[ChordChange],
    bar_starts: NDArray[np.integer],
    *,
    accompaniment: NDArray[np.void] | None = None,
) -> Form:
    """Return the phrases of a piece: lengths in bars, and letters as `Form` has them.

    Parameters
    ----------
    melody : ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
        One voice; may be empty. Notes outside the bars are left out.
    chords : sequence of ChordChange
        In order of onset; may be empty.
    bar_starts : ndarray of int, shape (num_bars + 1,)
        Step where each bar starts, and the end of the last; any metre.
    accompaniment : ndarray of GRID_NOTE_DTYPE, optional
        Notes of the other pitched voices together. It helps where there is no melody, and changes little elsewhere.

    Returns
    -------
    Form
        Its phrases last 1 to 64 bars each and fill the bars. Capitals are phrases with melody in at least 40 % of their
        bars. Without any melody there is no intro or outro.

    Raises
    ------
    InputError
        If there is no bar.
    ValueError
        If `bar_starts` does not increase, or notes are not of GRID_NOTE_DTYPE.

    Notes
    -----
    Time and memory are linear in bars: beyond 512 bars, bars are compared within blocks, and phrases after the first
    128 get letters of the first or none.

    Examples
    --------
    >>> pitch = np.tile([60, 62, 64, 60, 67, 65, 64, 62], 8).astype(np.int16)
    >>> melody = np.zeros(64, dtype=GRID_NOTE_DTYPE)
    >>> melody["onset_step"], melody["duration_step"], melody["pitch"] = np.arange(64) * 12, 12, pitch
    >>> find_phrases(melody, (), np.arange(17) * 48).num_bars
    16
    """
    starts = np.asarray(bar_starts, dtype=np.int64)
    if len(starts) < 2:
        raise InputError("the piece has no bar: phrases need at least one")
    if (np.diff(starts) <= 0).any():
        raise ValueError("bar_starts must increase")
    for notes in (melody, accompaniment):
        if notes is not None and notes.dtype != GRID_NOTE_DTYPE:
            raise ValueError(f"notes must be an array of GRID_NOTE_DTYPE, got {notes.dtype}")
    weights = phrase_weights()
    piece = PieceBars(melody, chords, starts, accompaniment)
    contents = piece.contents()
    log_odds = boundary_log_odds(piece.features(contents), weights)
    lengths = np.diff(segment(log_odds, weights.length_score))
    return Form(tuple(map(Phrase, letters_of(contents, lengths, weights.same), lengths.tolist())))


def boundary_log_odds(features: NDArray[np.float32], weights: PhraseWeights) -> NDArray[np.float32]:
    """Return the log odds that a phrase starts at each bar, shape (num_bars,)."""
    normal = np.clip((features - weights.mean) / weights.scale, -_FEATURE_LIMIT, _FEATURE_LIMIT)
    channels = np.maximum(normal @ weights.dense + weights.dense_bias, 0)
    hidden = np.maximum(_around(channels, len(weights.wide)) @ weights.wide + weights.wide_bias, 0)
    return (_around(hidden, len(weights.last)) @ weights.last + weights.last_bias)[:, 0]


def _around(rows: NDArray[np.float32], num_columns: int) -> NDArray[np.float32]:
    """Return each row joined with its neighbours on both sides, zeros beyond the ends: (num_rows, num_columns)."""
    channels = rows.shape[1]
    reach = num_columns // channels // 2
    padded = np.pad(rows, ((reach, reach), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded.reshape(-1), num_columns)
    return windows[::channels]


def segment(log_odds: NDArray[np.floating], length_score: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the bars where the phrases of the highest total score start, and the number of bars.

    The score of a phrase is the log odds at its start plus the score of its length; bar 0 always starts a phrase.

    Examples
    --------
    >>> segment(np.array([0.0, -4, 3, -4, -4, -4]), np.zeros(65)).tolist()
    [0, 2, 6]
    """
    bars = len(log_odds)
    best = np.zeros(bars + 1)  # best[t]: score of the phrases that fill the bars before t, and of a start at t
    gain = np.append(np.asarray(log_odds, dtype=np.float64), 0.0)
    reverse = np.asarray(length_score, dtype=np.float64)[MAX_PHRASE_BARS:0:-1]
    begin = np.zeros(bars + 1, dtype=np.int64)
    for end in range(1, bars + 1):
        low = max(0, end - MAX_PHRASE_BARS)
        scores = best[low:end] + reverse[low - end :]
        choice = int(scores.argmax())
        best[end] = scores[choice] + gain[end]
        begin[end] = low + choice
    found = [bars]
    while found[-1] > 0:
        found.append(int(begin[found[-1]]))
    return np.array(found[::-1], dtype=np.int64)
