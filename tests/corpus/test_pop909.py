from __future__ import annotations

import shutil

import numpy as np
import pytest

from songwright.corpus.pop909 import LabelledSong, beats_of_seconds, load_song, load_songs
from songwright.corpus.splits import POP909_GROUPS, split_of
from songwright.errors import InputError
from songwright.score.grid import STEPS_PER_BAR
from songwright.score.pitch import Key
from songwright.score.spelling import chord_name


@pytest.fixture
def song(tiny_pop909):
    return load_song(tiny_pop909 / "POP909" / "001", tiny_pop909 / "POP909-phrases" / "001")


def test_a_song_comes_out_in_c_major_on_its_bars(song):
    sheet = song.song.lead_sheet
    assert song.keys == (Key(2),) * 4
    assert sheet.key == Key(0)
    assert str(sheet.form) == "A4B4A4B4"
    assert str(song.alternative_form) == "A8A8"
    assert sheet.tempo_qpm == 90
    assert [chord_name(change.chord, sheet.key) for change in sheet.chords[:4]] == ["C", "F", "G7", "C/E"]
    assert sheet.chords[1].onset_step == STEPS_PER_BAR
    assert set(sheet.melody["pitch"] % 12) <= Key(0).pitch_classes
    assert song.song.problems() == []


def test_the_piano_is_laid_on_the_bars_although_the_recording_starts_late(song):
    assert song.piano_aligned == 1.0
    piano = song.song.piano
    assert len(piano) == 128
    assert set(piano["onset_step"] % 12) == {0}
    assert piano["onset_step"].min() == 0
    first_bar = piano[piano["onset_step"] < STEPS_PER_BAR]
    assert set(first_bar["pitch"] % 12) == {0}  # the root of C, moved from D


def test_the_piano_follows_the_labels_where_they_leave_out_beats(tiny_pop909, tmp_path):
    """The labels' authors removed stray beats; two beats too many before bar 9 must not shift the rest."""
    shutil.copytree(tiny_pop909, tmp_path / "x")
    root, labels = tmp_path / "x" / "POP909" / "001", tmp_path / "x" / "POP909-phrases" / "001"
    from songwright.files.midi import read_midi, write_midi
    from songwright.score.elements import Score, Track

    score = read_midi(root / "001.mid")
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["onset_tick"][notes["onset_tick"] > (32 + 0.5) * 480 - 480 + 266] += 960
        tracks.append(Track(track.name, notes, track.program))
    write_midi(root / "001.mid", Score(score.ticks_per_quarter, tuple(tracks), score.tempos))
    loaded = load_song(root, labels)
    assert loaded.piano_aligned == 1.0
    expected = load_song(tiny_pop909 / "POP909" / "001", tiny_pop909 / "POP909-phrases" / "001")
    assert np.array_equal(loaded.song.piano, expected.song.piano)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("POP909-phrases/001/human_label1.txt", "A4?B4", "human_label1.txt"),
        ("POP909-phrases/001/melody.txt", "60 four\n", "expected 2 columns of numbers"),
        ("POP909-phrases/001/finalized_chord.txt", "D:strange [2] 2 4\n", "unknown chord quality"),
        ("POP909-phrases/001/finalized_chord.txt", "D:maj [2] 2 4\n", "the form has 16 bars, the chords 1"),
        ("POP909-phrases/001/finalized_chord.txt", "N [] 64\n", "there are no chords"),
        ("POP909-phrases/001/melody.txt", "60 nan\n", "expected 2 columns of numbers"),
        ("POP909-phrases/001/melody.txt", "60 -4\n", "expected pitches and lengths"),
        ("POP909-phrases/001/tempo.txt", "", "expected a tempo"),
        ("POP909-phrases/001/tempo.txt", "fast", "tempo.txt"),
        ("POP909-phrases/001/tempo.txt", "-90", "expected a tempo"),
        ("POP909-phrases/001/analyzed_key.txt", "", "names no key"),
        ("POP909/001/beat_audio.txt", "0.1\n0.8\n", "expected 2 columns of numbers"),
        ("POP909/001/beat_midi.txt", "0.1 1.0\n" * 20, "not in order"),
        ("POP909/001/beat_midi.txt", "0.1 1.0\nnan 0.0\n", "beat_midi.txt"),
        ("POP909/001/beat_audio.txt", "0.1 1.0\n0.8 2.0\n1.5 3.0\n", "not in 4/4"),
        ("POP909/001/001.mid", "not midi", "001.mid"),
    ],
)
def test_a_damaged_file_is_named(tiny_pop909, tmp_path, file, content, words):
    shutil.copytree(tiny_pop909, tmp_path / "x")
    (tmp_path / "x" / file).write_text(content)
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace("?", r"\?")):
        load_song(tmp_path / "x" / "POP909" / "001", tmp_path / "x" / "POP909-phrases" / "001")


def test_a_song_without_labels_is_left_out_with_a_reason(tiny_pop909, tmp_path):
    shutil.copytree(tiny_pop909, tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "POP909-phrases" / "002")
    found = list(load_songs(tmp_path / "x" / "POP909", tmp_path / "x" / "POP909-phrases"))
    assert sum(isinstance(item, LabelledSong) for item in found) == 7
    left_out = [item for item in found if isinstance(item, tuple)]
    assert left_out[0][0] == "002"
    assert "cannot be read" in left_out[0][1]


def test_near_duplicates_fall_on_one_side():
    for song_id, group in POP909_GROUPS.items():
        assert split_of(song_id) == split_of(group)


def test_the_split_is_about_eight_to_one_to_one():
    sides = [split_of(f"{number:03d}") for number in range(1, 910)]
    assert 0.75 < sides.count("train") / 909 < 0.85
    assert sides.count("test") > 70
    assert sides.count("validation") > 70


def test_beats_go_on_beyond_both_ends():
    beats = beats_of_seconds(np.array([-1.0, 0.5, 3.0, 5.0]), np.array([0.0, 1.0, 3.0]))
    assert beats.tolist() == [-1.0, 0.5, 2.0, 3.0]


@pytest.mark.data
def test_real_songs_are_read_and_their_piano_fits(music_data):
    found = [
        load_song(music_data / "POP909" / song_id, music_data / "POP909-phrases" / song_id)
        for song_id in ("001", "010", "041", "200", "500", "909")
    ]
    for song in found:
        sheet = song.song.lead_sheet
        assert song.song.problems() == []
        assert song.piano_aligned > 0.9
        in_key = np.isin(sheet.melody["pitch"] % 12, sorted(Key(0).pitch_classes)).mean()
        assert in_key > 0.85
        # The piano plays the chord: its notes are mostly chord tones of the symbol above them.
        onsets = [change.onset_step for change in sheet.chords]
        index = np.searchsorted(onsets, song.song.piano["onset_step"], side="right") - 1
        tones = [
            pitch % 12 in sheet.chords[max(i, 0)].chord.pitch_classes
            for i, pitch in zip(index, song.song.piano["pitch"].tolist(), strict=True)
        ]
        assert np.mean(tones) > 0.7
