"""What each bar of a piece shows about phrases: gaps in the melody, harmony, texture, what is heard again.

Knows bars as rows of numbers and compares them with one another; finds no phrases (`analysis.phrases` does).
Times are grid steps (`score.grid`), but every feature is relative to the length of its bar, so metres need no case of
their own. Pitches enter as pitch classes that are compared with one another, intervals, degrees above the tonic and
distances from the piece's own mean: no feature changes when a piece is transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import GRID_NOTE_DTYPE
from songwright.score.lead_sheet import QUALITIES, ChordChange

NUM_SLOTS = 16
"""Equal parts of a bar in which onsets are counted."""
NUM_CHORD_SLOTS = 4
"""Equal parts of a bar at whose start the sounding chord is read."""
BLOCK_BARS, BLOCK_OVERLAP = 256, 128
"""Bars are compared with bars at most so far away that they share a block: memory and time stay linear in bars."""
_INTERVAL_LIMIT = 12  # larger leaps count as an octave
_NUM_INTERVALS = 2 * _INTERVAL_LIMIT + 1
# How well a count of pitch classes fits each major scale; scales that share six tones differ by their tonic triad.
_SCALE_WEIGHTS = np.array(
    [
        [1.05 if (pc - tonic) % 12 in (0, 4, 7) else float((pc - tonic) % 12 in (2, 5, 9, 11)) for pc in range(12)]
        for tonic in range(12)
    ]
)
_CHECKERBOARDS = np.zeros((2, 8, 8), dtype=np.float32)
for _kernel, _width in zip(_CHECKERBOARDS, (2, 4), strict=True):
    _side = np.repeat([0.0, -1.0, 1.0, 0.0], [4 - _width, _width, _width, 4 - _width])
    _kernel[:] = np.outer(_side, _side) / (2 * _width**2)
_TINY = np.float32(1e-6)
_SQRT2, _SQRT5 = np.sqrt([2, 5], dtype=np.float32)  # in a product of bars, tones and intervals weigh twice rhythm
_NUM_REPETITION = 12  # columns of `_returns`
_QUALITY_INDEX = {name: index for index, name in enumerate(QUALITIES)}
_QUALITY_TONES = np.array([[float(step in steps) for step in range(12)] for steps in QUALITIES.values()], np.float32)


@dataclass(frozen=True, eq=False)
class BarContents:
    """Bars as unit vectors (rows of zeros for empty bars); a product of two rows is a cosine.

    Attributes
    ----------
    rhythm : ndarray of float32, shape (num_bars, NUM_SLOTS)
        Where notes of the melody start.
    tones : ndarray of float32, shape (num_bars, NUM_SLOTS * 12)
        Melody notes as (slot, pitch class).
    intervals : ndarray of float32, shape (num_bars, NUM_SLOTS * 25)
        Melody notes as (slot, interval from the note before).
    chords : ndarray of float32, shape (num_bars, NUM_CHORD_SLOTS * 12)
        Tones of the chords; the root counts twice.
    accompaniment : ndarray of float32, shape (num_bars, NUM_SLOTS + 48)
        Onsets of the other voices by slot, and their pitch classes by half bar, below and above their mean pitch.
    num_notes : ndarray of int64, shape (num_bars,)
        Melody notes that start in the bar.
    """

    rhythm: NDArray[np.float32]
    tones: NDArray[np.float32]
    intervals: NDArray[np.float32]
    chords: NDArray[np.float32]
    accompaniment: NDArray[np.float32]
    num_notes: NDArray[np.int64]


def _unit_rows(table: NDArray[np.floating]) -> NDArray[np.float32]:
    table = table.astype(np.float32, copy=False)
    return table / np.maximum(np.sqrt(np.einsum("ij,ij->i", table, table)), _TINY)[:, None]


def _counts(row: NDArray[np.integer], column: NDArray[np.integer], shape: tuple[int, int]) -> NDArray[np.float32]:
    return np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)


def chord_table(
    chords: Sequence[ChordChange], bar_starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return onset steps, roots and indices into QUALITIES of the chords inside the bars."""
    inside = [change for change in chords if change.onset_step < bar_starts[-1]]
    onset = np.array([change.onset_step for change in inside], dtype=np.int64)
    root = np.array([change.chord.root for change in inside], dtype=np.int64)
    quality = np.array([_QUALITY_INDEX[change.chord.quality] for change in inside], dtype=np.int64)
    return onset, root, quality


