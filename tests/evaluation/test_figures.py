"""Figures of sets: other real songs as the floor, divergences, and what is left empty."""

from __future__ import annotations

import numpy as np
import pytest

from songwright.evaluation.excerpts import shuffle_bars
from songwright.evaluation.figures import (
    Figure,
    MeasuredSongs,
    curve_figures,
    divergence_figures,
    overlap_figures,
    song_figures,
)


@pytest.fixture(scope="module")
def measured(real_songs) -> dict[str, MeasuredSongs]:
    rng = np.random.default_rng(0)
    return {
        "ours": MeasuredSongs.measure(real_songs[:10]),
        "cut": MeasuredSongs.measure(real_songs[10:22]),
        "others": MeasuredSongs.measure(real_songs[22:]),
        "shuffled": MeasuredSongs.measure([shuffle_bars(song, rng) for song in real_songs[22:]]),
    }


def figures_of(measured: dict[str, MeasuredSongs], others: str | None) -> dict[str, Figure]:
    ours, cut, rng = measured["ours"], measured["cut"], np.random.default_rng(0)
    beside = measured[others] if others else None
    found = [
        *overlap_figures(ours, cut, rng, beside),
        *divergence_figures(ours, cut, rng, beside),
        *curve_figures(ours, cut, rng, beside),
        *song_figures(ours, cut, cut, rng, beside, beside),
    ]
    return {figure.name: figure for figure in found}


def test_other_real_songs_make_the_floor_and_leave_the_value(measured):
    alone, beside, spoilt = (figures_of(measured, others) for others in (None, "others", "shuffled"))
    for name in ("overlap_structure", "similarity_error", "divergence_structure", "repeated_windows"):
        assert alone[name].value == beside[name].value == spoilt[name].value
    # The songs beside the reference are what the floor is made of.
    assert spoilt["overlap_structure"].real < beside["overlap_structure"].real - 0.2
    assert spoilt["similarity_error"].real > 2 * beside["similarity_error"].real
    assert spoilt["divergence_structure"].real > beside["divergence_structure"].real
    assert spoilt["repeated_windows"].real_range[1] < beside["repeated_windows"].real_range[0]
    # The reference keeps its own average.
    assert spoilt["repeated_windows"].real == beside["repeated_windows"].real


def test_divergences_grow_with_the_distance_and_have_bits_and_no_goal(measured):
    found = figures_of(measured | {"ours": measured["shuffled"]}, None)
    same = figures_of(measured, None)
    assert found["divergence_structure"].value > same["divergence_structure"].value + 0.3
    assert found["cross_entropy_structure"].value > found["divergence_structure"].value
    assert found["divergence_local"].unit == "bits"
    assert found["divergence_local"].is_met is None


def test_sets_of_three_songs_have_no_distances(measured, real_songs):
    few = MeasuredSongs.measure(real_songs[:3])
    for chosen in ({"ours": few}, {"cut": few}, {"others": few}):
        found = figures_of(measured | chosen, "others")
        assert found["overlap_local"].value is None
        assert found["divergence_local"].value is None
        assert found["similarity_error"].value is None


def test_whole_songs_are_measured_for_their_form_alone(measured, real_songs):
    form = MeasuredSongs.measure_form(real_songs[10:22])
    assert list(form.features) == ["form"]
    assert form.num_songs == 12
    for name, values in form.features["form"].items():
        np.testing.assert_array_equal(values, measured["cut"].features["form"][name])
