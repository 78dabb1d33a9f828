"""Our definitions on real music: the figures that goals were set by (see docs/evaluation.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from songwright.analysis.features import FeatureGroups, song_features
from songwright.analysis.originality import OriginalityIndex, compare_within
from songwright.corpus.pop909 import LabelledSong, load_song, song_ids
from songwright.corpus.splits import POP909_GROUPS
from songwright.errors import InputError
from songwright.evaluation.excerpts import first_seconds, shuffle_bars
from songwright.evaluation.structure import similarity_curves, similarity_error
from songwright.score.song import Song

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def real_music(music_data: Path) -> list[Song]:
    """Every third song of POP909 that loads, without near-duplicates."""
    found: list[LabelledSong] = []
    for song_id in song_ids(music_data / "POP909")[::3]:
        try:
            found.append(load_song(music_data / "POP909" / song_id, music_data / "POP909-phrases" / song_id))
        except InputError:
            continue
    return [one.song for one in found if one.song_id not in POP909_GROUPS and len(one.song.piano)]


@pytest.fixture(scope="module")
def real_features(real_music: list[Song]) -> list[FeatureGroups]:
    return [song_features(song) for song in real_music]


def mean_of(features: list[FeatureGroups], group: str, name: str) -> float:
    return float(np.nanmean([one[group][name] for one in features]))


# Means over all 909 songs as published with the goals, and how far ours may lie from them.
@pytest.mark.parametrize(
    ("group", "name", "published", "tolerance"),
    [
        ("structure", "repeated_windows", 0.586, 0.03),
        ("structure", "longest_repeat", 104, 6),
        ("structure", "repeated_melody_bars", 0.509, 0.03),
        ("structure", "distinct_melodic_4_grams", 0.389, 0.02),
        ("harmony", "chord_tone_ratio", 0.652, 0.015),
        ("harmony", "semitone_clash", 0.067, 0.01),
        ("form", "copied_phrase_share", 0.26, 0.04),
        ("form", "melody_in_key", 0.993, 0.005),
        ("form", "melody_ends_on_tonic", 0.80, 0.06),
    ],
)
def test_whole_real_songs_have_the_published_figures(real_features, group, name, published, tolerance):
    assert mean_of(real_features, group, name) == pytest.approx(published, abs=tolerance)


def test_real_songs_cut_to_three_minutes_repeat_less(real_music):
    cut = [song_features(first_seconds(song, 180)) for song in real_music]
    assert mean_of(cut, "structure", "repeated_windows") == pytest.approx(0.508, abs=0.03)
    assert mean_of(cut, "structure", "repeated_melody_bars") == pytest.approx(0.443, abs=0.03)


def test_the_similarity_curve_tells_shuffled_bars_from_real_songs(real_music):
    rng = np.random.default_rng(0)
    half = len(real_music) // 2
    reference, others = similarity_curves(real_music[:half]), similarity_curves(real_music[half:])
    shuffled = similarity_curves([shuffle_bars(song, rng) for song in real_music[half:]])
    assert similarity_error(reference, others) < 0.011
    assert similarity_error(reference, shuffled) > 0.015


def test_real_songs_share_short_runs_and_a_copy_a_long_one(real_music):
    runs = [found.melody_run for found in compare_within(real_music)]
    assert max(runs) <= 17
    copied = OriginalityIndex.from_songs(real_music).compare(real_music[0].transpose(4))
    assert copied.melody_run == len(real_music[0].lead_sheet.melody)