class PieceBars:
    """A piece laid on its bars: the common ground of contents and features.

    Parameters
    ----------
    melody, accompaniment : ndarray of GRID_NOTE_DTYPE
        In any order; notes outside the bars are left out.
    chords : sequence of ChordChange
    bar_starts : ndarray of int64, shape (num_bars + 1,)
        Strictly increasing.
    """

    def __init__(
        self,
        melody: NDArray[np.void],
        chords: Sequence[ChordChange],
        bar_starts: NDArray[np.int64],
        accompaniment: NDArray[np.void] | None,
    ) -> None:
        self.starts = bar_starts
        self.lengths = np.diff(bar_starts)
        self.num_bars = len(self.lengths)
        self.melody = self._inside(melody)
        other = np.empty(0, dtype=GRID_NOTE_DTYPE) if accompaniment is None else accompaniment
        self.other = self._inside(other)
        self.bar, self.place = self._positions(self.melody)
        self.other_bar, self.other_place = self._positions(self.other)
        self.pitch = self.melody["pitch"].astype(np.int64)
        self.other_pitch = self.other["pitch"].astype(np.int64)
        onset, root, quality = chord_table(chords, bar_starts)
        self.chord_onset, self.chord_root, self.chord_quality = onset, root, quality
        points = (
            bar_starts[:-1, None] + np.arange(NUM_CHORD_SLOTS) * self.lengths[:, None] // NUM_CHORD_SLOTS
        )  # shape (num_bars, NUM_CHORD_SLOTS)
        self.chord_at = np.searchsorted(onset, points, side="right") - 1  # -1: none yet

    def _inside(self, notes: NDArray[np.void]) -> NDArray[np.void]:
        onset = notes["onset_step"]
        kept = (onset >= self.starts[0]) & (onset < self.starts[-1])
        if not kept.all():
            notes, onset = notes[kept], onset[kept]
        return notes if (onset[1:] >= onset[:-1]).all() else notes[np.argsort(onset, kind="stable")]

    def _positions(self, notes: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the bar of each note and its place in it, 0 to 1."""
        onset = notes["onset_step"].astype(np.int64)
        bar = np.searchsorted(self.starts, onset, side="right") - 1
        return bar, (onset - self.starts[bar]) / self.lengths[bar]

    def contents(self) -> BarContents:
        """Return the bars as vectors to compare."""
        bars = self.num_bars
        slot = (self.place * NUM_SLOTS).astype(np.int64)
        step = np.clip(np.diff(self.pitch, prepend=self.pitch[:1]), -_INTERVAL_LIMIT, _INTERVAL_LIMIT)
        step += _INTERVAL_LIMIT
        chord = np.zeros((len(self.chord_root) + 1, 12), dtype=np.float32)  # the last row: no chord
        tones = (self.chord_root[:, None] + np.arange(12)) % 12
        rows = np.arange(len(self.chord_root))
        chord[rows[:, None], tones] = _QUALITY_TONES[self.chord_quality]
        chord[rows, self.chord_root] += 1
        other_slot = (self.other_place * NUM_SLOTS).astype(np.int64)
        middle = self.other_pitch.mean() if len(self.other_pitch) else 0.0
        other_tone = self.other_pitch % 12 + 12 * (self.other_pitch > middle) + 24 * (other_slot >= NUM_SLOTS // 2)
        return BarContents(
            rhythm=_unit_rows(_counts(self.bar, slot, (bars, NUM_SLOTS))),
            tones=_unit_rows(_counts(self.bar, slot * 12 + self.pitch % 12, (bars, NUM_SLOTS * 12))),
            intervals=_unit_rows(_counts(self.bar, slot * _NUM_INTERVALS + step, (bars, NUM_SLOTS * _NUM_INTERVALS))),
            chords=_unit_rows(chord[self.chord_at].reshape(bars, -1)),
            accompaniment=_unit_rows(
                np.concatenate(
                    [
                        _unit_rows(_counts(self.other_bar, other_slot, (bars, NUM_SLOTS))),
                        _unit_rows(_counts(self.other_bar, other_tone, (bars, 48))),
                    ],
                    axis=1,
                )
            ),
            num_notes=np.bincount(self.bar, minlength=bars),
        )

    def features(self, contents: BarContents) -> NDArray[np.float32]:
        """Return what each bar line shows, shape (num_bars, num_features): row t is the line at the start of bar t."""
        return np.concatenate(
            [self._melody(), self._harmony(), self._texture(), self._place(), _repetition(contents)], axis=1
        ).astype(np.float32)

    def _melody(self) -> NDArray[np.float64]:
        """Gaps and long notes at the bar line; density and register of the bar."""
        bars, lengths = self.num_bars, self.lengths
        table = np.zeros((bars, 16))
        table[:, 0] = 1.0
        if not len(self.melody):
            return table
        onset = self.melody["onset_step"].astype(np.int64)
        end = onset + self.melody["duration_step"]
        length = lengths[self.bar]
        # A note in the second half of a bar may lead into the next: it belongs to the nearest bar line.
        line = np.minimum(self.bar + (self.place >= 0.5), bars)
        rest = np.minimum(np.diff(onset, prepend=onset[0] - 2 * length[0]), 10**6).astype(np.float64)
        waiting = np.minimum(rest / length, 2.0)  # from the onset before to this one
        rest[1:] = onset[1:] - end[:-1]
        silent = np.clip(rest / length, 0.0, 2.0)
        largest = np.zeros((bars + 1, 2))
        np.maximum.at(largest, line, np.stack([silent, waiting], axis=1))
        table[:, 0] = 0.0
        table[:, 1:3] = largest[:bars]
        # Where, from the bar line, the first note after that gap starts (-0.5 to 0.5).
        is_first = waiting >= largest[line, 1]
        where = np.zeros(bars + 1)
        where[line[is_first][::-1]] = (self.place - (self.place >= 0.5))[is_first][::-1]
        table[:, 3] = where[:bars]
        after = np.searchsorted(onset, self.starts[:-1])  # first note on or after the line
        before = after - 1
        has_before, has_after = before >= 0, after < len(onset)
        table[:, 4] = np.where(
            has_after, np.minimum((onset[np.minimum(after, len(onset) - 1)] - self.starts[:-1]) / lengths, 2.0), 2.0
        )
        gap = (self.starts[:-1] - end[np.maximum(before, 0)]) / lengths
        table[:, 5] = np.where(has_before, np.clip(gap, -1.0, 2.0), 2.0)
        held = self.melody["duration_step"][np.maximum(before, 0)] / lengths
        table[:, 6] = np.where(has_before, np.minimum(held, 2.0), 0.0)
        table[:, 7] = table[:, 4] == 0
        table[:, 8] = table[:, 5] < 0
        leap = np.abs(self.pitch[np.minimum(after, len(onset) - 1)] - self.pitch[np.maximum(before, 0)])
        table[:, 9] = np.where(has_before & has_after, np.minimum(leap, 24) / 12, 0.0)
        num_notes = np.bincount(self.bar, minlength=bars)
        table[:, 10] = np.log1p(num_notes)
        table[:, 11] = num_notes > 0
        mean = np.bincount(self.bar, self.pitch, bars) / np.maximum(num_notes, 1)
        table[:, 12] = np.where(num_notes > 0, (mean - self.pitch.mean()) / 12, 0.0)
        longest = np.zeros(bars)
        np.maximum.at(longest, self.bar, np.minimum(self.melody["duration_step"] / length, 2.0))
        table[:, 13] = longest
        sounding = np.flatnonzero(num_notes)
        at = np.arange(bars)
        table[:, 14] = (at >= sounding[0]) & (at <= sounding[-1])
        silent_run = at - np.maximum.accumulate(np.where(num_notes > 0, at, -8))
        table[:, 15] = np.minimum(silent_run, 8) / 4
        return table

    def _tonic(self) -> int:
        """Return the major tonic whose scale holds most of what sounds."""
        weights = np.bincount(self.pitch % 12, minlength=12) + np.bincount(self.other_pitch % 12, minlength=12) * 0.25
        weights = weights + 2.0 * np.bincount(self.chord_root, minlength=12)
        return int((_SCALE_WEIGHTS @ weights).argmax())

    def _harmony(self) -> NDArray[np.float64]:
        """Scale degree of the chord at the line, motion into it, changes in the bar."""
        bars = self.num_bars
        table = np.zeros((bars, 27))
        if not len(self.chord_root):
            return table
        first, last = self.chord_at[:, 0], np.concatenate([[-1], self.chord_at[:-1, -1]])
        has_first, has_last = first >= 0, last >= 0
        rows = np.arange(bars)
        degree = (self.chord_root[first] - self._tonic()) % 12
        table[rows[has_first], degree[has_first]] = 1
        motion = (self.chord_root[first] - self.chord_root[last]) % 12
        both = has_first & has_last
        table[rows[both], 12 + motion[both]] = 1
        table[:, 24] = has_first
        table[:, 25] = has_first & (self.chord_onset[first] == self.starts[:-1])
        table[:, 26] = (np.diff(self.chord_at, axis=1) > 0).sum(axis=1) / 2
        return table

    def _texture(self) -> NDArray[np.float64]:
        """Density and register of the other voices, and their rest before the line."""
        bars = self.num_bars
        table = np.zeros((bars, 7))
        if not len(self.other):
            return table
        num_notes = np.bincount(self.other_bar, minlength=bars)
        mean = np.bincount(self.other_bar, self.other_pitch, bars) / np.maximum(num_notes, 1)
        table[:, 0] = 1
        table[:, 1] = np.log1p(num_notes)
        table[:, 2] = np.where(num_notes > 0, (mean - self.other_pitch.mean()) / 12, 0.0)
        lowest, highest = np.full(bars, 127), np.zeros(bars, dtype=np.int64)
        np.minimum.at(lowest, self.other_bar, self.other_pitch)
        np.maximum.at(highest, self.other_bar, self.other_pitch)
        table[:, 3] = np.where(num_notes > 0, (lowest - self.other_pitch.min()) / 24, 0.0)
        table[:, 4] = np.where(num_notes > 0, (highest - self.other_pitch.max()) / 24, 0.0)
        late = np.bincount(self.other_bar[self.other_place >= 0.75], minlength=bars)
        table[:, 5] = np.log1p(late)
        table[:, 6] = np.log1p(np.bincount(self.other_bar[self.other_place < 0.0625], minlength=bars))
        return table

    def _place(self) -> NDArray[np.float64]:
        """Distance from both ends, and from the first bar of melody counted in fours and eights."""
        at = np.arange(self.num_bars)
        first = int(self.bar[0] + (self.place[0] >= 0.75)) if len(self.bar) else 0
        table = np.zeros((self.num_bars, 8))
        table[:, 0] = np.exp(-at / 4)
        table[:, 1] = np.exp((at - self.num_bars) / 4)
        table[:, 2] = at == first
        table[at, 3 + (at - first) % 4] = 1
        table[:, 7] = (at - first) % 8 == 0
        return table


def _shifted(table: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    """Return the table with entry (i, j) taken from (i + by, j + by), zero outside."""
    found = np.zeros_like(table)
    if by >= 0:
        found[: len(table) - by, : len(table) - by] = table[by:, by:]
    else:
        found[-by:, -by:] = table[:by, :by]
    return found


def _repetition(contents: BarContents) -> NDArray[np.float32]:
    """Return for each bar line how far something heard elsewhere starts or ends there; block by block."""
    bars = len(contents.rhythm)
    if bars <= 2 * BLOCK_BARS:
        return _block_repetition(contents, slice(0, bars))
    parts: list[NDArray[np.float32]] = []
    for start in range(0, bars, BLOCK_BARS):
        low, high = max(0, start - BLOCK_OVERLAP), min(bars, start + BLOCK_BARS + BLOCK_OVERLAP)
        part = _block_repetition(contents, slice(low, high))
        parts.append(part[start - low : start - low + BLOCK_BARS])
    return np.concatenate(parts)[:bars]


def _block_repetition(contents: BarContents, block: slice) -> NDArray[np.float32]:
    """Return 12 columns for each of melody, chords, accompaniment; zeros for what the block has nothing of."""
    rhythm, tones, intervals = (table[block] for table in (contents.rhythm, contents.tones, contents.intervals))
    size = len(rhythm)
    found = np.zeros((size, 3 * _NUM_REPETITION), dtype=np.float32)
    bars = np.arange(size)
    far = (np.abs(bars[:, None] - bars) >= 3).astype(np.float32)
    if rhythm.any():
        melody = np.concatenate([rhythm, tones * _SQRT2, intervals * _SQRT2], axis=1) / _SQRT5
        found[:, :_NUM_REPETITION] = _returns(melody @ melody.T, far)
    for index, table in enumerate((contents.chords[block], contents.accompaniment[block]), 1):
        if table.any():
            columns = slice(index * _NUM_REPETITION, (index + 1) * _NUM_REPETITION)
            found[:, columns] = _returns(table @ table.T, far)
    return found


def _returns(similarity: NDArray[np.float32], far: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a similarity of bars, shape (size, size), says of each bar line; `far` leaves out near pairs."""
    pair = similarity + _shifted(similarity, 1)  # bars t and t + 1
    ahead = (pair + _shifted(pair, 2)) * np.float32(0.25) * far  # bars t to t + 3
    behind = _shifted(ahead, -4)  # bars t - 4 to t - 1
    near = _shifted(pair, -2) / 2 * far  # bars t - 2 and t - 1
    starts, ends = np.maximum(ahead - behind, 0), np.maximum(behind - ahead, 0)
    columns = [
        ahead.max(axis=1),
        behind.max(axis=1),
        (ahead - near).max(axis=1),
        (behind - pair / 2 * far).max(axis=1),
        starts.sum(axis=1) / (1 + ahead.sum(axis=1)),
        ends.sum(axis=1) / (1 + behind.sum(axis=1)),
        *_novelty(similarity).T,
    ]
    for lag in (1, 2, 4, 8):  # is a period of that length going on?
        column = np.zeros(len(similarity), dtype=np.float32)
        column[lag:] = np.diagonal(similarity, -lag)
        columns.append(column)
    return np.stack(columns, axis=1)


def _novelty(similarity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much the two, and the four, bars before and after each line are alike inside and unlike across.

    Foote's checkerboard kernel ("Automatic audio segmentation using a measure of audio novelty", ICME 2000).
    """
    size, reach = len(similarity), len(_CHECKERBOARDS[0]) // 2
    padded = np.zeros((size + 2 * reach, size + 2 * reach), dtype=np.float32)
    padded[reach:-reach, reach:-reach] = similarity
    row, column = padded.strides
    windows = np.lib.stride_tricks.as_strided(
        padded, (size, 2 * reach, 2 * reach), (row + column, row, column), writeable=False
    )
    return windows.reshape(size, -1) @ _CHECKERBOARDS.reshape(len(_CHECKERBOARDS), -1).T
