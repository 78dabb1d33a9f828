from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from songwright.analysis.chords import chord_confidence, find_chords
from songwright.analysis.half_bars import MAX_BARS, NUM_QUALITIES, best_path, measure_half_bars
from songwright.corpus.pop909 import load_song
from songwright.errors import InputError
from songwright.score.grid_score import TRACK_NOTE_DTYPE, GridScore, GridTrack, Meter
from songwright.score.lead_sheet import QUALITIES, ChordSymbol

COMMON_TIME = Meter(0)


def score_of(rows, *, num_bars, meters=(COMMON_TIME,), role="chords", is_drum=False):
    notes = np.array([(*row, 80) for row in sorted(rows, key=lambda row: (row[0], row[2]))], dtype=TRACK_NOTE_DTYPE)
    return GridScore((GridTrack("notes", notes, role, is_drum=is_drum),), num_bars, meters)


def block_chords(chords, length, *, low=48):
    """Root position chords of `length` steps, one after the other; each (root, quality, bass)."""
    rows = []
    for index, (root, quality, bass) in enumerate(chords):
        rows.append((index * length, length, low - 12 + bass))
        rows += [(index * length, length, low + root + step) for step in QUALITIES[quality]]
    return rows


def found(score):
    return [(change.onset_step, *change.chord) for change in find_chords(score)]


PROGRESSION = [(0, "maj", 0), (9, "min", 9), (5, "maj", 5), (7, "7", 7), (0, "maj", 0)]


def test_block_chords_are_named_with_their_qualities():
    expected = [(index * 48, *chord) for index, chord in enumerate(PROGRESSION)]
    assert found(score_of(block_chords(PROGRESSION, 48), num_bars=5)) == expected


@pytest.mark.parametrize("semitones", range(1, 12))
def test_moved_music_has_moved_chords(semitones):
    rng = np.random.default_rng(1)
    rows = sorted({(6 * int(rng.integers(64)), 12, int(rng.integers(40, 80))) for _ in range(90)})
    before = find_chords(score_of(rows, num_bars=9))
    after = find_chords(score_of([(on, length, pitch + semitones) for on, length, pitch in rows], num_bars=9))
    assert len(before) > 3
    assert [(on, chord.transpose(semitones)) for on, chord in before] == list(after)


def test_chords_change_at_half_bars_too():
    rows = block_chords([(0, "maj", 0), (7, "maj", 7), (9, "min", 9), (5, "maj", 5)] * 2, 24)
    assert [row[0] for row in found(score_of(rows, num_bars=4))] == [24 * index for index in range(8)]


