"""Written music to the `Score` that sounds when it is played.

Measures are laid one after another in the order in which they are played, tied notes become one, and time signatures
are placed so that every bar line can be told from them. Knows no file format; see `files.written_music`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import gcd, lcm
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from songwright.errors import InputError
from songwright.files.written_music import FREE_METER, WrittenMeasure, WrittenPart, bar_length, play_order
from songwright.score.elements import (
    NOTE_DTYPE,
    ChordLabel,
    KeySignature,
    Marker,
    Score,
    TempoChange,
    TimeSignature,
    Track,
    sort_notes,
)

MAX_NOTES = 500_000
"""Most notes of a piece, repeats played. An hour of orchestral music has 100,000."""

_TICKS_PER_QUARTER = 480  # a multiple of it where that fits, as in most MIDI files
_MAX_TICKS_PER_QUARTER = 0x7FFF  # what a MIDI file can hold
_ROUNDED_TICKS_PER_QUARTER = 10_080  # 2^5 * 3^2 * 5 * 7: where nothing holds every duration
_MAX_QUARTERS = 65_536  # ten hours at 120; times 32,767 ticks it still fits 31 bits
_LONGEST_METER = 64  # beats of a bar drawn without metre; MIDI files end at 255

_Value = TypeVar("_Value")


def sounding_score(
    parts: Sequence[WrittenPart],
    measures: Sequence[WrittenMeasure],
    units_per_quarter: int,
    *,
    order: Sequence[int] | None = None,
) -> Score:
    """Return the score of written music, played in the given order.

    Parameters
    ----------
    parts : sequence of WrittenPart
        Each with at most as many measures as there are; parts without notes are left out.
    measures : sequence of WrittenMeasure
    units_per_quarter : int
    order : sequence of int, optional
        The measures played, as indices; by default `play_order(measures)`.

    Returns
    -------
    Score
        With the least multiple of 480 ticks a quarter that makes every onset and duration a whole number, or the least
        number that does so at all; where even 32,767 are too few, times are rounded to 1/10,080 of a quarter.

    Raises
    ------
    InputError
        If it is too long to be music. The sentence begins with what is wrong: the reader puts the file before it.
    """
    if order is None:
        order = play_order(measures)
    meters = _in_force([[] if m.meter is None else [(0, m.meter)] for m in measures], keep_own=True)
    lengths = [
        measure.length or (bar_length(meter, units_per_quarter) if meter else 0)
        for measure, meter in zip(measures, meters, strict=True)
    ]
    starts = [0]
    for index in order:
        starts.append(starts[-1] + lengths[index])
    if starts[-1] > _MAX_QUARTERS * units_per_quarter:
        raise InputError(f"is longer than {_MAX_QUARTERS} quarter notes, which no music is: export it again.")
    columns = [_sounding_notes(part, order, starts) for part in parts]
    ticks_per_quarter = _resolution(columns, starts, units_per_quarter)

    def tick(units: int) -> int:
        return (2 * units * ticks_per_quarter + units_per_quarter) // (2 * units_per_quarter)

    def played(events: Sequence[list[tuple[int, _Value]]]) -> list[tuple[int, _Value]]:
        return [(tick(units), value) for units, value in _changes(events, order, starts)]

    drawn = [meters[index] or FREE_METER for index in order]
    return Score(
        ticks_per_quarter,
        tuple(
            Track(part.name, _in_ticks(notes, units_per_quarter, ticks_per_quarter), part.program, part.is_drum)
            for part, notes in zip(parts, columns, strict=True)
            if len(notes)
        ),
        tuple(TempoChange(at, tempo) for at, tempo in played([m.tempos for m in measures])),
        tuple(
            TimeSignature(tick(onset), *meter)
            for onset, meter in bar_lines([lengths[index] for index in order], drawn, units_per_quarter)
        ),
        tuple(KeySignature(at, fifths, is_minor) for at, (fifths, is_minor) in played([m.keys for m in measures])),
        tuple(
            Marker(tick(starts[place] + offset), text)
            for place, index in enumerate(order)
            for offset, text in measures[index].markers
        ),
        tuple(ChordLabel(at, label) for at, label in played([m.chords for m in measures])),
    )


def bar_lines(
    lengths: Sequence[int], meters: Sequence[tuple[int, int]], units_per_quarter: int
) -> list[tuple[int, tuple[int, int]]]:
    """Return where time signatures stand, so that bars counted from each meet the bar lines that were drawn.

    A first measure that is short is a pick-up and has a time signature of its own. Later, a bar that a repeat sign
    cuts in two stays one bar. A bar that is a multiple of its metre counts as so many bars; any other length has its
    own time signature, except a last bar that is cut short.

    Parameters
    ----------
    lengths, meters : sequences
        Of each played measure: length in units, and the metre in force.
    units_per_quarter : int

    Returns
    -------
    list of (int, (int, int))
        Onset in units, and numerator and denominator.

    Examples
    --------
    >>> bar_lines([1, 4, 4], [(4, 4)] * 3, 1)
    [(0, (1, 4)), (1, (4, 4))]
    """
    found: list[tuple[int, tuple[int, int]]] = []
    current: tuple[int, int] | None = None
    onset = index = 0
    while index < len(lengths):
        length, meter = lengths[index], meters[index]
        full = bar_length(meter, units_per_quarter)
        stop = index + 1
        if onset and 0 < length < full:
            total = length
            while total < full and stop < len(lengths) and meters[stop] == meter:
                total += lengths[stop]
                stop += 1
            length, stop = (total, stop) if total == full else (length, index + 1)
        is_cut_short = stop == len(lengths) and onset > 0 and length < full
        if full and (length % full == 0 or is_cut_short):
            wanted = meter
        else:
            wanted = _meter_of_length(length, units_per_quarter, meter[1] or 4)
        if wanted is not None and wanted != current:
            found.append((onset, wanted))
            current = wanted
        onset += length
        index = stop
    return found


def _meter_of_length(length: int, units_per_quarter: int, denominator: int) -> tuple[int, int] | None:
    """Return the time signature of a bar of any length, in beats of `denominator` or finer; None if there is none."""
    for finer in (denominator, 4, 8, 16, 32, 64):
        numerator, rest = divmod(length * finer, 4 * units_per_quarter)
        if finer >= min(denominator, 4) and rest == 0 and 0 < numerator <= _LONGEST_METER:
            return numerator, finer
    return None


def _in_force(events: Sequence[list[tuple[int, _Value]]], *, keep_own: bool = False) -> list[_Value | None]:
    """Return what is in force where each measure starts, as written; with `keep_own`, including its own change."""
    found: list[_Value | None] = []
    current: _Value | None = None
    for here in events:
        if keep_own and here:
            current = here[-1][1]
        found.append(current)
        if here:
            current = here[-1][1]
    return found


def _changes(
    events: Sequence[list[tuple[int, _Value]]], order: Sequence[int], starts: Sequence[int]
) -> Iterable[tuple[int, _Value]]:
    """Lay events on the played measures; after a jump, what is in force there as written is in force again."""
    start_values = _in_force(events)
    current: _Value | None = None
    for place, index in enumerate(order):
        here = events[index]
        start_value = start_values[index]
        if start_value is not None and start_value != current and not (here and here[0][0] == 0):
            here = [(0, start_value), *here]
        for offset, value in here:
            if value != current:
                yield starts[place] + min(offset, starts[place + 1] - starts[place]), value
                current = value


def _sounding_notes(part: WrittenPart, order: Sequence[int], starts: Sequence[int]) -> NDArray[np.int64]:
    """Return (onset, duration, pitch, velocity) of each note in units from the beginning, tied notes as one."""
    sounding: list[list[int]] = []
    open_ties: dict[int, list[list[int]]] = {}  # by pitch: notes that wait for the note they are tied to
    for place, index in enumerate(order):
        if index >= len(part.measures):
            continue
        start = starts[place]
        goes_on = place > 0 and order[place - 1] == index - 1
        for onset, duration, pitch, velocity, is_tied_before, is_tied_after in part.measures[index]:
            # Some programs write where a tie starts and not where it ends; after a jump that would be a guess.
            if pitch in open_ties and (is_tied_before or goes_on or onset):
                waiting = open_ties[pitch]
                match = next((note for note in waiting if note[0] + note[1] == start + onset), None)
                if match is not None:
                    match[1] += duration
                    if not is_tied_after:
                        waiting.remove(match)
                    continue
            onset += start
            note = [onset, duration, pitch, velocity]
            sounding.append(note)
            if is_tied_after:
                # Ties that ended in the past wait for nothing: without this a hostile file makes them a long list.
                waiting = [other for other in open_ties.get(pitch, ()) if other[0] + other[1] >= onset]
                open_ties[pitch] = [*waiting[-8:], note]
        if len(sounding) > MAX_NOTES:
            raise InputError(f"has more than {MAX_NOTES} notes with its repeats played: give less music.")
    return np.array(sounding, dtype=np.int64).reshape(-1, 4)


def _resolution(columns: Sequence[NDArray[np.int64]], starts: Sequence[int], units_per_quarter: int) -> int:
    """Return ticks a quarter: see `sounding_score`."""
    common = units_per_quarter
    for later, earlier in pairwise(starts):
        common = gcd(common, later - earlier)
    for notes in columns:
        if len(notes):
            common = gcd(common, int(np.gcd.reduce(notes[:, :2], axis=None)))
    least = units_per_quarter // common
    if lcm(least, _TICKS_PER_QUARTER) <= _MAX_TICKS_PER_QUARTER:
        return lcm(least, _TICKS_PER_QUARTER)
    return least if least <= _MAX_TICKS_PER_QUARTER else _ROUNDED_TICKS_PER_QUARTER


def _in_ticks(notes: NDArray[np.int64], units_per_quarter: int, ticks_per_quarter: int) -> NDArray[np.void]:
    onset, end = notes[:, 0], notes[:, 0] + notes[:, 1]
    onset, end = ((2 * t * ticks_per_quarter + units_per_quarter) // (2 * units_per_quarter) for t in (onset, end))
    converted = np.empty(len(notes), dtype=NOTE_DTYPE)
    converted["onset_tick"] = onset
    converted["duration_tick"] = np.maximum(end - onset, 1)
    converted["pitch"], converted["velocity"] = notes[:, 2], notes[:, 3]
    return sort_notes(converted)
