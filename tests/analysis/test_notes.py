"""Cleaning notes: each fault is repaired or dropped, counted, and nothing else is touched."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.analysis.notes import HIGHEST_KEY, LOWEST_KEY, NoteRepairs, clean_notes
from songwright.files.midi import read_midi
from songwright.score.elements import NOTE_DTYPE, Marker, Note, Score, TempoChange, Track, note_array

Row = tuple[int, int, int, int]


def cleaned(*notes: Note, is_drum: bool = False) -> tuple[list[Row], NoteRepairs]:
    """Return the notes of one track (480 ticks a quarter) after cleaning, and the repairs."""
    score, repairs = clean_notes(Score(480, (Track("T", note_array(notes), is_drum=is_drum),)))
    return (score.tracks[0].notes.tolist() if score.tracks else []), repairs


def melody(num_notes: int = 40) -> list[Note]:
    """Quarter notes of 400 ticks, no pitch twice in a row."""
    return [Note(480 * i, 400, 60 + i % 7) for i in range(num_notes)]


def test_a_score_without_faults_is_returned_as_it_is() -> None:
    score = Score(480, (Track("A", note_array(melody())), Track("B", note_array(melody()), is_drum=True)))
    same, repairs = clean_notes(score)
    assert same is score
    assert repairs == NoteRepairs()
    assert repairs.total == 0


def test_an_overlapping_note_ends_where_its_pitch_starts_again() -> None:
    notes, repairs = cleaned(Note(0, 1000, 60), Note(480, 100, 60), Note(490, 2000, 64), Note(500, 10, 62))
    assert notes == [(0, 480, 60, 80), (480, 100, 60, 80), (490, 2000, 64, 80), (500, 10, 62, 80)]
    assert repairs == NoteRepairs(overlaps=1)


def test_a_note_that_ends_where_the_next_starts_is_no_overlap() -> None:
    assert cleaned(Note(0, 480, 60), Note(480, 480, 60))[1].total == 0


def test_tracks_do_not_cut_each_others_notes() -> None:
    tracks = tuple(Track(name, note_array([Note(start, 900, 60)])) for name, start in (("A", 0), ("B", 480)))
    assert clean_notes(Score(480, tracks))[1].total == 0


def test_of_notes_that_start_together_the_longest_stays_and_then_the_loudest() -> None:
    notes, repairs = cleaned(Note(0, 100, 60, 90), Note(0, 300, 60, 50), Note(0, 300, 60, 70), Note(0, 200, 61, 40))
    assert notes == [(0, 300, 60, 70), (0, 200, 61, 40)]
    assert repairs == NoteRepairs(duplicates=2)


def test_a_note_without_length_becomes_a_32nd_unless_its_pitch_comes_sooner() -> None:
    notes, repairs = cleaned(Note(0, 0, 60), Note(480, 0, 60), Note(500, 100, 60))
    assert [note[1] for note in notes] == [60, 20, 100]
    assert repairs == NoteRepairs(zero_length=2)


def test_a_note_without_length_beside_a_real_one_is_a_duplicate() -> None:
    notes, repairs = cleaned(Note(0, 0, 60), Note(0, 200, 60))
    assert [note[1] for note in notes] == [200]
    assert repairs == NoteRepairs(duplicates=1)


def test_a_lost_end_is_cut_to_the_length_of_the_tracks_notes() -> None:
    # 60 sounds again late, so that no overlap gives it away; it is 18 quarters long, its fellows at most one.
    stuck = Note(480 * 4, 480 * 18, 50)
    notes, repairs = cleaned(*melody(), stuck)
    assert repairs == NoteRepairs(stuck=1)
    assert [note[1] for note in notes if note[2] == 50] == [400]
    assert len(notes) == 41


def test_a_note_that_rings_to_the_end_needs_to_be_less_long_to_be_stuck() -> None:
    # Notes of eight quarters, and one of 22: under four times as long, over twice.
    ordinary = [Note(480 * 2 * i, 480 * 8, 60 + i) for i in range(24)]
    held = Note(480 * 24, 480 * 22, 50)
    assert cleaned(*ordinary, held)[1] == NoteRepairs(stuck=1)
    assert cleaned(*ordinary, held._replace(onset_tick=0))[1].total == 0
    assert cleaned(*ordinary, held._replace(onset_tick=480 * 40))[1].total == 0  # few notes come after it


@pytest.mark.parametrize(
    "notes",
    [
        [Note(480 * 20 * i, 480 * 20, 48 + i) for i in range(12)],  # a pad: all its notes are long
        [*melody(), Note(480 * 40, 480 * 15, 60)],  # a last note of under four bars
        [Note(0, 480 * 400, 40)],  # a drone
        [*melody(6), Note(0, 480 * 40, 40), Note(0, 480 * 40, 47)],  # two drone strings and a few notes
    ],
)
def test_long_notes_that_belong_there_stay(notes: list[Note]) -> None:
    assert cleaned(*notes)[1].total == 0


def test_silent_and_impossible_notes_are_dropped_and_an_empty_track_with_them() -> None:
    bad = np.array([(0, 10, 60, 0), (0, 10, 128, 80), (0, 10, -1, 80), (-5, 10, 60, 80), (3, 1, 60, 200)], NOTE_DTYPE)
    kept = Track("KEPT", note_array([Note(0, 10, 60)]))
    score, repairs = clean_notes(Score(480, (Track("BAD", bad), kept, Track("NONE", bad[:0]))))
    assert score.tracks == (kept,)
    assert repairs == NoteRepairs(silent=1, invalid=4, empty_tracks=2)


def test_pitches_off_the_keyboard_move_by_octaves_but_drums_stay() -> None:
    notes, repairs = cleaned(Note(0, 10, 20), Note(0, 10, 21), Note(0, 10, 108), Note(0, 10, 127), Note(5, 10, 3))
    assert [note[2] for note in notes] == [21, 32, 103, 108, 27]
    assert repairs == NoteRepairs(out_of_range=3)
    assert cleaned(Note(0, 10, 20), Note(0, 10, 127), is_drum=True)[1].total == 0


def test_what_moves_onto_another_note_is_its_duplicate() -> None:
    notes, repairs = cleaned(Note(0, 10, 12), Note(0, 30, 24))
    assert notes == [(0, 30, 24, 80)]
    assert repairs == NoteRepairs(out_of_range=1, duplicates=1)


def test_all_but_the_notes_of_a_score_stays() -> None:
    track = Track("A", note_array([Note(0, 0, 60)]), 5)
    score = Score(96, (track,), (TempoChange(0, 90.0),), markers=(Marker(0, "Intro"),))
    after, _ = clean_notes(score)
    assert (after.ticks_per_quarter, after.tempos, after.markers) == (96, score.tempos, score.markers)
    assert (after.tracks[0].name, after.tracks[0].program) == ("A", 5)
    assert score.tracks[0].notes["duration_tick"].tolist() == [0]


ROWS = st.tuples(
    st.integers(-20, 300) | st.just(2**31 - 1) | st.just(2**31 - 2),
    st.integers(-20, 300) | st.integers(2000, 60000) | st.just(2**31 - 1),
    st.integers(-3, 130),
    st.integers(-3, 130),
)


@given(st.lists(st.tuples(st.booleans(), st.lists(ROWS, max_size=40)), max_size=4), st.integers(1, 100))
def test_any_notes_come_out_clean_and_cleaning_again_changes_nothing(
    tracks: list[tuple[bool, list[Row]]], ticks: int
) -> None:
    score = Score(ticks, tuple(Track("", note_array(rows), is_drum=is_drum) for is_drum, rows in tracks))
    after, repairs = clean_notes(score)
    dropped = repairs.invalid + repairs.silent + repairs.duplicates
    assert after.num_notes == score.num_notes - dropped
    assert len(after.tracks) == len(score.tracks) - repairs.empty_tracks
    for track in after.tracks:
        notes = track.notes
        assert len(notes)
        assert notes["onset_tick"].min() >= 0
        assert notes["duration_tick"].min() >= 1
        assert notes["velocity"].min() >= 1
        assert notes["velocity"].max() <= 127
        low, high = (0, 127) if track.is_drum else (LOWEST_KEY, HIGHEST_KEY)
        assert low <= notes["pitch"].min()
        assert notes["pitch"].max() <= high
        keys = [(int(note["onset_tick"]), int(note["pitch"])) for note in notes]
        assert keys == sorted(keys)
        for pitch in set(notes["pitch"].tolist()):
            same = notes[notes["pitch"] == pitch].astype(NOTE_DTYPE)
            ends = same["onset_tick"].astype(np.int64) + same["duration_tick"]
            assert (ends[:-1] <= same["onset_tick"][1:]).all()
            assert (np.diff(same["onset_tick"]) > 0).all()
    assert clean_notes(after) == (after, NoteRepairs())


@pytest.mark.slow
def test_a_million_notes_take_two_seconds_at_most() -> None:
    rng = np.random.default_rng(0)
    notes = np.zeros(10**6, NOTE_DTYPE)
    notes["onset_tick"], notes["duration_tick"] = np.sort(rng.integers(0, 10**7, 10**6)), 10**6
    notes["pitch"], notes["velocity"] = rng.integers(0, 128, 10**6), 64
    began = time.process_time()
    _, repairs = clean_notes(Score(480, (Track("", notes),)))
    assert time.process_time() - began < 2
    assert repairs.overlaps > 900_000


@pytest.mark.data
def test_real_songs_lose_only_duplicates(music_data: Path) -> None:
    for file in sorted((music_data / "POP909").glob("*/*.mid"))[::40]:
        score = read_midi(file)
        after, repairs = clean_notes(score)
        assert after.num_notes == score.num_notes - repairs.duplicates
        assert repairs.total < 0.1 * score.num_notes
