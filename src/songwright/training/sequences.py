"""The task of the sequence networks: predict each next token of songs, or follow a teacher who does."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from songwright.errors import InputError
from songwright.model.network import SequenceNetwork
from songwright.preparation.shards import Shard, data_fingerprint, open_shard
from songwright.tokens.channels import NUM_REFERENCES
from songwright.tokens.streams import STREAMS, Stream
from songwright.training.batches import WindowSampler, augmented, evaluation_batches
from songwright.training.config import TrainingConfig
from songwright.training.losses import cross_entropy, distillation
from songwright.training.networks import build_network, load_network, stream_sizes
from songwright.training.starting import read_start
from songwright.training.task import TensorBatch
from songwright.training.validation import validate


class SequenceTask:
    """Windows of songs, cross-entropy of the next token, KL divergence from teachers if the run has any.

    Parameters
    ----------
    config : TrainingConfig
    corpus : Path
        A prepared corpus.
    shards : (Shard, Shard), optional
        What to train on and what to validate with, in place of the corpus's own splits.

    Raises
    ------
    ConfigError, InputError
        If the corpus lacks songs to train on or to validate with, or a teacher is of another stream.
    """

    criterion = "nats_per_token"

    def __init__(self, config: TrainingConfig, corpus: Path, *, shards: tuple[Shard, Shard] | None = None) -> None:
        self.config = config
        self.stream: Stream = STREAMS[config.stream]
        train, validation = (
            open_shard(corpus, config.stream, split, sources=config.sources) for split in ("train", "validation")
        )
        self.shard, self.held_out = shards or (train, validation)
        if not self.shard.num_tokens or not self.held_out.num_tokens:
            raise InputError(f"{corpus}: no songs to train on or to validate with; prepare a larger corpus")
        self.vocabulary_fingerprint = self.stream.vocabulary.fingerprint
        self.data_fingerprint = data_fingerprint(self.shard, self.held_out)
        self.network: SequenceNetwork = build_network(config)
        self.teachers = [_teacher(Path(path), config.stream) for path in config.teachers]
        self.sampler = HidingSampler(self.shard, self.stream, config)

    def loss(self, network: nn.Module, batch: TensorBatch, *, progress: float) -> tuple[Tensor, Tensor]:
        """Return (sum, count) over the targets of a part of a batch."""
        tokens, channels, hints, targets = batch
        logits = network(tokens, channels, hints)
        total, count = cross_entropy(logits, targets, label_smoothing=self.config.label_smoothing)
        if self.teachers:
            options = self.config.distillation
            taught = self._teach(tokens, channels, hints)
            divergence, _ = distillation(logits, taught, targets, temperature=options.temperature)
            total = (1 - options.weight) * total + options.weight * divergence
        return total, count

    @torch.no_grad()
    def _teach(self, tokens: Tensor, channels: Tensor, hints: Tensor) -> Tensor:
        """Return the logarithms of the teachers' mean probabilities."""
        probabilities = [teacher.to(tokens.device)(tokens, channels, hints).softmax(-1) for teacher in self.teachers]
        return torch.stack(probabilities).mean(0).clamp_min(1e-12).log()

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the figures of the validation songs; see `training.validation`."""
        length = self.network.config.context_length
        batches = evaluation_batches(self.held_out, batch_size=self.config.batch_size, length=length)
        return validate(network, (tuple(tensor.to(device) for tensor in batch) for batch in batches), self.stream)


class HidingSampler:
    """Windows of songs, in some of which a reference is hidden.

    References are hidden here and not in the network, from a generator of their own: the same batch comes whatever
    the number of processes that share it.
    """

    def __init__(self, shard: Shard, stream: Stream, config: TrainingConfig) -> None:
        self._windows = WindowSampler(
            shard,
            batch_size=config.batch_size,
            length=config.network.context_length,  # pyright: ignore[reportAttributeAccessIssue]
            seed=config.seed,
            change=augmented(config.augmentation) if config.augment else None,
        )
        self._probability = config.channel_dropout if stream.num_hints else 0.0
        self._rng = np.random.default_rng([config.seed, 1])
        self._columns = [
            (column, int(name.split("_")[1]), offset)
            for column, (name, offset) in enumerate(zip(stream.channels.names, stream.channels.offsets, strict=True))
            if name.startswith("reference_")
        ]

    def next_batch(self) -> TensorBatch:
        """Return tokens, channels, hints and targets."""
        tokens, channels, hints, targets = self._windows.next_batch()
        if self._probability:
            drawn = self._rng.random((len(tokens), 1, NUM_REFERENCES)) < self._probability
            channels, hints = self.hide(channels, hints, torch.from_numpy(drawn))
        return tokens, channels, hints, targets

    def hide(self, channels: Tensor, hints: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Make references look as if the bar had none; `hidden`: (batch, 1, references), bool."""
        for column, reference, offset in self._columns:
            channels[..., column] = torch.where(hidden[..., reference], offset, channels[..., column])
        return channels, torch.where(hidden, 0, hints)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on exactly here."""
        return {"windows": self._windows.state(), "hiding": copy.deepcopy(self._rng.bit_generator.state)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._windows.restore(state["windows"])
        self._rng.bit_generator.state = state["hiding"]


def _teacher(path: Path, stream: str) -> SequenceNetwork:
    """Return the network of a checkpoint of any family, or of an exported Transformer, to learn from."""
    if path.suffix == ".pt":
        network, config = load_network(path)
        if config.stream != stream:
            raise InputError(f"{path}: this teacher learned {config.stream}, not {stream}; name one of the same stream")
    else:
        sizes, weights = read_start(path, stream=stream, dropout=0.0)
        network = SequenceNetwork(sizes, stream_sizes(STREAMS[stream]))
        network.load_state_dict(weights)
    return network.eval().requires_grad_(False)
