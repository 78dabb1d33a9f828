from __future__ import annotations

import itertools
import math
import shutil

import numpy as np
import pytest

from songwright.config import from_mapping
from songwright.errors import ConfigError, InputError, OutputError
from songwright.preparation.shards import open_shard, read_manifest
from songwright.tokens.streams import STREAMS

torch = pytest.importorskip("torch")

from songwright.corpus.augmentation import AugmentationConfig  # noqa: E402
from songwright.training.batches import WindowSampler, augmented, evaluation_batches  # noqa: E402
from songwright.training.config import TrainingConfig  # noqa: E402
from songwright.training.losses import IGNORED  # noqa: E402
from songwright.training.networks import build_network, load_network  # noqa: E402
from songwright.training.optimizers import learning_rate_factor  # noqa: E402
from songwright.training.sequences import HidingSampler  # noqa: E402
from songwright.training.trainer import Trainer  # noqa: E402

SMALL = {
    "num_threads": 1,
    "batch_size": 4,
    "network": {
        "dim": 32, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "hidden_dim": 64, "context_length": 64,
        "dropout": 0.0,
    },
}  # fmt: skip


def small(**values) -> TrainingConfig:
    return from_mapping(TrainingConfig, {**SMALL, **values})


def run(config, corpus, out, **options):
    return Trainer(config, corpus, out, report=lambda line: None, **options)


def test_a_corpus_holds_every_song_on_its_side(corpus):
    assert read_manifest(corpus)["splits"] == {
        "train": [f"pop909/{song}" for song in ("001", "002", "003", "005", "006")],
        "validation": ["pop909/004", "pop909/010"],
        "test": ["pop909/009"],
    }
    shard = open_shard(corpus, "lead_sheet", "train")
    assert len(shard) == 10  # each training song under both annotators' forms
    layout = STREAMS["lead_sheet"].channels
    for song in range(len(shard)):
        tokens, channels, hints = shard.read(song)
        assert tokens[0] == 1
        assert len(channels) == len(hints) == len(tokens) == shard.lengths[song]
        assert np.all(channels >= np.array(layout.offsets))
        assert np.all(channels < np.array(layout.offsets) + np.array(layout.sizes))


def test_windows_cover_all_of_a_song_and_count_each_target_once(corpus):
    shard = open_shard(corpus, "lead_sheet", "validation")
    counted = 0
    for tokens, _, _, targets in evaluation_batches(shard, batch_size=3, length=64):
        kept = targets != IGNORED
        assert torch.equal(tokens[:, 1:][kept[:, :-1]], targets[:, :-1][kept[:, :-1]])
        counted += int(kept.sum())
    assert counted == shard.num_tokens - len(shard)


def test_training_windows_stay_inside_one_song(corpus):
    shard = open_shard(corpus, "lead_sheet", "train")
    sampler = WindowSampler(shard, batch_size=8, length=64, seed=0)
    for _ in range(5):
        tokens, *_ = sampler.next_batch()
        assert int((tokens[:, 1:] == 1).sum()) == 0  # BOS only at the front


@pytest.mark.parametrize("stream", ["lead_sheet", "arrangement"])
def test_first_loss_is_near_the_logarithm_of_the_vocabulary(corpus, tmp_path, stream):
    trainer = run(small(stream=stream, num_steps=1), corpus, tmp_path)
    loss = trainer.validate()["nats_per_token"]
    assert loss == pytest.approx(math.log(len(STREAMS[stream].vocabulary)), abs=0.3)


def test_training_learns_the_corpus(corpus, tmp_path):
    figures = run(
        small(num_steps=60, optimizer={"learning_rate": 0.01, "warmup_steps": 5, "average_decay": 0.9}),
        corpus,
        tmp_path,
    ).train()
    assert figures["nats_per_token"] < 2.0
    assert figures["bits_per_note_later"] < figures["bits_per_note_first"]
    network, config = load_network(tmp_path / "best.pt")
    assert config.num_steps == 60
    assert not network.training


def test_resuming_gives_the_weights_of_the_uninterrupted_run(corpus, tmp_path):
    config = small(num_steps=8, validate_every=4, network={**SMALL["network"], "dropout": 0.2})
    run(config, corpus, tmp_path / "whole").train()
    interrupted = run(config, corpus, tmp_path / "parts")

    class KilledError(Exception):
        pass

    save = interrupted._save

    def save_and_die(*names):
        save(*names)
        if interrupted.step == 4:
            raise KilledError

    interrupted._save = save_and_die
    with pytest.raises(KilledError):
        interrupted.train()
    run(config, corpus, tmp_path / "parts", resume=True).train()
    whole = torch.load(tmp_path / "whole" / "last.pt", weights_only=True)
    parts = torch.load(tmp_path / "parts" / "last.pt", weights_only=True)
    for name, tensor in whole["network"].items():
        assert torch.equal(tensor, parts["network"][name]), name
    assert parts["best"] == whole["best"]


def test_a_resumed_run_keeps_a_best_that_it_does_not_beat(corpus, tmp_path, monkeypatch):
    losses = iter([1.0, 2.0])
    monkeypatch.setattr(Trainer, "validate", lambda self: {"nats_per_token": next(losses)})
    run(small(num_steps=4, validate_every=4), corpus, tmp_path).train()
    run(small(num_steps=8, validate_every=4), corpus, tmp_path, resume=True).train()
    assert torch.load(tmp_path / "best.pt", weights_only=True)["step"] == 4
    assert torch.load(tmp_path / "last.pt", weights_only=True)["best"] == 1.0


