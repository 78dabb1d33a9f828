"""Every lead sheet becomes a page whose arithmetic is exact and whose signs mean the notes of the melody."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from songwright.files.musicxml import musicxml_bytes
from songwright.files.notation import written_bars
from songwright.score.lead_sheet import LeadSheet
from tests.music import lead_sheets

_VALUES = {"whole": 48, "half": 24, "quarter": 12, "eighth": 6, "16th": 3}
_DOTS = (Fraction(1), Fraction(3, 2))
_ALTERATIONS = {"flat-flat": -2, "flat": -1, "natural": 0, "sharp": 1, "double-sharp": 2}
_PITCH_CLASSES = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))


def measures(lead_sheet: LeadSheet) -> list[ET.Element]:
    """Write the page and read its bars."""
    return ET.fromstring(musicxml_bytes(lead_sheet, title="Song", composer="Nobody")).findall("part/measure")


@given(lead_sheets())
def test_written_bars_are_full_and_keep_every_note(lead_sheet: LeadSheet) -> None:
    melody = lead_sheet.melody
    bars = written_bars(melody, lead_sheet.num_bars)
    assert len(bars) == lead_sheet.num_bars
    notes = [note for bar in bars for note in bar]
    now = 0
    for note in notes:
        assert note.onset_step == now
        now += note.duration_step
        length = _VALUES[note.value] * _DOTS[note.num_dots]
        if note.tuplet:
            length *= Fraction(note.tuplet.normal, note.tuplet.actual)
        assert length == note.duration_step
    assert now == 48 * lead_sheet.num_bars
    assert all(sum(note.duration_step for note in bar) == 48 for bar in bars)
    heads = [note for note in notes if note.note_index is not None and not note.is_tied_back]
    assert [note.note_index for note in heads] == list(range(len(melody)))
    assert all(abs(note.onset_step - melody["onset_step"][index]) <= 2 for index, note in enumerate(heads))
    for note, following in zip(notes, [*notes[1:], None], strict=True):
        is_held = following is not None and following.is_tied_back and following.note_index == note.note_index
        assert note.is_tied_on == is_held


@given(lead_sheets(), st.integers(-6, 5))
def test_measures_sum_to_four_quarters_and_tuplets_close(lead_sheet: LeadSheet, semitones: int) -> None:
    found = measures(lead_sheet.transpose(semitones))
    assert len(found) == lead_sheet.num_bars
    for measure in found:
        assert sum(int(note.findtext("duration", "0")) for note in measure.findall("note")) == 48
        edges = [tuplet.get("type") for tuplet in measure.iter("tuplet")]
        assert edges == ["start", "stop"] * (len(edges) // 2)
        beams = [beam.text for beam in measure.iter("beam") if beam.get("number") == "1"]
        assert beams.count("begin") == beams.count("end")
    symbols = [harmony for measure in found for harmony in measure.findall("harmony")]
    assert len(symbols) >= len(lead_sheet.chords)


@given(lead_sheets(), st.integers(-6, 5))
def test_the_signs_on_the_staff_mean_the_pitches_of_the_melody(lead_sheet: LeadSheet, semitones: int) -> None:
    moved = lead_sheet.transpose(semitones)
    found = measures(moved)
    fifths = int(found[0].findtext("attributes/key/fifths", ""))
    order = "FCGDAEB" if fifths > 0 else "BEADGCF"
    signature = {letter: (1 if fifths > 0 else -1) * (letter in order[: abs(fifths)]) for letter in order}
    read = []
    for measure in found:
        in_bar: dict[tuple[str, str], int] = {}
        for note in measure.findall("note"):
            if note.find("pitch") is None or any(tie.get("type") == "stop" for tie in note.findall("tie")):
                continue
            letter, octave = note.findtext("pitch/step", ""), note.findtext("pitch/octave", "")
            sign = note.findtext("accidental")
            if sign is not None:
                in_bar[letter, octave] = _ALTERATIONS[sign]
            alteration = in_bar.get((letter, octave), signature[letter])
            assert alteration == int(note.findtext("pitch/alter", "0"))
            read.append(12 * (int(octave) + 1) + _PITCH_CLASSES[letter] + alteration)
    assert read == moved.melody["pitch"].tolist()
