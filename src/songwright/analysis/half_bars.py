"""What sounds in each half bar, and how likely each chord is there: the common ground of `keys` and `chords`.

A *half bar* is half of a bar with an even number of beats (two quarters of 4/4, a dotted quarter of 6/8), and a whole
bar of the others (3/4, 5/8). Drums are left out; every other note counts alike, whatever its track or loudness.
The likelihoods come from a network of two layers that treats all twelve keys alike: whatever it says of a half bar, it
says a fifth higher of the half bar moved up a fifth. It was trained on the training songs of POP909 with the
corrected chords of Dai, Zhang and Dannenberg (`benchmarks/harmony.py --fit`), on whole songs, and on their melodies
and their pianos alone. What to make of the likelihoods over time is left to `keys` and `chords`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.analysis.weights import stored_arrays
from songwright.errors import InputError
from songwright.score.grid_score import TRACK_NOTE_DTYPE, GridScore
from songwright.score.lead_sheet import QUALITIES

NUM_QUALITIES = len(QUALITIES)
NUM_CHORDS = 12 * NUM_QUALITIES
"""Chords are numbered root * NUM_QUALITIES + quality, qualities in the order of QUALITIES."""
SLOT_STEPS = 3
"""Sounding notes are looked up in every sixteenth."""
MAX_BARS = 16_384
"""Longest piece that is analysed: nine hours of 4/4 at 120."""
_LONGEST_STEPS = 192  # a longer note is a drone or stuck: it counts for its first four bars
_CHUNK_NOTES = 65_536


@dataclass(frozen=True, eq=False)
class HalfBars:
    """The half bars of a piece and what sounds in them.

    Attributes
    ----------
    start_step : ndarray of int64, shape (num_halves + 1,)
        Where each half bar starts, and the end of the last.
    bar : ndarray of int64, shape (num_halves,)
        The bar it belongs to.
    is_second : ndarray of bool, shape (num_halves,)
        Whether it starts inside a bar.
    presence : ndarray of float32, shape (num_halves, 12)
        Share of the half bar in which each pitch class sounds, 0 to 1.
    early_presence : ndarray of float32, shape (num_halves, 12)
        The same for the first half of the half bar.
    bass : ndarray of float32, shape (num_halves, 12)
        Share of the half bar in which each pitch class is the lowest that sounds.
    """

    start_step: NDArray[np.int64]
    bar: NDArray[np.int64]
    is_second: NDArray[np.bool_]
    presence: NDArray[np.float32]
    early_presence: NDArray[np.float32]
    bass: NDArray[np.float32]

    @property
    def is_sounding(self) -> NDArray[np.bool_]:
        """Whether any note sounds in each half bar: shape (num_halves,)."""
        return self.presence.max(axis=1) > 0

    @cached_property
    def chord_log_likelihoods(self) -> NDArray[np.float32]:
        """Natural logarithm of each chord's probability in each half bar: shape (num_halves, NUM_CHORDS).

        Every chord is as likely as any other in a half bar where nothing sounds.
        """
        return _chord_log_likelihoods(self)


def measure_half_bars(grid_score: GridScore) -> HalfBars:
    """Return the half bars of a piece and the pitch classes that sound in them.

    Parameters
    ----------
    grid_score : GridScore
        Tracks of the role `drums` are left out. Notes beyond `num_bars` count for the last half bar.

    Raises
    ------
    InputError
        If the piece has more than MAX_BARS bars.
    """
    if grid_score.num_bars > MAX_BARS:
        raise InputError(
            f"the piece has {grid_score.num_bars} bars and at most {MAX_BARS} can be analysed; remove the gaps in it"
        )
    start_step, bar, is_second = _half_bar_starts(grid_score)
    num_halves = len(bar)
    if num_halves == 0:
        empty = np.zeros((0, 12), dtype=np.float32)
        return HalfBars(start_step, bar, is_second, empty, empty, empty)
    num_slots = int(start_step[-1]) // SLOT_STEPS + 1
    sounding = _sounding(grid_score, num_slots)
    # Rows of the sum: early and late part of each half bar, one after the other.
    edges = np.empty(2 * num_halves, dtype=np.int64)
    edges[0::2] = start_step[:-1] // SLOT_STEPS
    edges[1::2] = (start_step[:-1] + start_step[1:]) // (2 * SLOT_STEPS)
    sums = np.add.reduceat(sounding, edges, axis=0)
    lengths = np.maximum(np.diff(edges, append=num_slots - 1), 1).astype(np.float32)[:, None]
    early, late = sums[0::2], sums[1::2]
    whole = np.minimum((early + late) / (lengths[0::2] + lengths[1::2]), np.float32(1))
    early = np.minimum(early[:, :12] / lengths[0::2], np.float32(1))
    return HalfBars(start_step, bar, is_second, whole[:, :12], early, whole[:, 12:])


def _half_bar_starts(grid_score: GridScore) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    bar_start = grid_score.bar_starts
    length = np.diff(bar_start)
    numerator = np.empty(grid_score.num_bars, dtype=np.int64)
    for meter in grid_score.meters:
        numerator[meter.bar :] = meter.numerator
    parts = np.where((numerator % 2 == 0) & (length > 1), 2, 1)
    bar = np.repeat(np.arange(grid_score.num_bars), parts)
    is_second = np.zeros(len(bar), dtype=bool)
    is_second[1:] = bar[1:] == bar[:-1]
    start = bar_start[bar] + np.where(is_second, length[bar] // 2, 0)
    return np.append(start, bar_start[-1]), bar, is_second


def _sounding(grid_score: GridScore, num_slots: int) -> NDArray[np.float32]:
    """Return 1 where a pitch class sounds in a slot, and in 12 more columns where it is the lowest."""
    pitched = [track.notes for track in grid_score.tracks if track.role != "drums" and not track.is_drum]
    notes = np.concatenate([np.empty(0, dtype=TRACK_NOTE_DTYPE), *pitched])
    sounding = np.zeros((num_slots, 24), dtype=np.float32)
    pitch = notes["pitch"]
    # High notes first: of the pitches written to one slot the last, so the lowest, stays.
    order = np.argsort(127 - pitch, kind="stable")
    pitch = pitch[order].astype(np.int64)
    onset = notes["onset_step"][order].astype(np.int64)
    first = np.minimum(onset // SLOT_STEPS, num_slots - 1)
    end = onset + np.minimum(notes["duration_step"][order], _LONGEST_STEPS) - 1
    count = np.clip(end // SLOT_STEPS, first, num_slots - 1) - first + 1
    lowest = np.full(num_slots, -1, dtype=np.int64)
    flat = sounding.reshape(-1)
    for begin in range(0, len(pitch), _CHUNK_NOTES):
        part = slice(begin, begin + _CHUNK_NOTES)
        number = count[part]
        total = int(number.sum())
        ends = np.cumsum(number)
        slot = np.arange(total) + np.repeat(first[part] - (ends - number), number)
        spread = np.repeat(pitch[part], number)
        flat[slot * 24 + spread % 12] = 1
        lowest[slot] = spread
    filled = np.flatnonzero(lowest >= 0)
    flat[filled * 24 + 12 + lowest[filled] % 12] = 1
    return sounding


class _Network(NamedTuple):
    """The two layers, written out for the twelve roots."""

    local: NDArray[np.float32]
    """Shape (37, 12 * num_hidden): presence, bass and early presence of the half bar, and whether it is a second."""
    song: NDArray[np.float32]
    """Shape (12, 12 * num_hidden): mean presence over the song."""
    hidden_bias: NDArray[np.float32]
    output: NDArray[np.float32]
    """Shape (12 * num_hidden, NUM_CHORDS)."""
    output_bias: NDArray[np.float32]


def write_out(
    hidden: NDArray[np.float32],
    hidden_bias: NDArray[np.float32],
    output: NDArray[np.float32],
    output_bias: NDArray[np.float32],
) -> _Network:
    """Return the network for all roots from its weights for one.

    Parameters
    ----------
    hidden : ndarray, shape (num_hidden, 49)
        Weight of the pitch class `i` semitones above the root: 12 of presence, of bass, of early presence, of the
        song's mean presence; then of `is_second`.
    output : ndarray, shape (NUM_QUALITIES, 12, num_hidden)
        Weight, for a chord's root, of the hidden values of the root `i` semitones above.
    hidden_bias, output_bias : ndarray, shapes (num_hidden,) and (NUM_QUALITIES,)
    """
    num_hidden = len(hidden)
    tones = hidden[:, :48].reshape(num_hidden, 4, 12)
    wide = np.zeros((4, 12, 12, num_hidden), dtype=np.float32)
    out = np.zeros((12, num_hidden, 12, NUM_QUALITIES), dtype=np.float32)
    for root in range(12):
        for step in range(12):
            wide[:, (root + step) % 12, root] = tones[:, :, step].T
            out[(root + step) % 12, :, root] = output[:, step].T
    second = np.tile(hidden[:, 48], 12)[None]
    wide = wide.reshape(48, 12 * num_hidden)
    return _Network(
        np.concatenate([wide[:36], second]),
        wide[36:],
        np.tile(hidden_bias, 12),
        out.reshape(12 * num_hidden, NUM_CHORDS),
        np.tile(output_bias, 12),
    )


@cache
def _network() -> _Network:
    arrays = stored_arrays("harmony")
    return write_out(arrays["hidden"], arrays["hidden_bias"], arrays["output"], arrays["output_bias"])


def song_presence(presence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean presence over a song, scaled to sum to 4 (0 where nothing sounds): shape (12,)."""
    mean = presence.mean(axis=0, dtype=np.float32) if len(presence) else np.zeros(12, dtype=np.float32)
    return mean * (np.float32(4) / max(float(mean.sum()), 1e-6))


