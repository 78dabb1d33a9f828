"""What single elements of MusicXML say: numbers, metres, tempos, chords, jumps in words, entries of the part list.

Each function takes an element of `files.musicxml_document` and returns a value, or None where the element says
nothing that can be used: files are full of small mistakes, and one of them must not cost the piece.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from xml.etree.ElementTree import Element

from songwright.files.chord_labels import KIND_QUALITY, chord_label
from songwright.files.written_music import FREE_METER, WrittenMeasure, WrittenPart
from songwright.score.elements import DRUM_CHANNEL
from songwright.score.pitch import fifths_from_pitch_class, spell_fifths

STEP_PITCH = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_BEAT_QUARTERS = {"long": 16.0, "breve": 8.0, "whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5, "16th": 0.25}
_JUMP_WORDS = re.compile(
    r"\s*(d\.?\s?c\.?|da\s+capo|d\.?\s?s\.?|dal\s+segno)(?:\s+al\s+(?:fine|coda))?[\s.]*", re.IGNORECASE
)
_TO_CODA_WORDS = re.compile(r"\s*(?:to|al)\s+coda[\s.]*", re.IGNORECASE)
_FINE_WORDS = re.compile(r"\s*fine[\s.]*", re.IGNORECASE)


def number(text: str | None, *, low: float, high: float) -> float | None:
    """Return a number of a file if it is one, finite and within limits, else None."""
    if text is None or len(text) > 32:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and low <= value <= high else None


def whole(text: str | None, *, low: int, high: int) -> int | None:
    """Return a number as `number` does, rounded."""
    value = number(text, low=low, high=high)
    return None if value is None else round(value)


def part_of(listed: Element | None, part_id: str) -> tuple[WrittenPart, Mapping[str, int]]:
    """Return a part as the part list describes it, and the pitches of its percussion by instrument."""
    if listed is None:
        return WrittenPart(part_id), {}
    names = (listed.findtext(tag) for tag in ("part-name", "score-instrument/instrument-name", "part-abbreviation"))
    name = next((" ".join(text.split()) for text in names if text and text.strip()), part_id)
    program = whole(listed.findtext("midi-instrument/midi-program"), low=1, high=128) or 1
    channel = whole(listed.findtext("midi-instrument/midi-channel"), low=1, high=16)
    drum_pitches = {
        instrument.get("id", ""): pitch - 1
        for instrument in listed.iterfind("midi-instrument")
        if (pitch := whole(instrument.findtext("midi-unpitched"), low=1, high=128)) is not None
    }
    return WrittenPart(name[:200], program - 1, channel == DRUM_CHANNEL + 1), drum_pitches


def meter_of(element: Element) -> tuple[int, int] | None:
    """Return a time signature as one numerator and denominator: 3+2/8 is 5/8, 3/4+3/8 is 9/8; None if it is none."""
    if element.find("senza-misura") is not None:
        return FREE_METER
    beats = [child.text or "" for child in element.iterfind("beats")]
    beat_types = [whole(child.text, low=1, high=64) for child in element.iterfind("beat-type")]
    if not beats or len(beats) != len(beat_types):
        return None
    sums = [[whole(term, low=1, high=255) for term in text[:40].split("+")] for text in beats]
    denominators = [beat_type for beat_type in beat_types if beat_type in (1, 2, 4, 8, 16, 32, 64)]
    if len(denominators) != len(beats) or any(term is None for terms in sums for term in terms):
        return None
    finest = max(denominators)
    numerator = sum(
        (term or 0) * finest // denominator
        for terms, denominator in zip(sums, denominators, strict=True)
        for term in terms
    )
    return (numerator, finest) if numerator <= 255 else None


def metronome_tempo(element: Element) -> float | None:
    """Return the quarter notes a minute of a metronome mark."""
    beat = _BEAT_QUARTERS.get((element.findtext("beat-unit") or "").strip())
    per_minute = re.search(r"\d+(?:\.\d+)?", (element.findtext("per-minute") or "")[:20])
    if beat is None or per_minute is None:
        return None
    num_dots = min(len(element.findall("beat-unit-dot")), 3)
    tempo = float(per_minute.group()) * beat * (2 - 0.5**num_dots)
    return tempo if 1 <= tempo <= 2000 else None


def read_words(text: str, measure: WrittenMeasure) -> None:
    """Read a jump that is only written in words."""
    if jump := _JUMP_WORDS.fullmatch(text):
        is_sign = "s" in jump.group(1).lower()
        measure.jump = "segno" if is_sign else "capo"
    elif _TO_CODA_WORDS.fullmatch(text):
        measure.to_coda = True
    elif _FINE_WORDS.fullmatch(text):
        measure.is_fine = True


def harmony_label(element: Element, transposition: int) -> str | None:
    """Return the MIREX label of a `<harmony>` as it sounds; None if it names no chord."""
    kind = (element.findtext("kind") or "").strip()
    if kind == "none":
        return "N"
    root = _chord_note(element.find("root"), "root", transposition)
    if root is None or kind not in KIND_QUALITY:
        return None
    added: list[str] = []
    for degree in element.iterfind("degree"):
        value = whole(degree.findtext("degree-value"), low=1, high=13)
        if value is not None and (degree.findtext("degree-type") or "").strip() in ("add", "alter"):
            alteration = whole(degree.findtext("degree-alter"), low=-2, high=2) or 0
            added.append(("b" * -alteration if alteration < 0 else "#" * alteration) + str(value))
    bass = _chord_note(element.find("bass"), "bass", transposition)
    return chord_label(root, KIND_QUALITY[kind], bass=bass, added=added[:6])


def _chord_note(element: Element | None, name: str, transposition: int) -> tuple[str, int] | None:
    if element is None:
        return None
    letter = (element.findtext(f"{name}-step") or "").strip().upper()
    if letter not in STEP_PITCH:
        return None
    alteration = whole(element.findtext(f"{name}-alter"), low=-2, high=2) or 0
    if transposition % 12 == 0:
        return letter, alteration
    return spell_fifths(fifths_from_pitch_class((STEP_PITCH[letter] + alteration + transposition) % 12))
