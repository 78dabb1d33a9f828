from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from songwright.score.elements import Note, Score, TempoChange, Track, note_array
from songwright.score.grid import POSITION_STEPS, quantize_onsets
from songwright.score.timeline import seconds_to_ticks, ticks_to_seconds


def test_straight_and_triplet_beats_are_told_apart():
    onsets = np.array([0.01, 0.26, 0.49, 0.76, 1.0, 1.34, 1.65, 2.0])
    assert quantize_onsets(onsets).tolist() == [0, 3, 6, 9, 12, 16, 20, 24]


def test_one_loose_onset_does_not_make_a_triplet():
    assert quantize_onsets(np.array([0.0, 0.29])).tolist() == [0, 3]


@given(st.lists(st.floats(0, 200, allow_nan=False), max_size=60))
def test_quantised_onsets_are_allowed_positions_within_a_quarter_step(onsets):
    array = np.array(onsets)
    steps = quantize_onsets(array)
    assert set((steps % 48).tolist()) <= set(POSITION_STEPS)
    assert np.all(np.abs(steps - array * 12) <= 2.0001)


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(30, 240)), max_size=5), st.integers(0, 20000))
def test_ticks_and_seconds_are_inverse_through_tempo_changes(changes, tick):
    ticks = np.cumsum([gap for gap, _ in changes])
    tempos = (TempoChange(0, 100), *(TempoChange(int(at), qpm) for at, (_, qpm) in zip(ticks, changes, strict=True)))
    score = Score(480, (Track("x", note_array([Note(0, 1, 60)])),), tempos)
    assert int(seconds_to_ticks(score, ticks_to_seconds(score, tick))) == tick
