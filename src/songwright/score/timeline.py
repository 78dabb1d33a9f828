"""Ticks and seconds of a score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.score.elements import Score

DEFAULT_TEMPO_QPM = 120.0  # a MIDI file without tempo


def _tempo_map(score: Score) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return tick, second and seconds per tick of each stretch of constant tempo, from tick 0 on."""
    changes = {0: DEFAULT_TEMPO_QPM}
    changes.update({max(change.tick, 0): change.tempo_qpm for change in sorted(score.tempos, key=lambda c: c.tick)})
    ticks = np.array(sorted(changes), dtype=np.float64)
    pace = 60.0 / (np.array([changes[int(tick)] for tick in ticks]) * score.ticks_per_quarter)
    seconds = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * pace[:-1])])
    return ticks, seconds, pace


def ticks_to_seconds(score: Score, tick: ArrayLike) -> NDArray[np.float64]:
    """Return the instant of each tick in seconds, through all tempo changes."""
    values = np.asarray(tick, dtype=np.float64)
    if len(score.tempos) == 1 and score.tempos[0].tick == 0:
        return values * (60.0 / (score.tempos[0].tempo_qpm * score.ticks_per_quarter))
    ticks, seconds, pace = _tempo_map(score)
    index = np.maximum(np.searchsorted(ticks, values, side="right") - 1, 0)
    return seconds[index] + (values - ticks[index]) * pace[index]


def seconds_to_ticks(score: Score, second: ArrayLike) -> NDArray[np.int64]:
    """Return the nearest tick of each instant in seconds, through all tempo changes."""
    ticks, seconds, pace = _tempo_map(score)
    values = np.asarray(second, dtype=np.float64)
    index = np.maximum(np.searchsorted(seconds, values, side="right") - 1, 0)
    return np.rint(ticks[index] + (values - seconds[index]) / pace[index]).astype(np.int64)
