"""Augmentation: what each change keeps, that copies depend on seed, piece and number alone, and switches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from songwright.config import from_mapping
from songwright.corpus.augmentation import (
    KEYBOARD,
    REGISTERS,
    AugmentationConfig,
    augment,
    change_velocities,
    copy_generator,
    crop,
    jitter_timing,
    scale_tempo,
    shift_octaves,
    transpose,
)
from songwright.errors import ConfigError
from songwright.score.grid_score import TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack, Meter
from tests.music import grid_scores

OFF = AugmentationConfig(transpose=False, tempo=False, velocity=False, timing=False, octave=False, crop=False)
SWITCHES = ("transpose", "tempo", "velocity", "timing", "octave", "crop")


def deviations_of(score: GridScore) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    return tuple(rng.normal(0, 1, len(track.notes)).astype(np.float32) for track in score.tracks)


def contents(score: GridScore) -> tuple[object, ...]:
    tracks = tuple(
        (track.name, track.role, track.program, track.is_drum, track.notes.tobytes()) for track in score.tracks
    )
    return tracks, score.num_bars, score.meters, score.tempos


def pitched(score: GridScore) -> list[GridTrack]:
    return [track for track in score.tracks if not track.is_drum and track.role != "drums"]


def piece(num_bars: int = 32) -> GridScore:
    """Melody, bass and drums over bars of 4/4, then 3/4 from bar 10 and a new tempo from bar 12."""
    meters = (Meter(0), Meter(10, 3, 4))
    tempos = (BarTempo(0, 100.0), BarTempo(12, 90.0))
    starts = GridScore((), num_bars, meters, tempos).bar_starts[:-1].tolist()

    def part(role: str, pitch: int) -> GridTrack:
        rows = [
            (start + 12 * beat, 12, pitch + (bar + beat) % 5, 80)
            for bar, start in enumerate(starts)
            for beat in range(3)
        ]
        return GridTrack(role, np.array(rows, dtype=TRACK_NOTE_DTYPE), role, is_drum=role == "drums")

    return GridScore((part("melody", 66), part("bass", 40), part("drums", 36)), num_bars, meters, tempos)


@given(grid_scores(), st.integers(-30, 30))
def test_transposition_keeps_intervals_and_drums_and_is_undone_by_its_inverse(score: GridScore, semitones: int):
    pitches = [int(pitch) for track in pitched(score) for pitch in track.notes["pitch"]]
    if any(not 0 <= pitch + semitones <= 127 for pitch in pitches):
        with pytest.raises(ValueError, match="leaves the range"):
            transpose(score, semitones)
        return
    moved = transpose(score, semitones)
    for before, after in zip(score.tracks, moved.tracks, strict=True):
        is_drum = before.is_drum or before.role == "drums"
        assert (after.notes["pitch"] == before.notes["pitch"] + (0 if is_drum else semitones)).all()
        for name in ("onset_step", "duration_step", "velocity"):
            assert (after.notes[name] == before.notes[name]).all()
    assert contents(transpose(moved, -semitones)) == contents(score)


@given(grid_scores(), st.integers(0, 2**32), st.sets(st.sampled_from(SWITCHES)))
def test_a_copy_keeps_a_valid_piece_and_its_order(score: GridScore, seed: int, switches: set[str]):
    config = replace(OFF, **dict.fromkeys(switches, True), octave_chance=1.0, min_crop_bars=1)
    starts = np.arange(0, score.num_bars, 2)
    before = contents(score)
    copy, played = augment(score, deviations_of(score), config, np.random.default_rng(seed), phrase_starts=starts)
    assert contents(score) == before
    assert [len(shifts) for shifts in played] == [len(track.notes) for track in copy.tracks]
    assert copy.meters[0].bar == copy.tempos[0].bar == 0
    for track in copy.tracks:
        notes = track.notes
        key = notes["onset_step"].astype(np.int64) * 128 + notes["pitch"]
        assert (np.diff(key) > 0).all()
        if len(notes):
            assert notes["pitch"].min() >= 0
            assert notes["pitch"].max() <= 127
            assert notes["velocity"].min() >= 1
            assert notes["velocity"].max() <= 127
            assert notes["duration_step"].min() >= 1
            assert notes["onset_step"].min() >= 0
            assert notes["onset_step"].max() < copy.bar_starts[-1]
    if "crop" not in switches:
        assert copy.num_notes == score.num_notes
        for old, new in zip(score.tracks, copy.tracks, strict=True):
            assert (np.diff(old.notes["pitch"]) == np.diff(new.notes["pitch"])).all()
            assert (old.notes["onset_step"] == new.notes["onset_step"]).all()


@given(grid_scores(), st.integers(0, 1000), st.integers(0, 5))
def test_a_copy_depends_on_seed_piece_and_number_alone(score: GridScore, seed: int, number: int):
    config = replace(OFF, **dict.fromkeys(SWITCHES, True), min_crop_bars=1)
    copies = [
        augment(score, deviations_of(score), config, copy_generator(seed, "POP909/001", number), phrase_starts=[0, 2])
        for _ in range(2)
    ]
    assert contents(copies[0][0]) == contents(copies[1][0])
    assert all((one == other).all() for one, other in zip(copies[0][1], copies[1][1], strict=True))


def test_generators_differ_by_seed_piece_and_number():
    draws = {
        float(copy_generator(seed, name, number).random())
        for seed in (0, 1) for name in ("a", "b", "ä", "") for number in (0, 1, 2)
    }  # fmt: skip
    assert len(draws) == 24


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_changes_what_it_names_and_leaves_the_draws_of_the_others(switch: str):
    full = replace(OFF, **dict.fromkeys(SWITCHES, True), octave_chance=1.0)
    score, seen = piece(), set()
    for number in range(6):
        alone, played = augment(
            score, deviations_of(score), replace(full, **{name: name == switch for name in SWITCHES}),
            copy_generator(1, "x", number), phrase_starts=range(0, 32, 4),
        )  # fmt: skip
        seen.add((contents(alone), b"".join(shifts.tobytes() for shifts in played)))
        if switch in ("tempo", "velocity", "timing"):
            without_crop, shifts = augment(
                score, deviations_of(score), replace(full, crop=False), copy_generator(1, "x", number)
            )
            if switch == "tempo":
                assert without_crop.tempos == alone.tempos
            if switch == "velocity":
                assert all(
                    (one.notes["velocity"] == other.notes["velocity"]).all()
                    for one, other in zip(without_crop.tracks, alone.tracks, strict=True)
                )
            if switch == "timing":
                assert all((one == other).all() for one, other in zip(shifts, played, strict=True))
    assert len(seen) > 1
    off, played = augment(score, deviations_of(score), OFF, copy_generator(1, "x", 0))
    assert contents(off) == contents(score)
    assert all((one == other).all() for one, other in zip(played, deviations_of(score), strict=True))


def test_all_keys_within_the_bound_are_drawn_and_none_beyond():
    config = replace(OFF, transpose=True, max_semitones=3)
    moves = set()
    for number in range(100):
        copy, _ = augment(piece(), (), config, copy_generator(0, "x", number))
        moves.add(int(copy.tracks[0].notes["pitch"][0]) - 66)
    assert moves == set(range(-3, 4))


def test_transposition_does_not_leave_the_keyboard():
    rows = [(0, 12, KEYBOARD[0] + 1, 80), (12, 12, KEYBOARD[1] - 2, 80)]
    score = GridScore((GridTrack("", np.array(rows, dtype=TRACK_NOTE_DTYPE)),), 1)
    lowest = {
        int(
            augment(score, (), replace(OFF, transpose=True), copy_generator(0, "x", number))[0]
            .tracks[0]
            .notes["pitch"][0]
        )
        for number in range(60)
    }
    assert lowest == set(range(KEYBOARD[0], KEYBOARD[0] + 4))


def test_a_piece_beyond_the_keyboard_never_moves_further_out():
    score = GridScore((GridTrack("", np.array([(0, 12, 3, 80), (12, 12, 125, 80)], dtype=TRACK_NOTE_DTYPE)),), 1)
    for number in range(20):
        copy, _ = augment(score, (), replace(OFF, transpose=True), copy_generator(0, "x", number))
        assert contents(copy) == contents(score)


def test_octaves_move_whole_parts_within_their_register():
    score = piece()
    both_leads = replace(score, tracks=(*score.tracks, replace(score.tracks[0], name="double")))
    moved = {role: set() for role in ("melody", "bass", "drums")}
    for number in range(40):
        copy, _ = augment(both_leads, (), replace(OFF, octave=True, octave_chance=0.7), copy_generator(0, "x", number))
        shifts = [int(after.notes["pitch"][0]) - int(before.notes["pitch"][0])
                  for before, after in zip(both_leads.tracks, copy.tracks, strict=True)]  # fmt: skip
        assert shifts[0] == shifts[3]
        for role, shift in zip(moved, shifts, strict=False):
            moved[role].add(shift)
        for track in copy.tracks[:2]:
            low, high = REGISTERS[track.role]
            assert low <= track.notes["pitch"].min() <= track.notes["pitch"].max() <= high
    assert moved == {"melody": {-12, 0, 12}, "bass": {-12, 0, 12}, "drums": {0}}


def test_drums_are_not_moved_by_octaves():
    with pytest.raises(ValueError, match="drums"):
        shift_octaves(piece(), [2], 1)
    assert (shift_octaves(piece(), [1], -1).tracks[1].notes["pitch"] == piece().tracks[1].notes["pitch"] - 12).all()


def test_tempo_is_scaled_everywhere_by_one_factor_within_the_bound():
    assert scale_tempo(piece(), 1.5).tempos == (BarTempo(0, 150.0), BarTempo(12, 135.0))
    with pytest.raises(ValueError, match="positive"):
        scale_tempo(piece(), 0.0)
    config = replace(OFF, tempo=True, max_tempo_change=0.25)
    factors = []
    for number in range(200):
        first, second = augment(piece(), (), config, copy_generator(0, "x", number))[0].tempos
        assert second.tempo_qpm / first.tempo_qpm == pytest.approx(0.9)
        factors.append(first.tempo_qpm / 100)
    assert 0.8 <= min(factors) < 0.83
    assert 1.2 < max(factors) <= 1.25
    assert 0.35 < np.mean(np.array(factors) < 1) < 0.65


@given(grid_scores(), st.floats(0, 3), st.floats(0, 40))
def test_velocities_change_and_nothing_else(score: GridScore, factor: float, jitter: float):
    copy = change_velocities(score, factor, jitter, np.random.default_rng(0))
    for before, after in zip(score.tracks, copy.tracks, strict=True):
        for name in ("onset_step", "duration_step", "pitch"):
            assert (after.notes[name] == before.notes[name]).all()
        assert ((after.notes["velocity"] >= 1) & (after.notes["velocity"] <= 127)).all()
        if jitter == 0:
            expected = np.clip(np.rint(before.notes["velocity"] * factor), 1, 127)
            assert (after.notes["velocity"] == expected).all()


def test_timing_noise_has_the_spread_asked_for_and_a_bound():
    shifts = jitter_timing(np.full(20_000, 2.0, dtype=np.float32), 0.5, np.random.default_rng(0))
    assert shifts.dtype == np.float32
    assert shifts.mean() == pytest.approx(2.0, abs=0.02)
    assert shifts.std() == pytest.approx(0.5, rel=0.03)
    assert np.abs(shifts - 2.0).max() <= 1.5 + 1e-6


@given(grid_scores(), st.data())
def test_an_excerpt_has_the_notes_of_its_bars_with_their_metre_and_tempo(score: GridScore, data: st.DataObject):
    first = data.draw(st.integers(0, score.num_bars - 1))
    end = data.draw(st.integers(first + 1, score.num_bars))
    assume((first, end) != (0, score.num_bars))
    copy, played = crop(score, deviations_of(score), first, end)
    starts = score.bar_starts
    inside = [(track, shifts, (track.notes["onset_step"] >= starts[first]) & (track.notes["onset_step"] < starts[end]))
              for track, shifts in zip(score.tracks, deviations_of(score), strict=True)]  # fmt: skip
    inside = [part for part in inside if part[2].any()]
    assert len(copy.tracks) == len(inside)
    last = 0
    for track, now, (before, shifts, kept) in zip(copy.tracks, played, inside, strict=True):
        assert (track.notes["onset_step"] == before.notes["onset_step"][kept] - starts[first]).all()
        assert (track.notes["pitch"] == before.notes["pitch"][kept]).all()
        room = starts[end] - before.notes["onset_step"][kept]
        assert (track.notes["duration_step"] == np.minimum(before.notes["duration_step"][kept], room)).all()
        assert (now == shifts[kept]).all()
        last = max(last, int((track.notes["onset_step"] + track.notes["duration_step"]).max()))
    assert (np.diff(copy.bar_starts) == np.diff(starts[first : first + copy.num_bars + 1])).all()
    assert copy.bar_starts[-1] >= last
    assert copy.num_bars == 0 or copy.bar_starts[-2] < last
    for bar in range(copy.num_bars):
        tempos = [[tempo.tempo_qpm for tempo in where.tempos if tempo.bar <= place][-1]
                  for where, place in ((copy, bar), (score, first + bar))]  # fmt: skip
        assert tempos[0] == tempos[1]


def test_excerpts_start_and_end_where_phrases_do():
    score, starts = piece(), [0, 4, 8, 12, 20, 28]
    onsets = score.bar_starts
    seen = set()
    for number in range(150):
        copy, _ = augment(
            score, (), replace(OFF, crop=True, min_crop_bars=8), copy_generator(0, "x", number), phrase_starts=starts
        )
        lengths = np.diff(copy.bar_starts)
        matches = [first for first in starts if first + copy.num_bars in [*starts, 32]
                   and (np.diff(onsets)[first : first + copy.num_bars] == lengths).all()]  # fmt: skip
        assert matches
        assert copy.num_bars >= 8
        seen.add((copy.num_bars, tuple(lengths.tolist())))
    assert len(seen) > 6


@pytest.mark.parametrize("starts", [(), [0], [-4, 99], [3]])
def test_a_piece_without_usable_phrases_or_too_short_stays_whole(starts: list[int]):
    config = replace(OFF, crop=True, min_crop_bars=30)
    copy, _ = augment(piece(), (), config, copy_generator(0, "x", 1), phrase_starts=starts)
    assert contents(copy) == contents(piece())


def test_bars_outside_a_piece_cannot_be_cut_out():
    for first, end in ((0, 33), (5, 5), (-1, 4)):
        with pytest.raises(ValueError, match="do not lie"):
            crop(piece(), (), first, end)


def test_a_piece_without_notes_goes_through():
    config = replace(OFF, **dict.fromkeys(SWITCHES, True))
    for score in (GridScore((), 0), GridScore((GridTrack("", np.empty(0, TRACK_NOTE_DTYPE)),), 40)):
        copy, played = augment(score, deviations_of(score), config, copy_generator(0, "x", 0), phrase_starts=[0, 16])
        assert (copy.num_bars, copy.num_notes, len(played)) == (score.num_bars, 0, len(score.tracks))


@pytest.mark.parametrize(
    "values",
    [{"max_semitones": 13}, {"max_tempo_change": 1.0}, {"octave_chance": 1.5}, {"timing_jitter": -1.0},
     {"min_crop_bars": 0}, {"max_velocity_change": -0.1}, {"velocity_jitter": 200.0}, {"transposed": True}],
)  # fmt: skip
def test_impossible_settings_are_refused(values: dict[str, object]):
    with pytest.raises(ConfigError):
        from_mapping(AugmentationConfig, values)
