"""A composed or transcribed song: a lead sheet with its accompaniment, still on the grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR
from songwright.score.lead_sheet import LeadSheet


@dataclass(frozen=True, eq=False)
class Song:
    """A lead sheet and the piano part under it.

    Attributes
    ----------
    lead_sheet : LeadSheet
    piano : ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
        Accompaniment, sorted by (onset, pitch); at most one note of a pitch starts at a step.
    """

    lead_sheet: LeadSheet
    piano: NDArray[np.void]

    def __post_init__(self) -> None:
        if self.piano.dtype != GRID_NOTE_DTYPE:
            raise ValueError(f"piano must be an array of GRID_NOTE_DTYPE, got {self.piano.dtype}")

    def transpose(self, semitones: int) -> Song:
        """Return the song moved by that many semitones."""
        piano = self.piano.copy()
        piano["pitch"] += semitones
        return Song(self.lead_sheet.transpose(semitones), piano)

    def problems(self) -> list[str]:
        """Return what is wrong with the song, in words; empty if it is valid."""
        found = self.lead_sheet.problems()
        if len(self.piano):
            end = self.piano["onset_step"] + self.piano["duration_step"]
            if self.piano["onset_step"].min() < 0 or end.max() > self.lead_sheet.num_bars * STEPS_PER_BAR:
                found.append("piano leaves the bars of the form")
            if np.any(self.piano["duration_step"] <= 0):
                found.append("piano has a note without length")
            if np.any((self.piano["pitch"] < 0) | (self.piano["pitch"] > 127)):
                found.append("piano pitch outside 0 to 127")
        return found