def _chord_log_likelihoods(half_bars: HalfBars) -> NDArray[np.float32]:
    network = _network()
    values = np.concatenate(
        [half_bars.presence, half_bars.bass, half_bars.early_presence, half_bars.is_second[:, None]],
        axis=1,
        dtype=np.float32,
    )
    hidden = values @ network.local
    hidden += network.hidden_bias + song_presence(half_bars.presence) @ network.song
    np.maximum(hidden, 0, out=hidden)
    logits = hidden @ network.output
    logits += network.output_bias
    logits[~half_bars.is_sounding] = 0
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def best_path(scores: NDArray[np.float32], change_cost: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the state at each time, so that the scores less the costs of changes sum to the most.

    Any state may follow any other at the same cost, so each time takes a number of operations that grows with the
    states, not with their pairs.

    Parameters
    ----------
    scores : ndarray, shape (num_times, num_states)
    change_cost : ndarray, shape (num_times,)
        Cost, at least 0, of a state at a time that differs from the one before.

    Examples
    --------
    >>> scores = np.array([[1, 0], [0, 1], [2, 0], [0, 2], [0, 2]], dtype=np.float32)
    >>> best_path(scores, np.full(5, 1.5, dtype=np.float32)).tolist()
    [0, 0, 0, 1, 1]
    """
    num_times = len(scores)
    if not num_times:
        return np.zeros(0, dtype=np.intp)
    totals = np.array(scores, dtype=np.float32)
    costs = change_cost.tolist()
    row = totals[0]
    for time in range(1, num_times):
        stay = np.maximum(row, row.max() - costs[time])
        row = totals[time]
        row += stay
        if not time % 64:  # totals stay near zero, where float32 is fine
            row -= row.max()
    best = totals.argmax(axis=1)
    most = totals.max(axis=1)
    path = np.empty(num_times, dtype=np.intp)
    state = path[-1] = best[-1]
    for time in range(num_times - 1, 0, -1):
        if totals[time - 1, state] < most[time - 1] - costs[time]:
            state = best[time - 1]
        path[time - 1] = state
    return path