@pytest.mark.parametrize(
    ("meter", "length"), [(Meter(0, 3, 4), 36), (Meter(0, 6, 8), 18), (Meter(0, 5, 4), 60), (Meter(0, 12, 8), 36)]
)
def test_chords_fit_the_metre(meter, length):
    rows = block_chords(PROGRESSION[:4], length)
    score = score_of(rows, num_bars=-(-4 * length // meter.bar_steps), meters=(meter,))
    expected = [(index * length, *chord[:2]) for index, chord in enumerate(PROGRESSION[:4])]
    assert [row[:3] for row in found(score)] == expected


def test_the_metre_may_change():
    rows = [*block_chords([(0, "maj", 0)], 36), *((on + 36, n, p) for on, n, p in block_chords([(5, "maj", 5)], 48))]
    score = score_of(rows, num_bars=2, meters=(Meter(0, 3, 4), Meter(1, 4, 4)))
    assert measure_half_bars(score).start_step.tolist() == [0, 36, 60, 84]
    assert [row[0] for row in found(score)] == [0, 36]


def test_an_inverted_chord_names_its_bass():
    chords = [(0, "maj", 0), (7, "maj", 11), (9, "min", 9)]
    assert found(score_of(block_chords(chords, 48, low=60), num_bars=3)) == [
        (index * 48, *chord) for index, chord in enumerate(chords)
    ]


def test_a_lowest_note_outside_the_chord_is_not_its_bass():
    for change in find_chords(score_of(block_chords([(0, "maj", 2)], 96), num_bars=2)):
        assert change.chord.bass == change.chord.root or change.chord.bass in change.chord.pitch_classes


def test_a_chord_holds_through_a_rest_and_the_first_lies_where_sound_begins():
    rows = [(on + 96, length, pitch) for on, length, pitch in block_chords([(2, "min", 2)], 48)]
    rows += [(on + 240, length, pitch) for on, length, pitch in block_chords([(2, "min", 2), (7, "maj", 7)], 48)]
    assert found(score_of(rows, num_bars=7)) == [(96, 2, "min", 2), (288, 7, "maj", 7)]


def test_drums_and_silence_have_no_chords():
    rows = block_chords(PROGRESSION, 48)
    assert find_chords(score_of(rows, num_bars=5, role="drums")) == ()
    assert find_chords(score_of(rows, num_bars=5, is_drum=True)) == ()
    assert find_chords(GridScore((), 0)) == ()
    assert find_chords(score_of([], num_bars=4)) == ()


def test_a_bare_melody_has_few_chords_of_its_scale():
    tune = [60, 60, 67, 67, 69, 69, 67, 67, 65, 65, 64, 64, 62, 62, 60, 60] * 2
    changes = find_chords(score_of([(index * 12, 12, pitch) for index, pitch in enumerate(tune)], num_bars=8))
    assert 4 <= len(changes) <= 16
    assert changes[0].chord.root == changes[-1].chord.root == 0
    assert all(change.chord.bass == change.chord.root for change in changes)
    assert all(change.chord.pitch_classes <= {0, 2, 4, 5, 7, 9, 11} for change in changes)


def test_confidence_is_high_for_plain_chords_and_low_for_one_note():
    plain, bare = score_of(block_chords(PROGRESSION, 48), num_bars=5), score_of([(0, 48, 65)], num_bars=1)
    plain_confidence = chord_confidence(find_chords(plain), measure_half_bars(plain))
    bare_confidence = chord_confidence(find_chords(bare), measure_half_bars(bare))
    assert plain_confidence.shape == (5,)
    assert plain_confidence.min() > 0.55 > bare_confidence[0] > 0


def test_presence_is_the_share_of_the_half_bar():
    halves = measure_half_bars(score_of([(0, 12, 60), (0, 36, 67), (12, 12, 72)], num_bars=1))
    assert halves.presence[:, [0, 7]].tolist() == [[1.0, 1.0], [0.0, 0.5]]
    assert halves.early_presence[:, [0, 7]].tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert halves.bass[:, [0, 7]].tolist() == [[0.5, 0.5], [0.0, 0.5]]


def test_likelihoods_sum_to_one_and_are_equal_in_silence():
    halves = measure_half_bars(score_of([(0, 24, 60)], num_bars=1))
    probability = np.exp(halves.chord_log_likelihoods)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probability[1], 1 / (12 * NUM_QUALITIES), rtol=1e-5)


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 10**6))
def test_the_best_path_is_the_best_of_all(num_times, num_states, seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(num_times, num_states)).astype(np.float32)
    costs = rng.uniform(0, 2, num_times).astype(np.float32)

    def total(path):
        changes = sum(float(costs[time + 1]) for time, (a, b) in enumerate(pairwise(path)) if a != b)
        return float(scores[np.arange(num_times), list(path)].sum()) - changes

    best = max(total(path) for path in np.ndindex(*[num_states] * num_times))
    assert total(best_path(scores, costs).tolist()) == pytest.approx(best, abs=1e-4)


notes = st.tuples(st.integers(0, 400), st.integers(1, 3000), st.integers(0, 127))


@settings(max_examples=40)
@given(st.lists(notes, max_size=30), st.integers(1, 13), st.sampled_from([1, 2, 4, 8, 16, 32]), st.integers(0, 12))
def test_odd_music_gives_ordered_changes_on_half_bars(rows, numerator, denominator, num_bars):
    meter = Meter(0, numerator, denominator)
    score = score_of(rows, num_bars=num_bars, meters=(meter,))
    changes = find_chords(score)
    onsets = [change.onset_step for change in changes]
    assert onsets == sorted(set(onsets))
    assert set(onsets) <= set(measure_half_bars(score).start_step[:-1].tolist())
    assert all(before.chord != after.chord for before, after in pairwise(changes))
    assert all(isinstance(change.chord, ChordSymbol) and change.chord.quality in QUALITIES for change in changes)


def test_many_notes_at_one_step_are_read_in_bounded_memory():
    crowd = np.zeros(300_000, dtype=TRACK_NOTE_DTYPE)
    crowd["duration_step"], crowd["pitch"], crowd["velocity"] = 2**30, 60, 80
    assert len(find_chords(GridScore((GridTrack("crowd", crowd),), 2))) == 1


def test_a_piece_of_endless_gaps_is_refused():
    with pytest.raises(InputError, match="bars"):
        find_chords(score_of([(0, 12, 60)], num_bars=MAX_BARS + 1))


@pytest.mark.data
@pytest.mark.parametrize("song_id", ["004", "012", "033"])
def test_chords_of_real_songs_have_the_roots_of_their_labels(music_data, song_id):
    song = load_song(music_data / "POP909" / song_id, music_data / "POP909-phrases" / song_id).song
    rows = [tuple(note)[:3] for part in (song.lead_sheet.melody, song.piano) for note in part.tolist()]
    score = score_of(sorted(set(rows)), num_bars=song.lead_sheet.num_bars)
    steps = np.arange(song.lead_sheet.chords[0].onset_step, song.lead_sheet.num_bars * 48, 12)

    def roots(changes):
        onsets = [change.onset_step for change in changes]
        return np.array([change.chord.root for change in changes])[np.searchsorted(onsets, steps, side="right") - 1]

    assert (roots(find_chords(score)) == roots(song.lead_sheet.chords)).mean() > 0.8
