"""What returns in a song: similarity of bars, repeated windows, copied phrases.

Knows bars as sets of notes and compares them; says nothing about whether much repetition is good.
Bar similarity is |common notes| / |union|, a note being (onset in its bar, pitch, duration) [1]_; two bars
without notes have similarity 0. Bars have 48 steps and are counted from zero.

References
----------
.. [1] B. Yu et al., "Museformer: Transformer with fine- and coarse-grained attention for music generation",
   NeurIPS 2022.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import STEPS_PER_BAR
from songwright.score.lead_sheet import LeadSheet

NUM_LAGS = 40
"""Lags, in bars, of the similarity curve."""
WINDOW_BARS = 4
"""Length of the windows of `repeated_window_share`."""


def bar_contents(notes: NDArray[np.void], num_bars: int, *, with_duration: bool = True) -> NDArray[np.float32]:
    """Return which distinct notes each bar holds.

    Parameters
    ----------
    notes : ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
    num_bars : int
    with_duration : bool
        Whether notes of different duration differ.

    Returns
    -------
    ndarray of float32, shape (num_bars, num_distinct_notes)
        1 where the bar has the note (onset in bar, pitch, duration), else 0.
    """
    bar, onset = np.divmod(notes["onset_step"].astype(np.int64), STEPS_PER_BAR)
    content = onset * 128 + notes["pitch"]
    if with_duration:
        content = content * 65536 + notes["duration_step"]
    distinct, column = np.unique(content, return_inverse=True)
    contents = np.zeros((num_bars, len(distinct)), dtype=np.float32)
    contents[bar, column] = 1
    return contents


def bar_similarity(contents: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the similarity of every pair of bars, shape (num_bars, num_bars), from 0 to 1.

    Examples
    --------
    >>> bar_similarity(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32)).tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    common = contents @ contents.T
    num_notes = contents.sum(axis=1)
    union = num_notes[:, None] + num_notes - common
    return common / np.maximum(union, 1)


def similarity_curve(similarity: NDArray[np.float32], *, num_lags: int = NUM_LAGS) -> NDArray[np.float64]:
    """Return the mean similarity of bars 1, 2, …, `num_lags` apart, shape (num_lags,); NaN past the song's end."""
    num_bars = len(similarity)
    return np.array(
        [np.diagonal(similarity, lag).mean() if lag < num_bars else np.nan for lag in range(1, num_lags + 1)]
    )


def repeated_bar_share(contents: NDArray[np.float32]) -> float:
    """Return the share of bars with notes that equal an earlier bar; NaN without such bars."""
    sounding = contents[contents.any(axis=1)]
    return 1 - len(np.unique(sounding, axis=0)) / len(sounding) if len(sounding) else np.nan


def repeated_window_share(contents: NDArray[np.float32], *, threshold: float = 0.5) -> float:
    """Return the share of windows of four bars that resemble an earlier window.

    Counts windows with notes in at least three of their bars. A window resembles an earlier one (they may overlap) if
    the mean similarity of their bars, in order, reaches `threshold`. NaN if no window has enough notes.
    """
    similarity = bar_similarity(contents)
    num_windows = len(similarity) - WINDOW_BARS + 1
    if num_windows < 1:
        return np.nan
    means = sum(similarity[i : i + num_windows, i : i + num_windows] for i in range(WINDOW_BARS)) / WINDOW_BARS
    best = np.where(np.tri(num_windows, k=-1, dtype=bool), means, -1).max(axis=1)
    sounding = np.convolve(contents.any(axis=1), np.ones(WINDOW_BARS), mode="valid")
    counted = sounding >= WINDOW_BARS - 1
    return float((best[counted] >= threshold).mean()) if counted.any() else np.nan


def phrase_repetition(lead_sheet: LeadSheet) -> dict[str, float]:
    """Return how far sung phrases of the same letter agree, and phrases of other letters.

    Phrases are compared bar by bar from their first bars, over the length of the shorter one, by the notes'
    onsets and pitches (how long a singer holds a note is left out).

    Returns
    -------
    dict
        same_letter_similarity : mean over pairs of phrases with the same letter.
        other_letter_similarity : mean over pairs of phrases with different letters.
        copied_phrase_share : share of the phrases with an earlier one of their letter whose every bar
            equals the corresponding bar of the latest such phrase.
        NaN where the form has no such pair.
    """
    form = lead_sheet.form
    contents = bar_contents(lead_sheet.melody, form.num_bars, with_duration=False)
    similarity = bar_similarity(contents)
    sung = [
        (phrase.letter, start, phrase.num_bars)
        for phrase, start in zip(form.phrases, form.start_bars, strict=True)
        if phrase.is_sung and contents[start : start + phrase.num_bars].any()
    ]
    same: list[float] = []
    other: list[float] = []
    copied: list[bool] = []
    for index, (letter, start, num_bars) in enumerate(sung):
        latest_copied: bool | None = None
        for earlier_letter, earlier_start, earlier_bars in sung[:index]:
            length = min(num_bars, earlier_bars)
            mean = float(np.diagonal(similarity[start : start + length, earlier_start : earlier_start + length]).mean())
            (same if letter == earlier_letter else other).append(mean)
            if letter == earlier_letter:
                ours, theirs = contents[start : start + length], contents[earlier_start : earlier_start + length]
                latest_copied = bool(np.array_equal(ours, theirs))
        if latest_copied is not None:
            copied.append(latest_copied)
    return {
        "same_letter_similarity": float(np.mean(same)) if same else np.nan,
        "other_letter_similarity": float(np.mean(other)) if other else np.nan,
        "copied_phrase_share": float(np.mean(copied)) if copied else np.nan,
    }
