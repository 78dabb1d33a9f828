"""What a request means: pitches, ranges, chords, metres and instruments as users write them.

Reads text, numbers and lists into values; knows nothing of any song. What cannot be read is a ValueError that shows
how to write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from songwright.score.lead_sheet import ChordSymbol
from songwright.score.pitch import pitch_class_from_name
from songwright.score.spelling import read_chord_name

_PROGRAMS = """
acoustic grand piano, bright acoustic piano, electric grand piano, honky-tonk piano, electric piano 1, electric piano 2,
harpsichord, clavinet, celesta, glockenspiel, music box, vibraphone, marimba, xylophone, tubular bells, dulcimer,
drawbar organ, percussive organ, rock organ, church organ, reed organ, accordion, harmonica, tango accordion,
nylon guitar, steel guitar, jazz guitar, clean guitar, muted guitar, overdriven guitar, distortion guitar,
guitar harmonics, acoustic bass, fingered bass, picked bass, fretless bass, slap bass 1, slap bass 2, synth bass 1,
synth bass 2, violin, viola, cello, contrabass, tremolo strings, pizzicato strings, harp, timpani, string ensemble 1,
string ensemble 2, synth strings 1, synth strings 2, choir aahs, voice oohs, synth voice, orchestra hit, trumpet,
trombone, tuba, muted trumpet, french horn, brass section, synth brass 1, synth brass 2, soprano sax, alto sax,
tenor sax, baritone sax, oboe, english horn, bassoon, clarinet, piccolo, flute, recorder, pan flute, bottle, shakuhachi,
whistle, ocarina, square lead, sawtooth lead, calliope lead, chiff lead, charang lead, voice lead, fifths lead,
bass and lead, new age pad, warm pad, polysynth pad, choir pad, bowed pad, metallic pad, halo pad, sweep pad,
rain effect, soundtrack effect, crystal effect, atmosphere effect, brightness effect, goblins effect, echoes effect,
sci-fi effect, sitar, banjo, shamisen, koto, kalimba, bagpipe, fiddle, shanai, tinkle bell, agogo, steel drums,
woodblock, taiko drum, melodic tom, synth drum, reverse cymbal, guitar fret noise, breath noise, seashore, bird tweet,
telephone ring, helicopter, applause, gunshot
"""
PROGRAM_NAMES = tuple(" ".join(name.split()) for name in _PROGRAMS.split(","))
"""General MIDI's 128 instruments; programs count from 0."""
_FAMILIES = {
    "piano": range(8), "organ": range(16, 24), "guitar": range(24, 32), "bass": range(32, 40), "strings": range(40, 52),
    "choir": range(52, 55), "voice": range(52, 55), "brass": range(56, 64), "sax": range(64, 68),
    "synth": range(80, 104),
}  # fmt: skip
_DRUMS = ("drums", "drum kit", "percussion")


class Instrument(NamedTuple):
    """An asked instrument: its name, the programs that will do, or percussion."""

    name: str
    programs: frozenset[int]
    is_drum: bool = False


def read_instruments(value: Any) -> tuple[Instrument, ...]:
    """Return the instruments of a list, or of text with commas: names, families (`piano`, `sax`), programs, `drums`.

    Raises
    ------
    ValueError
        If there is none, or one is unknown.

    Examples
    --------
    >>> [(name, sorted(programs)) for name, programs, _ in read_instruments(["Alto Saxophone", 71])]
    [('alto sax', [65]), ('clarinet', [71])]
    """
    items = value.split(",") if isinstance(value, str) else _items(value)
    found = tuple(_instrument(str(item).strip()) for item in items)
    if not found:
        raise ValueError("name at least one instrument, such as piano")
    return found


