"""Lead sheets as MusicXML 4.0: melody, chord symbols, section marks.

Knows the format and the layout of a lead sheet (four bars a system, phrases on new systems); rhythm comes from
`files.notation`, letters and accidentals from `score.spelling`, pictures from `rendering.engraving`. One division is
one grid step: 12 a quarter note. The bytes depend on the arguments alone.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from itertools import pairwise

from songwright import __version__
from songwright.files.notation import WrittenNote, written_bars
from songwright.files.writing import write_whole
from songwright.score.grid import STEPS_PER_BAR, STEPS_PER_BEAT
from songwright.score.lead_sheet import ChordChange, Form, LeadSheet
from songwright.score.pitch import Key, spell_fifths
from songwright.score.spelling import SpelledPitch, spell_chord, spell_melody

BARS_PER_SYSTEM = 4
MAX_SYSTEM_SYMBOLS = 48
"""Notes and rests that still read well on one line of A4: three bars of sixteenths."""

_DOCTYPE = (
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">'
)
# Quality -> (kind value, text after the root, added degree).
_KINDS: dict[str, tuple[str, str, int | None]] = {
    "maj": ("major", "", None),
    "min": ("minor", "m", None),
    "7": ("dominant", "7", None),
    "maj7": ("major-seventh", "maj7", None),
    "min7": ("minor-seventh", "m7", None),
    "sus2": ("suspended-second", "sus2", None),
    "sus4": ("suspended-fourth", "sus4", None),
    "7sus4": ("suspended-fourth", "7sus4", 7),
    "maj6": ("major-sixth", "6", None),
    "min6": ("minor-sixth", "m6", None),
    "add9": ("major", "add9", 9),
    "dim": ("diminished", "dim", None),
    "dim7": ("diminished-seventh", "dim7", None),
    "hdim7": ("half-diminished", "m7♭5", None),
    "aug": ("augmented", "aug", None),
}
_ACCIDENTALS = {-2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}
# Pitches that stand on or near the treble staff, up to one ledger line: C4 to A5.
_STAFF_LOW, _STAFF_HIGH = 60, 81
_CLEF_GAIN = 1.5  # semitones a note, on average, by which another clef must be nearer


def write_musicxml(path: str | os.PathLike[str], lead_sheet: LeadSheet, *, title: str, composer: str) -> None:
    """Write a lead sheet as MusicXML, whole or not at all. See `musicxml_bytes`.

    Raises
    ------
    OutputError
        If the file cannot be written there.
    """
    write_whole(path, musicxml_bytes(lead_sheet, title=title, composer=composer))


def musicxml_bytes(lead_sheet: LeadSheet, *, title: str, composer: str) -> bytes:
    """Return a lead sheet as a MusicXML 4.0 partwise document.

    One staff in 4/4: melody in the treble clef (an octave lower or higher where the melody lies there), chord
    symbols, tempo, a boxed name at each phrase start, a double bar line at each phrase end.

    Parameters
    ----------
    lead_sheet : LeadSheet
        Without `problems()`.
    title, composer : str

    Returns
    -------
    bytes
        UTF-8.

    Raises
    ------
    ValueError
        If the melody cannot be written (`files.notation.written_bars`).
    """
    root = ET.Element("score-partwise", version="4.0")
    _add(_add(root, "work"), "work-title", _clean(title))
    identification = _add(root, "identification")
    _add(identification, "creator", _clean(composer), type="composer")
    _add(_add(identification, "encoding"), "software", f"songwright {__version__}")
    _add_page(root)
    _add_credit(root, "title", _clean(title))
    _add_credit(root, "composer", _clean(composer))
    score_part = _add(_add(root, "part-list"), "score-part", id="P1")
    _add(score_part, "part-name", "Melody").set("print-object", "no")
    part = _add(root, "part", id="P1")

    key = lead_sheet.key
    bars = written_bars(lead_sheet.melody, lead_sheet.num_bars)
    spelled = spell_melody(lead_sheet.melody, lead_sheet.chords, key)
    names = dict(zip(lead_sheet.form.start_bars, lead_sheet.form.section_names(), strict=True))
    new_systems = system_starts(lead_sheet.form, [len(notes) for notes in bars])
    accidentals = _Accidentals(key)
    for bar, notes in enumerate(bars):
        measure = _add(part, "measure", number=str(bar + 1))
        if bar in new_systems and bar:
            _add(measure, "print").set("new-system", "yes")
        if bar == 0:
            _add_attributes(measure, key, _octave_shift(lead_sheet))
            _add_tempo(measure, lead_sheet.tempo_qpm)
        if bar in names:
            direction_type = _add(_add(measure, "direction", placement="above"), "direction-type")
            _add(direction_type, "rehearsal", names[bar], enclosure="square")
        start = bar * STEPS_PER_BAR
        chords = [change for change in lead_sheet.chords if start <= change.onset_step < start + STEPS_PER_BAR]
        if bar in new_systems and not (chords and chords[0].onset_step == start):
            chords = _held_chord(lead_sheet.chords, start) + chords  # each line says the chord it starts on
        accidentals.start_bar()
        for note in notes:
            while chords and chords[0].onset_step < note.onset_step + note.duration_step:
                _add_harmony(measure, chords.pop(0), note.onset_step, key)
            _add_note(measure, note, spelled, accidentals, notes)
        if bar + 1 == lead_sheet.num_bars or bar + 1 in names:
            barline = _add(measure, "barline", location="right")
            _add(barline, "bar-style", "light-heavy" if bar + 1 == lead_sheet.num_bars else "light-light")
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n{_DOCTYPE}\n{body}\n'.encode()


def system_starts(form: Form, bar_sizes: Sequence[int]) -> frozenset[int]:
    """Return the bars (from zero) that start a line of the page.

    Phrases start on a new line; a phrase is divided into lines as near to four bars as can be, the longer first, and
    shorter where they would be crowded. One or two bars go on the line before where it then holds at most five.

    Parameters
    ----------
    form : Form
    bar_sizes : sequence of int, length num_bars
        Notes and rests in each bar.

    Examples
    --------
    >>> sorted(system_starts(Form.parse("i2A7A1B8"), [4] * 18))
    [0, 2, 6, 10, 14]
    >>> sorted(system_starts(Form.parse("A4A4"), [16] * 4 + [4] * 4))
    [0, 2, 4]
    """
    starts: list[int] = []

    def is_crowded(first: int, end: int) -> bool:
        return end - first > 1 and sum(bar_sizes[first:end]) > MAX_SYSTEM_SYMBOLS

    for bar, (_, num_bars) in zip(form.start_bars, form.phrases, strict=True):
        end = bar + num_bars
        if starts and num_bars <= 2 and end - starts[-1] <= BARS_PER_SYSTEM + 1 and not is_crowded(starts[-1], end):
            continue
        num_lines = max(1, (2 * num_bars + BARS_PER_SYSTEM) // (2 * BARS_PER_SYSTEM))
        lines = _line_starts(bar, num_bars, num_lines)
        while any(is_crowded(*line) for line in pairwise([*lines, end])):
            num_lines += 1
            lines = _line_starts(bar, num_bars, num_lines)
        starts += lines
    return frozenset(starts)


def _line_starts(bar: int, num_bars: int, num_lines: int) -> list[int]:
    size, num_longer = divmod(num_bars, num_lines)
    return [bar + line * size + min(line, num_longer) for line in range(num_lines)]


def _held_chord(changes: tuple[ChordChange, ...], step: int) -> list[ChordChange]:
    held = [chord for onset, chord in changes if onset < step]
    return [ChordChange(step, held[-1])] if held else []


class _Accidentals:
    """Which accidental must be printed, bar by bar: a sign holds for its octave until the bar line."""

    def __init__(self, key: Key) -> None:
        self._signature = dict(spell_fifths(key.fifths + place) for place in range(-1, 6))
        self._in_bar: dict[tuple[str, int], int] = {}
        self._bar_before: set[str] = set()

    def start_bar(self) -> None:
        self._bar_before = {letter for (letter, _), sign in self._in_bar.items() if sign != self._signature[letter]}
        self._in_bar = {}

    def sign(self, pitch: SpelledPitch) -> tuple[str | None, bool]:
        """Return the accidental to print for the next note, and whether it is a mere reminder."""
        place = (pitch.letter, pitch.octave)
        signature = self._signature[pitch.letter]
        before = self._in_bar.get(place, signature)
        is_reminder = pitch.letter in self._bar_before and place not in self._in_bar and pitch.alteration == signature
        self._bar_before.discard(pitch.letter)
        self._in_bar[place] = pitch.alteration
        if pitch.alteration == before and not is_reminder:
            return None, False
        return _ACCIDENTALS[pitch.alteration], is_reminder


def _octave_shift(lead_sheet: LeadSheet) -> int:
    """Return -1 or 1 where the melody lies so low or high that the clef an octave away is much easier, else 0."""
    pitch, duration = lead_sheet.melody["pitch"].astype(int), lead_sheet.melody["duration_step"].astype(int)

    def outside(shift: int) -> float:
        """Mean distance from the staff in semitones, by time."""
        low, high = _STAFF_LOW + 12 * shift, _STAFF_HIGH + 12 * shift
        return float((duration * ((low - pitch).clip(0) + (pitch - high).clip(0))).sum() / max(duration.sum(), 1))

    return next((shift for shift in (-1, 1) if outside(shift) + _CLEF_GAIN < outside(0)), 0)


def _add(parent: ET.Element, tag: str, text: str | int | None = None, /, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    if text is not None:
        element.text = str(text)
    return element


def _clean(text: str) -> str:
    """Return the text without the characters that XML forbids."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


