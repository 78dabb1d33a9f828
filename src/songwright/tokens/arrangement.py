"""Piano parts as sequences, under a given lead sheet.

A song is `BOS`, its bars, `EOS`. A bar is `BAR` and its onsets in order, each `POS_p` followed by its notes
from the lowest up, each `PITCH_n DUR_d`. The lead sheet is not in the sequence: side channels show it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import (
    DURATION_OF_STEPS,
    DURATION_STEPS,
    POSITION_OF_STEP,
    POSITION_STEPS,
    STEPS_PER_BAR,
    grid_notes,
)
from songwright.tokens.vocabulary import Vocabulary

LOWEST_PITCH, HIGHEST_PITCH = 21, 108
NUM_PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1
NUM_POSITIONS = len(POSITION_STEPS)

VOCABULARY = Vocabulary(
    ["PAD", "BOS", "EOS", "BAR"]
    + [f"POS_{position}" for position in range(NUM_POSITIONS)]
    + [f"PITCH_{pitch}" for pitch in range(LOWEST_PITCH, HIGHEST_PITCH + 1)]
    + [f"DUR_{index}" for index in range(len(DURATION_STEPS))]
)
PAD, BOS, EOS, BAR = range(4)
POS_0 = VOCABULARY["POS_0"]
PITCH_0 = VOCABULARY[f"PITCH_{LOWEST_PITCH}"]
DUR_0 = VOCABULARY["DUR_0"]


def encode(notes: NDArray[np.void], num_bars: int) -> NDArray[np.int16]:
    """Return the token ids of a piano part, shape (num_tokens,).

    Parameters
    ----------
    notes : ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
        Onsets within the bars. Onsets and durations are taken to the nearest allowed value, pitches outside the
        vocabulary moved by octaves; of notes that then share onset and pitch the longest stays.
    num_bars : int
    """
    onset = notes["onset_step"].astype(np.int64)
    bar = onset // STEPS_PER_BAR
    step = onset - bar * STEPS_PER_BAR
    position = POSITION_OF_STEP[step].astype(np.int64)
    duration = DURATION_OF_STEPS[np.minimum(notes["duration_step"], DURATION_STEPS[-1])].astype(np.int64)
    pitch = notes["pitch"].astype(np.int64)
    pitch += 12 * (np.maximum(0, -((pitch - LOWEST_PITCH) // 12)) - np.maximum(0, -((HIGHEST_PITCH - pitch) // 12)))
    key = (bar * NUM_POSITIONS + position) * 128 + pitch
    order = np.argsort(key * len(DURATION_STEPS) - duration)
    key = key[order]
    first = np.concatenate([[True], key[1:] != key[:-1]]) if len(key) else np.zeros(0, bool)
    order, key = order[first], key[first]
    slot = key // 128
    is_new_slot = np.concatenate([[True], slot[1:] != slot[:-1]]) if len(slot) else np.zeros(0, bool)
    slots_so_far = np.cumsum(is_new_slot)
    # Where each note's pitch goes: after BOS, its bar lines, the onsets so far, and two tokens for each note before.
    place = 2 + slot // NUM_POSITIONS + slots_so_far + 2 * np.arange(len(slot))
    notes_before = np.searchsorted(slot, np.arange(num_bars) * NUM_POSITIONS)
    slots_before = np.concatenate([[0], slots_so_far])[notes_before]
    tokens = np.empty(2 + num_bars + int(is_new_slot.sum()) + 2 * len(slot), dtype=np.int16)
    tokens[0], tokens[-1] = BOS, EOS
    tokens[1 + np.arange(num_bars) + slots_before + 2 * notes_before] = BAR
    tokens[place[is_new_slot] - 1] = POS_0 + slot[is_new_slot] % NUM_POSITIONS
    tokens[place] = PITCH_0 + key % 128 - LOWEST_PITCH
    tokens[place + 1] = DUR_0 + duration[order]
    return tokens


def decode(token_ids: Iterable[int]) -> NDArray[np.void]:
    """Return the notes that a valid token sequence spells, as GRID_NOTE_DTYPE.

    Raises
    ------
    ValueError
        If the sequence breaks the grammar.
    """
    rows: list[tuple[int, int, int]] = []
    bar, onset, pitch = -1, -1, -1
    for token in token_ids:
        token = int(token)
        if token in (PAD, BOS, EOS):
            continue
        if token == BAR:
            bar += 1
            onset = -1
        elif token < PITCH_0:
            onset = bar * STEPS_PER_BAR + POSITION_STEPS[token - POS_0]
        elif token < DUR_0:
            pitch = token - PITCH_0 + LOWEST_PITCH
        else:
            if onset < 0 or pitch < 0:
                raise ValueError("duration without onset or pitch")
            rows.append((onset, DURATION_STEPS[token - DUR_0], pitch))
            pitch = -1
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return grid_notes(table[:, 0], table[:, 1], table[:, 2])
