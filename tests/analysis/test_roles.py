"""Roles of tracks: told from notes, not names; one-voice melody and piano accompaniment on the grid."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.analysis.notes import clean_notes
from songwright.analysis.roles import accompaniment, melody_line, track_roles
from songwright.analysis.track_features import TRACK_FEATURES, track_features
from songwright.corpus.splits import split_of
from songwright.files.midi import read_midi
from songwright.score.elements import NOTE_DTYPE, Note, Score, Track, note_array
from songwright.score.grid import GRID_NOTE_DTYPE
from songwright.score.grid_score import ROLES, TRACK_NOTE_DTYPE, GridScore, GridTrack

SCALE = (60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79)
ROOTS = (48, 53, 55, 45)
NUM_BARS = 32


def tune(*, octave: int = 0, seed: int = 0) -> Track:
    """A song-like line: mostly steps, few rhythms, a rest at each fourth bar's end."""
    rng = np.random.default_rng(seed)
    notes, degree = [], 5
    for bar in range(NUM_BARS):
        rhythm = [(0, 1), (1, 0.5), (1.5, 0.5), (2, 1), (3, 1)] if bar % 2 else [(0, 1.5), (1.5, 0.5), (2, 2)]
        for beat, length in rhythm[: 3 if bar % 4 == 3 else None]:
            degree = int(np.clip(degree + rng.choice([-2, -1, -1, 0, 1, 1, 2]), 0, 11))
            notes.append(Note(int(480 * (4 * bar + beat)), int(450 * length), SCALE[degree] + 12 * octave))
    return Track("", note_array(notes))


