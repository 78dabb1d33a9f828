"""One voice of an ABC tune: notes, rests and chords as they are written, to notes with onset, duration and pitch.

Knows what a note, a length and an accidental look like, and what a broken rhythm, a tuplet and a tie do to the events
around them; bars, fields and voices are the tune's (`files.abc`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from songwright.files.written_music import DEFAULT_VELOCITY, WrittenNote, WrittenPart

# Every division of a quarter note by 2 to 256 and by the odd numbers to 15 is whole.
UNITS_PER_QUARTER = 2**8 * 3**2 * 5 * 7 * 11 * 13
NOTE = r"(?:\^\^|\^/?|__|_/?|=)?[A-Ga-g][,']*"
LENGTH = r"[0-9]{0,6}(?:/[0-9]{0,6}){0,6}"
ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2, "^/": 0, "_/": 0}

_MAX_FACTOR = 1_024  # of the unit length: no note is longer
_MAX_CHORD_NOTES = 64
_STEP_PITCH = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# Notes of a tuplet (p in the time of q); None: three in compound time, else two.
_TUPLET_TIME = {2: 3, 3: 2, 4: 3, 5: None, 6: 2, 7: None, 8: 3, 9: None}


@lru_cache(maxsize=1024)
def _factor(text: str) -> tuple[int, int]:
    """Return a length such as `3/2`, `/` or `//` as numerator and denominator; 1/1 if it is none."""
    head, *divisors = text.split("/")
    numerator = int(head or 1)
    denominator = 1
    for divisor in divisors:
        denominator *= int(divisor or 2)
    if numerator < 1 or denominator < 1 or numerator > _MAX_FACTOR * denominator or denominator > _MAX_FACTOR:
        return 1, 1
    return numerator, denominator


@lru_cache(maxsize=1024)
def _staff_place(note: str) -> tuple[str, str, int, str]:
    """Return (place on the staff, letter name, pitch without accidental, accidental) of a note such as `^c'`."""
    written = note.rstrip(",'")
    letter = written[-1]
    position = letter + note[len(written) :]
    octave = (72 if letter.islower() else 60) + 12 * (position.count("'") - position.count(","))
    return position, letter.upper(), octave + _STEP_PITCH[letter.upper()], written[:-1]


@dataclass(slots=True)
class Voice:
    """Where a voice stands in its music."""

    part: WrittenPart
    unit: int = 0
    key: dict[str, int] = field(default_factory=dict[str, int])
    transposition: int = 0
    velocity: int = DEFAULT_VELOCITY
    measure: int = 0
    cursor: int = 0
    length: int = 0
    notes: list[WrittenNote] = field(default_factory=list[WrittenNote])
    accidentals_hold_for: str = "pitch"  # a letter in all octaves (the standard), `octave`, or `not`
    accidentals: dict[str, int] = field(default_factory=dict[str, int])  # of this bar
    num_last: int = 0  # notes of the last event,
    last_duration: int = 0  # its duration,
    last_pitches: dict[str, int] = field(default_factory=dict[str, int])  # and its pitches by place on the staff
    ties: dict[str, int] = field(default_factory=dict[str, int])  # as last_pitches: what the next event is tied to
    tuplet: tuple[int, int, int] = (1, 1, 0)  # so many notes, in the time of so many, for so many more
    next_factor: tuple[int, int] = (1, 1)  # of the event after a broken rhythm

    def event(self, written: list[tuple[str, str, bool]], length: str) -> None:
        """Add a note, a chord (its notes with their own lengths) or a rest (none)."""
        numerator, denominator = _factor(length)
        num_notes, in_time_of, left = self.tuplet
        if left:
            numerator, denominator = numerator * in_time_of, denominator * num_notes
            self.tuplet = (num_notes, in_time_of, left - 1)
        numerator, denominator = numerator * self.next_factor[0], denominator * self.next_factor[1]
        self.next_factor = (1, 1)
        duration = self.unit * numerator // denominator
        ties, self.ties, self.last_pitches = self.ties, {}, {}
        for place, (note, own_length, is_tied_after) in enumerate(written[:_MAX_CHORD_NOTES]):
            position, pitch, has_accidental = self._pitch(note)
            tied_pitch = ties.get(position)
            if tied_pitch is not None and not has_accidental:
                pitch = tied_pitch
            own_numerator, own_denominator = _factor(own_length)
            own_duration = self.unit * numerator * own_numerator // (denominator * own_denominator)
            if place == 0:  # a chord lasts as long as its first note
                duration = own_duration
            if 0 <= pitch <= 127 and own_duration > 0:
                self.notes.append((self.cursor, own_duration, pitch, self.velocity, pitch == tied_pitch, is_tied_after))
                self.last_pitches[position] = pitch
                if is_tied_after:
                    self.ties[position] = pitch
        self.num_last = len(self.last_pitches)
        self.last_duration = duration
        self.cursor += duration
        self.length = max(self.length, self.cursor)

    def _pitch(self, note: str) -> tuple[str, int, bool]:
        """Return (place on the staff, sounding pitch, whether an accidental is written) of a note."""
        position, step, natural_pitch, accidental = _staff_place(note)
        key = step if self.accidentals_hold_for == "pitch" else position
        if accidental:
            alteration = ACCIDENTALS[accidental]
            if self.accidentals_hold_for != "not":
                self.accidentals[key] = alteration
        elif key in self.accidentals:
            alteration = self.accidentals[key]
        else:
            alteration = self.key.get(step, 0)
        return position, natural_pitch + alteration + self.transposition, bool(accidental)

    def break_rhythm(self, signs: str) -> None:
        """Lengthen the last event and shorten the next (`>`), or the other way round (`<`)."""
        if not self.last_duration:
            return
        parts = 2 ** len(signs)
        longer, shorter = (2 * parts - 1, parts), (1, parts)
        (numerator, denominator), self.next_factor = (longer, shorter) if signs[0] == ">" else (shorter, longer)
        first = len(self.notes) - self.num_last
        for index in range(first, len(self.notes)):
            note = self.notes[index]
            self.notes[index] = (note[0], note[1] * numerator // denominator, *note[2:])
        self.cursor -= self.last_duration
        if self.length == self.cursor + self.last_duration:
            self.length = self.cursor
        self.last_duration = self.last_duration * numerator // denominator
        self.cursor += self.last_duration
        self.length = max(self.length, self.cursor)

    def tie(self) -> None:
        """Tie the last event to the next."""
        for index in range(len(self.notes) - self.num_last, len(self.notes)):
            self.notes[index] = (*self.notes[index][:5], True)
        if self.num_last:
            self.ties = self.last_pitches

    def start_tuplet(self, token: str, meter: tuple[int, int]) -> None:
        """Begin a tuplet such as `(3` or `(3:2:4`."""
        numbers = [int(number) if number else 0 for number in token[1:].split(":")] + [0, 0]
        num_notes, in_time_of, num_events = numbers[:3]
        is_compound = meter[0] in (6, 9, 12) and meter[1] in (8, 16)
        in_time_of = in_time_of or _TUPLET_TIME[num_notes] or (3 if is_compound else 2)
        self.tuplet = (num_notes, in_time_of, num_events or num_notes)
