"""MusicXML files (.musicxml, .xml, .mxl) to `Score`: what sounds, repeats played.

One track a part, however many staves and voices it has; a piano is one track, a voice another. Pitches are sounding
pitches (transposing instruments are transposed), tied notes are one note, repeats, endings and jumps are played.
Left out: grace notes and cue notes (they have no place in the bar), ornaments, lyrics, layout, slurs and wedges.
Dynamic marks give the velocity, 80 without one. Bar lines: see `files.sounding_score.bar_lines`.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping
from math import lcm
from xml.etree.ElementTree import Element

from songwright.errors import InputError
from songwright.files.musicxml_document import document_from_bytes, read_document
from songwright.files.musicxml_elements import (
    STEP_PITCH,
    harmony_label,
    meter_of,
    metronome_tempo,
    number,
    part_of,
    read_words,
    whole,
)
from songwright.files.part_alignment import align_parts
from songwright.files.sounding_score import sounding_score
from songwright.files.written_music import (
    DEFAULT_VELOCITY,
    DYNAMICS,
    FREE_METER,
    MAX_PLAYED_MEASURES,
    WrittenMeasure,
    WrittenNote,
    WrittenPart,
    note_order,
    passes_from_text,
)
from songwright.score.elements import Score

_MAX_DIVISIONS = 1_000_000  # of a quarter note; the standard asks for less than 16,384
_MAX_PARTS = 256
_MAX_UNITS_PER_QUARTER = 10**9
_MAX_MEASURE_QUARTERS = 4_096  # chant without bar lines has some hundreds
_SNARE_DRUM = 38  # for percussion whose instrument names no sound


def read_musicxml(path: str | os.PathLike[str], *, repeats: bool = True) -> Score:
    """Read a MusicXML file, plain or compressed.

    Parameters
    ----------
    path : path
        A partwise or timewise score.
    repeats : bool
        Whether repeats, endings and jumps are played; False gives each measure once, as it is written.

    Returns
    -------
    Score
        See the module for what a track holds, `files.sounding_score` for its ticks. Chord symbols become chord labels,
        rehearsal marks markers. A score without notes has no tracks.

    Raises
    ------
    InputError
        If the file is missing, no MusicXML, damaged, or beyond the limits of `files.musicxml_document`.
    """
    return _score(read_document(path), str(path), repeats)


def score_from_musicxml_bytes(data: bytes, *, name: str = "MusicXML data", repeats: bool = True) -> Score:
    """Read the bytes of a MusicXML file, plain or compressed; `name` stands for them in errors. See `read_musicxml`."""
    return _score(document_from_bytes(data, name=name), name, repeats)


def title_of(path: str | os.PathLike[str]) -> str:
    """Return the title of a MusicXML file: of the movement, else of the work; empty if it has none."""
    root = read_document(path)
    titles = (root.findtext("movement-title"), root.findtext("work/work-title"))
    return next((" ".join(title.split()) for title in titles if title and title.strip()), "")


def _score(root: Element, name: str, repeats: bool) -> Score:
    if root.tag == "score-timewise":
        root = _partwise(root)
    if root.tag != "score-partwise":
        raise InputError(f"{name} is XML but no MusicXML score (it starts with <{root.tag[:40]}>): export it again.")
    try:
        reader = _ScoreReader(root)
        for part in root.iterfind("part"):
            reader.read_part(part)
        if not reader.measures:
            raise InputError("has no measures: export it again.")
        reader.align()
        order = None if repeats else range(len(reader.measures))
        return sounding_score(reader.parts, reader.measures, reader.units_per_quarter, order=order)
    except InputError as error:
        raise InputError(f"{name} {error}") from None


def _partwise(root: Element) -> Element:
    turned = Element("score-partwise")
    turned.extend(child for child in root if child.tag != "measure")
    parts: dict[str, Element] = {}
    for measure in root.iterfind("measure"):
        for part in measure.iterfind("part"):
            part_id = part.get("id", "")
            if part_id not in parts:
                parts[part_id] = Element("part", {"id": part_id})
            content = Element("measure", measure.attrib)
            content.extend(part)
            parts[part_id].append(content)
    turned.extend(parts.values())
    return turned


class _ScoreReader:
    """The measures and parts of a document, as far as they are read."""

    def __init__(self, root: Element) -> None:
        self.measures: list[WrittenMeasure] = []
        self.parts: list[WrittenPart] = []
        self.units_per_quarter = 1
        for element in root.iter("divisions"):
            divisions = whole(element.text, low=1, high=_MAX_DIVISIONS)
            if divisions is None:
                raise InputError(f"divides a quarter note into {(element.text or '')[:20]!r} parts: export it again.")
            self.units_per_quarter = lcm(self.units_per_quarter, divisions)
            if self.units_per_quarter > _MAX_UNITS_PER_QUARTER:
                raise InputError("divides quarter notes in too many ways: export it again.")
        self._score_parts = {part.get("id", ""): part for part in root.iterfind("part-list/score-part")}
        self._lengths: list[list[int]] = []  # of each part, measure by measure
        self._meters: list[list[tuple[int, int]]] = []
        self._part_with: dict[str, int] = {}  # the part whose keys, and whose meters, hold for all

    def read_part(self, element: Element) -> None:
        """Read one part and what it says for all."""
        if len(self.parts) == _MAX_PARTS:
            raise InputError(f"has more than {_MAX_PARTS} parts: give less music.")
        part_id = element.get("id", "")
        listed = self._score_parts.get(part_id)
        part, drum_pitches = part_of(listed, part_id)
        self.parts.append(part)
        walker = _PartReader(self, part, drum_pitches)
        for index, measure in enumerate(element.iterfind("measure")):
            if index == MAX_PLAYED_MEASURES:
                raise InputError(f"has more than {MAX_PLAYED_MEASURES} measures: give less music.")
            if index == len(self.measures):
                self.measures.append(WrittenMeasure())
            part.measures.append(walker.read_measure(index, measure))
        self._lengths.append(walker.lengths)
        self._meters.append(walker.meters)
        if not part.is_drum and walker.num_pitched == 0 and walker.num_unpitched:
            part.is_drum = True

    def align(self) -> None:
        """Give the measures their lengths and bring the parts into step."""
        align_parts(self.parts, self._lengths, self._meters, self.measures, self.units_per_quarter)
        for measure in self.measures:
            measure.put_in_order()

    def is_first_with(self, what: str, part: WrittenPart) -> bool:
        """Return whether `part` is the first to say anything of `what`: parts must not contradict each other."""
        return self._part_with.setdefault(what, id(part)) == id(part)


class _PartReader:
    """Walks through the measures of one part."""

    def __init__(self, score: _ScoreReader, part: WrittenPart, drum_pitches: Mapping[str, int]) -> None:
        self.score = score
        self.part = part
        self.drum_pitches = drum_pitches
        self.units = float(score.units_per_quarter)  # of one division; 1 division a quarter until the file says so
        self.transposition = 0
        self.velocity = DEFAULT_VELOCITY
        self.meter = FREE_METER
        self.lengths: list[int] = []
        self.meters: list[tuple[int, int]] = []
        self.num_pitched = self.num_unpitched = 0
        self.cursor = self.chord_onset = 0
        self.max_length = _MAX_MEASURE_QUARTERS * score.units_per_quarter

    def read_measure(self, index: int, element: Element) -> list[WrittenNote]:
        """Return the notes of a measure by onset; what it says for all parts goes to the score's measure."""
        measure = self.score.measures[index]
        notes: list[WrittenNote] = []
        dynamics: list[tuple[int, int]] = []
        self.cursor = self.chord_onset = length = 0
        for child in element:
            tag = child.tag
            if tag == "note":
                self._note(child.attrib, notes)
            elif tag == "backup":
                self.cursor = max(self.cursor - self._duration(child.findtext("duration")), 0)
            elif tag == "forward":
                self.cursor += self._duration(child.findtext("duration"))
            elif tag == "attributes":
                self._attributes(child, measure)
            elif tag == "direction":
                self._direction(child, measure, dynamics)
            elif tag == "harmony":
                self._harmony(child, measure)
            elif tag == "barline":
                self._barline(child, index)
            elif tag == "sound":
                self._sound(child, measure, self.cursor, dynamics)
            if self.cursor > length:
                length = self.cursor
                if length > self.max_length:
                    raise InputError(
                        f"has a measure of more than {_MAX_MEASURE_QUARTERS} quarter notes: export it again."
                    )
        self.lengths.append(length)
        self.meters.append(self.meter)
        if dynamics or self.velocity != DEFAULT_VELOCITY:
            notes = self._with_velocities(notes, dynamics)
        notes.sort(key=note_order)
        return notes

    def _duration(self, text: str | None) -> int:
        duration = number(text, low=0, high=1e9)
        if duration is None:
            if text is None:
                return 0
            raise InputError(f"has a note whose duration is {text[:20]!r}: export it again.")
        return round(duration * self.units)

    def _note(self, leaves: dict[str, str], notes: list[WrittenNote]) -> None:
        if "grace" in leaves:
            return
        duration = self._duration(leaves.get("duration"))
        if "chord" in leaves:
            onset = self.chord_onset
        else:
            onset = self.chord_onset = self.cursor
            self.cursor += duration
        if "step" in leaves:
            pitch = self._pitch(leaves)
            self.num_pitched += 1
        elif "unpitched" in leaves:
            pitch = self.drum_pitches.get(leaves.get("instrument", ""), _SNARE_DRUM)
            self.num_unpitched += 1
        else:
            return
        if 0 <= pitch <= 127 and duration > 0 and "cue" not in leaves:
            notes.append((onset, duration, pitch, DEFAULT_VELOCITY, "tie-stop" in leaves, "tie-start" in leaves))

    def _pitch(self, leaves: dict[str, str]) -> int:
        """Return the sounding pitch of a note, -1 if it has none."""
        step = STEP_PITCH.get(leaves["step"])
        octave = whole(leaves.get("octave"), low=-2, high=12)
        if step is None or octave is None:
            return -1
        alteration = (whole(leaves["alter"], low=-4, high=4) or 0) if "alter" in leaves else 0
        return 12 * octave + 12 + step + alteration + self.transposition

    def _with_velocities(self, notes: list[WrittenNote], dynamics: list[tuple[int, int]]) -> list[WrittenNote]:
        dynamics.sort(key=lambda change: change[0])
        onsets = [onset for onset, _ in dynamics]
        velocities = [self.velocity, *(velocity for _, velocity in dynamics)]
        louder = [(*note[:3], velocities[bisect_right(onsets, note[0])], *note[4:]) for note in notes]
        if dynamics:
            self.velocity = dynamics[-1][1]
        return louder

    def _attributes(self, element: Element, measure: WrittenMeasure) -> None:
        for child in element:
            tag = child.tag
            if tag == "divisions":
                divisions = whole(child.text, low=1, high=_MAX_DIVISIONS) or 1
                self.units = self.score.units_per_quarter / divisions
            elif tag == "transpose":
                chromatic = whole(child.findtext("chromatic"), low=-48, high=48) or 0
                octaves = whole(child.findtext("octave-change"), low=-4, high=4) or 0
                self.transposition = chromatic + 12 * octaves
        # Keys of transposing instruments are written keys: read after the transposition.
        for child in element:
            if child.tag == "key" and not measure.keys:
                fifths = whole(child.findtext("fifths"), low=-7, high=7)
                if fifths is not None and self.score.is_first_with("key", self.part):
                    is_minor = (child.findtext("mode") or "").strip().lower() in ("minor", "aeolian")
                    measure.keys.append((self.cursor, (self._sounding_fifths(fifths), is_minor)))
            elif child.tag == "time":
                meter = meter_of(child)
                if meter is not None:
                    self.meter = meter
                    if self.score.is_first_with("time", self.part):
                        measure.meter = meter

    def _sounding_fifths(self, fifths: int) -> int:
        if self.transposition % 12 == 0:
            return fifths
        moved = fifths + 7 * self.transposition
        return (moved + 5) % 12 - 5  # from five flats to six sharps

    def _direction(self, element: Element, measure: WrittenMeasure, dynamics: list[tuple[int, int]]) -> None:
        onset = self._onset_of(element)
        sound = element.find("sound")
        for kind in element.iterfind("direction-type"):
            for child in kind:
                tag = child.tag
                if tag == "dynamics":
                    dynamics.extend((onset, DYNAMICS[mark.tag]) for mark in child if mark.tag in DYNAMICS)
                elif tag == "rehearsal" and child.text and child.text.strip():
                    measure.markers.append((onset, child.text.strip()[:200]))
                elif tag == "metronome" and (sound is None or sound.get("tempo") is None):
                    tempo = metronome_tempo(child)
                    if tempo is not None:
                        measure.tempos.append((onset, tempo))
                elif tag == "segno":
                    measure.is_segno = True
                elif tag == "coda" and not (sound is not None and sound.get("tocoda")):
                    measure.is_coda = True
                elif tag == "words" and sound is None and child.text:
                    read_words(child.text[:40], measure)
        if sound is not None:
            self._sound(sound, measure, onset, dynamics)

    def _sound(self, element: Element, measure: WrittenMeasure, onset: int, dynamics: list[tuple[int, int]]) -> None:
        tempo = number(element.get("tempo"), low=1, high=2000)
        if tempo is not None:
            measure.tempos.append((onset, tempo))
        loudness = number(element.get("dynamics"), low=0, high=1000)
        if loudness is not None and not (dynamics and dynamics[-1][0] == onset):
            dynamics.append((onset, min(max(round(0.9 * loudness), 1), 127)))  # per cent of velocity 90
        if element.get("dacapo") == "yes":
            measure.jump = "capo"
        if element.get("dalsegno"):
            measure.jump = "segno"
        measure.is_segno |= bool(element.get("segno"))
        measure.is_coda |= bool(element.get("coda"))
        measure.to_coda |= bool(element.get("tocoda"))
        measure.is_fine |= bool(element.get("fine"))

    def _barline(self, element: Element, index: int) -> None:
        measures = self.score.measures
        measure = measures[index]
        for child in element:
            if child.tag == "repeat":
                if child.get("direction") == "forward":
                    measure.starts_repeat = True
                elif child.get("direction") == "backward":
                    # At its left side a backward repeat ends the measure before.
                    ended = measures[max(index - 1, 0)] if element.get("location") == "left" else measure
                    ended.num_plays = whole(child.get("times"), low=2, high=16) or 2
            elif child.tag == "ending":
                if child.get("type") == "start":
                    measure.ending = passes_from_text(child.get("number", ""))
                else:
                    measure.closes_ending = True
            elif child.tag == "segno":
                measure.is_segno = True
            elif child.tag == "coda":
                measure.is_coda = True

    def _onset_of(self, element: Element) -> int:
        offset = number(element.findtext("offset"), low=-1e6, high=1e6)
        return max(self.cursor + round((offset or 0.0) * self.units), 0)

    def _harmony(self, element: Element, measure: WrittenMeasure) -> None:
        onset = self._onset_of(element)
        label = harmony_label(element, self.transposition)
        if label is not None:
            measure.chords.append((onset, label))
