from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from songwright.composition.variation import (
    PhraseModel,
    _coupled,
    code_similarity,
    note_overlap,
    notes_of_phrase,
    put_phrase,
)
from songwright.errors import InputError, WeightsError
from songwright.rendering.performance import TICKS_PER_STEP, perform
from songwright.score.elements import Score
from songwright.score.grid import GRID_NOTE_DTYPE, STEPS_PER_BAR
from songwright.score.grid_score import BeatGrid
from tests.music import make_song

pytest.importorskip("torch")

from tests.phrase_style import make_style

SONG = make_song(2, "i4A8B4C12o4")
SHEET = SONG.lead_sheet


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PhraseModel:
    return PhraseModel("pop", weights=make_style(tmp_path_factory.mktemp("styles")))


def test_no_amount_gives_the_phrase_back(model):
    for phrase in (1, 2, 3):  # the last has two pieces
        varied = model.vary(SHEET, phrase, 0.0, np.random.default_rng(0))
        np.testing.assert_array_equal(varied.sheet.melody, SHEET.melody)
        assert (varied.num_changed, varied.overlap) == (0, 1.0)
        assert varied.similarity == pytest.approx(1.0)


def test_only_the_phrase_changes_and_the_song_stays_valid(model):
    varied = model.vary(SHEET, 1, 1.0, np.random.default_rng(0))
    old, new = SHEET.melody, varied.sheet.melody
    first, end = 4 * STEPS_PER_BAR, 12 * STEPS_PER_BAR
    for before, after in ((old[old["onset_step"] < first], new[new["onset_step"] < first]),
                          (old[old["onset_step"] >= end], new[new["onset_step"] >= end])):  # fmt: skip
        np.testing.assert_array_equal(before, after)
    assert varied.sheet.problems() == []
    assert varied.overlap < 0.9
    assert 0 < varied.num_changed <= len(notes_of_phrase(SHEET, 1))
    np.testing.assert_array_equal(varied.notes, new[(new["onset_step"] >= first) & (new["onset_step"] < end)])


def test_more_is_further_and_a_seed_is_a_variation(model):
    def overlap(amount: float) -> float:
        rngs = [np.random.default_rng(seed) for seed in range(6)]
        return float(np.mean([model.vary(SHEET, 1, amount, rng).overlap for rng in rngs]))

    assert 1 > overlap(0.1) > overlap(0.9)
    first, again, other = (model.vary(SHEET, 1, 0.8, np.random.default_rng(seed)).notes for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert note_overlap(first, other) < 1


def test_coupled_draws_follow_the_new_chances():
    rng = np.random.default_rng(0)
    old, new = np.array([0.7, 0.2, 0.1]), np.array([0.3, 0.3, 0.4])
    drawn = [_coupled(int(rng.choice(3, p=old)), old, new, rng) for _ in range(6000)]
    np.testing.assert_allclose(np.bincount(drawn) / 6000, new, atol=0.03)


def test_phrases_are_compared_piece_by_piece(model):
    code = model.code(SHEET, 3)
    assert code.shape == (2, 6)  # 12 bars are 8 and 4
    assert code_similarity(code, code[:1]) == pytest.approx(1.0)
    assert code_similarity(code, -code) == pytest.approx(-1.0)
    assert code_similarity(code, code[:0]) == 0.0


@pytest.mark.parametrize(("phrase", "message"), [(9, "there is no phrase 10"), (0, r"has no melody.*: 2, 3, 4$")])
def test_a_phrase_that_is_not_there_is_refused(model, phrase, message):
    with pytest.raises(InputError, match=message):
        model.vary(SHEET, phrase, 0.5, np.random.default_rng(0))


def test_a_style_without_phrases_is_refused(tmp_path: Path):
    root = make_style(tmp_path)
    (root / "pop" / "phrases.json").unlink()
    with pytest.raises(WeightsError, match="the network of phrases cannot be read"):
        PhraseModel("pop", weights=root)


def in_ticks(score: Score) -> BeatGrid:
    return BeatGrid(np.arange(score.end_tick // 480 + 2) * 480.0)


def test_a_phrase_is_put_into_its_track_and_nothing_else_moves():
    score = perform(SONG, seed=0)
    old = notes_of_phrase(SHEET, 1)
    new = old[::2].copy()
    new["pitch"] += 1
    changed = put_phrase(score, in_ticks(score), old, new)
    assert changed.tracks[1] == score.tracks[1]
    before, after = score.tracks[0].notes, changed.tracks[0].notes
    ticks = [bar * STEPS_PER_BAR * TICKS_PER_STEP for bar in (4, 12)]
    rest = [notes[(notes["onset_tick"] < ticks[0]) | (notes["onset_tick"] >= ticks[1])] for notes in (before, after)]
    np.testing.assert_array_equal(*rest)
    inside = after[(after["onset_tick"] >= ticks[0]) & (after["onset_tick"] < ticks[1])]
    assert inside["pitch"].tolist() == new["pitch"].tolist()
    assert inside["onset_tick"].tolist() == (new["onset_step"] * TICKS_PER_STEP).tolist()
    assert set(inside["velocity"].tolist()) <= set(before["velocity"].tolist())


def test_a_phrase_put_back_sounds_as_it_was():
    score = perform(SONG, seed=0)
    old = notes_of_phrase(SHEET, 1)
    assert put_phrase(score, in_ticks(score), old, old, is_joined=True) == score


def test_a_part_that_doubles_the_melody_keeps_its_notes():
    score = perform(SONG, seed=0)
    double = replace(score.tracks[0], name="DOUBLE", notes=np.delete(score.tracks[0].notes, slice(0, 4)))
    doubled = replace(score, tracks=(double, *score.tracks))
    old = notes_of_phrase(SHEET, 1)
    changed = put_phrase(doubled, in_ticks(score), old, old[:3])
    assert [track.name for track in changed.tracks if track not in doubled.tracks] == ["MELODY"]


def test_notes_that_are_not_in_the_file_are_not_replaced():
    score = perform(SONG, seed=0)
    foreign = np.array([(0, 12, 1)], dtype=GRID_NOTE_DTYPE)
    with pytest.raises(InputError, match="not found"):
        put_phrase(score, in_ticks(score), foreign, foreign)
