from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings

from songwright.engine.attention import attend
from songwright.engine.weights_file import StoredWeights
from songwright.errors import InputError, WeightsError
from songwright.explanation.attention import (
    ATTENTION_WEIGHT,
    HEAD_NAMES,
    SongAttention,
    lead_sheet_weights,
    looked_at,
    song_attention,
)
from songwright.explanation.copying import copied_nats
from songwright.explanation.likelihood import ShippedNetwork, normal_sheet
from songwright.explanation.sources import bar_log_probabilities, silence
from songwright.score.grid import GRID_NOTE_DTYPE
from songwright.score.lead_sheet import Form, LeadSheet
from songwright.tokens.channels import NUM_REFERENCES, SongContext
from songwright.tokens.lead_sheet import BAR, BEAT_0, POS_0
from songwright.tokens.streams import lead_sheet_sequence
from tests.music import lead_sheets, make_song

NO_NOTES = np.zeros(0, dtype=GRID_NOTE_DTYPE)


@pytest.fixture(scope="module")
def weights() -> StoredWeights:
    return lead_sheet_weights()


@pytest.fixture(scope="module")
def found(weights) -> SongAttention:
    return song_attention(make_song(0), weights)


def with_melody(sheet: LeadSheet, melody: np.ndarray) -> LeadSheet:
    return LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, sheet.chords, melody)


def log_probability(logits: np.ndarray, target: int) -> float:
    shifted = logits.astype(np.float64) - logits.max()
    return float(shifted[target] - np.log(np.exp(shifted).sum()))


def test_shares_of_a_bar_sum_to_one_and_go_to_earlier_bars_only(found):
    sung = found.has_melody
    np.testing.assert_allclose(found.by_bar.sum(1)[sung], 1, atol=1e-6)
    for table in (found.by_bar, found.copied, found.looked_at):
        assert table.shape == (56, 56)
        assert not np.triu(table).any()
        assert not table[~sung].any()
    total = found.own_share + found.start_share
    assert (total[sung] > 0).all()
    assert (total[sung] < 1).all()


def test_attention_by_bar_is_the_mean_over_layers_heads_and_steps(found, weights):
    tokens, channels, hints = lead_sheet_sequence(found.sheet)
    bars = np.cumsum(tokens[:-1] == BAR) - 1
    shares = attend(weights, tokens[:-1], channels[:-1], hints[:-1], bars + 1).shares.mean((0, 1))
    bar = 30
    steps = np.flatnonzero(bars == bar)
    steps = steps[(tokens[steps + 1] < BEAT_0) | (tokens[steps + 1] >= POS_0)]
    mean = shares[steps].mean(0)
    np.testing.assert_allclose(found.own_share[bar], mean[bar + 1], atol=1e-5)
    np.testing.assert_allclose(found.start_share[bar], mean[0], atol=1e-5)
    np.testing.assert_allclose(found.by_bar[bar], mean[1:] * (np.arange(56) < bar) / mean[1 : bar + 1].sum(), atol=1e-5)


def test_gates_share_out_what_they_add_together():
    rng = np.random.default_rng(3)
    time, vocab = 40, 12
    hints = rng.integers(0, 6, (time, 4))
    gates = (rng.normal(size=(time, 4)) * 3 * (hints > 0)).astype(np.float32)
    plain = rng.normal(size=(time, vocab)).astype(np.float32)
    logits = plain.copy()
    np.add.at(logits, (np.arange(time)[:, None], hints), gates)
    targets = rng.integers(0, vocab, time)
    shares = copied_nats(logits, gates, hints, targets)
    assert not shares[hints == 0].any()
    for step in range(time):
        gain = log_probability(logits[step], targets[step]) - log_probability(plain[step], targets[step])
        assert shares[step].sum() == pytest.approx(gain, abs=1e-4)
        same = hints[step] == hints[step, 0]
        if hints[step, 0] and same.sum() == 1 and (hints[step, 1:] == 0).all():
            assert shares[step, 0] == pytest.approx(gain, abs=1e-4)