def _instrument(text: str) -> Instrument:
    words = " ".join(re.findall("[a-z0-9]+", text.lower().replace("saxophone", "sax")))
    plain = [" ".join(re.findall("[a-z0-9]+", name)) for name in PROGRAM_NAMES]
    if words in _DRUMS:
        return Instrument("drums", frozenset(), is_drum=True)
    if words.isdigit() and int(words) < len(PROGRAM_NAMES):
        return Instrument(PROGRAM_NAMES[int(words)], frozenset({int(words)}))
    if words in _FAMILIES:
        return Instrument(words, frozenset(_FAMILIES[words]))
    if words in plain:
        return Instrument(words, frozenset({plain.index(words)}))
    meant = frozenset(place for place, name in enumerate(plain) if words and set(words.split()) <= set(name.split()))
    if not meant:
        raise ValueError(f"{text!r} is no General MIDI instrument; write piano, alto sax, or a program from 0 to 127")
    return Instrument(words, meant)


def read_pitches(value: Any) -> tuple[int, int]:
    """Return the lowest and the highest pitch of a range: two pitches, or text such as `C4 E5` or `C4-E5`.

    Raises
    ------
    ValueError
        If there are not two pitches.

    Examples
    --------
    >>> read_pitches("C4-E5"), read_pitches([76, "Bb3"])
    ((60, 76), (58, 76))
    """
    ends = re.findall(r"[A-Ga-g][#♯b♭]*-?\d+|\d+", value) if isinstance(value, str) else list(_items(value))
    if len(ends) != 2:
        raise ValueError("write the lowest and the highest pitch, such as C4 and E5")
    low, high = sorted(read_pitch(end) for end in ends)
    return low, high


def read_pitch(value: Any) -> int:
    """Return the MIDI number of a pitch written as a number, or as a name with its octave (C4 is 60).

    Raises
    ------
    ValueError
        If it is neither, or outside 0 to 127.

    Examples
    --------
    >>> read_pitch("C4"), read_pitch("Bb3"), read_pitch("B#3"), read_pitch(61)
    (60, 58, 60, 61)
    """
    text = str(value).strip()
    match = re.fullmatch(r"([A-Ga-g])([#♯]*|[b♭]*)(-?\d+)", text)
    if match:
        letter, accidentals, octave = match.groups()
        alteration = len(accidentals) * (1 if accidentals[:1] in ("#", "♯") else -1)
        pitch = pitch_class_from_name(letter) + alteration + 12 * (int(octave) + 1)
    else:
        pitch = int(text) if text.isdecimal() else -1
    if not 0 <= pitch <= 127:
        raise ValueError(f"{text!r} is no pitch; write a name such as C4 or Bb3, or a number from 0 to 127")
    return pitch


def read_chords(value: Any) -> tuple[tuple[ChordSymbol, ...], ...]:
    """Return the chords of each bar of a request: a list of symbols, or text, one a bar or with bar lines (`|`).

    Raises
    ------
    ValueError
        If there is none, or one cannot be read.

    Examples
    --------
    >>> [[chord.root for chord in bar] for bar in read_chords("C | G Am | F")]
    [[0], [7, 9], [5]]
    """
    if isinstance(value, str):
        bars = value.strip(" |").split("|") if "|" in value else value.replace(",", " ").split()
    else:
        bars = [str(bar) for bar in _items(value)]
    chords = tuple(tuple(read_chord_name(symbol) for symbol in bar.replace(",", " ").split()) for bar in bars)
    if not chords or not all(chords):
        raise ValueError("write chord symbols, one a bar (C G Am F), or with bar lines (C | G Am | F)")
    return chords


def read_meter(value: Any) -> tuple[int, int]:
    """Return numerator and denominator of a metre such as `6/8`.

    Raises
    ------
    ValueError
        If it is none.
    """
    match = re.fullmatch(r"\s*([1-9]\d?)\s*/\s*(1|2|4|8|16|32)\s*", str(value))
    if match is None:
        raise ValueError("write a metre such as 4/4 or 6/8")
    return int(match.group(1)), int(match.group(2))


def read_number(value: Any, *, low: float, high: float) -> float:
    """Return a number within bounds.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not low <= number <= high:
        raise ValueError(f"write a number from {low:g} to {high:g}")
    return number


def _items(value: Any) -> Iterable[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError("write a list, or text")
    return value
