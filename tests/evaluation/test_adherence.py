from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from songwright.evaluation.adherence import Adherence, count_bars, measure_adherence
from songwright.evaluation.agreement import boundary_agreement, chord_agreement, key_score, letter_agreement
from songwright.evaluation.reading import JudgedSong, read_song
from songwright.files.midi import write_midi
from songwright.rendering.performance import perform
from songwright.score.elements import Note, Score, TempoChange, TimeSignature, Track, note_array
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form
from songwright.score.pitch import Key
from songwright.score.song import Song
from tests.music import make_song


def band(
    *,
    num_bars: int = 24,
    beats: int = 4,
    tempo_qpm: float = 120,
    shift: int = 0,
    file_meter: tuple[int, int] | None = None,
) -> Score:
    """Return melody and piano over C, Am, F, G, in phrases of four bars, with strong bar lines."""
    tunes = [[64, 67, 72, 67], [69, 72, 71, 69], [65, 69, 72, 69], [67, 71, 74, 62]]
    melody, piano = [], []
    for bar in range(num_bars):
        start = bar * beats * 480
        melody += [Note(start + 480 * beat, 470, tunes[bar % 4][beat] + shift, 95) for beat in range(beats)]
        root, third = [(48, 4), (45, 3), (41, 4), (43, 4)][bar % 4]
        piano.append(Note(start, beats * 480 - 10, root + shift, 100))
        piano += [
            Note(start + 480 * beat, 470, root + 12 + step + shift, 60)
            for beat in range(1, beats)
            for step in (0, third, 7)
        ]
    return Score(
        480,
        (Track("MELODY", note_array(melody), 65), Track("PIANO", note_array(piano))),
        (TempoChange(0, tempo_qpm),),
        (TimeSignature(0, *(file_meter or (beats, 4))),),
    )


def judged(score: Score, tmp_path: Path) -> JudgedSong:
    path = tmp_path / "song.mid"
    write_midi(path, score)
    return read_song(path)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> JudgedSong:
    return judged(band(), tmp_path_factory.mktemp("song"))


def one(asked: dict[str, Any], song: JudgedSong) -> Adherence:
    (found,) = measure_adherence(asked, song)
    return found


def test_wishes_that_the_notes_keep_are_met(song):
    asked = {
        "key": "C major", "tempo_qpm": 120, "seconds": 48, "minutes": 0.8, "num_bars": 24, "meter": "4/4",
        "chords": "C | Am | F | G", "range": ["D4", "D5"], "instruments": ["alto sax", "piano"], "density": 4,
        "seed": 7,
    }  # fmt: skip
    found = measure_adherence(asked, song)
    assert [row.control for row in found] == [
        "key", "tempo", "duration", "duration", "bars", "metre", "chords", "range", "instruments", "density"
    ]  # fmt: skip
    assert [row.control for row in found if not row.is_met] == []
    assert all(row.error is not None and row.error <= row.tolerance for row in found)


@pytest.mark.parametrize(
    ("asked", "error", "achieved"),
    [
        ({"key": "G major"}, 1.0, "C major"),
        ({"key": "A minor"}, 0.7, "C major"),
        ({"tempo_qpm": 100}, 20, "120"),
        ({"seconds": 60}, 12, "47.99"),
        ({"minutes": 1}, 0.2, "0.80"),
        ({"num_bars": 32}, 8, "24"),
        ({"meter": "3/4"}, 1.0, "4/4"),
        ({"range": "G4-C5"}, 5, "D4 to D5"),
        ({"instruments": "violin, piano"}, 2, "alto sax"),
        ({"density": 8}, 4, "4.00"),
    ],
)
def test_wishes_that_the_notes_break_are_not_met_and_the_error_is_in_the_unit(song, asked, error, achieved):
    found = one(asked, song)
    assert found.is_met is False
    assert found.error == pytest.approx(error, abs=0.05)
    assert achieved in found.achieved


def test_a_key_heard_otherwise_is_said_in_words(song):
    assert "relative major" in one({"key": "A minor"}, song).finding
    assert one({"key": "C"}, song).finding == ""


def test_what_the_file_says_of_itself_counts_for_nothing(tmp_path, song):
    claims = replace(song, plan={"key": "E minor", "tempo_qpm": 60, "form": "A4", "bars": 4, "seconds": 5})
    asked = {"key": "C", "tempo_qpm": 120, "num_bars": 24, "seconds": 48}
    assert measure_adherence(asked, claims) == measure_adherence(asked, song)
    waltz = judged(band(beats=3, file_meter=(4, 4)), tmp_path)
    found = one({"meter": "3/4"}, waltz)
    assert (found.achieved, found.is_met, found.finding) == ("3/4", True, "the file writes 4/4")


def test_a_metre_that_notes_do_not_tell_is_left_open(song):
    found = one({"meter": "6/8"}, song)
    assert found.is_met is None
    assert "the file writes 4/4" in found.measured


