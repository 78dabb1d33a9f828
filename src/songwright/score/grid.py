"""The metrical grid on which music is learned and composed.

A *step* is a twelfth of a quarter note, so sixteenths (3 steps) and eighth triplets (4 steps)
both fall on whole steps. Onsets are allowed at the sixteenths and the triplets of each beat,
durations at the values of `DURATION_STEPS`. Only 4/4 is composed: a bar has 48 steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS_PER_BEAT = 12
BEATS_PER_BAR = 4
STEPS_PER_BAR = STEPS_PER_BEAT * BEATS_PER_BAR
STEPS_PER_SIXTEENTH = STEPS_PER_BEAT // 4

BEAT_OFFSETS = (0, 3, 4, 6, 8, 9)
"""Steps within a beat where a note may start: sixteenths and triplets."""

POSITION_STEPS = tuple(beat * STEPS_PER_BEAT + offset for beat in range(BEATS_PER_BAR) for offset in BEAT_OFFSETS)
"""The 24 onset positions of a bar, in steps."""

DURATION_STEPS = (3, 4, 6, 8, 9, 12, 15, 16, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 54, 60, 72, 84, 96, 144, 192)
"""Durations that notation and tokens know, in steps: every sixteenth up to a bar, triplets, long notes."""

POSITION_OF_STEP = np.zeros(STEPS_PER_BAR, dtype=np.int16)
"""Index into POSITION_STEPS of the allowed position nearest to each step of a bar (never in the next bar)."""
for _step in range(STEPS_PER_BAR):
    POSITION_OF_STEP[_step] = int(np.argmin([abs(_step - position) for position in POSITION_STEPS]))

DURATION_OF_STEPS = np.zeros(DURATION_STEPS[-1] + 1, dtype=np.int16)
"""Index into DURATION_STEPS of the duration nearest to a length in steps (ties: the shorter)."""
for _step in range(DURATION_STEPS[-1] + 1):
    DURATION_OF_STEPS[_step] = int(np.argmin([abs(_step - duration) for duration in DURATION_STEPS]))

GRID_NOTE_DTYPE = np.dtype([("onset_step", np.int32), ("duration_step", np.int32), ("pitch", np.int16)])


def grid_notes(
    onset_step: NDArray[np.integer], duration_step: NDArray[np.integer], pitch: NDArray[np.integer]
) -> NDArray[np.void]:
    """Return notes on the grid as one structured array sorted by (onset, pitch)."""
    notes = np.empty(len(onset_step), dtype=GRID_NOTE_DTYPE)
    notes["onset_step"], notes["duration_step"], notes["pitch"] = onset_step, duration_step, pitch
    return notes[np.argsort(notes["onset_step"].astype(np.int64) * 128 + notes["pitch"], kind="stable")]


def quantize_onsets(onset_beat: NDArray[np.floating]) -> NDArray[np.int32]:
    """Return onsets in steps, each beat read as sixteenths or, where that fits clearly better, as triplets.

    A beat is read as triplets when at least one of its onsets lies off the shared points (the beat
    itself, the half) and the summed distance to the triplet grid is under half that to the sixteenths.

    Parameters
    ----------
    onset_beat : array, shape (num_notes,)
        Onsets in beats (quarter notes) from the first bar line; may be unsorted, must be >= 0.

    Returns
    -------
    array of int32, shape (num_notes,)
        Steps from the first bar line.
    """
    sixteenth = np.rint(onset_beat * 4) * STEPS_PER_SIXTEENTH
    triplet = np.rint(onset_beat * 3) * (STEPS_PER_BEAT // 3)
    exact = onset_beat * STEPS_PER_BEAT
    beat = np.floor(onset_beat + 0.125).astype(np.int64)
    num_beats = int(beat.max()) + 1 if len(beat) else 0
    cost_sixteenth = np.bincount(beat, np.abs(exact - sixteenth), num_beats)
    cost_triplet = np.bincount(beat, np.abs(exact - triplet), num_beats)
    # Half a step (1/24 beat, 35 ms at 72 qpm) of total gain, so that stray timing does not become a triplet.
    is_triplet = (cost_triplet < 0.5 * cost_sixteenth) & (cost_sixteenth - cost_triplet > 0.5)
    return np.where(is_triplet[beat] if len(beat) else False, triplet, sixteenth).astype(np.int32)