def _add_page(root: ET.Element) -> None:
    defaults = _add(root, "defaults")
    scaling = _add(defaults, "scaling")
    _add(scaling, "millimeters", "6.5")
    _add(scaling, "tenths", 40)
    layout = _add(defaults, "page-layout")
    _add(layout, "page-height", 1828)  # A4 in tenths of a staff space of that scaling
    _add(layout, "page-width", 1292)
    margins = _add(layout, "page-margins", type="both")
    for side in ("left", "right", "top", "bottom"):
        _add(margins, f"{side}-margin", 92)


def _add_credit(root: ET.Element, kind: str, text: str) -> None:
    credit = _add(root, "credit", page="1")
    _add(credit, "credit-type", kind)
    words = _add(credit, "credit-words", text, valign="top")
    place = (646, 1736, 22, "center") if kind == "title" else (1200, 1660, 11, "right")
    for name, value in zip(("default-x", "default-y", "font-size", "justify"), place, strict=True):
        words.set(name, str(value))


def _add_attributes(measure: ET.Element, key: Key, octave_shift: int) -> None:
    attributes = _add(measure, "attributes")
    _add(attributes, "divisions", STEPS_PER_BEAT)
    key_element = _add(attributes, "key")
    _add(key_element, "fifths", key.fifths)
    _add(key_element, "mode", "minor" if key.is_minor else "major")
    time = _add(attributes, "time")
    _add(time, "beats", 4)
    _add(time, "beat-type", 4)
    clef = _add(attributes, "clef")
    _add(clef, "sign", "G")
    _add(clef, "line", 2)
    if octave_shift:
        _add(clef, "clef-octave-change", octave_shift)


