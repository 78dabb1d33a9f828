from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from songwright.engine.ngram import NgramDecoder
from songwright.errors import InputError, OutputError
from songwright.model.config import NgramConfig
from songwright.preparation.shards import open_shard
from songwright.tokens.streams import STREAMS
from songwright.training.counting import count_ngrams, evaluate_ngrams, export_ngrams
from songwright.training.figures import GROUPS, Totals, is_later, token_groups


def test_a_song_under_two_forms_is_counted_once(corpus):
    shard = open_shard(corpus, "lead_sheet", "train")
    model = count_ngrams(corpus, "lead_sheet", NgramConfig(order=1))
    assert len(shard) == 10
    assert model.metadata["songs"] == 5
    assert model.metadata["tokens"] == shard.num_tokens / 2
    assert model.counts.counts.sum() == shard.num_tokens / 2 - 5  # every token but the first of each song


@pytest.mark.parametrize("stream", ["lead_sheet", "arrangement"])
def test_figures_are_those_of_every_token_but_the_first(corpus, stream):
    shard = open_shard(corpus, stream, "validation")
    model = count_ngrams(corpus, stream, NgramConfig(order=3))
    nats, num_tokens, num_pitches = 0.0, 0, 0
    names = STREAMS[stream].vocabulary.names
    for number in range(len(shard)):
        tokens = shard.read(number)[0].tolist()
        for place in range(1, len(tokens)):
            nats -= math.log(model.probabilities(tokens[:place])[tokens[place]])
        num_tokens += len(tokens) - 1
        num_pitches += sum(names[token].startswith("PITCH") for token in tokens)
    found = evaluate_ngrams(model, shard, stream)
    assert found["nats_per_token"] == pytest.approx(nats / num_tokens)
    assert 0 < found["bits_per_note"] * math.log(2) * num_pitches < nats
    assert ("nats_per_chord" in found) == (stream == "lead_sheet")


def test_the_song_so_far_helps_where_a_phrase_returns(corpus):
    shard = open_shard(corpus, "lead_sheet", "validation")
    found, plain = (
        evaluate_ngrams(count_ngrams(corpus, "lead_sheet", NgramConfig(cache=cache)), shard, "lead_sheet")
        for cache in (True, False)
    )
    assert found["bits_per_note_later"] < 0.8 * plain["bits_per_note_later"]
    assert found["bits_per_note_later"] < 0.8 * found["bits_per_note_first"]
    assert found["nats_per_token"] < math.log(len(STREAMS["lead_sheet"].vocabulary)) / 2


def test_an_exported_model_decodes_what_was_counted(corpus, tmp_path):
    stream = STREAMS["lead_sheet"]
    model = count_ngrams(corpus, "lead_sheet", NgramConfig())
    path = tmp_path / "lead_sheet.npz"
    export_ngrams(model, path, figures={"nats_per_token": 1.5})
    decoder = NgramDecoder(path, max_length=64, expected_fingerprint=stream.vocabulary.fingerprint)
    tokens, channels, hints = (array[None, :64] for array in open_shard(corpus, "lead_sheet", "validation").read(0))
    logits = decoder.prefill(tokens, channels, hints)[0]
    np.testing.assert_allclose(np.exp(logits[-1]), model.probabilities(tokens[0]), rtol=1e-5)
    assert decoder.metadata["figures"] == {"nats_per_token": 1.5}
    assert decoder.metadata["stream"] == "lead_sheet"
    assert tuple(decoder.metadata["channel_sizes"]) == stream.channels.sizes
    with pytest.raises(OutputError, match="cannot be written"):
        export_ngrams(model, tmp_path / "nowhere" / "lead_sheet.npz")


def test_what_cannot_be_counted_is_named(corpus, tmp_path):
    with pytest.raises(InputError, match="no source 'groove'"):
        count_ngrams(corpus, "lead_sheet", NgramConfig(), sources=["groove"])
    with pytest.raises(InputError, match="nothing to count in harmony/train"):
        count_ngrams(corpus, "harmony", NgramConfig())
    with pytest.raises(InputError, match="not a prepared corpus"):
        count_ngrams(tmp_path, "lead_sheet", NgramConfig())


def test_figures_follow_their_definitions():
    stream = STREAMS["lead_sheet"]
    names = ["BAR", "BEAT_0", "CHORD_0:maj", "POS_0", "PITCH_60", "DUR_3", "POS_6", "PITCH_64", "DUR_3", "EOS"]
    nats = np.array([0.5, 0.25, 1.0, 0.125, 2.0, 4.0, 0.375, 1.0, 0.5, 0.75])
    later = np.array([False] * 6 + [True] * 4)
    totals = Totals(stream)
    targets = np.array([stream.vocabulary[name] for name in names])
    for part in (slice(0, 4), slice(4, None)):
        totals.add(nats[part], targets[part], later[part])
    first, second = 0.5 + 0.125 + 2.0, 0.375 + 1.0 + 0.75
    assert totals.figures() == pytest.approx(
        {
            "nats_per_token": nats.sum() / 10,
            "nats_per_note": (first + second + 4.5) / 2,
            "bits_per_note": (first + second) / 2 / math.log(2),
            "bits_per_note_first": first / math.log(2),
            "bits_per_note_later": second / math.log(2),
            "nats_per_chord": 1.25,
        }
    )
    assert [GROUPS[group] for group in token_groups(stream)[[0, 1, targets[0], targets[4]]]] == [
        "PAD", "BOS", "BAR", "PITCH",
    ]  # fmt: skip


def test_later_phrases_are_told_by_the_occurrence_channel(corpus):
    stream = STREAMS["lead_sheet"]
    _, channels, _ = open_shard(corpus, "lead_sheet", "train").read(0)
    found = is_later(channels, stream)
    assert found.shape == (len(channels),)
    # A4B4A4B4: the first half is new, the second is not.
    changes = np.flatnonzero(np.diff(found.astype(int)))
    assert len(changes) == 1
    assert not found[0]
    assert 0.4 < changes[0] / len(found) < 0.6
    assert not is_later(np.zeros((3, 0), dtype=np.int16), STREAMS["score"]).any()


def test_counting_needs_no_torch():
    code = "import sys, songwright.training.counting; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
