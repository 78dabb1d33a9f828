"""The field's own metrics, held against values computed by hand from the authors' definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from songwright.evaluation.mgeval import (
    mgeval_distances,
    mgeval_divergence,
    mgeval_features,
    mgeval_means,
    mgeval_overlap,
)
from songwright.evaluation.published import musdr_metrics, muspy_metrics, published_metrics
from songwright.score.elements import Note, Score, TimeSignature, Track, note_array
from songwright.score.grid_score import TRACK_NOTE_DTYPE, BarTempo, GridScore, GridTrack, Meter
from songwright.score.lead_sheet import ChordChange, ChordSymbol
from songwright.score.pitch import Key
from tests.music import grid_scores


def grid(*notes: tuple[int, int, int], num_bars: int = 2, **options: object) -> GridScore:
    """A melody in 4/4 at 120; notes are (onset, duration, pitch) in steps, 12 a quarter."""
    array = np.array([(*note, 80) for note in sorted(notes)], dtype=TRACK_NOTE_DTYPE)
    return GridScore((GridTrack("melody", array, "melody"),), num_bars, **options)


# Bar 1: C4 in the first quarter, E4 and G4 in the second; bar 2: C4 and F#4 in its first quarter, then nothing.
PIECE = grid((0, 12, 60), (12, 6, 64), (12, 6, 67), (48, 12, 60), (48, 6, 66))


def test_muspy_counts_pitches_and_scales():
    found = muspy_metrics(PIECE, Key(0))
    assert found["pitch_range"] == 7
    assert found["n_pitches_used"] == found["n_pitch_classes_used"] == 4
    assert found["pitch_in_scale_rate"] == pytest.approx(4 / 5)
    assert found["scale_consistency"] == 1.0  # G major has C, E, F#, G
    assert found["pitch_entropy"] == pytest.approx(-(0.4 * math.log2(0.4) + 3 * 0.2 * math.log2(0.2)))
    assert muspy_metrics(PIECE, Key(9, True))["pitch_in_scale_rate"] == pytest.approx(4 / 5)
    assert math.isnan(muspy_metrics(PIECE)["pitch_in_scale_rate"])


def test_muspy_polyphony_counts_pitches_over_the_steps_where_any_sounds():
    found = muspy_metrics(PIECE)
    # 12 steps of one pitch, 6 of two, 6 of two, 6 of one, over 30 steps with sound.
    assert found["polyphony"] == pytest.approx((12 + 12 + 12 + 6) / 30)
    assert found["polyphony_rate"] == 0.0  # more than two pitches, as in MusPy's code
    chord = grid((0, 12, 60), (0, 12, 64), (0, 6, 67), (6, 24, 60))
    assert muspy_metrics(chord)["polyphony_rate"] == pytest.approx(6 / 30)
    assert muspy_metrics(chord)["polyphony"] == pytest.approx((30 + 12 + 6) / 30)  # the two C4 overlap


def test_muspy_notes_touch_the_beat_in_which_they_end():
    found = muspy_metrics(PIECE)
    # Quarters 0 to 5 (60 steps // 12 + 1); touched: 0, 1 (starts, and the end of C4), 4, 5 (the end of C4).
    assert found["empty_beat_rate"] == pytest.approx(2 / 6)
    assert found["empty_measure_rate"] == 0.0
    # Bars differ at step 12 alone.
    assert found["groove_consistency"] == pytest.approx(1 - 1 / 48)


def test_muspy_counts_drums_only_where_the_authors_do():
    drums = GridTrack("drums", np.array([(96, 12, 36, 80)], dtype=TRACK_NOTE_DTYPE), "drums", is_drum=True)
    found = muspy_metrics(GridScore((*PIECE.tracks, drums), 3))
    assert found["pitch_range"] == 7
    assert found["polyphony"] == muspy_metrics(PIECE)["polyphony"]
    assert found["empty_beat_rate"] == pytest.approx(1 - 6 / 10)


def test_a_score_in_ticks_gives_the_values_of_its_grid_but_for_the_finer_groove():
    notes = note_array([Note(40 * onset, 40 * duration, pitch) for onset, duration, pitch, _ in PIECE.tracks[0].notes])
    score = Score(480, (Track("melody", notes),), time_signatures=(TimeSignature(0, 4, 4),))
    ticks, steps = muspy_metrics(score, Key(0)), muspy_metrics(PIECE, Key(0))
    assert ticks.pop("groove_consistency") == pytest.approx(1 - 1 / 1920)
    steps.pop("groove_consistency")
    assert ticks == pytest.approx(steps)


def test_musdr_takes_entropies_of_bars_and_windows_and_compares_all_pairs_of_bars():
    found = musdr_metrics(PIECE)
    assert found["H1"] == pytest.approx((math.log2(3) + 1) / 2)
    assert found["H4"] == pytest.approx(-(0.4 * math.log2(0.4) + 3 * 0.2 * math.log2(0.2)))  # the whole piece
    assert found["GS"] == pytest.approx(1 - 1 / 64)
    assert math.isnan(found["CPI"])
    silent = musdr_metrics(grid((0, 12, 60), (96, 12, 60), (108, 12, 62), num_bars=3))
    assert silent["H1"] == pytest.approx((0 + 1) / 2)  # silent bars have no entropy
    assert silent["GS"] == pytest.approx(1 - (1 + 2 + 1) / 3 / 64)


@pytest.mark.parametrize(
    ("roots", "expected"), [("CFG", 1.0), ("CFGC", 1.0), ("CFGCFGCFG", 3 / 6), ("CCCCCC", 1 / 3), ("", math.nan)]
)
def test_musdr_leaves_the_last_chord_trigram_out(roots, expected):
    chords = [ChordChange(48 * bar, ChordSymbol("CDEFGAB".index(root), "maj", 0)) for bar, root in enumerate(roots)]
    assert musdr_metrics(PIECE, chords)["CPI"] == pytest.approx(expected, nan_ok=True)


def test_mgeval_measures_one_line():
    # A quarter C4, an eighth D4 that follows at once, a half rest, a half C5: at 120 a quarter lasts 0.5 s.
    line = grid((0, 12, 60), (12, 6, 62), (48, 24, 72), tempos=(BarTempo(0, 120.0),))
    found = mgeval_features(line)
    assert [float(found[name]) for name in ("total_used_pitch", "total_used_note", "pitch_range")] == [3, 3, 12]
    assert found["avg_pitch_shift"] == pytest.approx((2 + 10) / 2)
    assert found["avg_IOI"] == pytest.approx((0.5 + 1.5) / 2)
    assert found["bar_used_note"].tolist() == found["bar_used_pitch"].tolist() == [2, 1]
    histogram = found["total_pitch_class_histogram"]
    assert (histogram[0], histogram[2]) == (pytest.approx(1.5 / 1.75), pytest.approx(0.25 / 1.75))
    assert found["bar_pitch_class_histogram"][0, [0, 2]] == pytest.approx([2 / 3, 1 / 3])
    assert found["note_length_hist"][[1, 2, 3]] == pytest.approx([1 / 3] * 3)  # half, quarter, eighth
    assert found["note_length_transition_matrix"][2, 3] == found["note_length_transition_matrix"][3, 1] == 1
    # C4 ends where D4 starts; D4 ends long before C5.
    assert found["pitch_class_transition_matrix"].sum() == found["pitch_class_transition_matrix"][0, 2] == 1


def test_mgeval_tempos_change_by_bar():
    line = grid((0, 12, 60), (48, 12, 60), (96, 12, 60), num_bars=3, tempos=(BarTempo(0, 120.0), BarTempo(1, 60.0)))
    assert mgeval_means(line)["avg_IOI"] == pytest.approx((2 + 4) / 2)


def test_mgeval_overlap_stops_at_the_observed_range():
    sample = np.random.default_rng(0).normal(size=20)
    assert 0.8 < mgeval_overlap(sample, sample) < 0.95
    assert mgeval_divergence(sample, sample) == pytest.approx(0, abs=1e-12)
    assert math.isnan(mgeval_overlap(sample, [1.0, 1.0]))


def test_mgeval_densities_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=300), rng.gamma(2, size=200)
    densities = [stats.gaussian_kde(values) for values in (first, second)]
    places = [np.linspace(values.min(), values.max(), 1000) for values in (first, second)]
    expected = stats.entropy(densities[0](places[0]), densities[1](places[1]))
    assert mgeval_divergence(first, second) == pytest.approx(expected, abs=1e-3)
    span = np.linspace(first.min(), max(first.max(), second.max()), 20000)
    area = np.trapezoid(np.minimum(*(density(span) for density in densities)), span)
    assert mgeval_overlap(first, second) == pytest.approx(area, abs=1e-4)


def test_mgeval_distances_tell_a_set_like_the_other_from_one_unlike_it():
    rng = np.random.default_rng(2)

    def pieces(lowest: int, highest: int) -> list[GridScore]:
        return [
            grid(*((12 * beat, 12, int(rng.integers(60, 60 + rng.integers(lowest, highest)))) for beat in range(8)))
            for _ in range(30)
        ]

    reference, alike, unlike = (
        [mgeval_features(piece) for piece in pieces(*span)] for span in ((2, 12), (2, 12), (30, 40))
    )
    same, other = mgeval_distances(reference, alike), mgeval_distances(reference, unlike)
    assert same["pitch_range"].overlap > 0.8 > other["pitch_range"].reference_overlap
    assert same["pitch_range"].kld < other["pitch_range"].reference_kld
    assert math.isnan(same["total_used_note"].overlap)  # all have eight notes
    assert mgeval_distances([], reference) == {}


def test_published_metrics_are_undefined_in_words_that_json_knows():
    found = published_metrics(GridScore((), 1))
    assert set(found) == {"MusPy", "MusDr", "mgeval"}
    assert found["MusPy"]["polyphony"] is None
    assert found["MusPy"]["pitch_range"] == 0
    changing = published_metrics(grid((0, 12, 60), (60, 12, 62), meters=(Meter(0, 4, 4), Meter(1, 3, 4))))
    assert changing["MusPy"]["groove_consistency"] is None
    assert changing["MusDr"]["GS"] is None
    assert changing["MusDr"]["H1"] == 0.0


@given(grid_scores())
@settings(max_examples=40)
def test_any_piece_has_published_metrics(piece):
    found = published_metrics(piece, key=Key(0))
    values = [value for metrics in found.values() for value in metrics.values() if value is not None]
    assert all(math.isfinite(value) for value in values)
    features = mgeval_features(piece, num_bars=2)
    assert features["bar_pitch_class_histogram"].shape == (2, 12)
