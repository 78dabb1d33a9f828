from __future__ import annotations

import numpy as np
import pytest

from songwright.analysis.repetition import (
    bar_contents,
    bar_similarity,
    phrase_repetition,
    repeated_bar_share,
    repeated_window_share,
    similarity_curve,
)
from songwright.score.grid import STEPS_PER_BAR, grid_notes
from songwright.score.lead_sheet import Form, LeadSheet
from songwright.score.pitch import Key


def melody_of_bars(bars: list[list[int]], *, duration: int = 12) -> np.ndarray:
    """Each bar a list of pitches on successive quarters."""
    rows = [
        (bar * STEPS_PER_BAR + beat * 12, duration, pitch)
        for bar, pitches in enumerate(bars)
        for beat, pitch in enumerate(pitches)
    ]
    return grid_notes(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)


def sheet(form: str, bars: list[list[int]]) -> LeadSheet:
    return LeadSheet(Key(0), 80.0, Form.parse(form), (), melody_of_bars(bars))


def test_bar_similarity_is_common_notes_over_union():
    contents = bar_contents(melody_of_bars([[60, 62, 64], [60, 62, 65], [], [67]]), 4)
    similarity = bar_similarity(contents)
    assert similarity[0, 1] == pytest.approx(2 / 4)
    assert similarity[0, 3] == 0
    assert similarity[2, 2] == 0  # two silent bars are not alike


def test_duration_counts_only_where_asked():
    notes = melody_of_bars([[60], [60]])
    notes["duration_step"] = [12, 6]
    assert bar_similarity(bar_contents(notes, 2))[0, 1] == 0
    assert bar_similarity(bar_contents(notes, 2, with_duration=False))[0, 1] == 1


def test_the_curve_of_a_song_with_period_two():
    contents = bar_contents(melody_of_bars([[60], [62]] * 4), 8)
    curve = similarity_curve(bar_similarity(contents), num_lags=10)
    assert curve[:7].tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert np.isnan(curve[7:]).all()


def test_repeated_bars_are_counted_among_bars_with_notes():
    contents = bar_contents(melody_of_bars([[60], [], [60], [62], [60]]), 6)
    assert repeated_bar_share(contents) == pytest.approx(2 / 4)
    assert np.isnan(repeated_bar_share(contents[:, :0]))


def test_a_repeated_window_resembles_an_earlier_one_by_half():
    bars = [[60], [62], [64], [65]]
    # Windows at bars 0 to 4 of A A': only the last can resemble the first, with 3 of 4 bars equal.
    assert repeated_window_share(bar_contents(melody_of_bars([*bars, *bars[:3], [71]]), 8)) == pytest.approx(1 / 5)
    assert repeated_window_share(bar_contents(melody_of_bars([*bars, [71], [72], [74], [65]]), 8)) == 0
    assert np.isnan(repeated_window_share(bar_contents(melody_of_bars(bars[:3]), 3)))


def test_windows_with_few_melody_bars_are_not_counted():
    assert np.isnan(repeated_window_share(bar_contents(melody_of_bars([[60], [62], [], [], [60], [62]]), 8)))


def test_phrases_are_compared_by_letter():
    first, second = [[60], [62]], [[60], [67]]
    found = phrase_repetition(sheet("A2B2A2A2i2", first + second + first + [[60], [65]] + first))
    # A-A pairs: equal, half, half. A-B pairs: half each. The latest A of the third is the second: half, no copy.
    assert found["same_letter_similarity"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert found["other_letter_similarity"] == pytest.approx(0.5)
    assert found["copied_phrase_share"] == pytest.approx(1 / 2)


def test_a_form_without_pairs_has_no_phrase_similarity():
    found = phrase_repetition(sheet("A2i2", [[60], [62], [60], [62]]))
    assert all(np.isnan(value) for value in found.values())