def test_a_single_gate_gets_the_difference_that_it_makes():
    logits, gates = np.array([[2.0, 1.0, 4.0]], dtype=np.float32), np.array([[3.0]], dtype=np.float32)
    for target in range(3):
        expected = log_probability(logits[0], target) - log_probability(np.array([2.0, 1.0, 1.0]), target)
        assert copied_nats(logits, gates, np.array([[2]]), np.array([target]))[0, 0] == pytest.approx(expected)


def test_no_steps_and_extreme_gates_stay_finite():
    assert copied_nats(np.zeros((0, 5)), np.zeros((0, 2)), np.zeros((0, 2), int), np.zeros(0, int)).shape == (0, 2)
    logits = np.array([[0.0, 300.0, -300.0]], dtype=np.float32)
    gates = np.array([[300.0, -300.0]], dtype=np.float32)
    assert np.isfinite(copied_nats(logits, gates, np.array([[1, 2]]), np.array([2]))).all()


def test_copies_are_given_to_the_bars_that_references_point_to(found):
    sheet = found.sheet
    references = SongContext(sheet.form, sheet.key, sheet.tempo_qpm).reference_bars
    assert found.copied_by_reference.shape == (56, NUM_REFERENCES)
    for bar, sources in enumerate(references):
        expected = np.zeros(56)
        for source, nats in zip(sources, found.copied_by_reference[bar], strict=True):
            if source >= 0:
                expected[source] += nats
            else:
                assert nats == 0
        np.testing.assert_allclose(found.copied[bar], expected)


def test_a_repeated_phrase_looks_at_its_first_occurrence():
    """The third A copies bars of the first two: they are named, and silencing them costs more than silencing others."""
    sheet = make_song(1, "A8B8A8B8A8").lead_sheet
    found = song_attention(sheet)
    network = ShippedNetwork()
    named, others, hits = [], [], 0
    for bar in range(32, 37):
        assert found.has_melody[bar]
        looked = found.bar(bar)
        hits += bool({other.bar - 1 for other in looked.looked_at} & {bar - 16, bar - 32})
        whole = bar_log_probabilities(sheet, network, last_bar=bar)[bar]
        top = [other.bar - 1 for other in looked.looked_at]
        rest = [other for other in (bar - 12, bar - 22) if other not in top]
        for bars, falls in ((top, named), (rest, others)):
            falls.append(whole - bar_log_probabilities(silence(sheet, bars), network, last_bar=bar)[bar])
    assert hits >= 3
    assert np.mean(named) > 3 * max(float(np.mean(others)), 0.1)


def test_the_score_is_copies_and_a_weight_of_the_attention(found, weights):
    earlier = 1 - found.own_share - found.start_share
    expected = np.maximum(found.copied, 0) + ATTENTION_WEIGHT * earlier[:, None] * found.by_bar
    expected[:, ~found.has_melody] = 0
    np.testing.assert_allclose(looked_at(make_song(0), weights), expected, atol=1e-9)


def test_every_head_has_a_kind_and_its_shares_sum_to_one(found, weights):
    assert [(head.layer, head.head) for head in found.heads] == [(i, j) for i in range(1, 7) for j in range(1, 4)]
    for head in found.heads:
        assert head.name in HEAD_NAMES.values()
        assert sum(head.shares.values()) == pytest.approx(1, abs=1e-4)
        assert head.name in head.text
        expected = {kind: head.shares[kind] / lift for kind, lift in head.lifts.items() if lift}
        assert sum(expected.values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["repeats", "chords", "time", "line", "other"])
