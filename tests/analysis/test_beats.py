"""Beats and bar lines found in scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from songwright.analysis.beats import MIN_ONSETS, find_beats
from songwright.analysis.meter import beat_phase_scores
from songwright.files.midi import read_midi
from songwright.score.elements import Note, Score, TempoChange, TimeSignature, Track, note_array
from songwright.score.grid_score import BeatGrid, Meter, bar_starts
from songwright.score.timeline import seconds_to_ticks

Piece = Sequence[Sequence[tuple[float, float, int, int]]]
"""Of each track the notes: onset and duration in quarters, pitch, velocity."""

ROLES = ["melody", "chords"]
CHORDS = [(48, 60, 64, 67), (45, 57, 60, 64), (41, 57, 60, 65), (43, 59, 62, 67)]
PIECE_BARS = 24


def a_piece(beats_per_bar: int = 4, *, offset_quarter: float = 0.0, pick_up: bool = False) -> Piece:
    """Return a melody in eighths over a chord a bar; every fourth bar the melody rests on one note."""
    rng = np.random.default_rng(beats_per_bar)
    tune = rng.integers(0, 4, (4, beats_per_bar))
    melody, chords = [], []
    for bar in range(PIECE_BARS):
        start = offset_quarter + bar * beats_per_bar
        tones = CHORDS[bar % 4]
        chords += [(start, float(beats_per_bar), pitch, 85) for pitch in tones]
        chords += [(start + beat, 1.0, tones[2], 60) for beat in range(1, beats_per_bar)]
        if bar % 4 == 3:
            melody.append((start, float(beats_per_bar - 1), 12 + tones[1], 95))
        else:
            for beat in range(beats_per_bar):
                melody.append((start + beat, 0.5, 12 + tones[int(tune[bar % 4, beat])], 90))
                melody.append((start + beat + 0.5, 0.5, 12 + tones[1], 75))
    if pick_up:
        melody.append((offset_quarter - 1, 1.0, 79, 80))
    return [melody, chords]


def written(
    piece: Piece,
    signatures: tuple[TimeSignature, ...] = (),
    *,
    late: int = 0,
) -> Score:
    tracks = [
        Track(role, note_array([Note(round(on * 480) + late, round(length * 480), p, v) for on, length, p, v in notes]))
        for role, notes in zip(ROLES, piece, strict=True)
    ]
    return Score(480, tuple(tracks), (TempoChange(0, 96.0),), signatures)


def bar_quarters(score: Score, grid: BeatGrid, *, late: int = 0) -> list[float]:
    """Return the first bar lines in quarters of the file."""
    ticks = grid.steps_to_ticks(bar_starts(grid.meters, 6))
    return ((ticks - late) / score.ticks_per_quarter).round(3).tolist()


@pytest.mark.parametrize("beats_per_bar", [3, 4])
def test_metre_and_bar_lines_are_found_at_any_offset_without_a_time_signature(beats_per_bar: int) -> None:
    score = written(a_piece(beats_per_bar), late=317)
    grid = find_beats(score, ROLES)
    assert grid is not None
    assert grid.origin == "notes"
    assert grid.meters == (Meter(0, beats_per_bar, 4),)
    assert bar_quarters(score, grid, late=317) == pytest.approx([beats_per_bar * i for i in range(7)], abs=0.01)
    assert 0.5 < grid.confidence <= 1


def test_a_wrong_time_signature_is_not_believed() -> None:
    score = written(a_piece(), (TimeSignature(0, 1, 4),), late=317)
    grid = find_beats(score, ROLES)
    assert grid is not None
    assert grid.meters == (Meter(0, 4, 4),)


def test_bar_lines_of_notation_are_kept() -> None:
    grid = find_beats(written(a_piece(3), (TimeSignature(0, 3, 4),)), ROLES)
    assert grid is not None
    assert (grid.origin, grid.meters) == ("ticks", (Meter(0, 3, 4),))
    assert grid.quarter_tick[:3].tolist() == [0, 480, 960]


def test_a_short_first_time_signature_is_a_pick_up_in_a_whole_bar() -> None:
    signatures = (TimeSignature(0, 1, 4), TimeSignature(480, 4, 4))
    grid = find_beats(written(a_piece(offset_quarter=1, pick_up=True), signatures), ROLES)
    assert grid is not None
    assert grid.meters == (Meter(0, 4, 4),)
    assert grid.quarter_tick[0] == -3 * 480
    assert grid.ticks_to_steps(480) == 48


def test_a_pick_up_without_time_signature_makes_a_whole_bar() -> None:
    score = written(a_piece(offset_quarter=1, pick_up=True), late=317)
    grid = find_beats(score, ROLES)
    assert grid is not None
    assert bar_quarters(score, grid, late=317)[:3] == pytest.approx([-3, 1, 5], abs=0.01)


def test_bars_of_a_file_that_lie_beside_the_notes_are_given_up() -> None:
    score = written(a_piece(offset_quarter=0.25), (TimeSignature(0, 4, 4),))
    grid = find_beats(score, ROLES)
    assert grid is not None
    assert grid.origin == "notes"
    assert bar_quarters(score, grid)[:2] == pytest.approx([0.25, 4.25], abs=0.01)


def test_odd_metres_and_their_changes_come_from_the_file() -> None:
    notes = [(eighth / 2, 0.5, 60 + eighth % 7, 80) for eighth in range(7 * 8 + 5 * 8)]
    signatures = (TimeSignature(0, 7, 8), TimeSignature(7 * 8 * 240, 5, 8))
    grid = find_beats(written([notes, [(0.0, 3.5, 48, 80)]], signatures), ROLES)
    assert grid is not None
    assert grid.meters == (Meter(0, 7, 8), Meter(8, 5, 8))


def test_leading_silence_is_no_bar() -> None:
    grid = find_beats(written(a_piece(offset_quarter=16), (TimeSignature(0, 4, 4),)), ROLES)
    assert grid is not None
    assert grid.quarter_tick[0] == 16 * 480


def human(piece: Piece, *, tempo_qpm: float = 84.0) -> tuple[Score, np.ndarray]:
    """Return the piece played with 15 ms of jitter and a tempo that drifts by 4 %, and the ticks of its quarters."""
    rng = np.random.default_rng(7)
    num_quarters = 4 * PIECE_BARS + 1
    pace = 60 / tempo_qpm * (1 + 0.04 * np.sin(np.arange(num_quarters) / 9))
    seconds = 1 + np.concatenate([[0], np.cumsum(pace)])
    tracks = []
    for role, notes in zip(ROLES, piece, strict=True):
        onset = np.interp([note[0] for note in notes], np.arange(num_quarters + 1), seconds)
        ticks = np.rint(960 * (onset + rng.normal(0, 0.015, len(onset)))).astype(int)
        tracks.append(
            Track(
                role,
                note_array(
                    [Note(int(tick), round(400 * n[1]), n[2], n[3]) for tick, n in zip(ticks, notes, strict=True)]
                ),
            )
        )
    return Score(480, tuple(tracks)), 960 * seconds


def test_human_timing_and_a_drifting_tempo_are_followed() -> None:
    score, quarters = human(a_piece())
    grid = find_beats(score, ROLES)
    assert grid is not None
    assert grid.origin == "notes"
    found = grid.steps_to_ticks(bar_starts(grid.meters, PIECE_BARS))
    distance = np.abs(found[:, None] - quarters[:-2:4]).min(axis=0)
    assert distance.max() < 0.07 * 960
    assert grid.meters[0] == Meter(0, 4, 4)


def drums(jitter_second: float) -> Score:
    rng = np.random.default_rng(3)
    hits = [
        (beat + half / 2, pitch)
        for beat in range(64)
        for half, pitch in ((0, 42), (1, 42), (0, 36 if beat % 2 == 0 else 38))
    ]
    notes = [Note(max(round(480 * at + 960 * rng.normal(0, jitter_second)), 0), 60, pitch) for at, pitch in hits]
    return Score(480, (Track("drums", note_array(notes), 0, True),), (), (TimeSignature(0, 4, 4),))


def test_drumming_to_a_click_keeps_the_bars_of_the_click() -> None:
    grid = find_beats(drums(0.012), ["drums"])
    assert grid is not None
    assert grid.quarter_tick[:2].tolist() == [0, 480]
    assert grid.meters == (Meter(0, 4, 4),)


@pytest.mark.parametrize("rate", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("seed", range(5))
def test_random_onsets_have_no_beat(rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ticks = np.unique(np.rint(960 * np.cumsum(rng.exponential(1 / rate, int(90 * rate)))).astype(int))
    notes = note_array(
        [Note(int(tick), 200, int(pitch)) for tick, pitch in zip(ticks, rng.integers(40, 90, len(ticks)), strict=True)]
    )
    assert find_beats(Score(480, (Track("noise", notes),)), ["other"]) is None


def test_too_few_onsets_have_no_beat() -> None:
    assert find_beats(Score(480, ()), []) is None
    assert find_beats(Score(480, (Track("none", note_array([])),)), ["other"]) is None
    few = [Note(480 * index, 480, 60) for index in range(MIN_ONSETS - 1)]
    assert find_beats(Score(480, (Track("few", note_array(few)),)), ["other"]) is None


@pytest.mark.parametrize(
    "notes",
    [
        [Note(0, 10, pitch % 128) for pitch in range(20_000)] + [Note(480 * i, 0, 0) for i in range(1, 6)],
        [Note(480 * index, 2**31 - 1 - 480 * index, 127) for index in range(40)],
        [Note(index, 1, 60) for index in range(20_000)],
        [Note(480 * index, 480, 60) for index in range(8)] + [Note(2**31 - 1000, 10, 60)],
        [Note(7 * index * index, 3, 60) for index in range(400)],
    ],
)
@pytest.mark.parametrize("ticks_per_quarter", [1, 480, 32767])
def test_odd_input_is_answered(notes: list[Note], ticks_per_quarter: int) -> None:
    score = Score(
        ticks_per_quarter,
        (Track("odd", note_array(notes)),),
        (TempoChange(0, 3.6),),
        (TimeSignature(0, 255, 1), TimeSignature(5, 1, 64)),
    )
    grid = find_beats(score, ["other"])
    assert grid is None or 0 <= grid.confidence <= 1


def test_roles_must_match_the_tracks() -> None:
    with pytest.raises(ValueError, match="a role for each of 0 tracks"):
        find_beats(Score(480, ()), ["melody"])


def test_the_beat_is_the_pulse_with_the_attacks_and_the_bass() -> None:
    features = np.zeros((64, 25), dtype=np.float32)
    features[2::4, :3] = 1
    assert int(beat_phase_scores(features, 4).argmax()) == 2


@pytest.mark.data
def test_beats_of_real_songs_are_those_of_their_beat_files(music_data: Path) -> None:
    for song_id in ("010", "034", "088"):
        folder = music_data / "POP909" / song_id
        score = read_midi(folder / f"{song_id}.mid")
        grid = find_beats(score, ["melody", "other", "chords"])
        beats = np.loadtxt(folder / "beat_midi.txt")[:, 0]
        assert grid is not None
        steps = grid.ticks_to_steps(seconds_to_ticks(score, beats[8:-8]))
        assert np.abs(steps - 12 * np.rint(steps / 12)).max() < 1
