"""The chords of a piece, at most one change per half bar.

Knows how to turn the likelihoods of `half_bars` into a run of chord symbols: the best path through the half bars, with
a cost for each change, higher in the middle of a bar than at the bar line. The quality is one of QUALITIES, and the
bass is named where another tone of the chord than the root lies lowest.

A half bar where nothing sounds makes no change, so the last chord holds through a rest, and the first change lies at
the first half bar that sounds. A bare melody gets the chords that such a melody has in the songs learned from; since
it leaves them open, changes are few (one in two bars) and the confidence is low (.37 on the melodies of POP909, .77 on
whole songs). Learned root motions are left out on purpose: they made the figures worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.half_bars import NUM_QUALITIES, HalfBars, best_path, measure_half_bars
from songwright.score.grid_score import GridScore
from songwright.score.lead_sheet import QUALITIES, ChordChange, ChordSymbol

# Nats, chosen on the training songs.
_BAR_CHANGE_COST = 0.6
_MIDDLE_CHANGE_COST = 1.2
_MIN_BASS_SHARE = 0.6
"""Share of a chord in which another tone must be the lowest, to be named as its bass."""
_MIN_VOICES = 1.5
"""Pitch classes that must sound at once, on average: the lowest note of a bare melody is no bass."""

_QUALITY_NAMES = tuple(QUALITIES)
_CHORD_TONES = np.zeros((len(QUALITIES), 12), dtype=bool)
for _row, _steps in enumerate(QUALITIES.values()):
    _CHORD_TONES[_row, list(_steps)] = True


def find_chords(grid_score: GridScore, half_bars: HalfBars | None = None) -> tuple[ChordChange, ...]:
    """Return the chords of a piece.

    Parameters
    ----------
    grid_score : GridScore
    half_bars : HalfBars, optional
        What `measure_half_bars` returned for the piece, where it is already there.

    Returns
    -------
    tuple of ChordChange
        Ordered, at the starts of half bars, each differing from the one before; empty if nothing but drums sounds.

    Raises
    ------
    InputError
        If the piece has more bars than `half_bars.MAX_BARS`.

    Examples
    --------
    >>> from songwright.score.grid_score import TRACK_NOTE_DTYPE, GridScore, GridTrack
    >>> roots = enumerate((48, 53, 55, 48))
    >>> rows = [(bar * 48, 48, root + step, 80) for bar, root in roots for step in (0, 4, 7)]
    >>> track = GridTrack("piano", np.array(rows, dtype=TRACK_NOTE_DTYPE), "chords")
    >>> [(onset // 48, chord.root, chord.quality) for onset, chord in find_chords(GridScore((track,), num_bars=4))]
    [(0, 0, 'maj'), (1, 5, 'maj'), (2, 7, 'maj'), (3, 0, 'maj')]
    """
    halves = half_bars or measure_half_bars(grid_score)
    sounding = np.flatnonzero(halves.is_sounding)
    if not len(sounding):
        return ()
    costs = np.where(halves.is_second, _MIDDLE_CHANGE_COST, _BAR_CHANGE_COST).astype(np.float32)
    path = best_path(halves.chord_log_likelihoods, costs)
    path[: sounding[0]] = path[sounding[0]]
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    root, quality = np.divmod(path[starts], NUM_QUALITIES)
    bass = _basses(halves, starts, root, quality)
    onsets = halves.start_step[np.maximum(starts, sounding[0])]
    return tuple(
        ChordChange(onset, ChordSymbol(chord_root, _QUALITY_NAMES[chord_quality], chord_bass))
        for onset, chord_root, chord_quality, chord_bass in zip(
            onsets.tolist(), root.tolist(), quality.tolist(), bass.tolist(), strict=True
        )
    )


def _basses(
    halves: HalfBars, starts: NDArray[np.intp], root: NDArray[np.intp], quality: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return the bass of each chord: the tone of it that lies lowest for long enough, or else the root."""
    lowest = np.add.reduceat(halves.bass, starts, axis=0)
    bass = lowest.argmax(axis=1)
    total = lowest.sum(axis=1)
    is_named = lowest.max(axis=1) >= _MIN_BASS_SHARE * np.maximum(total, np.float32(1e-6))
    is_named &= _CHORD_TONES[quality, (bass - root) % 12]
    is_named &= np.add.reduceat(halves.presence, starts, axis=0).sum(axis=1) >= _MIN_VOICES * total
    return np.where(is_named, bass, root)


def chord_confidence(changes: Sequence[ChordChange], half_bars: HalfBars) -> NDArray[np.float32]:
    """Return the mean probability of each chord (root and quality) over the half bars in which it sounds.

    Parameters
    ----------
    changes : sequence of ChordChange
        Ordered by onset.
    half_bars : HalfBars
        Of the same piece.

    Returns
    -------
    ndarray of float32, shape (num_changes,)
        0 to 1; 0 for a chord during which nothing sounds.
    """
    if not changes:
        return np.zeros(0, dtype=np.float32)
    onsets = np.array([change.onset_step for change in changes])
    numbers = np.array([chord.root * NUM_QUALITIES + _QUALITY_NAMES.index(chord.quality) for _, chord in changes])
    owner = np.searchsorted(onsets, half_bars.start_step[:-1], side="right") - 1
    counted = np.flatnonzero((owner >= 0) & half_bars.is_sounding)
    owner = owner[counted]
    probability = np.exp(half_bars.chord_log_likelihoods[counted, numbers[owner]])
    total = np.bincount(owner, probability, len(changes))
    return (total / np.maximum(np.bincount(owner, minlength=len(changes)), 1)).astype(np.float32)