def _add_tempo(measure: ET.Element, tempo_qpm: float) -> None:
    direction = _add(measure, "direction", placement="above")
    metronome = _add(_add(direction, "direction-type"), "metronome")
    _add(metronome, "beat-unit", "quarter")
    _add(metronome, "per-minute", round(tempo_qpm))
    _add(direction, "sound", tempo=f"{tempo_qpm:g}")


def _add_harmony(measure: ET.Element, change: ChordChange, now_step: int, key: Key) -> None:
    kind, text, degree = _KINDS[change.chord.quality]
    spelled = spell_chord(change.chord, key)
    harmony = _add(measure, "harmony", placement="above")
    for name, (letter, alteration) in (("root", spelled.root), ("bass", spelled.bass)):
        if name == "bass":
            _add(harmony, "kind", kind, text=text)
            if change.chord.bass == change.chord.root:
                break
        tone = _add(harmony, name)
        _add(tone, f"{name}-step", letter)
        if alteration:
            _add(tone, f"{name}-alter", alteration)
    if degree:
        element = _add(harmony, "degree")
        element.set("print-object", "no")
        _add(element, "degree-value", degree)
        _add(element, "degree-alter", 0)
        _add(element, "degree-type", "add")
    if change.onset_step > now_step:
        _add(harmony, "offset", change.onset_step - now_step)


def _add_note(
    measure: ET.Element,
    note: WrittenNote,
    spelled: list[SpelledPitch],
    accidentals: _Accidentals,
    bar: list[WrittenNote],
) -> None:
    element = _add(measure, "note")
    accidental, is_reminder = None, False
    if note.note_index is None:
        rest = _add(element, "rest")
        if note.duration_step == STEPS_PER_BAR:
            rest.set("measure", "yes")
    else:
        written = spelled[note.note_index]
        pitch = _add(element, "pitch")
        _add(pitch, "step", written.letter)
        if written.alteration:
            _add(pitch, "alter", written.alteration)
        _add(pitch, "octave", written.octave)
        if not note.is_tied_back:
            accidental, is_reminder = accidentals.sign(written)
    _add(element, "duration", note.duration_step)
    if note.is_tied_back:
        _add(element, "tie", type="stop")
    if note.is_tied_on:
        _add(element, "tie", type="start")
    _add(element, "voice", 1)
    if note.note_index is not None or note.duration_step < STEPS_PER_BAR:
        _add(element, "type", note.value)
    for _ in range(note.num_dots):
        _add(element, "dot")
    if accidental:
        sign = _add(element, "accidental", accidental)
        if is_reminder:
            sign.set("cautionary", "yes")
            sign.set("parentheses", "yes")
    if note.tuplet:
        modification = _add(element, "time-modification")
        _add(modification, "actual-notes", note.tuplet.actual)
        _add(modification, "normal-notes", note.tuplet.normal)
        _add(modification, "normal-type", note.tuplet.unit)
    for level, word in enumerate(note.beams, start=1):
        _add(element, "beam", word, number=str(level))
    _add_notations(element, note, bar)


def _add_notations(element: ET.Element, note: WrittenNote, bar: list[WrittenNote]) -> None:
    if not (note.is_tied_back or note.is_tied_on or note.starts_tuplet or note.ends_tuplet):
        return
    notations = _add(element, "notations")
    if note.is_tied_back:
        _add(notations, "tied", type="stop")
    if note.is_tied_on:
        _add(notations, "tied", type="start")
    if note.starts_tuplet:
        first = bar.index(note)
        last = next(index for index in range(first, len(bar)) if bar[index].ends_tuplet)
        # One beam over the whole group already shows what belongs together.
        is_beamed = all(member.beams for member in bar[first : last + 1])
        _add(notations, "tuplet", type="start", bracket="no" if is_beamed else "yes")
    if note.ends_tuplet:
        _add(notations, "tuplet", type="stop")
