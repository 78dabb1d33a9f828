from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.evaluation.controls import CONTROLS, change_notes, shuffle_blocks, stretch_copy
from songwright.score.lead_sheet import LeadSheet
from songwright.score.song import Song
from tests.music import make_song, songs


@pytest.fixture(scope="module")
def pool() -> list[Song]:
    return [make_song(seed) for seed in range(20)]


def made(name: str, song: Song, pool: list[Song], seed: int = 0) -> Song:
    return CONTROLS[name].make(song, pool, np.random.default_rng(seed))


def notes_of(song: Song) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    return song.lead_sheet.melody.tolist(), song.piano.tolist()


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_make_valid_songs_that_differ_and_depend_on_the_generator_alone(name, pool):
    song = pool[3]
    before = notes_of(song)
    control = made(name, song, pool)
    assert control.problems() == []
    assert notes_of(control) != before
    assert notes_of(song) == before
    assert notes_of(made(name, song, pool)) == notes_of(control)


@given(songs(), songs(), st.sampled_from(sorted(CONTROLS)), st.integers(0, 2**32 - 1))
def test_any_song_makes_valid_controls(song, other, name, seed):
    assert made(name, song, [song, other], seed).problems() == []


@pytest.mark.parametrize("name", CONTROLS)
def test_a_song_without_notes_and_without_a_pool_makes_valid_controls(name, pool):
    sheet = pool[0].lead_sheet
    silent = Song(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, (), sheet.melody[:0]), pool[0].piano[:0])
    assert made(name, silent, []).problems() == []


def test_blocks_keep_their_bars_together(pool):
    song = make_song(0, "A8B8A8b4A8B8")  # 44 bars, no block left over
    shuffled = shuffle_blocks(song, np.random.default_rng(0))

    def blocks(notes):
        block, onset = np.divmod(notes["onset_step"], 4 * 48)
        return [list(zip(onset[block == b], notes["pitch"][block == b], strict=True)) for b in range(11)]

    assert sorted(blocks(shuffled.piano)) == sorted(blocks(song.piano))
    assert sorted(blocks(shuffled.lead_sheet.melody)) == sorted(blocks(song.lead_sheet.melody))
    assert blocks(shuffled.piano) != blocks(song.piano)


@pytest.mark.parametrize("name", ["random_pitches", "random_notes", "markov_melody"])
def test_random_melodies_stay_in_key_and_range(name, pool):
    song = pool[1]
    melody, own = made(name, song, pool).lead_sheet.melody["pitch"], song.lead_sheet.melody["pitch"]
    assert set(melody % 12) <= song.lead_sheet.key.pitch_classes
    assert own.min() <= melody.min() <= melody.max() <= own.max()


def test_a_pastiche_takes_each_letter_from_another_song(pool):
    song = make_song(50, "A8B8A8B8")
    melody = made("phrase_pastiche", song, pool).lead_sheet.melody
    phrases = []
    for start in (0, 8, 16, 24):
        notes = melody[(melody["onset_step"] >= start * 48) & (melody["onset_step"] < (start + 8) * 48)]
        phrases.append([(int(onset) - start * 48, int(pitch)) for onset, _, pitch in notes])
    assert phrases[0] == phrases[2] != phrases[1] == phrases[3]


def test_swapped_melodies_keep_the_accompaniment_and_fill_the_song(pool):
    song = make_song(51, "i4A8B8A8B8A8B8A8B8A8B8o4")
    swapped = made("melodies_swapped", song, pool)
    assert swapped.piano.tolist() == song.piano.tolist()
    assert swapped.lead_sheet.melody["onset_step"].max() // 48 > 70
    assert swapped.lead_sheet.melody.tolist() != song.lead_sheet.melody.tolist()


@pytest.mark.parametrize("share", [0.15, 0.25])
def test_the_share_of_changed_notes_is_as_asked(pool, share):
    song = pool[2]
    changed = change_notes(song, np.random.default_rng(0), share=share)
    melody = song.lead_sheet.melody
    assert np.mean(changed.lead_sheet.melody["pitch"] != melody["pitch"]) == pytest.approx(share, abs=1 / len(melody))


def test_ornaments_add_a_fifth_of_the_notes_and_shift_a_third_of_the_onsets(pool):
    song = make_song(52, "A16A16")
    sheet = song.lead_sheet
    melody = sheet.melody[::2].copy()  # leaves room for ornaments and shifts
    melody["duration_step"] = 12
    melody["duration_step"] = np.minimum(12, np.diff(melody["onset_step"], append=melody["onset_step"][-1] + 12))
    song = Song(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, melody), song.piano)
    copy = made("ornamented", song, pool)
    assert len(copy.lead_sheet.melody) == pytest.approx(1.2 * len(melody), abs=1)
    assert 0.2 < 1 - np.isin(melody["onset_step"], copy.lead_sheet.melody["onset_step"]).mean() < 0.4


def test_a_doubled_copy_halved_again_is_the_song(pool):
    song = pool[4]
    doubled = stretch_copy(song, is_doubled=True)
    assert doubled.lead_sheet.num_bars == 2 * song.lead_sheet.num_bars
    again = stretch_copy(doubled, is_doubled=False)
    assert notes_of(again) == notes_of(song)
    assert again.lead_sheet.form == song.lead_sheet.form
    assert again.lead_sheet.chords == song.lead_sheet.chords
