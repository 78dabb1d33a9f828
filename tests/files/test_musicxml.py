"""The lead sheet as MusicXML: what stands on the page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from songwright.errors import OutputError
from songwright.files.musicxml import MAX_SYSTEM_SYMBOLS, musicxml_bytes, system_starts, write_musicxml
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import ChordChange, Form, LeadSheet, parse_chord
from songwright.score.pitch import Key


def lead_sheet(*, lowest: int = 64, form: str = "i1A4B5") -> LeadSheet:
    """Ten bars in E minor: quarters from bar 2 on, a chord each half-bar."""
    num_bars = Form.parse(form).num_bars
    onsets = np.arange(48, num_bars * 48, 12)
    labels = ["E:min", "B:7/3", "C:maj7", "D:sus4(b7)", "F#:hdim7", "A:min/b3"]
    symbols = [symbol for symbol in map(parse_chord, labels) if symbol]
    chords = tuple(ChordChange(24 * place, symbols[place % len(symbols)]) for place in range(2 * num_bars))
    pitches = lowest + np.array([0, 3, 2, 7])[np.arange(len(onsets)) % 4]
    return LeadSheet(
        Key.parse("E minor"), 92.4, Form.parse(form), chords, grid_notes(onsets, np.full(len(onsets), 12), pitches)
    )


def page(sheet: LeadSheet, title: str = "Song") -> ET.Element:
    """Write the sheet and parse it back."""
    return ET.fromstring(musicxml_bytes(sheet, title=title, composer="songwright"))


def test_the_page_names_title_composer_key_meter_and_tempo() -> None:
    root = page(lead_sheet(), "Rain & <Sun>\x00")
    assert root.findtext("work/work-title") == "Rain & <Sun>"
    assert root.findtext("identification/creator") == "songwright"
    first = root.find("part/measure")
    assert first is not None
    assert (first.findtext("attributes/key/fifths"), first.findtext("attributes/key/mode")) == ("1", "minor")
    assert (first.findtext("attributes/time/beats"), first.findtext("attributes/time/beat-type")) == ("4", "4")
    assert first.findtext(".//per-minute") == "92"
    assert [sound.get("tempo") for sound in first.iter("sound")] == ["92.4"]


def test_phrases_are_marked_and_end_with_a_double_bar() -> None:
    measures = page(lead_sheet()).findall("part/measure")
    assert {number: mark.text for number, m in enumerate(measures, 1) for mark in m.iter("rehearsal")} == {
        1: "Intro",
        2: "A",
        6: "B",
    }
    assert all(mark.get("enclosure") == "square" for m in measures for mark in m.iter("rehearsal"))
    styles = {number: m.findtext("barline/bar-style") for number, m in enumerate(measures, 1) if m.find("barline")}
    assert styles == {1: "light-light", 5: "light-light", 10: "light-heavy"}
    assert [number for number, m in enumerate(measures, 1) if m.find("print") is not None] == [2, 6]


def test_chord_symbols_have_root_kind_bass_and_place() -> None:
    measures = page(lead_sheet()).findall("part/measure")
    harmonies = [harmony for measure in measures[:3] for harmony in measure.findall("harmony")]
    kinds = [kind.get("text") for harmony in harmonies for kind in harmony.findall("kind")]
    assert kinds == ["m", "7", "maj7", "7sus4", "m7♭5", "m"]
    assert [harmony.findtext("bass/bass-step") for harmony in harmonies] == [None, "D", None, None, None, "C"]
    assert [harmony.findtext("bass/bass-alter") for harmony in harmonies][1] == "1"
    assert harmonies[4].findtext("root/root-alter") == "1"
    # Bar 1 is one whole rest: its second chord stands half a bar further.
    assert [harmony.findtext("offset") for harmony in harmonies[:3]] == [None, "24", None]


def test_a_held_chord_is_said_again_at_the_start_of_a_line() -> None:
    sheet = lead_sheet(form="A4B4")
    held = LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords[:1], sheet.melody)
    measures = page(held).findall("part/measure")
    assert [number for number, m in enumerate(measures, 1) if m.find("harmony") is not None] == [1, 5]


def test_an_empty_bar_is_one_whole_measure_rest() -> None:
    first = page(lead_sheet()).findall("part/measure")[0]
    notes = first.findall("note")
    assert len(notes) == 1
    rest = notes[0].find("rest")
    assert rest is not None
    assert rest.get("measure") == "yes"
    assert notes[0].findtext("duration") == "48"


@pytest.mark.parametrize(("lowest", "shift"), [(64, None), (57, None), (48, "-1"), (84, "1")])
def test_the_clef_moves_an_octave_for_low_and_high_melodies_only(lowest: int, shift: str | None) -> None:
    root = page(lead_sheet(lowest=lowest))
    assert root.findtext("part/measure/attributes/clef/sign") == "G"
    assert root.findtext("part/measure/attributes/clef/clef-octave-change") == shift


def test_a_reminder_follows_a_chromatic_note_in_the_next_bar() -> None:
    pitches = np.array([61, 62, 64, 65, 60])
    notes = grid_notes(np.arange(5) * 12, np.array([12, 12, 12, 12, 48]), pitches)
    sheet = LeadSheet(Key(0), 90.0, Form.parse("A2"), (), notes)
    signs = [(sign.text, sign.get("cautionary")) for sign in page(sheet).iter("accidental")]
    assert signs == [("sharp", None), ("natural", "yes")]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("A8", [0, 4]),
        ("A5", [0]),
        ("A6", [0, 3]),
        ("A7", [0, 4]),
        ("A4o1", [0]),
        ("i2A2B8", [0, 4, 8]),
        ("A8x2B4", [0, 4, 8, 10]),
    ],
)
def test_lines_follow_the_phrases(form: str, expected: list[int]) -> None:
    parsed = Form.parse(form)
    assert sorted(system_starts(parsed, [4] * parsed.num_bars)) == expected


def test_crowded_lines_are_divided() -> None:
    starts = sorted(system_starts(Form.parse("A9B4"), [16] * 9 + [4] * 4))
    assert starts == [0, 3, 6, 9]
    assert MAX_SYSTEM_SYMBOLS >= 3 * 16


def test_the_same_sheet_gives_the_same_bytes_and_one_file(tmp_path: Path) -> None:
    write_musicxml(tmp_path / "song.musicxml", lead_sheet(), title="Song", composer="songwright")
    written = (tmp_path / "song.musicxml").read_bytes()
    assert written == musicxml_bytes(lead_sheet(), title="Song", composer="songwright")
    assert written.startswith(b'<?xml version="1.0" encoding="UTF-8"')
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OutputError, match="choose a folder"):
        write_musicxml(tmp_path / "none" / "song.musicxml", lead_sheet(), title="Song", composer="songwright")