def test_a_head_that_looks_at_one_thing_is_named_after_it(found, weights, monkeypatch, kind):
    """All of the attention is moved to one kind of tokens."""
    from songwright.explanation import attention as module

    references = SongContext(found.sheet.form, found.sheet.key, found.sheet.tempo_qpm).reference_bars

    def pretended(*args, **options):
        result = attend(*args, **options)
        result.shares[:] = 0
        for bar in range(56):
            near = 1 + 3 * bar
            group = {"chords": near, "time": near + 1, "line": near + 2, "other": 0}.get(
                kind, 3 * references[bar][4] + 1
            )
            result.shares[:, :, bar, group] = 1
        return result

    monkeypatch.setattr(module, "attend", pretended)
    heads = song_attention(make_song(0), weights).heads
    assert {head.name for head in heads} == {HEAD_NAMES[kind]}
    assert min(head.shares[kind] for head in heads) > 0.9


def test_the_key_of_a_song_changes_nothing(found, weights):
    moved = song_attention(make_song(0).transpose(5), weights)
    assert moved.sheet.key.tonic == 5
    np.testing.assert_array_equal(moved.looked_at, found.looked_at)
    assert moved.bar(20) == found.bar(20)


def test_words_and_figures_are_ready_for_json(found):
    for bar in range(56):
        text = json.dumps(asdict(found.bar(bar)), allow_nan=False)
        assert f"Bar {bar + 1} " in text
    json.dumps([asdict(head) for head in found.heads], allow_nan=False)
    json.dumps(found.looked_at.tolist(), allow_nan=False)
    looked = found.bar(20).looked_at
    assert found.bar(20).text.startswith(f"Bar 21 looked most at bar {looked[0].bar} (")
    assert found.bar(0).text == "Bar 1 has no melody."
    assert found.bar(4).looked_at == ()  # the first bar with melody


@pytest.mark.parametrize("form", ["A1", "i1A1"])
def test_a_song_shorter_than_a_window_is_read_whole(weights, form):
    found = song_attention(make_song(2, form), weights)
    assert found.by_bar.shape == (len(found.has_melody),) * 2
    assert not found.looked_at.any() or found.has_melody.sum() > 1
    for bar in range(len(found.has_melody)):
        assert found.bar(bar).looked_at == ()


def test_a_song_without_melody_says_so(weights):
    sheet = with_melody(make_song(0).lead_sheet, NO_NOTES)
    found = song_attention(sheet, weights)
    assert not found.looked_at.any()
    assert found.heads == ()
    assert found.bar(10).text == "Bar 11 has no melody."


def test_a_song_of_four_hundred_bars_is_read(weights):
    sheet = make_song(0, "A8B8").lead_sheet
    long = LeadSheet(sheet.key, sheet.tempo_qpm, Form.parse("A50B50" * 4), sheet.chords, sheet.melody)
    assert song_attention(long, weights).looked_at.shape == (400, 400)


@given(sheet=lead_sheets())
@settings(max_examples=10)
def test_any_lead_sheet_is_explained_or_refused(sheet):
    weights = _WEIGHTS
    try:
        normal_sheet(sheet)
    except InputError:
        with pytest.raises(InputError):
            song_attention(sheet, weights)
        return
    found = song_attention(sheet, weights)
    assert np.isfinite(found.looked_at).all()
    json.dumps([asdict(found.bar(bar)) for bar in range(sheet.num_bars)], allow_nan=False)


_WEIGHTS = lead_sheet_weights()


def test_a_song_without_chords_is_refused(weights):
    sheet = make_song(0).lead_sheet
    with pytest.raises(InputError, match="no chords"):
        looked_at(LeadSheet(sheet.key, sheet.tempo_qpm, sheet.form, (), sheet.melody), weights)


def test_weights_of_another_stream_or_a_damaged_file_are_refused(tmp_path):
    from songwright.composition.weights import find_style

    with pytest.raises(WeightsError, match="another vocabulary"):
        lead_sheet_weights(path=find_style("pop").weights("arrangement", "int8"))
    (tmp_path / "damaged.onnx").write_bytes(find_style("pop").weights("lead_sheet", "int8").read_bytes()[:100_000])
    with pytest.raises(WeightsError, match="damaged"):
        lead_sheet_weights(path=tmp_path / "damaged.onnx")
