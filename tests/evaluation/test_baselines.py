from __future__ import annotations

import numpy as np
import pytest

from songwright.analysis.sequences import melody_tokens
from songwright.evaluation.baselines import NgramModel
from songwright.score.grid import grid_notes
from songwright.score.lead_sheet import Form, LeadSheet
from songwright.score.pitch import Key
from songwright.score.song import Song


def quarters(pitches: list[int]) -> Song:
    count = len(pitches)
    melody = grid_notes(np.arange(count) * 12, np.full(count, 12), np.array(pitches))
    return Song(LeadSheet(Key(0), 80.0, Form.parse("A32"), (), melody), melody[:0])


def test_bits_follow_the_witten_bell_formula():
    # Trained on up, up, down (three tokens, two kinds): a unigram gives (2 + 2 / 4080) / 5 to "up".
    model = NgramModel([quarters([60, 62, 64, 62])], order=1, has_cache=False)
    bits = model.token_bits(quarters([60, 62]))
    assert bits.tolist() == pytest.approx([-np.log2((2 + 2 / 4080) / 5)])


def test_the_bigram_uses_the_token_before():
    # After "up" came "up" once and "down" once; nothing else was seen in that context.
    model = NgramModel([quarters([60, 62, 64, 62])], order=2, has_cache=False)
    unigram_down = (1 + 2 / 4080) / 5
    expected = (1 + 2 * unigram_down) / 4
    assert model.token_bits(quarters([60, 62, 60]))[1] == pytest.approx(-np.log2(expected))


def test_probabilities_sum_to_one():
    songs = [quarters([60, 62, 64, 62, 60]), quarters([60, 67, 60])]
    model = NgramModel(songs, order=3)
    prefix = [60, 62, 64]
    total = sum(
        2 ** -model.token_bits(Song(_with_last(prefix, interval, inter_onset), quarters([60]).piano[:0]))[-1]
        for interval in range(-127, 128)
        for inter_onset in range(1, 17)
    )
    assert total == pytest.approx(1.0, abs=1e-9)


def _with_last(prefix: list[int], interval: int, inter_onset: int) -> LeadSheet:
    onsets = [*(index * 12 for index in range(len(prefix))), (len(prefix) - 1) * 12 + inter_onset * 3]
    pitches = np.array([*prefix, prefix[-1] + interval])
    melody = grid_notes(np.array(onsets), np.full(len(onsets), 3), pitches)
    return LeadSheet(Key(0), 80.0, Form.parse("A32"), (), melody)


def test_the_cache_makes_repetition_cheap(real_songs):
    training, held_out = real_songs[:20], real_songs[20:]
    plain = NgramModel(training, order=4, has_cache=False)
    cached = NgramModel(training, order=4)
    assert cached.bits_per_note(held_out) < 0.7 * plain.bits_per_note(held_out)
    bits = cached.token_bits(held_out[0])
    assert len(bits) == len(melody_tokens(held_out[0].lead_sheet.melody))
    assert bits[-50:].mean() < 0.5 * bits[:50].mean()


def test_songs_without_notes_are_refused():
    with pytest.raises(ValueError, match="two melody notes"):
        NgramModel([quarters([60, 62])]).bits_per_note([quarters([60])])
