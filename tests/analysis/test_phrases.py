"""Phrases: boundaries where material starts again or a gap falls, letters by likeness, hostile pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from songwright.analysis.phrase_features import BLOCK_BARS, PieceBars
from songwright.analysis.phrase_letters import MAX_COMPARED, letters_of
from songwright.analysis.phrases import find_phrases, phrase_weights, segment
from songwright.corpus.pop909 import load_song, song_ids
from songwright.corpus.splits import split_of
from songwright.errors import InputError
from songwright.score.grid import GRID_NOTE_DTYPE, grid_notes
from songwright.score.lead_sheet import SECTION_LETTERS, ChordChange, ChordSymbol, Form

NO_NOTES = np.empty(0, dtype=GRID_NOTE_DTYPE)
ROOTS = {"A": (0, 9, 5, 7, 0, 9, 2, 7), "B": (5, 7, 4, 9, 2, 7, 0, 0), "C": (9, 9, 5, 5, 0, 0, 7, 7)}


def song_of(
    form: str, *, bar_steps: int = 48, semitones: int = 0
) -> tuple[np.ndarray, tuple[ChordChange, ...], np.ndarray]:
    """A made-up song: eighths that rest in the last half bar of each phrase; bars of small letters are silent."""
    notes: list[tuple[int, int, int]] = []
    chords: list[ChordChange] = []
    phrases = Form.parse(form).phrases
    bar = 0
    for letter, num_bars in phrases:
        rng = np.random.default_rng(ord(letter))
        for inside in range(num_bars):
            start = bar * bar_steps
            root = (ROOTS.get(letter, ROOTS["A"])[inside % 8] + semitones) % 12
            chords.append(ChordChange(start, ChordSymbol(root, "maj", root)))
            count = bar_steps // 12
            pitches = rng.choice([60, 62, 64, 65, 67, 69, 71, 72], size=2 * count)
            sounding = rng.random(2 * count) < 0.7
            if letter.isupper():
                last = count if inside == num_bars - 1 else 2 * count
                notes += [
                    (start + 6 * eighth, 6, int(pitches[eighth]) + semitones)
                    for eighth in range(last)
                    if sounding[eighth] or eighth == 0
                ]
            bar += 1
    table = np.array(notes, dtype=np.int64).reshape(-1, 3)
    return grid_notes(table[:, 0], table[:, 1], table[:, 2]), tuple(chords), np.arange(bar + 1) * bar_steps


def test_phrases_of_eight_bars_that_return_are_found_with_their_letters() -> None:
    melody, chords, bar_starts = song_of("i4A8A8B8A8B8o4")
    assert str(find_phrases(melody, chords, bar_starts)) == "i4A8A8B8A8B8o4"


def test_phrases_are_found_without_chords() -> None:
    melody, _, bar_starts = song_of("i4A8A8B8A8B8o4")
    assert str(find_phrases(melody, (), bar_starts)) == "i4A8A8B8A8B8o4"


def test_a_sung_phrase_that_returns_nowhere_is_x() -> None:
    melody, chords, bar_starts = song_of("i4A8B8A8B8C8A8B8o4")
    assert str(find_phrases(melody, chords, bar_starts)) == "i4A8B8A8B8X8A8B8o4"


@pytest.mark.parametrize("bar_steps", [36, 60])
def test_other_metres_need_no_case_of_their_own(bar_steps: int) -> None:
    melody, chords, bar_starts = song_of("i4A8A8B8A8B8o4", bar_steps=bar_steps)
    assert str(find_phrases(melody, chords, bar_starts)) == "i4A8A8B8A8B8o4"


def test_a_transposed_piece_has_the_same_phrases() -> None:
    assert find_phrases(*song_of("i4A8B8A8B8C8A8B8o4")) == find_phrases(*song_of("i4A8B8A8B8C8A8B8o4", semitones=5))


def test_bars_may_start_anywhere() -> None:
    melody, chords, bar_starts = song_of("A8B8A8B8")
    moved = melody.copy()
    moved["onset_step"] += 480
    later = tuple(ChordChange(onset + 480, chord) for onset, chord in chords)
    assert find_phrases(moved, later, bar_starts + 480) == find_phrases(melody, chords, bar_starts)


def test_notes_and_chords_outside_the_bars_are_left_out() -> None:
    melody, chords, bar_starts = song_of("A8B8A8B8")
    stray = grid_notes(np.array([-48, 10_000]), np.array([12, 12]), np.array([60, 60]))
    around = np.concatenate([stray[:1], melody, stray[1:]])
    beyond = (*chords, ChordChange(10_000, ChordSymbol(1, "dim", 1)))
    assert find_phrases(around, beyond, bar_starts) == find_phrases(melody, chords, bar_starts)


def test_order_of_notes_does_not_matter() -> None:
    melody, chords, bar_starts = song_of("A8B8A8B8")
    assert find_phrases(melody[::-1].copy(), chords, bar_starts) == find_phrases(melody, chords, bar_starts)


def test_a_piece_without_melody_has_instrumental_phrases_and_no_intro() -> None:
    accompaniment, chords, bar_starts = song_of("A8B8A8B8")
    form = find_phrases(NO_NOTES, chords, bar_starts, accompaniment=accompaniment)
    assert form.num_bars == 32
    assert {phrase.letter for phrase in form.phrases} <= set("bcdx")


@pytest.mark.parametrize("num_bars", [1, 2, 3, 65, 200])
def test_silence_has_phrases_that_fill_its_bars(num_bars: int) -> None:
    form = find_phrases(NO_NOTES, (), np.arange(num_bars + 1) * 48)
    assert form.num_bars == num_bars


def test_a_piece_without_bars_is_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match="no bar"):
        find_phrases(NO_NOTES, (), np.array([0]))
    with pytest.raises(InputError, match="no bar"):
        find_phrases(NO_NOTES, (), np.array([], dtype=np.int64))


def test_bar_starts_and_notes_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="increase"):
        find_phrases(NO_NOTES, (), np.array([0, 48, 48]))
    with pytest.raises(ValueError, match="GRID_NOTE_DTYPE"):
        find_phrases(np.zeros(3), (), np.array([0, 48]))


@given(
    bar_steps=st.lists(st.integers(1, 300), min_size=1, max_size=20),
    notes=st.lists(st.tuples(st.integers(-100, 3000), st.integers(0, 5000), st.integers(0, 127)), max_size=40),
    roots=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 11)), max_size=10),
    other=st.booleans(),
)
def test_any_notes_give_phrases_that_fill_the_bars(
    bar_steps: list[int], notes: list[tuple[int, int, int]], roots: list[tuple[int, int]], other: bool
) -> None:
    table = np.array(notes, dtype=np.int64).reshape(-1, 3)
    melody = grid_notes(table[:, 0], table[:, 1], table[:, 2])
    chords = tuple(ChordChange(onset, ChordSymbol(root, "min", root)) for onset, root in sorted(roots))
    starts = np.concatenate([[0], np.cumsum(bar_steps)])
    form = find_phrases(melody, chords, starts, accompaniment=melody if other else None)
    assert form.num_bars == len(bar_steps)
    assert all(letter in SECTION_LETTERS for letter, _ in form.phrases)


def test_a_hundred_thousand_notes_at_one_step_are_one_phrase() -> None:
    melody = grid_notes(np.zeros(100_000, np.int64), np.full(100_000, 1_000_000), np.full(100_000, 60))
    assert find_phrases(melody, (), np.array([0, 48])).num_bars == 1


def test_phrases_of_a_long_piece_do_not_depend_on_its_blocks() -> None:
    form = "".join(np.random.default_rng(3).choice(["A8", "B8", "C8"], size=80))
    melody, chords, bar_starts = song_of(form)  # 640 bars: two blocks and a half
    assert len(bar_starts) > 2 * BLOCK_BARS
    found, labelled = set(find_phrases(melody, chords, bar_starts).start_bars), set(range(0, 640, 8))
    assert len(found & labelled) >= 76
    assert len(found - labelled) <= 4


def test_phrases_beyond_those_compared_still_get_letters() -> None:
    melody, chords, bar_starts = song_of("A4B4" * 80)
    contents = PieceBars(melody, chords, bar_starts, None).contents()
    letters = letters_of(contents, np.full(160, 4), phrase_weights().same)
    assert len(letters) > MAX_COMPARED
    assert letters == ["A", "B"] * 80


def test_no_phrase_is_longer_than_a_form_allows() -> None:
    starts = segment(np.full(200, -50.0), np.zeros(65))
    assert starts[0] == 0
    assert starts[-1] == 200
    assert np.diff(starts).max() == 64


def test_segments_weigh_lengths_against_starts() -> None:
    prefer_four = np.full(65, -3.0)
    prefer_four[4] = 0.0
    assert segment(np.zeros(8), prefer_four).tolist() == [0, 4, 8]
    strong_start = np.array([0, 0, 0, 9.0, 0, 0, 0, 0])
    assert 3 in segment(strong_start, prefer_four)


@pytest.mark.data
def test_boundaries_of_held_out_songs_agree_with_the_annotator(music_data: Path) -> None:
    """Ten songs held out from the fit; benchmarks/phrases.py measures them all."""
    scores: list[float] = []
    for song_id in song_ids(music_data / "POP909"):
        if split_of(song_id) == "train" or len(scores) == 10:
            continue
        try:
            sheet = load_song(music_data / "POP909" / song_id, music_data / "POP909-phrases" / song_id).song.lead_sheet
        except InputError:
            continue
        form = find_phrases(sheet.melody, (), np.arange(sheet.num_bars + 1) * 48)
        ours, theirs = set(form.start_bars[1:]), set(sheet.form.start_bars[1:])
        scores.append(2 * len(ours & theirs) / (len(ours) + len(theirs)))
    assert np.mean(scores) > 0.7
