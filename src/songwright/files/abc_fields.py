"""What the fields of ABC tunes say: where a tune begins, its key, metre, unit length, tempo, clef, order of parts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from songwright.files.abc_voice import ACCIDENTALS, UNITS_PER_QUARTER
from songwright.files.written_music import FREE_METER

WHOLE_NOTE = 4 * UNITS_PER_QUARTER

_MODE_FIFTHS = {"maj": 0, "ion": 0, "mix": -1, "dor": -2, "min": -3, "m": -3, "aeo": -3, "phr": -4, "loc": -5, "lyd": 1}
_TONIC_FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
_SHARPS = "FCGDAEB"
_NAMED_METERS = {"C": (4, 4), "C|": (2, 2), "none": FREE_METER, "": FREE_METER}
_KEY = re.compile(r"\s*([A-G])([#b]?)\s*([A-Za-z]*)")
_OCTAVE_CLEF = re.compile(r"(?:treble|alto|tenor|bass|\bG2?|\bC3?|\bF4?)([+-])8")
_FRACTION = re.compile(r"(\d{1,4})\s*/\s*(\d{1,4})")
_METER = re.compile(r"\s*\(?([\d+ ]{1,20})\)?\s*/\s*(\d{1,2})")


def unit_length(value: str) -> int | None:
    """Return the units of the length that an `L:` field gives; None if it gives none."""
    found = _FRACTION.search(value)
    if found is None:
        return WHOLE_NOTE if value.strip() == "1" else None
    numerator, denominator = int(found.group(1)), int(found.group(2))
    return WHOLE_NOTE * numerator // denominator if 0 < numerator <= denominator <= 256 else None


def default_unit_length(meter: tuple[int, int]) -> int:
    """Return the units of a note length without `L:`: a sixteenth in metres under 3/4, else an eighth."""
    numerator, denominator = meter
    return WHOLE_NOTE // (16 if denominator and 4 * numerator < 3 * denominator else 8)


def meter_of_field(value: str) -> tuple[int, int] | None:
    """Return the metre of an `M:` field, FREE_METER for `none`; None if it names no metre."""
    if value in _NAMED_METERS:
        return _NAMED_METERS[value]
    found = _METER.match(value)
    if found is None:
        return None
    numerator = sum(int(term) for term in re.findall(r"\d{1,3}", found.group(1)))
    denominator = int(found.group(2))
    is_usual = 1 <= numerator <= 255 and denominator in (1, 2, 4, 8, 16, 32, 64)
    return (numerator, denominator) if is_usual else None


def tempo_of_field(value: str, unit: int) -> float | None:
    """Return the quarter notes a minute of a `Q:` field; `unit` is the unit length. None if it says no number.

    Examples
    --------
    >>> tempo_of_field('"Lively" 3/8=60', WHOLE_NOTE // 8), tempo_of_field("120", WHOLE_NOTE // 8)
    (90.0, 60.0)
    """
    text = re.sub(r'"[^"]*"', "", value)[:60]
    beat, equals, number = text.rpartition("=")
    found = re.search(r"\d{1,4}(?:\.\d{1,3})?", number)
    if found is None:
        return None
    quarters = unit / UNITS_PER_QUARTER  # Q:120 and Q:C=120 count unit lengths, Q:C3=40 three of them
    if equals and (beats := _FRACTION.findall(beat)):
        quarters = sum(4 * int(numerator) / max(int(denominator), 1) for numerator, denominator in beats)
    elif equals and (multiple := re.match(r"\s*C(\d)", beat)):
        quarters *= int(multiple.group(1))
    tempo = float(found.group()) * quarters
    return tempo if 1 <= tempo <= 2000 else None


def part_letters(value: str) -> Iterator[str]:
    """Yield the letters of a `P:` field in the order of play, `A2B` as A, A, B; nothing if it cannot be read."""
    letters = re.sub(r"[\s.]", "", value)
    named = re.findall(r"([A-Za-z])(\d?)", letters)
    if len(named) <= 100 and "".join(letter + times for letter, times in named) == letters:
        for letter, times in named:
            yield from letter * int(times or 1)


def clef_octave(value: str) -> int:
    """Return the semitones by which a clef such as `treble-8` moves what sounds."""
    found = _OCTAVE_CLEF.search(value)
    return 0 if found is None else 12 if found.group(1) == "+" else -12


def key_signature(value: str) -> tuple[int, bool, dict[str, int]] | None:
    """Return (fifths, is minor, alteration by letter) of a `K:` field; None if it names no key."""
    found = _KEY.match(value)
    fifths, is_minor = 0, False
    if value[:2] in ("HP", "Hp"):  # the Highland pipes, whose key is never written
        fifths = 2
    elif found is not None:
        mode = found.group(3).lower()
        fifths = _TONIC_FIFTHS[found.group(1)] + 7 * ((found.group(2) == "#") - (found.group(2) == "b"))
        fifths += _MODE_FIFTHS.get(mode[:3], 0)
        is_minor = mode == "m" or mode[:3] in ("min", "aeo")
    elif value and value != "none" and not value.startswith("exp"):
        return None
    alterations = {letter: (fifths + 6 - place) // 7 for place, letter in enumerate(_SHARPS)}
    for accidental, letter in re.findall(r"(?<!\S)(\^\^?|__?|=)([A-Ga-g])(?!\S)", value):
        alterations[letter.upper()] = ACCIDENTALS[accidental]
    return fifths, is_minor, alterations


def split_tunes(text: str) -> Iterator[list[str]]:
    """Yield the lines of each tune, those of the file's header before them: X: begins one, an empty line ends it."""
    header: list[str] = []
    lines: list[str] | None = None
    has_body = False
    for line in text.splitlines():
        if line.startswith("X:"):
            if lines is not None:
                yield lines
            lines, has_body = [*header, line], False
        elif lines is None:
            # A file with one tune may leave out X:. What precedes the first tune is its text, but for fields.
            if line.startswith("K:"):
                lines, has_body = [*header, line], True
            elif re.match(r"[MLQTVI]:|%%", line) and len(header) < 100:
                header.append(line)
        elif not line.strip():
            if has_body:
                yield lines
                lines, has_body = None, False
                header = [kept for kept in header if not kept.startswith("T:")]
        else:
            has_body = has_body or line.startswith("K:")
            lines.append(line)
    if lines is not None:
        yield lines
