"""Melodic figures as hashes: what `analysis.copies` recognises a melody by.

A figure is the intervals between neighbouring notes, so it does not change with transposition or rhythm. Knows one
melody, in lines: all its notes, and the first note in each eighth (what half the note values leave of it on a grid of
sixteenths). Compares nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.sequences import mix_bits
from songwright.score.grid import STEPS_PER_SIXTEENTH
from songwright.score.song import Song

LONG_NOTES, SHORT_NOTES = 6, 3
"""Notes of a long and of a short figure."""
SHORT_BITS = 12
"""Bits of the hash of a short figure; a long one has 16, a pitched one 8."""
NUM_LINES = 2
"""Lines of a melody."""
MAX_SIXTEENTHS = 2**14
"""A melody is looked at for 1,024 bars, about an hour."""
FIGURE_DTYPE = np.dtype(
    [("line", np.uint8), ("sixteenth", np.uint16), ("long", np.uint16), ("short", np.uint16), ("pitched", np.uint8)]
)
"""What an index keeps of a note: line (0 all notes, 1 the first in each eighth), onset, and hashes of its long figure,
its short figure, and its short figure with its pitch; 0 where there is none or it is plain."""

_MAX_INTERVAL = 31


def melody_line(song: Song) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return onset in sixteenths (rounded down) and pitch of the melody's notes within MAX_SIXTEENTHS."""
    onset = song.lead_sheet.melody["onset_step"].astype(np.int64) // STEPS_PER_SIXTEENTH
    is_early = onset < MAX_SIXTEENTHS
    return onset[is_early], song.lead_sheet.melody["pitch"][is_early].astype(np.int64)


def melody_figures(song: Song) -> NDArray[np.void]:
    """Return what an index keeps of a song: an array of FIGURE_DTYPE, by line and onset.

    A melody of fewer than three notes gives none. The second line is empty where it would repeat the first.
    """
    onset, pitch = melody_line(song)
    eighth = onset // 2
    is_first = np.diff(eighth, prepend=-1) > 0
    lines = [(onset, pitch)] if is_first.all() else [(onset, pitch), (eighth[is_first] * 2, pitch[is_first])]
    result: list[NDArray[np.void]] = [np.empty(0, dtype=FIGURE_DTYPE)]
    for line, (onset, pitch) in enumerate(lines):
        figures = np.zeros(max(len(pitch) - SHORT_NOTES + 1, 0), dtype=FIGURE_DTYPE)
        figures["line"] = line
        figures["sixteenth"] = onset[: len(figures)]
        note, code = _line_figures(pitch, range(LONG_NOTES), min_moves=2)
        figures["long"][note] = long_hash(code)
        note, code = _line_figures(pitch, range(SHORT_NOTES), min_moves=1)
        figures["short"][note] = short_hash(code)
        figures["pitched"][note] = pitched_hash(code, pitch[note])
        result.append(figures)
    return np.concatenate(result)


def _line_figures(
    pitch: NDArray[np.int64], notes: Sequence[int], *, min_moves: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return (first note, code) of the figures that notes at these distances from the first one make.

    Figures with fewer than `min_moves` intervals other than 0 are too plain and left out.
    """
    count = max(len(pitch) - notes[-1], 0)
    code = np.full(count, len(notes), dtype=np.int64)
    num_moves = np.zeros(count, dtype=np.int64)
    for one, other in pairwise(notes):
        interval = pitch[other : other + count] - pitch[one : one + count]
        code = code * 64 + np.clip(interval, -_MAX_INTERVAL, _MAX_INTERVAL) + 32
        num_moves += interval != 0
    note = np.flatnonzero(num_moves >= min_moves)
    return note, mix_bits(code[note])


def figure_readings(
    pitch: NDArray[np.int64], length: int, *, min_moves: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_]]:
    """Return (first note, code, whether one is skipped) of figures of `length` notes, and of those that skip a note."""
    ways = [list(range(length))]
    ways += [[note for note in range(length + 1) if note != skipped] for skipped in range(1, length)]
    found = [_line_figures(pitch, way, min_moves=min_moves) for way in ways]
    is_skip = np.repeat(np.arange(len(ways)) > 0, [len(note) for note, _ in found])
    return np.concatenate([note for note, _ in found]), np.concatenate([code for _, code in found]), is_skip


def long_hash(code: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the hashes of codes of long figures, 1 to 2**16 - 1."""
    return np.maximum(code >> np.uint64(48), np.uint64(1)).astype(np.int64)


def short_hash(code: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the hashes of codes of short figures, 1 to 2**SHORT_BITS - 1."""
    return np.maximum(code >> np.uint64(64 - SHORT_BITS), np.uint64(1)).astype(np.int64)


def pitched_hash(code: NDArray[np.uint64], pitch: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return hashes, 0 to 255, of codes of short figures together with their first pitches."""
    return (mix_bits(code ^ mix_bits(pitch)) >> np.uint64(56)).astype(np.int64)
