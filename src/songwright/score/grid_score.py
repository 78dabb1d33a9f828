"""A whole piece on a metrical grid of any metre: beats, bars, tracks with roles.

`BeatGrid` says where the quarter notes of a score in ticks fall; `GridScore` holds the notes laid on it. A step is a
twelfth of a quarter note (`score.grid`), whatever the metre: a bar of 4/4 has 48 steps, of 3/4 or 6/8 36, of 7/8 42.
Bars count from 0; bar 0 is a whole bar, so that a pick-up lies at its end. `LeadSheet` and `Song` are the narrower
values that songs are composed in (4/4, one melody, chord symbols).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.score.grid import STEPS_PER_BEAT

ROLES = ("melody", "bass", "chords", "drums", "other")
"""What a track does in a piece."""

TRACK_NOTE_DTYPE = np.dtype(
    [("onset_step", np.int32), ("duration_step", np.int32), ("pitch", np.int16), ("velocity", np.int16)]
)
"""A note on the grid with its loudness (velocity 1-127)."""


class Meter(NamedTuple):
    """`numerator`/`denominator` from bar `bar` on."""

    bar: int
    numerator: int = 4
    denominator: int = 4

    @property
    def bar_steps(self) -> int:
        """Length of a bar in steps."""
        return self.numerator * 4 * STEPS_PER_BEAT // self.denominator


class BarTempo(NamedTuple):
    """`tempo_qpm` quarter notes per minute from bar `bar` on."""

    bar: int
    tempo_qpm: float


def bar_starts(meters: Sequence[Meter], num_bars: int) -> NDArray[np.int64]:
    """Return the step where each bar starts, and the end of the last: shape (num_bars + 1,)."""
    lengths = np.empty(num_bars, dtype=np.int64)
    for meter in meters:
        lengths[meter.bar :] = meter.bar_steps
    return np.concatenate([[0], np.cumsum(lengths)])


@dataclass(frozen=True, eq=False)
class BeatGrid:
    """Where the quarter notes of a score fall.

    Attributes
    ----------
    quarter_tick : ndarray of float64, shape (num_quarters,), at least two
        Tick of each quarter note, counted from the first bar line; strictly increasing, may begin before tick 0.
    meters : tuple of Meter
        The first is at bar 0.
    origin : str
        Where it comes from: `ticks` (the file's own), `beats` (a beat file), `notes` (found from the notes).
    confidence : float
        0 to 1: how sure the finder is.
    """

    quarter_tick: NDArray[np.float64]
    meters: tuple[Meter, ...] = (Meter(0),)
    origin: str = "ticks"
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if len(self.quarter_tick) < 2 or not (np.diff(self.quarter_tick) > 0).all():
            raise ValueError("quarter_tick must hold at least two ticks, strictly increasing")
        if not self.meters or self.meters[0].bar != 0:
            raise ValueError("the first metre must be at bar 0")

    def ticks_to_steps(self, tick: ArrayLike) -> NDArray[np.float64]:
        """Return exact (not rounded) steps of ticks, going on at the outer quarters' pace beyond both ends."""
        quarters, values = self.quarter_tick, np.asarray(tick, dtype=np.float64)
        top = len(quarters) - 1
        found = np.interp(values, quarters, np.arange(top + 1.0))
        if values.size and values.min() < quarters[0]:
            found = np.where(values < quarters[0], (values - quarters[0]) / (quarters[1] - quarters[0]), found)
        if values.size and values.max() > quarters[-1]:
            beyond = top + (values - quarters[-1]) / (quarters[-1] - quarters[-2])
            found = np.where(values > quarters[-1], beyond, found)
        return found * STEPS_PER_BEAT

    def steps_to_ticks(self, step: ArrayLike) -> NDArray[np.float64]:
        """Return the ticks of steps; the inverse of `ticks_to_steps`."""
        quarters, values = self.quarter_tick, np.asarray(step, dtype=np.float64) / STEPS_PER_BEAT
        top = len(quarters) - 1
        found = np.interp(values, np.arange(len(quarters)), quarters)
        found = np.where(values < 0, quarters[0] + values * (quarters[1] - quarters[0]), found)
        return np.where(values > top, quarters[-1] + (values - top) * (quarters[-1] - quarters[-2]), found)


@dataclass(frozen=True, eq=False)
class GridTrack:
    """The notes of one instrument on the grid.

    Attributes
    ----------
    name : str
    notes : ndarray of TRACK_NOTE_DTYPE, shape (num_notes,)
        Sorted by (onset, pitch); onsets >= 0, durations >= 1; at most one note of a pitch starts at a step.
    role : str
        One of ROLES.
    program : int
        General MIDI instrument, 0-127 counted from zero.
    is_drum : bool
    """

    name: str
    notes: NDArray[np.void]
    role: str = "other"
    program: int = 0
    is_drum: bool = False

    def __post_init__(self) -> None:
        if self.notes.dtype != TRACK_NOTE_DTYPE:
            raise ValueError(f"notes must be an array of TRACK_NOTE_DTYPE, got {self.notes.dtype}")
        if self.role not in ROLES:
            raise ValueError(f"unknown role {self.role!r}: one of {', '.join(ROLES)}")


@dataclass(frozen=True, eq=False)
class GridScore:
    """A whole piece on the grid.

    Attributes
    ----------
    tracks : tuple of GridTrack
    num_bars : int
        Bars up to the end of the last note.
    meters, tempos : tuples
        Ordered by bar; the first of each is at bar 0.
    """

    tracks: tuple[GridTrack, ...]
    num_bars: int
    meters: tuple[Meter, ...] = (Meter(0),)
    tempos: tuple[BarTempo, ...] = (BarTempo(0, 120.0),)

    @property
    def num_notes(self) -> int:
        """Notes in all tracks."""
        return sum(len(track.notes) for track in self.tracks)

    @property
    def bar_starts(self) -> NDArray[np.int64]:
        """Step where each bar starts, and the end of the last: shape (num_bars + 1,)."""
        return bar_starts(self.meters, self.num_bars)

    @property
    def is_common_time(self) -> bool:
        """Whether every bar is in 4/4."""
        return all((meter.numerator, meter.denominator) == (4, 4) for meter in self.meters)

    def notes_of(self, *roles: str) -> NDArray[np.void]:
        """Return the notes of all tracks of these roles (all pitched ones if none is named), by (onset, pitch)."""
        wanted = roles or tuple(role for role in ROLES if role != "drums")
        parts = [track.notes for track in self.tracks if track.role in wanted]
        notes = np.concatenate(parts) if parts else np.empty(0, dtype=TRACK_NOTE_DTYPE)
        return notes[np.argsort(notes["onset_step"].astype(np.int64) * 128 + notes["pitch"], kind="stable")]
