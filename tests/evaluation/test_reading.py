"""A composed song is read back exactly; what is no song is refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from songwright.analysis.originality import Originality
from songwright.composition.composer import Composition
from songwright.composition.plan import SongPlan
from songwright.composition.summary import describe_song
from songwright.errors import InputError
from songwright.evaluation.reading import found_reading, melody_only, read_song
from songwright.files.midi import write_midi
from songwright.rendering.performance import perform
from songwright.score.elements import Note, Score, TempoChange, TimeSignature, Track, note_array
from songwright.score.pitch import Key
from songwright.score.song import Song
from tests.music import make_song

SEMITONES = 3  # to E flat major


def write_composed(folder: Path, song: Song, name: str = "song") -> Path:
    """Write a song in C major as compose writes songs, in E flat major."""
    moved = song.transpose(SEMITONES)
    sheet = moved.lead_sheet
    plan = SongPlan("pop", sheet.key, sheet.tempo_qpm, sheet.form, 7, "Made Up")
    nothing = Originality(0, -1, -1, 0.0, 0, -1, -1)
    composition = Composition(moved, nothing, 797, 1, 0)
    about = describe_song(composition, plan, asked={"key": "Eb"}, version="0", fingerprint="0", precision="int8")
    write_midi(folder / f"{name}.mid", perform(moved, seed=0), title=plan.title)
    (folder / f"{name}.json").write_text(json.dumps(about))
    return folder / f"{name}.mid"


def test_a_composed_song_is_read_as_it_was_composed(tmp_path):
    song = make_song(1)
    read = read_song(write_composed(tmp_path, song))
    assert (read.reading, read.title, read.key, read.problems) == ("written", "Made Up", Key(SEMITONES), ())
    assert read.song is not None
    assert read.song.lead_sheet.key == Key(0)
    assert read.song.lead_sheet.form == song.lead_sheet.form
    assert read.song.lead_sheet.chords == song.lead_sheet.chords
    assert np.array_equal(read.song.lead_sheet.melody, song.lead_sheet.melody)
    assert np.array_equal(read.song.piano, song.piano)


def test_a_plan_that_does_not_fit_the_notes_is_set_aside(tmp_path):
    path = write_composed(tmp_path, make_song(1))
    write_midi(path, perform(make_song(2).transpose(SEMITONES), seed=0))
    read = read_song(path)
    assert read.reading == "found"
    assert read.song is not None
    assert "song.json does not fit the notes" in read.problems[0]


@pytest.mark.parametrize("damage", ['{"songwright": 1', "[]", '{"songwright": "0", "form": 3, "key": [], "chords": 1}'])
def test_a_damaged_plan_is_no_plan(tmp_path, damage):
    path = write_composed(tmp_path, make_song(1))
    path.with_suffix(".json").write_text(damage)
    assert read_song(path).reading == "found"


def test_the_notes_alone_give_key_chords_and_phrases(tmp_path):
    path = write_composed(tmp_path, make_song(1))
    path.with_suffix(".json").unlink()
    read = read_song(path)
    assert read.song is not None
    assert read.song.lead_sheet.num_bars == 56
    assert len(read.song.lead_sheet.chords) > 4


def test_a_song_read_again_keeps_its_notes():
    song = make_song(4)
    again = found_reading(song)
    shift = int(again.lead_sheet.melody["pitch"][0]) - int(song.lead_sheet.melody["pitch"][0])
    assert np.array_equal(again.lead_sheet.melody["pitch"], song.lead_sheet.melody["pitch"] + shift)
    assert again.lead_sheet.num_bars == song.lead_sheet.num_bars
    assert again.lead_sheet.chords != song.lead_sheet.chords or again.lead_sheet.form != song.lead_sheet.form


def notes_of(count: int, numerator: int = 4, *, spacing: int = 480) -> Score:
    scale = [60, 62, 64, 65, 67, 65, 64, 62]
    bar = numerator * 480
    melody = note_array([Note(i * spacing, spacing - 20, scale[(i + i // 5) % 8] + 12) for i in range(count)])
    chords = note_array(
        [Note(i * bar, bar - 20, 48 + step) for i in range(count * spacing // bar + 1) for step in (0, 4, 7)]
    )
    return Score(
        480, (Track("a", melody), Track("b", chords)), (TempoChange(0, 120),), (TimeSignature(0, numerator, 4),)
    )


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (notes_of(180, 3), "3/4"),
        (notes_of(8), "bars; a song is judged from 4 bars on"),
        (notes_of(2000), "a song is judged up to 400"),
        (
            Score(480, (Track("a", note_array([Note(i * 1920, 1900, 60 + i) for i in range(9)])),)),
            "no melody",
        ),
    ],
)
def test_what_is_no_song_says_why(tmp_path, score, words):
    write_midi(tmp_path / "odd.mid", score)
    read = read_song(tmp_path / "odd.mid")
    assert read.song is None
    assert any(words in problem for problem in read.problems), read.problems


def test_a_waltz_still_has_a_melody_to_compare(tmp_path):
    write_midi(tmp_path / "waltz.mid", notes_of(180, 3))
    piece = read_song(tmp_path / "waltz.mid").piece
    assert piece is not None
    line = melody_only(piece)
    assert line is not None
    assert np.array_equal(line.lead_sheet.melody["pitch"], piece.melody["pitch"])
    assert line.problems() == []


def test_a_file_without_notes_has_nothing_to_judge(tmp_path):
    write_midi(tmp_path / "empty.mid", Score(480, ()))
    read = read_song(tmp_path / "empty.mid")
    assert (read.piece, read.song) == (None, None)
    assert "no note" in read.problems[0]


@pytest.mark.parametrize("name", ["words.txt", "sound.wav", "missing.mid"])
def test_other_files_are_refused(tmp_path, name):
    if name != "missing.mid":
        (tmp_path / name).write_text("words")
    with pytest.raises(InputError, match=name):
        read_song(tmp_path / name)