def test_a_form_is_measured_as_heard_and_the_plan_is_named(tmp_path):
    made = make_song(3, "i4A8B8A8B8o4")
    heard = judged(perform(made, seed=0), tmp_path)
    boundaries, letters = measure_adherence({"form": "i4A8B8A8B8o4"}, replace(heard, plan={"form": "i4A8B8A8B8o4"}))
    assert (boundaries.control, letters.control) == ("form: boundaries", "form: letters")
    assert boundaries.is_met
    assert letters.is_met
    assert boundaries.finding.startswith("planned as asked; heard ")
    wrong, _ = measure_adherence({"form": "A3B5C6A3B5C6A7B5"}, heard)
    assert wrong.error > boundaries.error
    assert wrong.finding.startswith("planned unknown")


def test_chords_are_weighted_by_time_and_repeat_to_the_end(song):
    assert one({"chords": ["C", "Am", "F", "C"]}, song).error == pytest.approx(0.25, abs=0.05)
    assert one({"chords": "Db Eb Gb Ab"}, song).error == pytest.approx(1, abs=0.01)


def test_what_cannot_be_measured_says_so(song, tmp_path):
    found = one({"mood": "sad"}, song)
    assert (found.is_met, found.achieved, found.error) == (None, None, None)
    assert "cannot be measured" in found.measured
    silent = judged(Score(480, (Track("empty", note_array([])),)), tmp_path)
    asked = {
        "key": "C", "tempo_qpm": 120, "seconds": 10, "num_bars": 4, "meter": "4/4", "form": "A4", "chords": "C",
        "range": "C4 C5", "density": 3,
    }  # fmt: skip
    rows = measure_adherence(asked, silent)
    assert {row.is_met for row in rows} == {None}
    assert all(row.measured.startswith("cannot be measured") for row in rows)


@pytest.mark.parametrize(
    "asked",
    [
        {"key": "H minor"}, {"tempo_qpm": "fast"}, {"tempo_qpm": float("nan")}, {"seconds": -1}, {"num_bars": True},
        {"meter": "4 by 4"}, {"form": "Z8"}, {"chords": "C Hm"}, {"chords": ""}, {"chords": 7}, {"range": "C4"},
        {"range": ["C4", "X9"]}, {"range": 60}, {"instruments": "kazoo choir"}, {"instruments": []}, {"density": [4]},
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_said_in_one_sentence_and_others_are_measured(song, asked):
    unread, other = measure_adherence({**asked, "minutes": 1}, song)
    assert (unread.achieved, unread.is_met) == (None, None)
    assert "cannot be read: " in unread.measured
    assert "\n" not in unread.measured
    assert other.is_met is not None


def test_bars_count_time_signatures_and_forgive_a_late_release():
    notes = note_array([Note(0, 480 * 4 + 20, 60)])
    assert count_bars(Score(480, (Track("a", notes),))) == 1
    later = note_array([Note(0, 480, 60), Note(480 * 9, 480, 62)])
    changes = (TimeSignature(0, 4, 4), TimeSignature(480 * 4, 3, 4))
    assert count_bars(Score(480, (Track("a", later),), time_signatures=changes)) == 3


def test_agreements_are_those_of_the_field_on_small_cases():
    assert key_score(Key(0), Key(7)) == 0.5
    assert key_score(Key(9, True), Key(0)) == 0.3
    assert key_score(Key(0), Key(0, True)) == 0.2
    # Two of three boundaries lie within a bar, of two found: precision 1, recall 2/3.
    assert boundary_agreement(Form.parse("A4B4C4A4"), Form.parse("A4B5A7")) == pytest.approx(0.8)
    assert boundary_agreement(Form.parse("A8"), Form.parse("B8")) == 1
    # Bars 1-2 against 3-4: two pairs of equal letters asked, six heard, two common.
    assert letter_agreement(Form.parse("A2B2"), Form.parse("A4")) == pytest.approx(0.5)
    assert letter_agreement(Form.parse("X2X2"), Form.parse("A2B2")) == 1
    c, a_minor, sus = ChordSymbol(0, "maj7", 4), ChordSymbol(9, "min", 9), ChordSymbol(0, "sus4", 0)
    assert (
        chord_agreement([ChordChange(0, c)], [ChordChange(0, ChordSymbol(0, "maj", 0)), ChordChange(36, a_minor)], 48)
        == 0.75
    )
    assert chord_agreement([ChordChange(0, sus)], [ChordChange(0, c)], 48) == 1
    assert chord_agreement([ChordChange(0, c)], [], 48) == 0


def test_one_note_is_no_reason_to_crash(tmp_path):
    lonely = judged(Score(480, (Track("a", note_array([Note(0, 480, 60)])),)), tmp_path)
    asked = {"key": "C", "form": "A4", "chords": "C", "meter": "4/4", "density": 2, "range": "C4 C5", "num_bars": 1}
    assert len(measure_adherence(asked, lonely)) == 8


def test_a_transposed_song_keeps_its_range_in_its_own_key(tmp_path):
    song: Song = make_song(1)
    up = judged(perform(song.transpose(5), seed=0), tmp_path)
    found = one({"range": [60, 127]}, up)
    assert found.achieved.startswith(("F4", "G4", "A4", "Bb4", "C5", "D5"))
