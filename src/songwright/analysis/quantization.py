"""A score in ticks laid on a beat grid: `quantize`.

Every beat is read as sixteenths or, where that fits clearly better, as triplets (as `score.grid.quantize_onsets`, for
all tracks together); swung eighths are written straight. What rounding takes away is kept as deviations, so that
onset_step + deviation is where a note was played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError
from songwright.score.elements import Score
from songwright.score.grid import STEPS_PER_BEAT, STEPS_PER_SIXTEENTH
from songwright.score.grid_score import (
    TRACK_NOTE_DTYPE,
    BarTempo,
    BeatGrid,
    GridScore,
    GridTrack,
    Meter,
    bar_starts,
)
from songwright.score.timeline import ticks_to_seconds

ON_GRID_STEPS = 0.75
"""Steps from the grid within which an onset counts as on it: a quarter of a sixteenth, 50 ms at 75 quarters a minute.

Random onsets reach a share of 0.55 (three quarters of a beat's sixteenth grid, more where triplets are chosen)."""
MAX_STEPS = 4_000_000
"""Last step on which a note may start: 83,333 bars of 4/4."""
MAX_DURATION_STEPS = 64 * 4 * STEPS_PER_BEAT
"""Longest duration, 64 bars of 4/4: beyond, a note is stuck."""
MIN_TEMPO_CHANGE = 0.01
"""Smallest change of tempo from bar to bar that is kept, as a share."""

_TRIPLET = STEPS_PER_BEAT // 3
_HALF = STEPS_PER_BEAT // 2
_SWING_RANGE = (1.3, 2.2)  # long to short eighth; 2: triplets, 1: straight
_MIN_SWUNG_BEATS = 8
_MIN_SWUNG_SHARE = 0.8  # of the beats that have an onset between the beat and the next


@dataclass(frozen=True, eq=False)
class Quantized:
    """A score on the grid and what rounding took away.

    Attributes
    ----------
    grid_score : GridScore
    deviations : tuple of ndarray of float32, one a track, shape (num_notes,)
        Steps by which each note was played after its onset on the (straight) grid; negative: before it.
    share_on_grid : float
        Share of all onsets within ON_GRID_STEPS of the grid (the swung one, where swing was found); 1 without notes.
    swing : float
        Length of the first eighth of a beat to the second where eighths are swung throughout, 1.3 to 2.2; else 1.
    """

    grid_score: GridScore
    deviations: tuple[NDArray[np.float32], ...]
    share_on_grid: float
    swing: float


def quantize(score: Score, grid: BeatGrid, roles: Sequence[str]) -> Quantized:
    """Return a score laid on a beat grid.

    Onsets before the first bar line are moved to it, durations rounded to whole steps of at least 1. Of notes of one
    pitch that start at one step of a track, one is kept: the longest duration and the loudest velocity, with the
    deviation of the first. Tempos are those at which the bars last as long as in the score.

    Parameters
    ----------
    score : Score
    grid : BeatGrid
    roles : sequence of str
        What each track does: one of ROLES for each.

    Raises
    ------
    ValueError
        If the roles are not as many as the tracks.
    InputError
        If a note starts after MAX_STEPS.
    """
    if len(roles) != len(score.tracks):
        raise ValueError(f"expected a role for each of {len(score.tracks)} tracks, got {len(roles)}")
    sizes = [len(track.notes) for track in score.tracks]
    if not sum(sizes):
        return Quantized(GridScore((), 0, grid.meters), (), 1.0, 1.0)
    onset_tick, duration_tick, pitch, velocity = (
        np.concatenate([track.notes[field] for track in score.tracks])
        for field in ("onset_tick", "duration_tick", "pitch", "velocity")
    )
    both = grid.ticks_to_steps(np.concatenate([onset_tick, onset_tick.astype(np.int64) + duration_tick]))
    played, end = np.maximum(both[: len(pitch)], 0.0), both[len(pitch) :]
    if played.max() > MAX_STEPS:
        raise InputError(f"a note starts {played.max() / STEPS_PER_BEAT:.0f} quarters in: that is no piece of music.")
    swing = find_swing(played)
    straight = _straight(played, swing) if swing > 1 else played
    onset = quantize_steps(straight)
    share_on_grid = float((np.abs(straight - onset) <= ON_GRID_STEPS).mean())
    if swing > 1:
        end = _straight(end, swing)
    duration = np.clip(np.rint(end - straight), 1, MAX_DURATION_STEPS).astype(np.int64)

    track_of = np.repeat(np.arange(len(sizes)), sizes)
    key = (track_of * (int(onset.max()) + 1) + onset) * 128 + pitch
    order = np.argsort(key, kind="stable")
    key = key[order]
    duration, velocity = duration[order], velocity[order]
    again = np.flatnonzero(key[1:] == key[:-1]) + 1
    kept = order
    if len(again):
        first = np.delete(np.arange(len(key)), again)
        kept = order[first]
        duration, velocity = np.maximum.reduceat(duration, first), np.maximum.reduceat(velocity, first)
    laid = np.empty(len(kept), dtype=TRACK_NOTE_DTYPE)
    laid["onset_step"], laid["pitch"] = onset[kept], pitch[kept]
    laid["duration_step"], laid["velocity"] = duration, velocity
    deviation = (played[kept] - onset[kept]).astype(np.float32)
    bounds = np.searchsorted(track_of[kept], np.arange(len(sizes) + 1))
    tracks = tuple(
        GridTrack(track.name, laid[bounds[i] : bounds[i + 1]], roles[i], track.program, track.is_drum)
        for i, track in enumerate(score.tracks)
    )
    deviations = tuple(deviation[bounds[i] : bounds[i + 1]] for i in range(len(sizes)))
    num_bars = _num_bars(grid.meters, int((laid["onset_step"] + laid["duration_step"]).max()))
    meters = tuple(meter for meter in grid.meters if meter.bar < num_bars)
    tempos = _bar_tempos(score, grid, bar_starts(meters, num_bars))
    return Quantized(GridScore(tracks, num_bars, meters, tempos), deviations, share_on_grid, swing)


def quantize_steps(step: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return exact steps rounded to the sixteenths or the triplets of each beat, whichever its onsets fit better.

    The general form of `score.grid.quantize_onsets`: a beat is read as triplets when its summed distance to them is
    under half that to the sixteenths and half a step or more smaller a note that lies off the sixteenths.
    """
    sixteenth = np.rint(step / STEPS_PER_SIXTEENTH) * STEPS_PER_SIXTEENTH
    triplet = np.rint(step / _TRIPLET) * _TRIPLET
    beat = np.floor(step / STEPS_PER_BEAT + 0.125).astype(np.int64)
    cost_sixteenth = np.bincount(beat, np.abs(step - sixteenth))
    cost_triplet = np.bincount(beat, np.abs(step - triplet))
    is_triplet = (cost_triplet < 0.5 * cost_sixteenth) & (cost_sixteenth - cost_triplet > 0.5)
    return np.where(is_triplet[beat], triplet, sixteenth).astype(np.int64)


def find_swing(step: NDArray[np.floating]) -> float:
    """Return the ratio of the first to the second eighth of a beat where eighths are swung throughout, else 1.

    Onsets well inside a beat must lie late of its half, about one place, in most beats that have any: beats with
    straight sixteenths or with a triplet's second note speak against swing.
    """
    beat = np.floor(step / STEPS_PER_BEAT)
    within = step - beat * STEPS_PER_BEAT
    inside = np.flatnonzero((within > 1.5) & (within < STEPS_PER_BEAT - 1.5))
    low, high = (STEPS_PER_BEAT * ratio / (1 + ratio) for ratio in _SWING_RANGE)
    within = within[inside]
    is_swung = (within >= low - 0.25) & (within <= high + 0.25)
    if np.count_nonzero(is_swung) < _MIN_SWUNG_BEATS:
        return 1.0
    index = beat[inside].astype(np.int64)
    num_onsets = np.bincount(index)
    swung = (np.bincount(index, is_swung) == num_onsets) & (num_onsets > 0)
    if swung.sum() < max(_MIN_SWUNG_BEATS, _MIN_SWUNG_SHARE * np.count_nonzero(num_onsets)):
        return 1.0
    place = float(np.median(within[swung[index]]))
    ratio = place / (STEPS_PER_BEAT - place)
    return ratio if _SWING_RANGE[0] <= ratio <= _SWING_RANGE[1] else 1.0


def _straight(step: NDArray[np.float64], swing: float) -> NDArray[np.float64]:
    """Return steps with each beat stretched so that the swung eighth falls on its half."""
    place = STEPS_PER_BEAT * swing / (1 + swing)
    beat = np.floor(step / STEPS_PER_BEAT)
    within = step - beat * STEPS_PER_BEAT
    return beat * STEPS_PER_BEAT + np.where(
        within < place, within * (_HALF / place), _HALF + (within - place) * (_HALF / (STEPS_PER_BEAT - place))
    )


def _num_bars(meters: tuple[Meter, ...], end_step: int) -> int:
    """Return the number of bars up to a step."""
    start = 0
    for meter, following in pairwise(meters):
        length = (following.bar - meter.bar) * meter.bar_steps
        if start + length >= end_step:
            return meter.bar + -(-(end_step - start) // meter.bar_steps)
        start += length
    return meters[-1].bar + -(-(end_step - start) // meters[-1].bar_steps)


def _bar_tempos(score: Score, grid: BeatGrid, starts: NDArray[np.int64]) -> tuple[BarTempo, ...]:
    """Return the tempo of each bar where it changes by MIN_TEMPO_CHANGE or more."""
    seconds = ticks_to_seconds(score, grid.steps_to_ticks(starts))
    tempo_qpm = np.diff(starts) / STEPS_PER_BEAT * 60 / np.maximum(np.diff(seconds), 1e-6)
    kept: list[BarTempo] = []
    for bar, tempo in enumerate(tempo_qpm.tolist()):
        if not kept or abs(tempo / kept[-1].tempo_qpm - 1) >= MIN_TEMPO_CHANGE:
            kept.append(BarTempo(bar, round(tempo, 3)))
    return tuple(kept)
