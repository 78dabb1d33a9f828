"""Parts that belong together are told from parts that do not."""

from __future__ import annotations

import numpy as np
import pytest

from songwright.analysis.coherence import accompaniment_features, coherence_features
from songwright.evaluation.controls import stitch_phrases, swap_melody
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import ChordChange, ChordSymbol, Form, LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song
from tests.music import make_song

C, G = ChordSymbol(0, "maj", 0), ChordSymbol(7, "maj", 7)


def song_of(melody: list[tuple[int, int, int]], piano: list[tuple[int, int, int]], form: str, chords) -> Song:
    notes = [grid_notes(*np.array(part, dtype=np.int64).reshape(-1, 3).T) for part in (melody, piano)]
    changes = tuple(ChordChange(onset, chord) for onset, chord in chords)
    return Song(LeadSheet(Key(0), 120.0, Form.parse(form), changes, notes[0]), notes[1])


def test_fit_counts_beats_and_time():
    # E on beat one of a C chord (fits), F held for the other three beats (does not).
    song = song_of([(0, 12, 64), (24, 24, 65)], [(0, 48, 48), (0, 48, 52)], "A1", [(0, C)])
    found = accompaniment_features(song)
    assert found["strong_beat_fit"] == 0.5
    assert found["sung_time_fit"] == pytest.approx(12 / 36)
    assert found["piano_doubling"] == 0.5  # the piano sounds C and E
    assert found["melody_height"] == pytest.approx(64.5 - 50)
    assert found["melody_on_top"] == 1.0


def test_time_before_the_first_chord_does_not_count():
    song = song_of([(0, 12, 65), (48, 12, 67)], [], "A2", [(48, G)])
    assert accompaniment_features(song)["strong_beat_fit"] == 1.0


def test_swapped_melodies_return_without_their_accompaniment():
    rng = np.random.default_rng(0)
    songs = [make_song(seed) for seed in range(12)]
    others = [make_song(seed, "A6B10A6C8B10A6i6") for seed in range(20, 32)]
    swapped = [swap_melody(song, others, rng) for song in songs]
    for name in ("common_return", "chords_return"):
        ours, theirs = (np.mean([accompaniment_features(song)[name] for song in side]) for side in (swapped, songs))
        assert ours < theirs


def test_phrases_of_other_songs_have_less_in_common():
    rng = np.random.default_rng(0)
    songs = [make_song(seed) for seed in range(12)]
    stitched = [stitch_phrases(song, songs, rng) for song in songs]
    for name in ("piano_rhythm_kinship", "piano_join"):
        ours, theirs = (np.mean([coherence_features(song)[name] for song in side]) for side in (stitched, songs))
        assert ours < theirs - 0.05


def test_leaps_and_pauses_between_phrases():
    melody = [(0, 12, 60), (12, 12, 62), (48, 12, 72), (60, 12, 71)]
    found = coherence_features(song_of(melody, [], "A1B1", []))
    assert found["join_leap"] == pytest.approx(10 - 1.5)
    assert found["join_pause"] == 3.0
    assert found["height_spread"] == pytest.approx((71.5 - 61) / 2)
    assert found["rhythm_kinship"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "song",
    [
        song_of([], [], "A1", []),
        song_of([(0, 12, 60)], [], "A1", [(0, C)]),
        song_of([], [(0, 12, 48)], "i64A64B64A64o64", [(0, C)]),
        make_song(0, "A1"),
    ],
)
def test_odd_songs_give_numbers_or_nan(song):
    for found in (accompaniment_features(song), coherence_features(song)):
        assert all(isinstance(value, float) and not np.isinf(value) for value in found.values())