def chords() -> Track:
    """Three-note chords on each half bar."""
    return Track(
        "",
        note_array(
            [Note(960 * i, 900, ROOTS[i // 2 % 4] + step) for i in range(2 * NUM_BARS) for step in (0, 4, 7, 12)]
        ),
    )


def bass() -> Track:
    """Roots and fifths in quarters."""
    return Track(
        "", note_array([Note(480 * i, 440, ROOTS[i // 4 % 4] - 12 + 7 * (i % 4 == 2)) for i in range(4 * NUM_BARS)])
    )


def arpeggio() -> Track:
    """Broken chords in sixteenths."""
    return Track(
        "",
        note_array(
            [Note(120 * i, 110, ROOTS[i // 16 % 4] + 12 + (0, 4, 7, 12, 7, 4)[i % 6]) for i in range(16 * NUM_BARS)]
        ),
    )


def kit(*, is_drum: bool) -> Track:
    """Bass drum, snare, hi-hat."""
    notes = [Note(240 * i, 60, 42) for i in range(8 * NUM_BARS)]
    notes += [Note(960 * i, 60, 36) for i in range(2 * NUM_BARS)] + [
        Note(480 + 960 * i, 60, 38) for i in range(2 * NUM_BARS)
    ]
    return Track("", note_array(notes), is_drum=is_drum)


def band(*tracks: Track) -> Score:
    return Score(480, tracks)


def test_each_part_of_a_band_is_told_from_its_notes() -> None:
    score = band(arpeggio(), kit(is_drum=True), bass(), tune(), chords())
    assert track_roles(score) == ("chords", "drums", "bass", "melody", "chords")


@pytest.mark.parametrize("seed", range(3))
def test_the_order_and_the_resolution_of_the_tracks_do_not_matter(seed: int) -> None:
    tracks = [tune(seed=seed), chords(), bass()]
    assert track_roles(band(*tracks)) == ("melody", "chords", "bass")
    fine = []
    for track in reversed(tracks):
        notes = track.notes.copy()
        notes["onset_tick"] *= 4
        notes["duration_tick"] *= 4
        fine.append(Track("", notes))
    assert track_roles(Score(1920, tuple(fine))) == ("bass", "chords", "melody")


def test_a_lone_tune_is_the_melody_and_lone_chords_are_not() -> None:
    assert track_roles(band(tune())) == ("melody",)
    assert track_roles(band(chords())) == ("chords",)
    assert track_roles(band(chords(), kit(is_drum=True))) == ("chords", "drums")


def test_of_two_equal_leads_one_is_the_melody() -> None:
    assert sorted(track_roles(band(tune(), tune(), chords()))) == ["chords", "melody", "other"]


def test_a_bass_line_is_no_melody_even_without_one() -> None:
    assert track_roles(band(bass(), kit(is_drum=True))) == ("bass", "drums")
    assert track_roles(band(tune(octave=-2), chords())) == ("bass", "chords")


def test_a_kit_that_does_not_say_so_is_drums_where_no_track_does() -> None:
    assert track_roles(band(tune(), chords(), kit(is_drum=False))) == ("melody", "chords", "drums")
    # The hidden kit is then left out of the comparison: the bass still is the lowest.
    assert track_roles(band(bass(), tune(), kit(is_drum=False))) == ("bass", "melody", "drums")
    assert track_roles(band(tune(), kit(is_drum=True), kit(is_drum=False)))[2] != "drums"


def test_noises_and_empty_tracks_are_other() -> None:
    noise = replace(tune(), program=126)
    assert track_roles(band(noise, tune(), Track("", tune().notes[:0]))) == ("other", "melody", "other")
    assert track_roles(band()) == ()
    assert track_roles(band(Track("", tune().notes[:0]), kit(is_drum=True))) == ("other", "drums")


def test_names_count_only_on_request() -> None:
    score = band(
        replace(tune(), name="CHORDS"), replace(tune(seed=1), name="Lead vocals"), replace(chords(), name="Bass")
    )
    nameless = band(tune(), tune(seed=1), chords())
    assert track_roles(score) == track_roles(nameless)
    assert track_roles(score, use_names=True) == ("chords", "melody", "bass")
    named = band(replace(chords(), name="Melody"), tune())
    assert track_roles(named, use_names=True)[0] == "melody"


def test_features_have_the_meaning_of_their_names() -> None:
    rows = track_features([tune().notes, chords().notes, bass().notes], 480)
    values = [dict(zip(TRACK_FEATURES, row, strict=True)) for row in rows]
    assert rows.shape == (3, len(TRACK_FEATURES))
    assert values[2]["mean_pitch"] == bass().notes["pitch"].mean()
    assert np.exp(values[1]["log_voices"]) == pytest.approx(4)
    assert [np.exp(v["log_chordal"]) - 0.03 for v in values] == pytest.approx([0, 1, 0])
    assert values[1]["coverage"] == pytest.approx(900 / 960, abs=0.01)
    assert [v["top_share"] for v in values] == pytest.approx([1, 0, 0], abs=0.3)
    assert values[2]["bottom_share"] == 1
    assert values[2]["main_gap_share"] == 1
    assert values[0]["log_variety"] > values[2]["log_variety"]


ROWS = st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 127), st.integers(1, 127))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 127), st.lists(ROWS, max_size=30)), max_size=5),
    st.integers(1, 960),
)
def test_any_tracks_get_a_role_each_and_one_melody_at_most(
    tracks: list[tuple[bool, int, list[tuple[int, int, int, int]]]], ticks: int
) -> None:
    score = Score(ticks, tuple(Track("", note_array(rows), program, drum) for drum, program, rows in tracks))
    roles = track_roles(score)
    assert len(roles) == len(score.tracks)
    assert set(roles) <= set(ROLES)
    assert roles.count("melody") <= 1
    assert all(role == "drums" for role, track in zip(roles, score.tracks, strict=True) if track.is_drum)


@pytest.mark.slow
def test_a_million_notes_at_one_tick_get_a_role_in_two_seconds() -> None:
    notes = np.zeros(10**6, NOTE_DTYPE)
    notes["pitch"], notes["velocity"], notes["duration_tick"] = np.sort(np.arange(10**6) % 128), 64, 10
    began = time.process_time()
    assert track_roles(Score(480, (Track("", notes),))) == ("chords",)
    assert time.process_time() - began < 2


# --- parts on the grid ------------------------------------------------------------------------------------------------


def grid(*tracks: tuple[str, list[tuple[int, int, int]]]) -> GridScore:
    """Return a piece of tracks (role, notes as (onset, duration, pitch))."""
    made = [
        GridTrack(
            "", np.array([(*note, 80) for note in sorted(notes, key=lambda n: (n[0], n[2]))], TRACK_NOTE_DTYPE), role
        )
        for role, notes in tracks
    ]
    return GridScore(tuple(made), 8)


def rows(notes: np.ndarray) -> list[tuple[int, int, int]]:
    assert notes.dtype == GRID_NOTE_DTYPE
    return notes.tolist()


def test_the_melody_track_becomes_one_voice() -> None:
    score = grid(
        ("melody", [(0, 24, 60), (12, 12, 62), (24, 12, 60), (24, 6, 67), (48, 96, 64)]), ("chords", [(0, 48, 80)])
    )
    assert rows(melody_line(score)) == [(0, 12, 60), (12, 12, 62), (24, 6, 67), (48, 96, 64)]


def test_without_a_melody_track_it_is_the_top_of_the_chords() -> None:
    chords = [(0, 24, 72), (0, 24, 60), (12, 12, 70), (24, 12, 74), (36, 12, 71), (48, 12, 55)]
    score = grid(("bass", [(0, 48, 90)]), ("chords", chords), ("other", [(0, 48, 100)]))
    # 70 sounds below the held 72; 55 lies far below the line.
    assert rows(melody_line(score)) == [(0, 24, 72), (24, 12, 74), (36, 12, 71)]


def test_other_tracks_give_the_line_where_there_are_no_chords() -> None:
    assert rows(melody_line(grid(("other", [(0, 12, 70), (12, 12, 71)]), ("drums", [(0, 12, 99)])))) == [
        (0, 12, 70),
        (12, 12, 71),
    ]


@pytest.mark.parametrize(
    "score", [grid(), grid(("drums", [(0, 1, 36)])), grid(("bass", [(0, 12, 36)])), grid(("melody", []))]
)
def test_there_is_no_melody_where_nothing_melodic_plays(score: GridScore) -> None:
    assert rows(melody_line(score)) == []


def test_the_accompaniment_folds_all_the_other_pitched_tracks() -> None:
    score = grid(
        ("melody", [(0, 12, 72)]),
        ("chords", [(0, 24, 60), (0, 24, 64), (36, 12, 60)]),
        ("bass", [(0, 48, 36), (12, 36, 60)]),
        ("other", [(0, 6, 64), (0, 30, 72)]),
        ("drums", [(0, 6, 38)]),
    )
    assert rows(accompaniment(score)) == [
        (0, 48, 36),
        (0, 12, 60),
        (0, 24, 64),
        (0, 30, 72),
        (12, 24, 60),
        (36, 12, 60),
    ]


def test_the_accompaniment_leaves_out_a_line_taken_from_the_chords() -> None:
    score = grid(("chords", [(0, 24, 72), (0, 24, 60), (0, 24, 64)]), ("bass", [(0, 24, 36)]))
    assert rows(melody_line(score)) == [(0, 24, 72)]
    assert rows(accompaniment(score)) == [(0, 24, 36), (0, 24, 60), (0, 24, 64)]


def test_the_parts_do_not_change_the_score() -> None:
    score = grid(("melody", [(0, 24, 60), (12, 12, 62)]), ("chords", [(0, 24, 48), (12, 24, 48)]))
    before = [track.notes.copy() for track in score.tracks]
    melody_line(score)
    accompaniment(score)
    assert all(np.array_equal(track.notes, old) for track, old in zip(score.tracks, before, strict=True))


GRID_ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60), st.integers(0, 127)), max_size=30)


@given(st.lists(st.tuples(st.sampled_from(ROLES), GRID_ROWS), max_size=4))
def test_the_parts_are_clean_and_share_out_the_pitched_notes(
    tracks: list[tuple[str, list[tuple[int, int, int]]]],
) -> None:
    unique = [
        (role, list({(on, pitch): (on, length, pitch) for on, length, pitch in notes}.values()))
        for role, notes in tracks
    ]
    score = grid(*unique)
    melody, piano = melody_line(score), accompaniment(score)
    assert (np.diff(melody["onset_step"]) >= melody["duration_step"][:-1]).all()
    keys = list(zip(piano["onset_step"].tolist(), piano["pitch"].tolist(), strict=True))
    assert keys == sorted(set(keys))
    for pitch in set(piano["pitch"].tolist()):
        same = piano[piano["pitch"] == pitch]
        assert (np.diff(same["onset_step"]) >= same["duration_step"][:-1]).all()
    assert len(piano) == 0 or piano["duration_step"].min() >= 1
    pitched = {(on, pitch) for role, notes in unique if role != "drums" for on, _, pitch in notes}
    assert set(keys) <= pitched
    if not any(role == "melody" and notes for role, notes in unique):
        assert set(keys) | set(zip(melody["onset_step"].tolist(), melody["pitch"].tolist(), strict=True)) == pitched


@pytest.mark.data
def test_the_melody_of_real_songs_is_found_with_names_hidden(music_data: Path) -> None:
    files = [file for file in sorted((music_data / "POP909").glob("*/*.mid")) if split_of(file.stem) == "test"][::3]
    found = 0
    for file in files:
        score, _ = clean_notes(read_midi(file))
        hidden = replace(score, tracks=tuple(replace(track, name="") for track in score.tracks))
        found += score.tracks[track_roles(hidden).index("melody")].name == "MELODY"
    assert len(files) > 20
    assert found >= 0.97 * len(files)
