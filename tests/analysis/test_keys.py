from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.analysis.half_bars import measure_half_bars
from songwright.analysis.keys import CHORD_FAMILY, KeyRegion, denormalize, find_key, find_keys, normalize
from songwright.corpus.pop909 import load_song
from songwright.score.grid_score import TRACK_NOTE_DTYPE, GridScore, GridTrack, Meter
from songwright.score.lead_sheet import QUALITIES
from songwright.score.pitch import Key


def track_of(rows, role="chords", **options):
    ordered = sorted(rows, key=lambda row: (row[0], row[2]))
    return GridTrack(role, np.array([(*row, 80) for row in ordered], dtype=TRACK_NOTE_DTYPE), role, **options)


def cadences(tonic, *, is_minor, num_bars, first_bar=0):
    """Whole-bar triads I IV V I, in minor i iv V i, round after round."""
    third = 3 if is_minor else 4
    chords = [(0, third), (5, third), (7, 4), (0, third)]
    rows = []
    for bar in range(num_bars):
        step, size = chords[bar % 4]
        root = 48 + (tonic + step) % 12
        rows += [((first_bar + bar) * 48, 48, pitch) for pitch in (root, root + size, root + 7)]
    return rows


@pytest.mark.parametrize("is_minor", [False, True])
@pytest.mark.parametrize("tonic", range(12))
def test_cadences_tell_the_key(tonic, is_minor):
    score = GridScore((track_of(cadences(tonic, is_minor=is_minor, num_bars=16)),), 16)
    assert find_keys(score) == (KeyRegion(0, Key(tonic, is_minor)),)


def test_a_section_in_another_key_is_found_at_its_bar():
    rows = cadences(0, is_minor=False, num_bars=32) + cadences(2, is_minor=False, num_bars=32, first_bar=32)
    assert find_keys(GridScore((track_of(rows),), 64)) == (KeyRegion(0, Key(0)), KeyRegion(32, Key(2)))


def test_a_few_bars_aside_do_not_change_the_key():
    rows = cadences(0, is_minor=False, num_bars=16) + cadences(2, is_minor=False, num_bars=2, first_bar=16)
    rows += cadences(0, is_minor=False, num_bars=16, first_bar=18)
    assert find_keys(GridScore((track_of(rows),), 34)) == (KeyRegion(0, Key(0)),)


def test_a_tune_in_waltz_time_ends_on_its_tonic():
    tune = [62, 67, 69, 71, 69, 67, 66, 64, 62, 67, 71, 74, 72, 71, 69, 66, 64, 62, 67, 67]
    rows = [(12 * index, 12, pitch) for index, pitch in enumerate(tune)]
    assert find_keys(GridScore((track_of(rows, "melody"),), 7, (Meter(0, 3, 4),))) == (KeyRegion(0, Key(7)),)


def test_half_bars_that_are_there_are_used():
    score = GridScore((track_of(cadences(5, is_minor=False, num_bars=8)),), 8)
    silent = measure_half_bars(GridScore((), 8))
    assert find_keys(score, measure_half_bars(score)) == find_keys(score)
    assert find_keys(score, silent) == (KeyRegion(0, Key(0)),)


def test_drums_do_not_count():
    drums = track_of(cadences(6, is_minor=False, num_bars=32), "drums", is_drum=True)
    chords = track_of(cadences(3, is_minor=False, num_bars=16))
    assert find_keys(GridScore((drums, chords), 32)) == (KeyRegion(0, Key(3)),)
    assert find_keys(GridScore((drums,), 32)) == (KeyRegion(0, Key(0)),)
    assert find_keys(GridScore((), 0)) == (KeyRegion(0, Key(0)),)


def test_every_quality_has_a_family():
    assert len(CHORD_FAMILY) == len(QUALITIES)


@pytest.mark.parametrize("tonic", range(12))
def test_weights_of_a_scale_tell_the_key(tonic):
    major = np.roll([5, 0, 3, 0, 4, 2, 0, 4, 0, 3, 0, 1], tonic)
    minor = np.roll([5, 0, 2, 4, 0, 3, 0, 4, 1, 0, 2, 0], tonic)
    assert find_key(major) == Key(tonic) == find_key(major * 1e300)
    assert find_key(minor) == Key(tonic, is_minor=True)


