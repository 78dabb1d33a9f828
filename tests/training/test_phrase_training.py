from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from songwright.engine.phrases import FILES, PhraseCoder  # noqa: E402
from songwright.errors import ConfigError, InputError, WeightsError  # noqa: E402
from songwright.preparation.shards import open_shard  # noqa: E402
from songwright.tokens.lead_sheet import BAR, DUR_0, EOS, VOCABULARY  # noqa: E402
from songwright.tokens.phrases import CHANNELS, phrase_notes  # noqa: E402
from songwright.training.config import TrainingConfig  # noqa: E402
from songwright.training.losses import IGNORED  # noqa: E402
from songwright.training.phrase_export import export_checkpoint, export_phrases  # noqa: E402
from songwright.training.phrases import PhraseSampler, PhraseSet, PhraseTask, make_network  # noqa: E402
from songwright.training.trainer import Trainer  # noqa: E402
from tests.phrase_style import SMALL  # noqa: E402

CONFIG = TrainingConfig(network=SMALL, batch_size=4)
NOISE = {"latent_dim": 6, "word_dropout": 0.3}


@pytest.fixture
def task(corpus: Path) -> PhraseTask:
    torch.manual_seed(0)
    return PhraseTask(CONFIG, corpus)


def test_the_phrases_of_a_song_are_those_of_its_form(corpus):
    shard = open_shard(corpus, "lead_sheet", "train")
    phrases = PhraseSet(shard, max_tokens=256, first_forms_only=True)
    songs = int((shard.index["copy"] == 0).sum())
    assert len(phrases) == 4 * songs  # A4B4A4B4
    both = PhraseSet(shard, max_tokens=256)
    assert len(both) == (4 + 2) * songs  # and A8A8
    for number in range(len(both)):
        tokens, setting = both.read(number)
        assert setting.num_bars in (4, 8)
        assert len(phrase_notes(tokens)) == both.num_notes[number] == 4 * setting.num_bars
    first, third = (phrase_notes(phrases.read(number)[0]) for number in (0, 2))
    np.testing.assert_array_equal(first, third)


def test_long_phrases_are_left_out(corpus):
    shard = open_shard(corpus, "lead_sheet", "train")
    phrases = PhraseSet(shard, max_tokens=60)
    assert 0 < len(phrases) < len(PhraseSet(shard, max_tokens=256))
    assert all((phrases.read(number)[0] != EOS).sum() <= 60 for number in range(len(phrases)))


def test_targets_are_the_next_tokens_and_nothing_after_the_end(corpus):
    phrases = PhraseSet(open_shard(corpus, "lead_sheet", "train"), max_tokens=256)
    short, long = int(phrases.num_notes.argmin()), int(phrases.num_notes.argmax())
    tokens, channels, targets = phrases.batch([short, long])
    assert tokens.shape == targets.shape == channels.shape[:2]
    length = len(phrases.read(short)[0]) - 1
    assert tokens[0, 0] == BAR
    assert targets[0, length - 1] == EOS
    assert (targets[0, : length - 1] == tokens[0, 1:length]).all()
    assert (tokens[0, length:] == 0).all()
    assert (targets[0, length:] == IGNORED).all()


def test_an_epoch_holds_every_phrase_once_and_goes_on_where_it_was_left(corpus):
    phrases = PhraseSet(open_shard(corpus, "lead_sheet", "train"), max_tokens=256)
    sampler = PhraseSampler(phrases, batch_size=5, seed=1, **NOISE)
    num_batches = -(-len(phrases) // 5)
    notes = sum(int((sampler.next_batch()[2] >= DUR_0).sum()) for _ in range(num_batches))
    assert notes == phrases.num_notes.sum()
    sampler.next_batch()
    state = json.loads(json.dumps(sampler.state()))
    wanted = [sampler.next_batch() for _ in range(num_batches)]
    other = PhraseSampler(phrases, batch_size=5, seed=2, **NOISE)
    other.restore(state)
    for batch in wanted:
        for found, expected in zip(other.next_batch(), batch, strict=True):
            assert torch.equal(found, expected)


def test_the_weight_of_the_divergence_rises_and_then_stays(task):
    warmup, full = SMALL.kl_warmup, SMALL.kl_weight
    assert [task.kl_weight(share) for share in (0.0, warmup, 1.0)] == [0.0, full, full]
    assert task.kl_weight(warmup / 2) == pytest.approx(full / 2)


def test_a_loss_adds_up_over_the_parts_of_a_batch(task):
    task.config = replace(SMALL, free_bits=0.0)  # a part's mean may lie below them where the batch's does not
    batch = task.sampler.next_batch()
    whole, count = task.loss(task.network, batch, progress=1.0)
    parts = [
        task.loss(task.network, tuple(tensor[rows] for tensor in batch), progress=1.0)
        for rows in (slice(0, 1), slice(1, None))
    ]
    torch.testing.assert_close(whole, parts[0][0] + parts[1][0])
    assert count == parts[0][1] + parts[1][1] == (batch[2] != IGNORED).sum()


def test_some_tokens_are_hidden_from_the_writer(corpus):
    phrases = PhraseSet(open_shard(corpus, "lead_sheet", "train"), max_tokens=256)
    tokens, _, targets, _, shown = PhraseSampler(phrases, batch_size=8, seed=0, **NOISE).next_batch()
    is_hidden = (shown != tokens)[targets != IGNORED]
    assert 0.2 < is_hidden.float().mean() < 0.4
    assert (shown[shown != tokens] == 0).all()


def test_a_phrase_vae_needs_lead_sheets(corpus):
    with pytest.raises(ConfigError, match="lead_sheet"):
        PhraseTask(replace(CONFIG, stream="arrangement"), corpus)


@pytest.mark.slow
def test_it_learns_to_write_phrases_again(corpus):
    torch.manual_seed(0)
    task = PhraseTask(replace(CONFIG, batch_size=12, network=replace(SMALL, kl_weight=0.02)), corpus)
    before = task.validate(task.network, torch.device("cpu"))
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=0.03)
    task.network.train()
    for step in range(20):
        total, count = task.loss(task.network, task.sampler.next_batch(), progress=step / 20)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    after = task.validate(task.network, torch.device("cpu"))
    assert after["reconstruction_nats_per_note"] < 0.5 * before["reconstruction_nats_per_note"]
    assert after["elbo_nats_per_note"] > after["objective_nats_per_note"] > after["reconstruction_nats_per_note"]


