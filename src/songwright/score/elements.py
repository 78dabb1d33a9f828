"""Note, track and score: what music is, in ticks.

A `Track` keeps its notes as one structured NumPy array, sorted by (onset, pitch), so that a
corpus of a million notes is arrays and not objects. Everything is a value: functions
elsewhere return new scores. Units: ticks (`ticks_per_quarter` of them a quarter note).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOTE_DTYPE = np.dtype(
    [("onset_tick", np.int32), ("duration_tick", np.int32), ("pitch", np.int16), ("velocity", np.int16)]
)
DRUM_CHANNEL = 9  # counted from zero: percussion in General MIDI, whatever its program


class Note(NamedTuple):
    """One note. `pitch` 0-127, `velocity` 1-127, times in ticks."""

    onset_tick: int
    duration_tick: int
    pitch: int
    velocity: int = 80


class TempoChange(NamedTuple):
    """`tempo_qpm` quarter notes per minute from `tick` on."""

    tick: int
    tempo_qpm: float


class TimeSignature(NamedTuple):
    """`numerator`/`denominator` from `tick` on."""

    tick: int
    numerator: int = 4
    denominator: int = 4


class KeySignature(NamedTuple):
    """`fifths` sharps (flats if negative), major or minor, from `tick` on."""

    tick: int
    fifths: int
    is_minor: bool = False


class Marker(NamedTuple):
    """A name for an instant, such as the start of a section."""

    tick: int
    text: str


class ChordLabel(NamedTuple):
    """A written chord symbol from `tick` on, in the syntax of MIREX (`Bb:min7/b3`); `N` where no chord sounds."""

    tick: int
    label: str


def note_array(notes: Iterable[tuple[int, ...]]) -> NDArray[np.void]:
    """Return notes as a structured array of `NOTE_DTYPE`, sorted by (onset, pitch).

    Examples
    --------
    >>> note_array([Note(480, 240, 64), Note(0, 480, 60)])["pitch"].tolist()
    [60, 64]
    """
    array = np.array([tuple(note) for note in notes], dtype=NOTE_DTYPE)
    return sort_notes(array)


def sort_notes(notes: NDArray[np.void]) -> NDArray[np.void]:
    """Return the notes ordered by onset, then pitch, then duration."""
    return notes_from_columns(*(notes[field] for field in ("onset_tick", "duration_tick", "pitch", "velocity")))


def notes_from_columns(
    onset_tick: NDArray[np.integer],
    duration_tick: NDArray[np.integer],
    pitch: NDArray[np.integer],
    velocity: NDArray[np.integer],
) -> NDArray[np.void]:
    """Return notes given as one array a field, ordered by onset, then pitch, then duration."""
    # One key sorts several times as fast as three. Durations over 2**24 ticks (ten hours) count as equal in it.
    key = (onset_tick.astype(np.int64) * 128 + pitch) * 2**24 + np.minimum(duration_tick, 2**24 - 1)
    order = np.argsort(key, kind="stable")
    notes = np.empty(len(order), dtype=NOTE_DTYPE)
    notes["onset_tick"], notes["duration_tick"] = onset_tick[order], duration_tick[order]
    notes["pitch"], notes["velocity"] = pitch[order], velocity[order]
    return notes


@dataclass(frozen=True, eq=False)
class Track:
    """The notes of one instrument.

    Attributes
    ----------
    name : str
        Track name, such as `MELODY`.
    notes : ndarray of NOTE_DTYPE, shape (num_notes,)
        Sorted by (onset, pitch).
    program : int
        General MIDI instrument, 0-127 counted from zero.
    is_drum : bool
        Percussion: `program` then names a kit.
    """

    name: str
    notes: NDArray[np.void]
    program: int = 0
    is_drum: bool = False

    def __post_init__(self) -> None:
        if self.notes.dtype != NOTE_DTYPE:
            raise ValueError(f"notes must be an array of NOTE_DTYPE, got {self.notes.dtype}")
        if not 0 <= self.program <= 127:
            raise ValueError(f"program must be from 0 to 127, got {self.program}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Track):
            return NotImplemented
        return (self.name, self.program, self.is_drum) == (other.name, other.program, other.is_drum) and (
            np.array_equal(self.notes, other.notes)
        )

    def __hash__(self) -> int:
        return hash((self.name, self.program, self.is_drum, self.notes.tobytes()))


@dataclass(frozen=True)
class Score:
    """A whole piece.

    Attributes
    ----------
    ticks_per_quarter : int
        Resolution of every tick in the score.
    tracks : tuple of Track
    tempos, time_signatures, key_signatures, markers, chord_labels : tuples
        Ordered by tick. A score without tempo is at 120, one without time signature in 4/4, as in MIDI.
    """

    ticks_per_quarter: int
    tracks: tuple[Track, ...]
    tempos: tuple[TempoChange, ...] = ()
    time_signatures: tuple[TimeSignature, ...] = ()
    key_signatures: tuple[KeySignature, ...] = ()
    markers: tuple[Marker, ...] = ()
    chord_labels: tuple[ChordLabel, ...] = ()

    def __post_init__(self) -> None:
        if self.ticks_per_quarter < 1:
            raise ValueError(f"ticks_per_quarter must be positive, got {self.ticks_per_quarter}")

    @property
    def num_notes(self) -> int:
        """Notes in all tracks."""
        return sum(len(track.notes) for track in self.tracks)

    @property
    def end_tick(self) -> int:
        """Tick where the last note ends; 0 without notes."""
        ends = (
            int((track.notes["onset_tick"] + track.notes["duration_tick"]).max())
            for track in self.tracks
            if len(track.notes)
        )
        return max(ends, default=0)

    def track(self, name: str) -> Track | None:
        """Return the first track of that name, or None."""
        return next((track for track in self.tracks if track.name == name), None)
