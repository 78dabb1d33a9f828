"""ABC notation: tune books to scores, one a tune.

Reads the standard (ABC 2.1) as tune books use it: headers, keys of all modes, accidentals that hold to the end of the
bar, lengths, broken rhythm, tuplets, ties, chords, repeats and endings, voices (one track each), fields inside the
music, chord symbols in quotes, tempo, dynamics, D.C., D.S., Fine, Coda and the order of parts (`P:ABA`).
Left out: grace notes, ornaments, lyrics and other text. Bar lines: see `files.sounding_score.bar_lines`.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path

from songwright.errors import InputError
from songwright.files.abc_fields import (
    WHOLE_NOTE,
    clef_octave,
    default_unit_length,
    key_signature,
    meter_of_field,
    part_letters,
    split_tunes,
    tempo_of_field,
    unit_length,
)
from songwright.files.abc_voice import LENGTH, NOTE, UNITS_PER_QUARTER, Voice
from songwright.files.chord_labels import chord_label_from_symbol
from songwright.files.musicxml_document import read_limited
from songwright.files.sounding_score import sounding_score
from songwright.files.written_music import (
    DYNAMICS,
    FREE_METER,
    MAX_PASSES,
    MAX_PLAYED_MEASURES,
    WrittenMeasure,
    WrittenPart,
    note_order,
    passes_from_text,
    play_order,
)
from songwright.score.elements import Score

MAX_FILE_BYTES = 2**20
"""Largest file. A tune book of a thousand tunes has 0.5 MB."""
MAX_TUNES = 5_000
"""Most tunes of a file."""
MAX_TUNE_CHARACTERS = 2**17
"""Longest tune. A motet in five voices has 10,000 characters."""

_MAX_REST_MEASURES = 999
_MAX_VOICES = 64


_TOKEN = re.compile(
    rf"""
      (?P<quoted>"[^"]*")
    | (?P<decoration>![A-Za-z0-9.<>()+^~/-]{{1,24}}!|![Dd]\.?[CcSs]\.?[^!|]{{0,16}}!|\+[a-z]{{4,16}}\+)
    | (?P<grace>\{{[^{{}}]*\}})
    | (?P<field>\[[A-Za-z]:[^\[\]]*\])
    | (?P<bar>(?:\[\||:*\||::)[|\]:]*(?:\[?[1-9][0-9,.\-]*)?)
    | (?P<ending>\[[1-9][0-9,.\-]*)
    | (?P<chord>\[[^\[\]|]*\])(?P<chord_length>{LENGTH})
    | (?P<note>{NOTE})(?P<note_length>{LENGTH})
    | (?P<rest>[zx])(?P<rest_length>{LENGTH})
    | (?P<rest_measures>[ZX][0-9]{{0,4}})
    | (?P<tuplet>\([2-9](?::[0-9]?){{0,2}})
    | (?P<broken>>{{1,3}}|<{{1,3}})
    | (?P<tie>-)
    | (?P<overlay>&)
    """,
    re.VERBOSE,
)
_CHORD_NOTE = re.compile(rf"({NOTE})({LENGTH})(-?)")
_INSIDE_CHORD_TEXT = re.compile(r'"[^"]*"|![^!]*!')
_FIELD_LINE = re.compile(r"\s?([A-Za-z]):(?![|:])(.*)")
_VOICE_PROPERTY = re.compile(r"""(\w+)\s*=\s*("[^"]*"|\S+)""")


def read_abc(path: str | os.PathLike[str], *, repeats: bool = True) -> list[tuple[str, Score]]:
    """Read every tune of an ABC file.

    Parameters
    ----------
    path : path
    repeats : bool
        Whether repeats, endings and jumps are played; False gives each bar once, as it is written.

    Returns
    -------
    list of (str, Score)
        Title (empty if it has none) and score of each tune that has notes, in the order of the file. One track a
        voice. A tune that cannot be read (longer than any music) is left out.

    Raises
    ------
    InputError
        If the file is missing, too large, or no tune in it can be read.
    """
    file = Path(path)
    return tunes_from_abc_bytes(read_limited(file, MAX_FILE_BYTES, "an ABC file"), name=str(file), repeats=repeats)


def tunes_from_abc_bytes(data: bytes, *, name: str = "ABC data", repeats: bool = True) -> list[tuple[str, Score]]:
    r"""Read the bytes of an ABC file (UTF-8, else Latin-1); `name` stands for them in errors. See `read_abc`.

    Examples
    --------
    >>> [(title, score)] = tunes_from_abc_bytes(b"X:1\nT:Scale\nL:1/4\nK:G\nEF|")
    >>> title, score.tracks[0].notes["pitch"].tolist()
    ('Scale', [64, 66])
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\0" in text:
        raise InputError(f"{name} is no ABC file (it is not text): give a text file of tunes.")
    tunes: list[tuple[str, Score]] = []
    problem = ""
    found = list(islice(split_tunes(text), MAX_TUNES + 1))
    if len(found) > MAX_TUNES:
        raise InputError(f"{name} has more than {MAX_TUNES} tunes: split it into several files.")
    for lines in found:
        tune = _Tune()
        try:
            if sum(map(len, lines)) > MAX_TUNE_CHARACTERS:
                raise InputError(f"has a tune of more than {MAX_TUNE_CHARACTERS} characters: give less music.")
            for line in lines:
                tune.read_line(line)
            score = tune.score(repeats=repeats)
        except InputError as error:
            problem = problem or str(error)
            continue
        if score.tracks:
            tunes.append((tune.title, score))
    if not tunes:
        raise InputError(
            f"{name} {problem or 'has no tune that can be read: a tune starts with X: and has notes after K:.'}"
        )
    return tunes


class _Tune:
    """A tune, as far as its lines are read."""

    def __init__(self) -> None:
        self.title = ""
        self.measures: list[WrittenMeasure] = []
        self.voices: dict[str, Voice] = {}
        self.voice: Voice | None = None
        self.has_body = False
        self.unit = 0
        self.meter: tuple[int, int] = FREE_METER
        self.key: dict[str, int] = {}
        self.program = 0
        self.accidentals_hold_for = "pitch"
        self.part_order = ""
        self.sections: dict[str, int] = {}
        self.tempo_text = ""

    def read_line(self, line: str) -> None:
        """Read one line: a directive, a field or music."""
        if line.startswith("%%"):
            self._directive(line[2:].split())
            return
        line = line.split("%", 1)[0]
        if match := _FIELD_LINE.match(line):
            self._field(match.group(1), match.group(2).strip())
        elif self.has_body and not line.startswith("+:"):
            self._music(self.voice or self._change_voice(""), line)

    def score(self, *, repeats: bool) -> Score:
        """Return the score of what was read."""
        for voice in self.voices.values():
            self._close_measure(voice)
        num_measures = max((voice.measure for voice in self.voices.values()), default=0)
        measures = self.measures[:num_measures]
        for measure in measures:
            measure.put_in_order()
        order = self._order(measures) if repeats else range(num_measures)
        return sounding_score([voice.part for voice in self.voices.values()], measures, UNITS_PER_QUARTER, order=order)

    def _order(self, measures: list[WrittenMeasure]) -> list[int]:
        letters = list(part_letters(self.part_order))
        if not letters or not self.sections.keys() >= set(letters):
            return play_order(measures)
        bounds = sorted({*self.sections.values(), len(measures)})
        order = play_order(measures[: bounds[0]])
        for letter in letters:
            start = self.sections[letter]
            stop = next((bound for bound in bounds if bound > start), start)
            order += (start + index for index in play_order(measures[start:stop]))
            if len(order) > MAX_PLAYED_MEASURES:
                raise InputError(f"has more than {MAX_PLAYED_MEASURES} measures with its repeats played.")
        return order

    # Fields

    def _directive(self, words: list[str]) -> None:
        if words[:2] == ["MIDI", "program"] and words[-1].isdecimal() and len(words[-1]) <= 3:
            program = min(int(words[-1]), 127)
            if self.voice is None:
                self.program = program
            else:
                self.voice.part.program = program
        elif words[:1] == ["propagate-accidentals"] and words[-1] in ("not", "octave", "pitch"):
            self._hold_accidentals_for(words[-1])
        elif words[:2] == ["MIDI", "nobarlines"]:  # music without bar lines: an accidental is for its note only
            self._hold_accidentals_for("not")

    def _hold_accidentals_for(self, extent: str) -> None:
        self.accidentals_hold_for = extent
        for voice in self.voices.values():
            voice.accidentals_hold_for = extent

    def _field(self, letter: str, value: str) -> None:
        if letter == "T":
            self.title = self.title or value[:200]
        elif letter == "L":
            self._set_unit(value)
        elif letter == "M":
            self._set_meter(value)
        elif letter == "Q":
            self.tempo_text = value
            if self.voice is not None:
                self._set_tempo(self.voice)
        elif letter == "K":
            self._set_key(value)
        elif letter == "V" and value:
            self._change_voice(value)
        elif letter == "P" and not self.has_body:
            self.part_order = value
        elif letter == "P" and value and self.voice is not None:
            measure = self.voice.measure + (self.voice.length > 0)
            self.sections.setdefault(value[0], measure)
            self._measure(measure).markers.append((0, value[:200]))

    def _set_unit(self, value: str) -> None:
        unit = unit_length(value)
        if unit is None:
            return
        if self.has_body and self.voice is not None:
            self.voice.unit = unit
        else:
            self.unit = unit

    def _set_meter(self, value: str) -> None:
        meter = meter_of_field(value)
        if meter is None:
            return
        self.meter = meter
        if self.voice is not None:
            self._measure(self.voice.measure).meter = meter

    def _set_tempo(self, voice: Voice) -> None:
        tempo = tempo_of_field(self.tempo_text, voice.unit)
        if tempo is not None:
            self._measure(voice.measure).tempos.append((voice.cursor, tempo))

    def _set_key(self, value: str) -> None:
        begins = not self.has_body
        self.has_body = True
        if begins:
            self.unit = self.unit or default_unit_length(self.meter)
            for voice in self.voices.values():
                voice.unit = self.unit
            self._measure(0).meter = self.meter
        voice = self.voice or self._change_voice("")
        voice.transposition += clef_octave(value)
        if begins and self.tempo_text:
            self._set_tempo(voice)
        signature = key_signature(value)
        if signature is None:
            return
        fifths, is_minor, alterations = signature
        for changed in self.voices.values() if begins else [voice]:
            changed.key = alterations
        self.key = alterations
        if -7 <= fifths <= 7 and voice is next(iter(self.voices.values())):
            self._measure(voice.measure).keys.append((voice.cursor, (fifths, is_minor)))

    def _change_voice(self, value: str) -> Voice:
        words = value.split(None, 1)
        voice_id = words[0] if words else ""
        voice = self.voices.get(voice_id)
        if voice is None:
            if len(self.voices) == _MAX_VOICES:
                raise InputError(f"has more than {_MAX_VOICES} voices: export it again.")
            name = f"Voice {voice_id}" if voice_id else "Melody"
            voice = self.voices[voice_id] = Voice(WrittenPart(name[:200], self.program), self.unit)
            voice.key = self.key
            voice.accidentals_hold_for = self.accidentals_hold_for
        properties = words[1] if len(words) > 1 else ""
        voice.transposition += clef_octave(properties)
        for name, text in _VOICE_PROPERTY.findall(properties):
            text = text.strip('"')
            if name in ("name", "nm") and text:
                voice.part.name = text[:200]
            elif name in ("octave", "transpose") and re.fullmatch(r"-?\d{1,2}", text):
                voice.transposition += int(text) * (12 if name == "octave" else 1)
        self.voice = voice
        return voice

    # Music

    def _measure(self, index: int) -> WrittenMeasure:
        while len(self.measures) <= index:
            self.measures.append(WrittenMeasure())
        return self.measures[index]

    def _close_measure(self, voice: Voice) -> None:
        if not voice.length:
            return
        if voice.measure == MAX_PLAYED_MEASURES:
            raise InputError(f"has more than {MAX_PLAYED_MEASURES} measures: give less music.")
        measure = self._measure(voice.measure)
        measure.length = max(measure.length, voice.length)
        voice.notes.sort(key=note_order)
        voice.part.measures.append(voice.notes)
        voice.notes = []
        voice.measure += 1
        voice.cursor = voice.length = voice.num_last = voice.last_duration = 0
        voice.accidentals = {}

    def _music(self, voice: Voice, line: str) -> None:
        for match in _TOKEN.finditer(line):
            kind = match.lastgroup
            if kind == "note_length":
                voice.event([(match["note"], "", False)], match["note_length"])
            elif kind == "bar":
                self._bar(voice, match["bar"])
            elif kind == "quoted":
                label = chord_label_from_symbol(match["quoted"][1:-1])
                if label is not None:
                    self._measure(voice.measure).chords.append((voice.cursor, label))
            elif kind == "chord_length":
                inside = _CHORD_NOTE.findall(_INSIDE_CHORD_TEXT.sub("", match["chord"]))
                voice.event([(note, length, tie == "-") for note, length, tie in inside], match["chord_length"])
            elif kind == "rest_length":
                voice.event([], match["rest_length"])
            elif kind == "broken":
                voice.break_rhythm(match["broken"])
            elif kind == "tie":
                voice.tie()
            elif kind == "tuplet":
                voice.start_tuplet(match["tuplet"], self.meter)
            elif kind == "decoration":
                self._decoration(voice, match["decoration"].strip("!+"))
            elif kind == "field":
                self._field(match["field"][1], match["field"][3:-1].strip())
                voice = self.voice or voice
            elif kind == "ending":
                self._measure(voice.measure).ending = passes_from_text(match["ending"])
            elif kind == "rest_measures":
                self._close_measure(voice)
                numerator, denominator = self.meter if self.meter != FREE_METER else (4, 4)
                for _ in range(min(int(match["rest_measures"][1:] or 1), _MAX_REST_MEASURES)):
                    voice.length = WHOLE_NOTE * numerator // denominator
                    self._close_measure(voice)
            elif kind == "overlay":
                voice.cursor = voice.num_last = voice.last_duration = 0

    def _bar(self, voice: Voice, token: str) -> None:
        sign = token.rstrip("0123456789,.-")
        passes = token[len(sign) :]
        sign = sign.removesuffix("[") if passes else sign
        num_left = len(sign) - len(sign.lstrip(":"))
        num_right = len(sign) - len(sign.rstrip(":"))
        if num_left == len(sign):  # :: ends one repeat and starts the next
            num_left = num_right = max(num_left // 2, 1)
        ended = voice.measure if voice.length else voice.measure - 1
        if ended >= 0 and sign != "|":
            self._measure(ended).closes_ending = True
            if num_left:
                self._measure(ended).num_plays = min(num_left + 1, MAX_PASSES)
        self._close_measure(voice)
        if num_right:
            self._measure(voice.measure).starts_repeat = True
        if passes:
            self._measure(voice.measure).ending = passes_from_text(passes)

    def _decoration(self, voice: Voice, name: str) -> None:
        word = re.sub(r"[.\s]", "", name).lower()
        if name in DYNAMICS:
            voice.velocity = DYNAMICS[name]
        elif word in ("segno", "coda"):
            setattr(self._measure(voice.measure), "is_segno" if word == "segno" else "is_coda", True)
        elif word in ("fine", "dacoda", "tocoda") or word.startswith(("dc", "ds", "dacapo", "dalsegno")):
            measure = self._measure(voice.measure if voice.length or not voice.measure else voice.measure - 1)
            if word == "fine":
                measure.is_fine = True
            elif word.endswith("tocoda") or word == "dacoda":
                measure.to_coda = True
            else:
                measure.jump = "segno" if word.startswith(("ds", "dal")) else "capo"