def test_weights_that_are_none_are_refused():
    assert find_key(np.zeros(12)) == Key(0)
    for weights in ([1.0] * 11, [-1.0] + [1.0] * 11, [np.nan] * 12):
        with pytest.raises(ValueError, match="twelve"):
            find_key(weights)


def test_normalized_music_is_in_c_major_or_a_minor_and_drums_stay():
    rows = cadences(8, is_minor=False, num_bars=8) + cadences(2, is_minor=True, num_bars=8, first_bar=8)
    drums = track_of([(0, 12, 36)], "drums", is_drum=True)
    score = GridScore((track_of(rows), drums), 16)
    regions = (KeyRegion(0, Key(8)), KeyRegion(8, Key(2, is_minor=True)))
    moved = normalize(score, regions)
    bass = moved.tracks[0].notes[::3]
    assert (bass["pitch"][:4] % 12).tolist() == [0, 5, 7, 0]
    assert (bass["pitch"][8:12] % 12).tolist() == [9, 2, 4, 9]
    shifts = moved.tracks[0].notes["pitch"] - score.tracks[0].notes["pitch"]
    assert set(shifts[:24].tolist()) == {4}
    assert set(shifts[24:].tolist()) == {-5}
    assert moved.tracks[1] is drums
    assert find_keys(moved)[0].key in (Key(0), Key(9, is_minor=True))


def test_a_note_belongs_to_the_region_where_it_starts():
    regions = (KeyRegion(0, Key(0)), KeyRegion(1, Key(11)))
    moved = normalize(GridScore((track_of([(47, 96, 60), (48, 12, 60), (500, 12, 60)]),), 2), regions)
    assert moved.tracks[0].notes["pitch"].tolist() == [60, 61, 61]


tracks = st.builds(
    lambda rows, role: track_of({(on, pitch): (on, 7, pitch) for on, pitch in rows}.values(), role),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 127)), max_size=40),
    st.sampled_from(["melody", "bass", "drums"]),
)
changes = st.dictionaries(st.integers(1, 9), st.builds(Key, st.integers(0, 11), st.booleans()), max_size=3)


@given(st.lists(tracks, max_size=3), st.integers(0, 7), st.builds(Key, st.integers(0, 11), st.booleans()), changes)
def test_denormalize_undoes_normalize_exactly(parts, num_bars, first, later):
    regions = [KeyRegion(0, first), *(KeyRegion(bar, later[bar]) for bar in sorted(later))]
    score = GridScore(tuple(parts), num_bars)
    moved = normalize(score, regions)
    back = denormalize(moved, regions)
    for before, between, after in zip(score.tracks, moved.tracks, back.tracks, strict=True):
        assert np.array_equal(before.notes, after.notes)
        assert between.notes["pitch"].min(initial=0) >= 0
        assert between.notes["pitch"].max(initial=0) <= 127
        order = between.notes["onset_step"].astype(int) * 128 + between.notes["pitch"]
        assert (np.diff(order) > 0).all()


@pytest.mark.parametrize("bars", [(), (1,), (0, 4, 4), (0, 5, 3)])
def test_regions_out_of_order_are_refused(bars):
    with pytest.raises(ValueError, match="order"):
        normalize(GridScore((), 8), [KeyRegion(bar, Key(0)) for bar in bars])


@pytest.mark.data
@pytest.mark.parametrize("song_id", ["004", "012", "033"])
def test_real_songs_that_were_normalized_are_in_c_major_or_a_minor(music_data, song_id):
    song = load_song(music_data / "POP909" / song_id, music_data / "POP909-phrases" / song_id).song
    parts = [
        track_of([tuple(note) for note in part.tolist()], role)
        for part, role in ((song.lead_sheet.melody, "melody"), (song.piano, "chords"))
    ]
    score = GridScore(tuple(parts), song.lead_sheet.num_bars)
    assert find_keys(score)[0].key == song.lead_sheet.key