def test_resuming_with_other_sizes_is_refused(corpus, tmp_path):
    run(small(num_steps=1), corpus, tmp_path).train()
    with pytest.raises(InputError, match=r"last\.pt: of a network of other sizes"):
        run(small(num_steps=1, network={**SMALL["network"], "num_layers": 3}), corpus, tmp_path, resume=True)


def test_a_checkpoint_that_cannot_be_written_is_said_and_leaves_nothing(corpus, tmp_path, monkeypatch):
    def full_disk(state, file):
        file.write(b"half")
        raise RuntimeError("file write failed")

    trainer = run(small(num_steps=1), corpus, tmp_path)
    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OutputError, match="cannot be written"):
        trainer.train()
    assert not list(tmp_path.glob("*.pt*"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("damage", [b"", b"x" * 300])
def test_a_damaged_shard_is_named(corpus, tmp_path, damage):
    shutil.copytree(corpus, tmp_path / "corpus")
    for path in tmp_path.glob("corpus/batches/*/lead_sheet.hints.npy"):
        path.write_bytes(damage)
    with pytest.raises(InputError, match="shard lead_sheet/train is missing or damaged"):
        open_shard(tmp_path / "corpus", "lead_sheet", "train").check()


def test_a_shard_whose_arrays_do_not_fit_together_is_named(corpus, tmp_path):
    shutil.copytree(corpus, tmp_path / "corpus")
    for path in tmp_path.glob("corpus/batches/*/lead_sheet.tokens.npy"):
        shutil.copy(path.with_name("arrangement.tokens.npy"), path)
    with pytest.raises(InputError, match="shard lead_sheet/train is missing or damaged"):
        open_shard(tmp_path / "corpus", "lead_sheet", "train").check()


def test_whole_pieces_without_channels_are_learned_too(corpus, tmp_path):
    figures = run(small(stream="score", num_steps=2, channel_dropout=0.1), corpus, tmp_path).train()
    assert 0 < figures["nats_per_token"] < math.log(len(STREAMS["score"].vocabulary)) + 0.3
    assert "bits_per_note_first" not in figures


def test_pieces_are_changed_anew_at_each_visit_and_the_same_again_after_resuming(corpus):
    shard = open_shard(corpus, "score", "validation")
    change = augmented(AugmentationConfig(max_semitones=6))
    samplers = [WindowSampler(shard, batch_size=6, length=4096, seed=1, change=change) for _ in range(2)]
    plain = WindowSampler(shard, batch_size=6, length=4096, seed=1)
    first, again = samplers[0].next_batch()[0], samplers[1].next_batch()[0]
    assert torch.equal(first, again)
    assert not torch.equal(first, plain.next_batch()[0])
    assert len({tuple(row.tolist()) for row in first}) == len(first)
    samplers[1].restore(samplers[0].state())
    assert torch.equal(samplers[0].next_batch()[0], samplers[1].next_batch()[0])
    with pytest.raises(ConfigError, match="stream score"):
        small(stream="lead_sheet", augment=True)


def test_only_the_collections_asked_for_are_learned(corpus, tmp_path):
    assert run(small(sources=["pop909"]), corpus, tmp_path / "a").task.shard.num_tokens > 0
    with pytest.raises(InputError, match="no source 'groove'"):
        run(small(sources=["groove"]), corpus, tmp_path / "b")


def test_learning_rate_rises_then_falls_to_zero():
    config = small(num_steps=100, optimizer={"warmup_steps": 10})
    factors = [learning_rate_factor(step, step / 100, config.optimizer.warmup_steps) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) > 0.9
    assert factors[100] == 0
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors[10:]))


def test_a_damaged_checkpoint_is_named(corpus, tmp_path):
    (tmp_path / "last.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"last\.pt: not a readable checkpoint"):
        run(small(), corpus, tmp_path, resume=True)


def test_another_vocabulary_is_refused(corpus, tmp_path):
    run(small(stream="arrangement", num_steps=1), corpus, tmp_path).train()
    with pytest.raises(InputError, match="another vocabulary"):
        run(small(stream="lead_sheet", num_steps=1), corpus, tmp_path, resume=True)


def test_a_folder_that_is_no_corpus_is_named(tmp_path):
    with pytest.raises(InputError, match="not a prepared corpus"):
        run(small(), tmp_path, tmp_path / "out")


def test_hidden_references_look_like_none(corpus):
    shard, stream = open_shard(corpus, "lead_sheet", "train"), STREAMS["lead_sheet"]
    sampler = HidingSampler(shard, stream, small(batch_size=32, channel_dropout=0.5))
    _, channels, hints, _ = sampler.next_batch()
    for reference in range(hints.shape[-1]):
        flag = stream.channels.names.index(f"reference_{reference}_flag")
        absent = (channels[..., flag] == stream.channels.offsets[flag]).all(dim=1)
        assert 4 < int(absent.sum()) <= 32
        assert int(hints[absent][..., reference].sum()) == 0


def test_the_network_has_the_size_its_config_says():
    assert build_network(TrainingConfig()).num_parameters == 2_949_894
