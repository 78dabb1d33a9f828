"""Numbers as musicians read them: percent, notes, bars, at most three digits, and a place among real songs in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

NOTHING = "–"
"""Stands where there is no number."""
_COUNTED = {
    "notes": "note", "bars": "bar", "songs": "song", "semitones": "semitone", "beats": "beat", "chords": "chord",
            "pitches": "pitch"}  # fmt: skip
_BARE_UNITS = ("0 to 1", "-1 to 1", "ratio")
_UNITS = {
    "bits": "bits",
    "bits per note": "bits per note",
    "s": "s",
    "seconds": "s",
    "qpm": "quarter notes a minute",
    "deviations": "standard deviations",
}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, unit: str = "", *, has_unit: bool = True) -> str:
    """Return a number in words, or a dash where there is none.

    Parameters
    ----------
    value : any
    unit : str
        `share` is said in percent; `notes`, `bars` and other counts drop their plural for 1.
    has_unit : bool
        Whether the unit is said.

    Examples
    --------
    >>> number(0.5234, "share"), number(1, "notes"), number(76.4, "notes"), number(2.7136, "bits"), number(None)
    ('52 %', '1 note', '76.4 notes', '2.71 bits', '–')
    """
    if not is_number(value):
        return NOTHING
    if unit == "share":
        return percent(value) + (" %" if has_unit else "")
    digits = _digits(value)
    if unit in _COUNTED:
        words = _COUNTED[unit] if digits == "1" else unit
    else:
        words = _UNITS.get(unit, "" if unit in _BARE_UNITS else unit)
    return f"{digits} {words}" if has_unit and words else digits


def percent(share: float) -> str:
    """Return a share in percent: whole, with a decimal below 10 and above 99."""
    value = share * 100
    if value and (abs(value) < 9.95 or 99 < value < 100):
        return _minus(f"{value:.1f}".removesuffix(".0"))
    return _minus(f"{value:.0f}")


def _digits(value: float) -> str:
    size = abs(value)
    if size >= 99.95:
        return _minus(f"{value:,.0f}")
    if size >= 9.995:
        return _minus(f"{value:.1f}".removesuffix(".0"))
    if size >= 0.0995 or value == 0:
        return _minus(f"{value:.2f}".rstrip("0").rstrip("."))
    return _minus(f"{value:.2g}") if size >= 1e-4 else "0"


def _minus(digits: str) -> str:
    return digits.replace("-", "−") if digits.strip("-0.") else "0"


def span(bounds: Any, unit: str = "", *, has_unit: bool = True) -> str:
    """Return an interval or a goal in words: `46 to 56 %`, `at least 97 %`, `at most 19 notes`; a dash without bounds.

    Examples
    --------
    >>> span((0.46, 0.56), "share"), span((None, 19), "notes"), span((0.97, None), "share")
    ('46 to 56 %', 'at most 19 notes', 'at least 97 %')
    """
    if not isinstance(bounds, Sequence) or len(bounds) != 2:
        return NOTHING
    low, high = (bound if is_number(bound) else None for bound in bounds)
    if low is None and high is None:
        return NOTHING
    if low is None or high is None:
        words = number(high if low is None else low, unit, has_unit=has_unit)
        return f"at most {words}" if low is None else f"at least {words}"
    if low == high:
        return number(low, unit, has_unit=has_unit)
    return f"{number(low, unit, has_unit=False)} to {number(high, unit, has_unit=has_unit)}"


def place_among_real(value: Any, percentile: Any, real: Any) -> str:
    """Return in words where a song's value stands among those of real songs.

    Parameters
    ----------
    value : any
    percentile : any
        Real songs with a lower value, of a hundred.
    real : any
        5th, 25th, 50th, 75th and 95th percentile of real songs; the word is theirs, so that a value that most real
        songs have is usual however few lie below it.

    Examples
    --------
    >>> place_among_real(0.5, 46.2, [0.2, 0.4, 0.5, 0.6, 0.8]), place_among_real(1.0, 22, [0.97, 1.0, 1.0, 1.0, 1.0])
    ('as usual: above 46 of 100 real songs', 'as usual: above 22 of 100 real songs')
    >>> place_among_real(0.9, 99.6, [0.2, 0.4, 0.5, 0.6, 0.8])
    'very high: above nearly all real songs'
    """
    if not is_number(value):
        return ""
    word = ""
    if isinstance(real, Sequence) and len(real) == 5 and all(is_number(mark) for mark in real):
        names = ("very low", "low", "as usual", "high", "very high")
        lowest, low, _, high, highest = real
        word = names[2 + (value > high) + (value > highest) - (value < low) - (value < lowest)]
    if not is_number(percentile):
        return word
    if percentile >= 99.5 or percentile < 0.5:
        place = f"{'above' if percentile > 50 else 'below'} nearly all real songs"
        # Nothing lies below a value that most real songs share.
        place = "" if percentile < 50 and word == "as usual" else place
    else:
        place = f"above {percentile:.0f} of 100 real songs"
    return ": ".join(part for part in (word, place) if part)


def duration(seconds: Any) -> str:
    """Return minutes and seconds, such as `3:02`; a dash without them."""
    if not is_number(seconds):
        return NOTHING
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def bars_words(first: int, last: int) -> str:
    """Return a range of bars in words: `bar 5`, `bars 5 to 8`."""
    return f"bar {first}" if first == last else f"bars {first} to {last}"
