"""Written music, measure by measure, and the order in which its measures are played.

What MusicXML and ABC share: repeat signs, endings (voltas) and jumps (D.C., D.S., Fine, Coda). Knows neither file
format; `files.sounding_score` makes the score that is heard.

Time is counted in units from the start of each measure; how many units a quarter note has, each reader chooses. All
parts share one list of measures: measure 7 is as long as the longest part makes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from songwright.errors import InputError

MAX_PLAYED_MEASURES = 50_000
"""Longest piece, repeats played. The longest of the OpenScore Lieder collection has 900 measures."""

MAX_PASSES = 16
"""Most times that a passage is played in a row."""

DEFAULT_VELOCITY = 80
DYNAMICS = {"pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 120, "ffff": 126}
"""Velocity of each dynamic mark."""

FREE_METER = (0, 0)
"""Music without a metre: bars are as long as they are drawn."""

WrittenNote = tuple[int, int, int, int, bool, bool]
"""Onset in the measure, duration (units), pitch, velocity, tied to the note before, tied to the note after."""


@dataclass(slots=True)
class WrittenMeasure:
    """What all parts share of one measure."""

    length: int = 0
    """Units that the longest part fills."""
    meter: tuple[int, int] | None = None
    """(numerator, denominator) from here on, FREE_METER, or None: as before."""
    tempos: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    keys: list[tuple[int, tuple[int, bool]]] = field(default_factory=list[tuple[int, tuple[int, bool]]])
    chords: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    markers: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    starts_repeat: bool = False
    num_plays: int = 0
    """How often the repeat that ends with this measure is played; 0 if none ends."""
    ending: frozenset[int] = frozenset()
    """Passes for which an ending (volta) starts here; empty if none starts."""
    closes_ending: bool = False
    is_segno: bool = False
    is_coda: bool = False
    to_coda: bool = False
    is_fine: bool = False
    jump: str = ""
    """After the measure: `capo` to the beginning, `segno` to the sign."""

    def put_in_order(self) -> None:
        """Order what was read part by part by onset; of several chords at one onset the first stands."""
        for events in (self.tempos, self.keys, self.markers):
            events.sort(key=lambda event: event[0])
        first: dict[int, str] = {}
        for onset, label in self.chords:
            first.setdefault(onset, label)
        self.chords = sorted(first.items())


@dataclass(slots=True)
class WrittenPart:
    """One instrument: its notes, measure by measure."""

    name: str
    program: int = 0
    is_drum: bool = False
    measures: list[list[WrittenNote]] = field(default_factory=list[list[WrittenNote]])


def bar_length(meter: tuple[int, int], units_per_quarter: int) -> int:
    """Return the units of a full bar; 0 without metre."""
    return meter[0] * 4 * units_per_quarter // meter[1] if meter != FREE_METER else 0


def note_order(note: WrittenNote) -> tuple[int, bool]:
    """Return the key that orders the notes of a measure: by onset, those first that a tie ends on."""
    return note[0], not note[4]


@dataclass(slots=True)
class _Ending:
    last: int
    passes: frozenset[int]
    has_next: bool = False
    final_pass: int = 1


def _endings(measures: Sequence[WrittenMeasure]) -> dict[int, _Ending]:
    """Return the endings by their first measure; endings side by side know the last pass among them."""
    endings: dict[int, _Ending] = {}
    last = -1
    for first, measure in enumerate(measures):
        if not measure.ending or first <= last:
            continue
        last = first
        while last + 1 < len(measures) and not (measures[last].closes_ending or measures[last].num_plays):
            if measures[last + 1].ending or measures[last + 1].starts_repeat:
                break
            last += 1
        endings[first] = _Ending(last, measure.ending, final_pass=max(measure.ending))
    for ending in reversed(endings.values()):
        following = endings.get(ending.last + 1)
        if following is not None:
            ending.has_next = True
            ending.final_pass = max(ending.final_pass, following.final_pass)
    for ending in endings.values():  # the last of a group must know what an earlier one asked for, too
        following = endings.get(ending.last + 1)
        if following is not None:
            following.final_pass = ending.final_pass
    return endings


def play_order(measures: Sequence[WrittenMeasure]) -> list[int]:
    """Return the measures in the order in which they are played, as indices.

    Repeats and endings are taken as numbered. After D.C. or D.S. repeats are not taken again and the last ending is
    played (the convention of engravers and of MuseScore), up to Fine or to the jump into the coda. Each jump is
    made once, so that every piece ends.

    Raises
    ------
    InputError
        If more than MAX_PLAYED_MEASURES would be played.

    Examples
    --------
    >>> play_order([WrittenMeasure(), WrittenMeasure(num_plays=2), WrittenMeasure()])
    [0, 1, 0, 1, 2]
    """
    endings = _endings(measures)
    segno = next((index for index, measure in enumerate(measures) if measure.is_segno), 0)
    codas = [index for index, measure in enumerate(measures) if measure.is_coda]
    order: list[int] = []
    jumps_made: set[int] = set()
    has_jumped = takes_coda = False
    takes_repeats = True
    index = section_start = 0
    pass_number = 1
    ending: _Ending | None = None
    while index < len(measures):
        measure = measures[index]
        if measure.starts_repeat and index != section_start:
            section_start, pass_number = index, 1
        if index in endings:
            ending = endings[index]
            is_skipped = pass_number not in ending.passes if takes_repeats else ending.has_next
            if is_skipped:
                index = ending.last + 1
                continue
        order.append(index)
        if len(order) > MAX_PLAYED_MEASURES:
            raise InputError(f"has more than {MAX_PLAYED_MEASURES} measures with its repeats played: give less music.")
        if has_jumped and measure.is_fine:
            break
        if takes_coda and measure.to_coda:
            # The coda after this measure; where signs stand on both sides of the jump the second is the coda.
            target = next((coda for coda in codas if coda > index), None)
            takes_coda = False
            if target is not None:
                index = section_start = target
                pass_number, takes_repeats, ending = 1, True, None
                continue
        in_ending = ending is not None and index <= ending.last
        if measure.num_plays and takes_repeats:
            num_plays = max(measure.num_plays, ending.final_pass) if in_ending and ending else measure.num_plays
            if pass_number < num_plays:
                pass_number += 1
                index = section_start
                continue
        if measure.num_plays or (in_ending and ending and index == ending.last and not ending.has_next):
            section_start, pass_number = index + 1, 1
        if measure.jump and index not in jumps_made:
            jumps_made.add(index)
            has_jumped, takes_coda, takes_repeats, ending = True, True, False, None
            index = section_start = segno if measure.jump == "segno" else 0
            pass_number = 1
            continue
        index += 1
    return order


def passes_from_text(text: str) -> frozenset[int]:
    """Return the passes that an ending is for, as numbers and ranges; the first if the text names none.

    Examples
    --------
    >>> sorted(passes_from_text("1, 3-4."))
    [1, 3, 4]
    """
    passes: set[int] = set()
    for first, last in re.findall(r"(\d{1,2})(?:\s*-\s*(\d{1,2}))?", text[:80]):
        passes.update(range(int(first), min(int(last or first), MAX_PASSES) + 1))
    return frozenset(number for number in passes if 1 <= number <= MAX_PASSES) or frozenset({1})
