from __future__ import annotations

import io
import os

import numpy as np
import pytest

from songwright.analysis.originality import NGRAM_LENGTH, OriginalityIndex, compare_within
from songwright.analysis.sequences import melody_tokens
from songwright.errors import InputError, OutputError
from songwright.evaluation.excerpts import rearrange_bars
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import Form, LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song


def melody_song(pitches: list[int]) -> Song:
    """Quarter notes, no piano."""
    count = len(pitches)
    melody = grid_notes(np.arange(count) * 12, np.full(count, 12), np.array(pitches))
    form = Form.parse("A64A64")
    return Song(LeadSheet(Key(0), 80.0, form, (), melody), melody[:0])


def random_pitches(seed: int, count: int = 120) -> list[int]:
    return np.random.default_rng(seed).integers(48, 84, count).tolist()


def longest_common_run(first: np.ndarray, second: np.ndarray) -> int:
    """Tokens of the longest common run, by dynamic programming."""
    lengths = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, token in enumerate(first):
        for j, other in enumerate(second):
            lengths[i + 1, j + 1] = lengths[i, j] + 1 if token == other else 0
    return int(lengths.max())


def test_a_planted_passage_is_found_with_its_length_song_and_place():
    training = [melody_song(random_pitches(seed)) for seed in range(20)]
    ours = random_pitches(100)
    ours[40:60] = random_pitches(7)[10:30]
    ours[39], ours[60] = 20, 21  # no chance continuation
    found = OriginalityIndex.from_songs(training).compare(melody_song(ours))
    assert (found.melody_run, found.melody_source, found.melody_start) == (20, 7, 40)
    assert found.melody_source_start == 10
    assert found.piano_source_start == -1


@pytest.mark.parametrize("length", [6, 7])
def test_runs_count_from_seven_notes(length):
    ours = random_pitches(100)
    ours[40 : 40 + length] = random_pitches(0)[10 : 10 + length]
    ours[39], ours[40 + length] = 20, 21
    found = OriginalityIndex.from_songs([melody_song(random_pitches(0))]).compare(melody_song(ours))
    assert found.melody_run == (7 if length == 7 else 0)


def test_runs_equal_those_of_dynamic_programming(song_of_seed):
    songs = [song_of_seed(seed, "A8B8A8") for seed in range(6)]
    index = OriginalityIndex.from_songs(songs[1:])
    ours = melody_tokens(songs[0].lead_sheet.melody)
    expected = max(longest_common_run(ours, melody_tokens(song.lead_sheet.melody)) for song in songs[1:])
    assert index.compare(songs[0]).melody_run == (expected + 1 if expected >= NGRAM_LENGTH else 0)


def test_a_transposed_copy_is_found_whole_in_melody_and_piano(real_songs):
    index = OriginalityIndex.from_songs(real_songs)
    found = index.compare(real_songs[5].transpose(5))
    assert found.melody_run == len(real_songs[5].lead_sheet.melody)
    assert found.melody_source == found.piano_source == 5
    assert found.coverage == 1.0
    assert found.piano_run == real_songs[5].lead_sheet.num_bars


def test_an_excerpt_is_found_where_it_lies_in_the_source(song_of_seed):
    known = [song_of_seed(seed, "A16B16") for seed in range(5)]  # no phrase returns
    excerpt = rearrange_bars(known[3], np.arange(6, 20))
    found = OriginalityIndex.from_songs(known).compare(excerpt)
    onset = known[3].lead_sheet.melody["onset_step"]
    assert found.melody_source_start == np.count_nonzero(onset < 6 * 48)
    assert (found.piano_source, found.piano_start, found.piano_source_start) == (3, 0, 6)


def test_copies_with_fifteen_percent_of_the_notes_changed_are_caught(real_songs):
    index = OriginalityIndex.from_songs(real_songs)
    rng = np.random.default_rng(0)
    for place, song in enumerate(real_songs[:10]):
        sheet, melody = song.lead_sheet, song.lead_sheet.melody.copy()
        melody["pitch"] += (rng.random(len(melody)) < 0.15) * rng.choice([-2, -1, 1, 2], len(melody))
        copy = Song(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, melody), song.piano[:0])
        found = index.compare(copy)
        assert found.melody_source == place
        assert found.coverage > 0.2


def test_a_copy_in_pieces_shows_in_coverage_though_runs_are_short(real_songs):
    song = real_songs[3]
    order = np.random.default_rng(0).permutation(song.lead_sheet.num_bars // 2)
    pieces = rearrange_bars(song, (order[:, None] * 2 + [0, 1]).ravel())
    index = OriginalityIndex.from_songs(real_songs)
    assert index.compare(pieces).coverage > 3 * index.compare(song, excluded=(3,)).coverage


def test_a_song_of_the_index_is_compared_with_the_others(real_songs):
    index = OriginalityIndex.from_songs(real_songs)
    assert index.compare_with_others(real_songs[4]) == index.compare(real_songs[4], excluded=(4,))


def test_runs_do_not_cross_from_one_song_into_the_next():
    pitches = random_pitches(3, 40)
    # The second song's n-grams follow the first one's in the index, as they do in the query.
    index = OriginalityIndex.from_songs([melody_song(pitches[:26]), melody_song(pitches[20:])])
    assert index.compare(melody_song(pitches)).melody_run == 26


def test_silence_and_plain_piano_bars_are_no_copies(real_songs):
    silent = melody_song([60])
    found = OriginalityIndex.from_songs([silent, melody_song([62])]).compare(silent)
    assert (found.melody_run, found.coverage, found.piano_run) == (0, 0.0, 0)


def test_a_set_that_repeats_itself_is_found_out(real_songs):
    found = compare_within([*real_songs[:5], real_songs[2].transpose(2)])
    assert (found[2].melody_source, found[5].melody_source) == (5, 2)
    assert found[2].melody_run == len(real_songs[2].lead_sheet.melody)
    assert max(one.coverage for place, one in enumerate(found) if place not in (2, 5)) < 0.5


def test_the_saved_index_gives_the_same_answers(real_songs, tmp_path):
    path = tmp_path / "index.npz"
    index = OriginalityIndex.from_songs(real_songs[:10])
    index.save(path)
    loaded = OriginalityIndex.load(path)
    assert loaded.num_songs == 10
    assert [loaded.compare(song) for song in real_songs] == [index.compare(song) for song in real_songs]
    assert os.listdir(tmp_path) == ["index.npz"]


def test_a_damaged_or_missing_index_is_named_in_one_sentence(real_songs, tmp_path):
    path = tmp_path / "index.npz"
    with pytest.raises(InputError, match="not a readable originality index"):
        OriginalityIndex.load(path)
    OriginalityIndex.from_songs(real_songs[:3]).save(path)
    whole = path.read_bytes()
    unknown_compression = bytearray(whole)
    unknown_compression[whole.index(b"PK\x01\x02") + 10] = 99
    array = io.BytesIO()
    np.save(array, np.arange(3))
    for damaged in (whole[:200], bytes(unknown_compression), array.getvalue(), b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a readable originality index"):
            OriginalityIndex.load(path)


def test_an_index_that_cannot_be_written_says_so(real_songs, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        OriginalityIndex.from_songs(real_songs[:2]).save(tmp_path / "absent" / "index.npz")
