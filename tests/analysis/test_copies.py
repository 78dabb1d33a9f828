from __future__ import annotations

import os
from itertools import islice

import numpy as np
import pytest
from hypothesis import given

from songwright.analysis.copies import CopyIndex
from songwright.analysis.melodic_figures import melody_figures
from songwright.errors import InputError
from songwright.evaluation.controls import (
    change_notes,
    delay_copy,
    ornament_copy,
    stretch_copy,
    swap_melody,
    transpose_copy,
)
from songwright.evaluation.excerpts import rearrange_bars
from songwright.score.lead_sheet import LeadSheet
from songwright.score.song import Song
from tests.music import make_song, songs

# Long phrases of many notes: as much melody as a real song has.
FORM = "i4A16B16A16B16o4"


@pytest.fixture(scope="module")
def known() -> list[Song]:
    return [make_song(seed, FORM) for seed in range(60)]


@pytest.fixture(scope="module")
def index(known) -> CopyIndex:
    return CopyIndex.from_songs(known)


def with_melody(song: Song, num_notes: int) -> Song:
    sheet = song.lead_sheet
    return Song(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, sheet.melody[:num_notes]), song.piano)


@pytest.mark.parametrize(
    ("copy", "alteration"),
    [
        (lambda song, rng: song, "exact"),
        (transpose_copy, "transposed"),
        (delay_copy, "exact"),
        (ornament_copy, "ornamented"),
        (change_notes, "changed"),
        (lambda song, rng: stretch_copy(song, is_doubled=True), "stretched"),
        (lambda song, rng: stretch_copy(song, is_doubled=False), "stretched"),
    ],
    ids=["itself", "transposed", "delayed", "ornamented", "changed", "doubled", "halved"],
)
def test_copies_are_caught_and_their_alteration_is_named(known, index, copy, alteration):
    rng = np.random.default_rng(0)
    for place in range(0, 60, 12):
        found = index.compare(copy(known[place], rng))
        assert found.is_copy
        assert found.score >= 0.5
        assert (found.source, found.alteration) == (place, alteration)


def test_other_songs_are_no_copies(index):
    for seed in range(100, 140):
        found = index.compare(make_song(seed, FORM))
        assert not found.is_copy
        assert found.score < 0.5


def test_a_song_of_the_index_is_no_copy_of_the_others(known, index):
    assert not any(index.compare(song, excluded=(place,)).is_copy for place, song in enumerate(known[:20]))


def test_bars_of_an_excerpt_are_those_of_the_source(known, index):
    found = index.compare(rearrange_bars(known[7], np.arange(4, 36)))
    assert found.source == 7
    repeats = {0: 0, 1: 32}  # each phrase comes twice, 32 bars apart
    assert len(found.bars) >= 30
    assert all(theirs - ours - 4 in repeats.values() for ours, theirs in found.bars)


def test_bars_of_a_stretched_copy_go_two_to_one(known, index):
    bars = dict(index.compare(stretch_copy(known[3], is_doubled=True)).bars)
    assert [bars[bar] for bar in (20, 21, 22, 23)] == [10, 10, 11, 11]


def test_a_melody_over_other_accompaniment_is_still_a_copy(known, index):
    other = make_song(500, FORM)
    found = index.compare(swap_melody(other, known[11:12], np.random.default_rng(0)))
    assert (found.is_copy, found.source) == (True, 11)


@pytest.mark.parametrize("num_notes", [0, 1, 2, 5])
def test_melodies_of_a_few_notes_are_no_copies(known, index, num_notes):
    short = with_melody(known[0], num_notes)
    found = index.compare(short)
    assert (found.score, found.source, found.bars, found.alteration) == (0.0, -1, (), "")
    assert CopyIndex.from_songs([short, known[1]]).compare(known[1]).source == 1


def test_an_empty_index_and_one_of_a_single_song_answer(known):
    assert CopyIndex.from_songs([]).compare(known[0]).source == -1
    alone = CopyIndex.from_songs(known[:1])
    assert alone.compare(known[0]).is_copy
    assert alone.compare(known[0], excluded=(0,)).source == -1


@given(songs())
def test_any_song_is_compared_without_trouble(song):
    found = CopyIndex.from_songs([make_song(0), song]).compare(song)
    assert 0 <= found.score <= 1
    assert all(0 <= ours < song.lead_sheet.num_bars for ours, _ in found.bars)


def test_the_saved_index_gives_the_same_answers(known, tmp_path):
    path = tmp_path / "copies.npz"
    kept = [with_melody(known[0], 0), *known[1:8], with_melody(known[8], 4), with_melody(known[9], 0)]
    index = CopyIndex([melody_figures(song) for song in kept])
    path.write_bytes(index.to_bytes())
    loaded = CopyIndex.load(path)
    assert loaded.num_songs == len(kept)
    assert [loaded.compare(song) for song in known[:10]] == [index.compare(song) for song in known[:10]]
    assert os.listdir(tmp_path) == ["copies.npz"]
    path.write_bytes(CopyIndex([]).to_bytes())
    assert CopyIndex.load(path).num_songs == 0


def test_a_damaged_or_missing_index_is_named_in_one_sentence(known, tmp_path):
    path = tmp_path / "copies.npz"
    with pytest.raises(InputError, match="not a readable index of copies"):
        CopyIndex.load(path)
    path.write_bytes(CopyIndex.from_songs(known[:2]).to_bytes())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="not a readable index of copies"):
        CopyIndex.load(path)


@pytest.mark.data
def test_real_songs_are_no_copies_and_their_copies_are(music_data):
    from songwright.corpus.pop909 import LabelledSong, load_songs

    loaded = load_songs(music_data / "POP909", music_data / "POP909-phrases")
    real = [song.song for song in islice((song for song in loaded if isinstance(song, LabelledSong)), 70)]
    index = CopyIndex.from_songs(real[:50])
    assert not any(index.compare(song).is_copy for song in real[50:])
    rng = np.random.default_rng(0)
    for place in range(0, 50, 5):
        for copy in (change_notes(real[place], rng), ornament_copy(real[place], rng)):
            found = index.compare(copy)
            assert (found.is_copy, found.source) == (True, place)
