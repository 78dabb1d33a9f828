"""Rhythm as it is written: a melody on the grid becomes note values, ties, tuplets and beams.

Knows 4/4 and the customs of engraving; leaves pitch to `score.spelling` and the file format to
`files.musicxml`. Times are grid steps (12 a quarter, 48 a bar); inside this module also sixteenths (3 steps).

What is written differs from what is played in two ways, both inaudible. How long a note is held is articulation: a
gap of up to a sixteenth before the next note is written through, and a rest among sixteenths starts on an eighth. In a
beat that mixes sixteenths with triplets, which no one can read, onsets move to the nearer of both grids, by one or two
steps.

References
----------
.. [1] E. Gould, "Behind Bars: The Definitive Guide to Music Notation", Faber Music, 2011 (metre, pp. 151-182; ties and
   rests that show the half-bar and the beat).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from songwright.score.grid import STEPS_PER_BAR, STEPS_PER_BEAT, STEPS_PER_SIXTEENTH

_HALF_BAR = STEPS_PER_BAR // 2
_SIXTEENTHS, _TRIPLETS, _SEXTUPLETS = (0, 3, 6, 9), (0, 4, 8), (0, 2, 4, 6, 8, 10)
# What a grid costs before anything is moved, in steps: six in a beat only where nothing else has room.
_GRID_COST: dict[tuple[int, ...], float] = {_SIXTEENTHS: 0.0, _TRIPLETS: 0.6, _SEXTUPLETS: 4.0}
# Where a note may end, within its beat or with it, when a rest follows; among sixteenths on the eighths only.
_ENDS: dict[tuple[int, ...], tuple[int, ...]] = {
    _SIXTEENTHS: (0, 6, 12),
    _TRIPLETS: (0, 4, 8, 12),
    _SEXTUPLETS: (0, 2, 4, 6, 8, 10, 12),
}
_END_WEIGHT = 0.1  # where a note ends matters less than where it starts

# Length in sixteenths -> places in the bar where one written value of that length keeps beat and half-bar visible.
_NOTE_STARTS: dict[int, tuple[int, ...]] = {
    16: (0,),
    12: (0, 4),
    8: (0, 4, 8),
    6: (0, 2, 8, 10),
    4: (0, 2, 4, 8, 10, 12),
    3: (0, 1, 4, 5, 8, 9, 12, 13),
    2: (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14),
    1: tuple(range(16)),
}
_REST_STARTS: dict[int, tuple[int, ...]] = {
    16: (0,),
    8: (0, 8),
    4: (0, 4, 8, 12),
    2: tuple(range(0, 16, 2)),
    1: tuple(range(16)),
}
_SIXTEENTH_VALUES = {16: ("whole", 0), 12: ("half", 1), 8: ("half", 0), 6: ("quarter", 1), 4: ("quarter", 0),
                     3: ("eighth", 1), 2: ("eighth", 0), 1: ("16th", 0)}  # fmt: skip
_NUM_BEAMS = {"eighth": 1, "16th": 2}


class Tuplet(NamedTuple):
    """`actual` values of `unit` in the time of `normal`."""

    actual: int
    normal: int
    unit: str


class WrittenNote(NamedTuple):
    """One written value: a note, a part of a tied note, or a rest."""

    onset_step: int
    """From the start of the song."""
    duration_step: int
    note_index: int | None
    """Row of the melody; None for a rest."""
    value: str
    """`whole`, `half`, `quarter`, `eighth` or `16th`."""
    num_dots: int = 0
    is_tied_back: bool = False
    is_tied_on: bool = False
    tuplet: Tuplet | None = None
    starts_tuplet: bool = False
    ends_tuplet: bool = False
    beams: tuple[str, ...] = ()
    """MusicXML beam words, eighth beam first."""


class _Span(NamedTuple):
    """A part of a bar counted in one way: plain, or one tuplet."""

    start: int
    end: int
    tuplet: Tuplet | None
    values: dict[int, tuple[str, int]]


_TRIPLET_SPAN = (Tuplet(3, 2, "eighth"), {4: ("eighth", 0), 8: ("quarter", 0)})
_HALF_TRIPLET_SPAN = (Tuplet(3, 2, "quarter"), {8: ("quarter", 0), 16: ("half", 0)})
_SEXTUPLET_SPAN = (
    Tuplet(6, 4, "16th"),
    {2: ("16th", 0), 4: ("eighth", 0), 6: ("eighth", 1), 8: ("quarter", 0)},
)


def written_bars(melody: NDArray[np.void], num_bars: int) -> list[list[WrittenNote]]:
    """Return the written values of each bar of a one-voice melody.

    Parameters
    ----------
    melody : ndarray of GRID_NOTE_DTYPE, shape (num_notes,)
        One voice inside the bars, onsets on `POSITION_STEPS`.
    num_bars : int

    Returns
    -------
    list of list of WrittenNote
        One list a bar, in order; the durations of each add up to 48 steps. A bar without a note is one whole rest.

    Raises
    ------
    ValueError
        If the melody is not one voice, leaves the bars, or has more than six onsets in a beat.
    """
    onsets = melody["onset_step"].astype(int).tolist()
    ends = (melody["onset_step"] + melody["duration_step"]).astype(int).tolist()
    song_end = num_bars * STEPS_PER_BAR
    if any(end > onset for end, onset in zip(ends, onsets[1:], strict=False)) or any(
        not 0 <= onset < end <= song_end for onset, end in zip(onsets, ends, strict=True)
    ):
        raise ValueError("only a melody of one voice inside its bars can be written")
    for index, onset in enumerate(onsets[1:]):
        if onset - ends[index] <= STEPS_PER_SIXTEENTH:
            ends[index] = onset
    onsets, ends, grids = _snap(onsets, ends, num_bars * 4)
    edges = sorted({*onsets, *ends})
    bars = []
    for bar in range(num_bars):
        start = bar * STEPS_PER_BAR
        inner = [edge - start for edge in edges if start < edge < start + STEPS_PER_BAR]
        spans = _spans(inner, grids[bar * 4 : bar * 4 + 4])
        sounding = [
            (max(onset, start), min(end, start + STEPS_PER_BAR), index)
            for index, (onset, end) in enumerate(zip(onsets, ends, strict=True))
            if onset < start + STEPS_PER_BAR and end > start
        ]
        bars.append(_with_beams(_written_bar(start, spans, sounding, onsets, ends)))
    return bars


def _snap(onsets: list[int], ends: list[int], num_beats: int) -> tuple[list[int], list[int], list[tuple[int, ...]]]:
    """Choose a grid for each beat and move onsets and ends to it."""
    tied_ends = {end for end, onset in zip(ends, onsets[1:], strict=False) if end == onset}
    by_beat: list[tuple[list[int], list[int]]] = [([], []) for _ in range(num_beats)]
    for index, onset in enumerate(onsets):
        by_beat[onset // STEPS_PER_BEAT][0].append(index)
    for index, end in enumerate(ends):
        if end not in tied_ends and end % STEPS_PER_BEAT:
            by_beat[end // STEPS_PER_BEAT][1].append(index)
    new_onsets, new_ends, grids = list(onsets), list(ends), []
    for beat, (starting, ending) in enumerate(by_beat):
        base = beat * STEPS_PER_BEAT
        onset_offsets = tuple(onsets[index] - base for index in starting)
        end_offsets = tuple(ends[index] - base for index in ending)
        grid, places = _best_grid(onset_offsets, end_offsets)
        grids.append(grid)
        for index, place in zip(starting, places, strict=True):
            new_onsets[index] = base + place
        for index in ending:
            new_ends[index] = base + _nearest(_ENDS[grid], ends[index] - base)
    for index, end in enumerate(ends):
        following = new_onsets[index + 1] if index + 1 < len(onsets) else num_beats * STEPS_PER_BEAT
        if end in tied_ends or new_ends[index] > following:
            new_ends[index] = following
        if new_ends[index] <= new_onsets[index]:
            grid = grids[new_onsets[index] // STEPS_PER_BEAT]
            new_ends[index] = min(new_onsets[index] + (grid[1] - grid[0]), following)
    return new_onsets, new_ends, grids


def _nearest(places: tuple[int, ...], wanted: int) -> int:
    return min(places, key=lambda place: (abs(place - wanted), -place))


@lru_cache(maxsize=4096)
def _best_grid(onsets: tuple[int, ...], ends: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the grid that moves a beat's onsets and ends least, and the places of the onsets on it."""
    options: list[tuple[float, tuple[int, ...], tuple[int, ...]]] = []
    for grid, grid_cost in _GRID_COST.items():
        end_cost = sum(abs(end - _nearest(_ENDS[grid], end)) for end in ends) * _END_WEIGHT
        for places in combinations(grid, len(onsets)):
            moved = sum(abs(onset - place) for onset, place in zip(onsets, places, strict=True))
            options.append((grid_cost + end_cost + moved, grid, places))
    if not options:
        raise ValueError(f"a beat has {len(onsets)} onsets: at most six can be written")
    _, grid, places = min(options, key=lambda option: option[0])
    return grid, places


