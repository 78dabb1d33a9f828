"""How far the repetition of a set of songs is from that of real songs.

A curve is the mean similarity of bars 1, 2, …, 40 apart (`analysis.repetition.similarity_curve`). Knows sets of songs;
single songs are `analysis.repetition`'s.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.features import song_similarity_curve
from songwright.score.song import Song


def similarity_curves(songs: Sequence[Song]) -> NDArray[np.float64]:
    """Return the similarity curve of each song, all tracks, shape (num_songs, 40); NaN past the length of a song."""
    return np.array([song_similarity_curve(song) for song in songs]).reshape(len(songs), -1)


def mean_curve(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the songs that reach each lag, shape (num_lags,); NaN where none does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no song is NaN, as wished
        return np.nanmean(curves, axis=0)


def similarity_error(reference: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    """Return the similarity error SE: the mean absolute difference of two mean curves over the lags both reach [1]_.

    Parameters
    ----------
    reference, generated : ndarray, shape (num_songs, num_lags)
        Curves of `similarity_curves`, of songs of about one length.

    Returns
    -------
    float
        0 for equal curves, at most 1.

    Raises
    ------
    ValueError
        If the sets share no lag.

    References
    ----------
    .. [1] B. Yu et al., "Museformer: Transformer with fine- and coarse-grained attention for music generation",
       NeurIPS 2022.

    Examples
    --------
    >>> round(similarity_error(np.array([[0.1, 0.3]]), np.array([[0.1, 0.2], [0.1, 0.2]])), 3)
    0.05
    """
    difference = np.abs(mean_curve(reference) - mean_curve(generated))
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        raise ValueError("no lag is reached by songs of both sets")
    return float(difference.mean())
