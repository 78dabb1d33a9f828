from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.evaluation.excerpts import first_seconds, loop_bars, rearrange_bars, shuffle_bars
from tests.music import songs


@given(songs(), st.integers(0, 2**32 - 1))
def test_bars_in_any_order_make_a_valid_song(song, seed):
    rng = np.random.default_rng(seed)
    bars = rng.integers(0, song.lead_sheet.num_bars, rng.integers(1, song.lead_sheet.num_bars + 1))
    rearranged = rearrange_bars(song, bars)
    assert rearranged.problems() == []
    assert rearranged.lead_sheet.num_bars == len(bars)


@given(songs())
def test_bars_in_their_own_order_are_the_song(song):
    same = rearrange_bars(song, np.arange(song.lead_sheet.num_bars))
    assert np.array_equal(same.lead_sheet.melody, song.lead_sheet.melody)
    assert np.array_equal(same.piano, song.piano)
    assert same.lead_sheet.chords == song.lead_sheet.chords
    assert same.lead_sheet.form == song.lead_sheet.form


def test_the_first_seconds_last_that_long_to_the_nearest_bar(song_of_seed):
    song = song_of_seed(0, "i4A8B8A8B8", tempo_qpm=80.0)  # bars of 3 s
    cut = first_seconds(song, 31.0)
    assert cut.lead_sheet.num_bars == 10
    assert str(cut.lead_sheet.form) == "i4A6"
    assert cut.lead_sheet.melody["onset_step"].max() < 10 * 48
    assert first_seconds(song, 1e4).lead_sheet.num_bars == song.lead_sheet.num_bars


def test_a_moved_bar_keeps_the_chord_that_sounded_over_it(song_of_seed):
    song = song_of_seed(3)
    order = np.random.default_rng(0).permutation(song.lead_sheet.num_bars)
    moved = rearrange_bars(song, order)

    def chord_at(sheet, step):
        return [chord for onset, chord in sheet.chords if onset <= step][-1]

    for new_bar, old_bar in enumerate(order):
        assert chord_at(moved.lead_sheet, new_bar * 48) == chord_at(song.lead_sheet, old_bar * 48)


def test_shuffled_bars_keep_every_onset_and_looped_bars_repeat_eight(song_of_seed):
    song = song_of_seed(1)
    rng = np.random.default_rng(0)
    shuffled, looped = shuffle_bars(song, rng), loop_bars(song, rng)
    assert sorted(shuffled.piano["pitch"]) == sorted(song.piano["pitch"])
    assert not np.array_equal(shuffled.piano["pitch"], song.piano["pitch"])
    first = looped.piano[looped.piano["onset_step"] < 8 * 48]
    second = looped.piano[(looped.piano["onset_step"] >= 8 * 48) & (looped.piano["onset_step"] < 16 * 48)]
    assert np.array_equal(first["onset_step"] + 8 * 48, second["onset_step"])
    assert np.array_equal(first["pitch"], second["pitch"])


@pytest.mark.parametrize("bars", [[], [-1], [1000]])
def test_bars_outside_the_song_are_refused(song_of_seed, bars):
    with pytest.raises(ValueError, match="bars must be"):
        rearrange_bars(song_of_seed(0), bars)