def test_latent_numbers_that_vary_are_active(task):
    task.network.reader.posterior.weight.data[1 : SMALL.latent_dim] = 0  # all means but the first are constant
    task.network.reader.posterior.weight.data[0].normal_()
    assert task.validate(task.network, torch.device("cpu"))["active_units"] == 1


def test_the_engine_codes_and_writes_as_the_network_does(corpus, tmp_path):
    torch.manual_seed(1)
    network = make_network(SMALL).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)
            parameter.copy_(parameter.half().float())  # as stored
    written = export_phrases(network, tmp_path, {"figures": {"kl_nats": 3.5}})
    assert [path.name for path in written] == list(FILES)
    coder = PhraseCoder(tmp_path, fingerprint=VOCABULARY.fingerprint, channel_sizes=CHANNELS.sizes)
    assert coder.facts["figures"] == {"kl_nats": 3.5}
    tokens, channels, _ = PhraseSet(open_shard(corpus, "lead_sheet", "validation"), max_tokens=256).batch([0])
    with torch.no_grad():
        logits, mean, log_variance = network(tokens, channels)
    posterior = coder.encode(tokens[0].numpy(), channels[0].numpy())
    np.testing.assert_allclose(posterior.mean, mean[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(posterior.deviation, torch.exp(log_variance[0] / 2).numpy(), rtol=1e-3)
    writer = coder.write(np.repeat(mean.numpy(), 2, axis=0))
    half = tokens.shape[1] // 2
    twice = tokens.numpy().repeat(2, axis=0), channels.numpy().repeat(2, axis=0)
    found = [writer.step(*(given[:, rows] for given in twice)) for rows in (slice(0, half), slice(half, None))]
    for row in np.concatenate(found, axis=1):
        np.testing.assert_allclose(row, logits[0].numpy(), atol=1e-3)


def test_damaged_or_foreign_weights_are_refused(tmp_path):
    network = make_network(SMALL)
    options = {"fingerprint": VOCABULARY.fingerprint, "channel_sizes": CHANNELS.sizes}
    with pytest.raises(WeightsError, match="cannot be read"):
        PhraseCoder(tmp_path, **options)
    export_phrases(network, tmp_path, {})
    with pytest.raises(WeightsError, match="another version"):
        PhraseCoder(tmp_path, **{**options, "channel_sizes": (1, 2)})
    path = tmp_path / FILES[1]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"phrases\.decoder\.onnx: damaged"):
        PhraseCoder(tmp_path, **options)


@pytest.mark.slow
def test_a_run_of_the_trainer_is_exported_with_its_figures(corpus, tmp_path):
    config = replace(CONFIG, num_steps=2, validate_every=2, num_threads=1)
    figures = Trainer(config, corpus, tmp_path / "run", report=lambda line: None).train()
    export_checkpoint(tmp_path / "run" / "best.pt", tmp_path / "pop")
    coder = PhraseCoder(tmp_path / "pop", fingerprint=VOCABULARY.fingerprint, channel_sizes=CHANNELS.sizes)
    assert coder.facts["step"] == 2
    assert coder.facts["figures"] == {name: pytest.approx(value, rel=1e-3) for name, value in figures.items()}


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    state = {"config": {"network": asdict(SMALL)}, "average": make_network(SMALL).state_dict(), "step": 7}
    torch.save(state, tmp_path / "best.pt")
    facts = json.loads(export_checkpoint(tmp_path / "best.pt", tmp_path / "pop")[2].read_text())
    assert (facts["step"], facts["latent_dim"]) == (7, SMALL.latent_dim)
    state["average"] = {}
    torch.save(state, tmp_path / "best.pt")
    with pytest.raises(InputError, match="no checkpoint of a phrase-vae"):
        export_checkpoint(tmp_path / "best.pt", tmp_path / "pop")
