"""Notes laid on a beat grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from songwright.analysis.quantization import MAX_DURATION_STEPS, find_swing, quantize, quantize_steps
from songwright.errors import InputError
from songwright.score.elements import Note, Score, TempoChange, Track, note_array
from songwright.score.grid import quantize_onsets
from songwright.score.grid_score import BeatGrid, Meter


def a_score(notes: Sequence[Note], *, tempos: tuple[TempoChange, ...] = (TempoChange(0, 120.0),)) -> Score:
    return Score(480, (Track("piano", note_array(notes), program=4),), tempos)


def a_grid(num_quarters: int = 16, *, start: float = 0.0, meters: tuple[Meter, ...] = (Meter(0),)) -> BeatGrid:
    return BeatGrid(start + 480.0 * np.arange(num_quarters), meters)


def test_notes_near_the_grid_fall_on_it_and_keep_their_deviation() -> None:
    played = [Note(0, 480, 60, 70), Note(130, 115, 62), Note(470, 240, 64)]
    result = quantize(a_score(played), a_grid(), ["melody"])
    notes = result.grid_score.tracks[0].notes
    assert notes["onset_step"].tolist() == [0, 3, 12]
    assert notes["duration_step"].tolist() == [12, 3, 6]
    assert notes["velocity"].tolist() == [70, 80, 80]
    assert result.deviations[0].dtype == np.float32
    np.testing.assert_allclose(notes["onset_step"] + result.deviations[0], np.array([0, 130, 470]) / 40, rtol=1e-6)
    assert result.share_on_grid == 1.0
    assert result.swing == 1.0


def test_a_beat_of_triplets_is_read_as_triplets_and_its_neighbour_as_sixteenths() -> None:
    onsets = [0, 160, 320, 480, 600, 720, 840, 960]
    result = quantize(a_score([Note(tick, 100, 60) for tick in onsets]), a_grid(), ["melody"])
    assert result.grid_score.tracks[0].notes["onset_step"].tolist() == [0, 4, 8, 12, 15, 18, 21, 24]


def test_steps_are_rounded_as_onsets_of_songs_are() -> None:
    steps = np.random.default_rng(0).uniform(0, 960, 3000)
    assert quantize_steps(steps).tolist() == quantize_onsets(steps / 12).tolist()


def test_a_pitch_doubled_at_a_step_is_merged_into_its_longest_and_loudest() -> None:
    played = [Note(0, 100, 60, 50), Note(20, 480, 60, 40), Note(0, 100, 64, 90)]
    result = quantize(a_score(played), a_grid(), ["chords"])
    notes = result.grid_score.tracks[0].notes
    assert notes[["onset_step", "duration_step", "pitch", "velocity"]].tolist() == [(0, 12, 60, 50), (0, 2, 64, 90)]
    assert result.deviations[0].tolist() == [0.0, 0.0]


def test_the_same_pitch_in_two_tracks_stays_two_notes() -> None:
    tracks = tuple(Track(name, note_array([Note(0, 480, 60)]), program) for name, program in (("a", 0), ("b", 40)))
    result = quantize(Score(480, tracks), a_grid(), ["melody", "bass"])
    assert [(t.name, t.role, t.program, len(t.notes)) for t in result.grid_score.tracks] == [
        ("a", "melody", 0, 1),
        ("b", "bass", 40, 1),
    ]


def test_a_pick_up_lies_at_the_end_of_a_whole_first_bar() -> None:
    result = quantize(a_score([Note(0, 480, 67), Note(480, 1920, 72)]), a_grid(start=-1440.0), ["melody"])
    assert result.grid_score.tracks[0].notes["onset_step"].tolist() == [36, 48]
    assert result.grid_score.num_bars == 2


def test_swung_eighths_are_written_straight_and_their_ratio_is_told() -> None:
    onsets = [beat * 480 + offset for beat in range(16) for offset in (0, 300)]  # 5 : 3
    result = quantize(a_score([Note(tick, 100, 60) for tick in onsets]), a_grid(20), ["melody"])
    assert result.swing == pytest.approx(5 / 3)
    assert result.grid_score.tracks[0].notes["onset_step"].tolist() == list(range(0, 16 * 12, 6))
    assert result.deviations[0][1] == pytest.approx(300 / 40 - 6)
    assert result.share_on_grid == 1.0


@pytest.mark.parametrize("offsets", [(0, 240), (0, 160, 320), (0, 120, 240, 360), (0, 360)])
def test_straight_eighths_triplets_sixteenths_and_dotted_rhythms_are_no_swing(offsets: tuple[int, ...]) -> None:
    steps = np.array([beat * 480 + offset for beat in range(16) for offset in offsets]) / 40
    assert find_swing(steps) == 1.0


def test_metre_changes_and_tempo_changes_reach_the_bars() -> None:
    notes = [Note(480 * beat, 480, 60) for beat in range(11)]  # two bars of 4/4, one of 3/4
    tempos = (TempoChange(0, 100.0), TempoChange(1920, 80.0))
    grid = a_grid(12, meters=(Meter(0), Meter(2, 3, 4), Meter(9, 4, 4)))
    result = quantize(a_score(notes, tempos=tempos), grid, ["melody"]).grid_score
    assert result.num_bars == 3
    assert result.meters == (Meter(0), Meter(2, 3, 4))
    assert result.bar_starts.tolist() == [0, 48, 96, 132]
    assert [(change.bar, change.tempo_qpm) for change in result.tempos] == [(0, 100.0), (1, 80.0)]


def test_random_onsets_are_told_from_music_by_their_share_on_the_grid() -> None:
    rng = np.random.default_rng(1)
    grid = a_grid(400)
    random = quantize(a_score([Note(int(t), 50, 60) for t in rng.integers(0, 480 * 390, 1500)]), grid, ["other"])
    human = 120 * rng.integers(0, 1500, 1500) + rng.normal(0, 12, 1500)
    music = quantize(a_score([Note(max(int(t), 0), 50, 60) for t in human]), grid, ["other"])
    assert random.share_on_grid < 0.7
    assert music.share_on_grid > 0.95


def test_a_score_without_notes_gives_an_empty_piece() -> None:
    result = quantize(Score(480, ()), a_grid(), [])
    assert (result.grid_score.num_bars, result.deviations, result.share_on_grid) == (0, (), 1.0)
    silent = quantize(
        Score(480, (Track("none", note_array([])), Track("one", note_array([Note(0, 9, 60)])))),
        a_grid(),
        ["other", "other"],
    )
    assert [len(track.notes) for track in silent.grid_score.tracks] == [0, 1]


def test_stuck_and_far_notes_cost_no_memory() -> None:
    stuck = quantize(a_score([Note(0, 2**31 - 1, 60)]), a_grid(), ["other"]).grid_score
    assert stuck.tracks[0].notes["duration_step"].tolist() == [MAX_DURATION_STEPS]
    assert stuck.num_bars == 64
    with pytest.raises(InputError, match="quarters in"):
        quantize(a_score([Note(2**31 - 1, 10, 60)]), a_grid(), ["other"])


def test_roles_must_match_the_tracks() -> None:
    with pytest.raises(ValueError, match="a role for each of 1 tracks"):
        quantize(a_score([Note(0, 480, 60)]), a_grid(), [])
