"""What is not fit to learn from, and why.

Thresholds are a config, measurements a plain value, and `rejection` a pure function of both, so that a table of
rejected files can say in one word and one clause what was wrong with each. Faults that are found elsewhere (bytes that
cannot be read, time that ran out, duplicates) use the same REASONS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from songwright.score.elements import Score

REASONS = (
    "empty",
    "broken bytes",
    "unsupported",
    "too large",
    "too few notes",
    "too many notes",
    "too short",
    "too long",
    "one note",
    "too many at once",
    "drum only",
    "no beat",
    "off-grid",
    "duplicate",
    "version",
    "timed out",
    "crashed",
    "out of memory",
)
"""Why a piece is left out: the values of the column `reason`. They are stable; new ones come at the end."""


@dataclass(frozen=True, kw_only=True)
class CleaningConfig:
    """From where on a piece is not fit to learn from."""

    min_notes: int = 16
    """Notes a piece must have."""
    max_notes: int = 100_000
    """Notes a piece may have: nine times the largest of 108 band files."""
    min_seconds: float = 5.0
    """Length a piece must have."""
    max_seconds: float = 1800.0
    """Length a piece may have, as played."""
    min_distinct_pitches: int = 3
    """Different pitches that a piece with pitched notes must have; one or two are a test tone or a metronome."""
    max_simultaneous: int = 128
    """Notes that may start at one instant: more are a cluster of the whole keyboard, or damage."""
    min_beat_confidence: float = 0.1
    """How sure the beat finder must be, 0 to 1."""
    min_share_on_grid: float = 0.35
    """Share of onsets that must lie close to their step, 0 to 1; nine in ten human drummings of Groove have 0.49."""
    allow_drums_only: bool = True
    """Whether pieces without a pitched note are taken."""
    max_file_bytes: int = 64 * 2**20
    """Size a file may have."""

    def __post_init__(self) -> None:
        for name in ("min_beat_confidence", "min_share_on_grid"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        for low, high in (("min_notes", "max_notes"), ("min_seconds", "max_seconds")):
            if not 0 <= getattr(self, low) <= getattr(self, high):
                raise ValueError(f"{low} must be from 0 to {high} ({getattr(self, high)}), got {getattr(self, low)}")
        for field in fields(self):
            if field.name.startswith(("min_distinct", "max_")) and not getattr(self, field.name) >= 1:
                raise ValueError(f"{field.name} must be at least 1, got {getattr(self, field.name)}")


@dataclass(frozen=True)
class Measures:
    """What is measured of a piece before it is judged.

    Attributes
    ----------
    num_notes : int
    seconds : float
        Length as played.
    num_pitches : int
        Different pitches of its pitched notes.
    num_simultaneous : int
        Most notes that start at one tick.
    is_drums_only : bool
        It has notes, but none with a pitch.
    beat_confidence, share_on_grid : float
        Of the beat finder and the quantiser, 0 to 1; 1 before they have run.
    file_bytes : int
    """

    num_notes: int
    seconds: float
    num_pitches: int
    num_simultaneous: int = 1
    is_drums_only: bool = False
    beat_confidence: float = 1.0
    share_on_grid: float = 1.0
    file_bytes: int = 0


@dataclass(frozen=True)
class Rejection:
    """Why a piece is left out.

    Attributes
    ----------
    reason : str
        One of REASONS.
    detail : str
        One clause for the user, with the numbers.
    """

    reason: str
    detail: str

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"unknown reason {self.reason!r}: one of {', '.join(REASONS)}")


def measure(
    score: Score,
    seconds: float,
    *,
    roles: Sequence[str] = (),
    confidence: float = 1.0,
    share_on_grid: float = 1.0,
    file_bytes: int = 0,
) -> Measures:
    """Return what is judged of a score.

    Parameters
    ----------
    score : Score
        Clean notes.
    seconds : float
        Its length as played.
    roles : sequence of str
        One of ROLES per track, once known; until then drums are what the file calls so.
    confidence, share_on_grid : float
        Of the beat finder and the quantiser, once known.
    file_bytes : int
        Size of the file it comes from, if known.
    """
    is_drums = [role == "drums" for role in roles] if roles else [track.is_drum for track in score.tracks]
    pitches = np.zeros(128, dtype=bool)
    for track, is_drum in zip(score.tracks, is_drums, strict=True):
        if not is_drum:
            pitches[np.clip(track.notes["pitch"], 0, 127)] = True
    num_notes = score.num_notes
    num_simultaneous = 0
    if num_notes:
        onsets = np.sort(np.concatenate([track.notes["onset_tick"] for track in score.tracks]))
        starts = np.flatnonzero(np.concatenate([[True], onsets[1:] != onsets[:-1], [True]]))
        num_simultaneous = int(np.diff(starts).max())
    return Measures(
        num_notes=num_notes,
        seconds=seconds,
        num_pitches=int(pitches.sum()),
        num_simultaneous=num_simultaneous,
        is_drums_only=num_notes > 0 and not pitches.any(),
        beat_confidence=confidence,
        share_on_grid=share_on_grid,
        file_bytes=file_bytes,
    )


def rejection(measures: Measures, config: CleaningConfig) -> Rejection | None:
    """Return why a piece is not fit to learn from, the first reason that holds, or None if it is fit.

    Examples
    --------
    >>> rejection(Measures(num_notes=9, seconds=60.0, num_pitches=5), CleaningConfig())
    Rejection(reason='too few notes', detail='it has 9 notes; at least 16 are needed')
    """
    # `not x >= limit` also holds where x is not a number.
    notes = f"it has {measures.num_notes:,} note{'s' if measures.num_notes != 1 else ''}"
    if measures.file_bytes > config.max_file_bytes:
        return Rejection(
            "too large",
            f"the file has {measures.file_bytes:,} bytes; at most {config.max_file_bytes:,} are taken",
        )
    if measures.num_notes == 0:
        return Rejection("empty", "there is no note in it")
    if measures.num_notes < config.min_notes:
        return Rejection("too few notes", f"{notes}; at least {config.min_notes:,} are needed")
    if measures.num_notes > config.max_notes:
        return Rejection("too many notes", f"{notes}; at most {config.max_notes:,} are taken")
    if not measures.seconds >= config.min_seconds:
        return Rejection("too short", f"it lasts {measures.seconds:.1f} s; at least {config.min_seconds:g} are needed")
    if not measures.seconds <= config.max_seconds:
        return Rejection("too long", f"it lasts {measures.seconds:.0f} s; at most {config.max_seconds:g} are taken")
    if measures.is_drums_only:
        if not config.allow_drums_only:
            return Rejection("drum only", "it has drums and no pitched note")
    elif measures.num_pitches < config.min_distinct_pitches:
        pitches = f"{measures.num_pitches} different pitch{'es' if measures.num_pitches != 1 else ''}"
        return Rejection("one note", f"it has {pitches}; at least {config.min_distinct_pitches} are needed")
    if measures.num_simultaneous > config.max_simultaneous:
        return Rejection(
            "too many at once",
            f"{measures.num_simultaneous:,} notes start at one instant; at most {config.max_simultaneous:,} are taken",
        )
    if not measures.beat_confidence >= config.min_beat_confidence:
        return Rejection(
            "no beat",
            f"its beat is unsure (confidence {measures.beat_confidence:.2f}; {config.min_beat_confidence:g} is needed)",
        )
    if not measures.share_on_grid >= config.min_share_on_grid:
        return Rejection(
            "off-grid",
            f"{measures.share_on_grid:.0%} of its onsets lie on the grid; {config.min_share_on_grid:.0%} are needed",
        )
    return None