def _spans(inner_edges: Sequence[int], grids: Sequence[tuple[int, ...]]) -> list[_Span]:
    """Divide a bar into plain spans and tuplets, given the instants inside it where something starts or ends."""
    spans: list[_Span] = []
    for half in (0, _HALF_BAR):
        inside = {edge - half for edge in inner_edges if half < edge < half + _HALF_BAR}
        if inside and inside <= {8, 16}:
            spans.append(_Span(half, half + _HALF_BAR, *_HALF_TRIPLET_SPAN))
            continue
        for start in (half, half + STEPS_PER_BEAT):
            grid = grids[start // STEPS_PER_BEAT]
            end = start + STEPS_PER_BEAT
            is_divided = any(start < edge < end for edge in inner_edges)
            if grid == _SEXTUPLETS and is_divided:
                spans.append(_Span(start, end, *_SEXTUPLET_SPAN))
            elif grid == _TRIPLETS and is_divided:
                spans.append(_Span(start, end, *_TRIPLET_SPAN))
            elif spans and spans[-1].tuplet is None:
                spans[-1] = spans[-1]._replace(end=end)
            else:
                spans.append(_Span(start, end, None, {}))
    return spans


def _written_bar(
    start: int, spans: list[_Span], sounding: list[tuple[int, int, int]], onsets: list[int], ends: list[int]
) -> list[WrittenNote]:
    end = start + STEPS_PER_BAR
    if not sounding:
        return [WrittenNote(start, STEPS_PER_BAR, None, "whole")]
    pieces: list[tuple[int, int, int | None]] = []
    now = start
    for onset, offset, index in sounding:
        if onset > now:
            pieces.append((now, onset, None))
        pieces.append((onset, offset, index))
        now = offset
    if now < end:
        pieces.append((now, end, None))
    written: list[WrittenNote] = []
    for span in spans:
        span_start, span_end = start + span.start, start + span.end
        first = len(written)
        for onset, offset, index in pieces:
            low, high = max(onset, span_start), min(offset, span_end)
            if low >= high:
                continue
            for cut, next_cut in pairwise(_cuts(low - start, high - start, span, is_rest=index is None)):
                length = next_cut - cut
                value, dots = span.values[length] if span.tuplet else _SIXTEENTH_VALUES[length // STEPS_PER_SIXTEENTH]
                written.append(
                    WrittenNote(
                        start + cut, length, index, value, dots,
                        is_tied_back=index is not None and start + cut > onsets[index],
                        is_tied_on=index is not None and start + next_cut < ends[index],
                        tuplet=span.tuplet,
                    )
                )  # fmt: skip
        if span.tuplet:
            written[first] = written[first]._replace(starts_tuplet=True)
            written[-1] = written[-1]._replace(ends_tuplet=True)
    return written


def _cuts(low: int, high: int, span: _Span, *, is_rest: bool) -> list[int]:
    """Return where a piece of a bar, in steps from the bar line, is cut into written values, both ends included."""
    if span.tuplet is None:
        cuts = _plain_cuts(low // STEPS_PER_SIXTEENTH, high // STEPS_PER_SIXTEENTH, is_rest)
        return [cut * STEPS_PER_SIXTEENTH for cut in cuts]
    if high - low in span.values:
        return [low, high]
    # Only ten twelfths of a beat: the beat's first or last two thirds stay whole.
    middle = span.start + 8 if low == span.start else span.start + 4
    return [low, middle, high]


@lru_cache(maxsize=512)
def _plain_cuts(low: int, high: int, is_rest: bool) -> tuple[int, ...]:
    """Cut [low, high), in sixteenths of the bar, into as few values as custom allows, at the strongest places."""
    starts = _REST_STARTS if is_rest else _NOTE_STARTS
    if low in starts.get(high - low, ()):
        return (low, high)

    def strength(place: int) -> int:
        return next(size for size in (8, 4, 2, 1) if place % size == 0)

    options = [
        (low, *_plain_cuts(middle, high, is_rest))
        for middle in range(low + 1, high)
        if low in starts.get(middle - low, ())
    ]
    return min(options, key=lambda cuts: (len(cuts), -sum(strength(cut) for cut in cuts[1:-1])))


def _with_beams(bar: list[WrittenNote]) -> list[WrittenNote]:
    """Join flags within each beat; four plain eighths of a half-bar under one beam."""
    start = bar[0].onset_step // STEPS_PER_BAR * STEPS_PER_BAR
    plain_halves = {
        half
        for half in (start, start + _HALF_BAR)
        if [(note.value, note.num_dots, note.note_index is None, note.tuplet) for note in bar
            if half <= note.onset_step < half + _HALF_BAR] == [("eighth", 0, False, None)] * 4
    }  # fmt: skip

    def group(note: WrittenNote) -> int:
        half = note.onset_step // _HALF_BAR * _HALF_BAR
        return half if half in plain_halves else note.onset_step // STEPS_PER_BEAT * STEPS_PER_BEAT

    beamed = list(bar)
    first = 0
    while first < len(bar):
        last = first
        while (
            last < len(bar)
            and bar[last].note_index is not None
            and bar[last].value in _NUM_BEAMS
            and group(bar[last]) == group(bar[first])
        ):
            last += 1
        levels = [_NUM_BEAMS[note.value] for note in bar[first:last]]
        if len(levels) > 1:
            for place in range(len(levels)):
                words = tuple(_beam_word(levels, place, level) for level in range(1, levels[place] + 1))
                beamed[first + place] = bar[first + place]._replace(beams=words)
        first = max(last, first + 1)
    return beamed


def _beam_word(levels: list[int], place: int, level: int) -> str:
    joins_back = place > 0 and levels[place - 1] >= level
    joins_on = place + 1 < len(levels) and levels[place + 1] >= level
    if joins_back and joins_on:
        return "continue"
    if joins_back or joins_on:
        return "end" if joins_back else "begin"
    return "forward hook" if place == 0 else "backward hook"
