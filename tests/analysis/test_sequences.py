from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.analysis.sequences import decode_melody_token, longest_repeat, melody_tokens, ngram_hashes
from songwright.score.grid import grid_notes


def test_tokens_are_interval_and_inter_onset_interval_capped():
    # Onsets 0, an eighth, a triplet eighth, five bars.
    melody = grid_notes(np.array([0, 6, 10, 250]), np.array([6, 4, 12, 12]), np.array([60, 64, 62, 62]))
    assert [decode_melody_token(code) for code in melody_tokens(melody).tolist()] == [(4, 2), (-2, 1), (0, 16)]


def test_transposed_and_shifted_melodies_have_the_same_tokens():
    rng = np.random.default_rng(0)
    onsets, pitches = np.cumsum(rng.integers(1, 8, 50)) * 3, rng.integers(50, 80, 50)
    durations = np.full(50, 3)
    assert np.array_equal(
        melody_tokens(grid_notes(onsets, durations, pitches)),
        melody_tokens(grid_notes(onsets + 48, durations, pitches - 7)),
    )


@pytest.mark.parametrize("count", [0, 1])
def test_a_melody_of_one_note_has_no_tokens(count):
    assert len(melody_tokens(grid_notes(np.zeros(count, int), np.full(count, 12), np.full(count, 60)))) == 0


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(1, 6))
def test_hashes_are_equal_exactly_where_windows_are(codes, length):
    hashes = ngram_hashes(np.array(codes, dtype=np.int64), length)
    windows = [tuple(codes[start : start + length]) for start in range(len(codes) - length + 1)]
    assert len(hashes) == max(len(windows), 0)
    for i, window in enumerate(windows):
        for j, other in enumerate(windows):
            assert (hashes[i] == hashes[j]) == (window == other)


@given(st.lists(st.integers(0, 3), max_size=30))
def test_the_longest_repeat_is_that_of_exhaustive_search(codes):
    expected = max(
        (
            length
            for length in range(1, len(codes) // 2 + 1)
            for first in range(len(codes) - 2 * length + 1)
            for second in range(first + length, len(codes) - length + 1)
            if codes[first : first + length] == codes[second : second + length]
        ),
        default=0,
    )
    assert longest_repeat(np.array(codes, dtype=np.int64)) == expected
