"""Phrases of a corpus, and what the variational autoencoder learns from them.

Phrases are read from the stream `lead_sheet`, whose channels say where they start. Figures are of held-out phrases of
first forms: *nats a note* count every token of a phrase (bar lines too) over its notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from songwright.errors import ConfigError, InputError
from songwright.model.config import PhraseVaeConfig, StreamSizes
from songwright.model.phrase_vae import PhraseVae
from songwright.preparation.shards import Shard, data_fingerprint, open_shard
from songwright.score.grid import POSITION_STEPS, STEPS_PER_BAR
from songwright.tokens.lead_sheet import BAR, DUR_0, PITCH_0, POS_0, VOCABULARY
from songwright.tokens.lead_sheet_state import CHANNELS as LEAD_SHEET_CHANNELS
from songwright.tokens.phrases import CHANNELS, NUM_PLACES, PhraseSetting, pieces, read_phrase, trace_phrase
from songwright.training.config import TrainingConfig
from songwright.training.losses import IGNORED, cross_entropy, gaussian_kl
from songwright.training.task import Sampler, TensorBatch

PhraseBatch = tuple[Tensor, Tensor, Tensor]
"""tokens (batch, time), channels (batch, time, num_channels), targets (batch, time)."""

TrainingBatch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""A PhraseBatch; standard normal numbers (batch, latent_dim); the tokens with 0 for those that are hidden."""

ACTIVE_VARIANCE = 0.01
"""A latent number is active if its means vary by more than this over phrases (Burda, Grosse and Salakhutdinov,
"Importance Weighted Autoencoders", ICLR 2016)."""

VALIDATED = (
    "reconstruction_nats_per_note", "kl_nats", "elbo_nats_per_note", "objective_nats_per_note", "active_units",
    "pitch_accuracy",
)  # fmt: skip
"""Figures of `PhraseTask.validate`."""

_POOL_BATCHES = 16  # so many batches are sorted by length together, so that little is padded
_FREE_FROM = LEAD_SHEET_CHANNELS.names.index("free_from")
_BAR_IN_PHRASE = LEAD_SHEET_CHANNELS.names.index("bar_in_phrase")
_STEPS = np.append(POSITION_STEPS, STEPS_PER_BAR)  # of the values of free_from


class PhraseSet:
    """The phrases of a shard that have notes, read when asked for.

    Parameters
    ----------
    shard : Shard
        Of the stream `lead_sheet`.
    max_tokens : int
        Longer phrases are left out.
    first_forms_only : bool
        Leave out the second reading of a song, in another annotator's phrases.

    Attributes
    ----------
    places : ndarray of int64, shape (num_phrases, 3)
        Sequence of the shard, first token and end of each phrase.
    num_notes : ndarray of int64, shape (num_phrases,)
    """

    def __init__(self, shard: Shard, *, max_tokens: int, first_forms_only: bool = False) -> None:
        self._shard = shard
        places: list[tuple[int, int, int]] = []
        num_notes: list[int] = []
        for number in range(len(shard)):
            if first_forms_only and shard.index["copy"][number]:
                continue
            tokens, channels, _ = shard.read(number)
            lines = np.append(np.flatnonzero(tokens == BAR), len(tokens) - 1)
            bar_in_phrase = channels[lines[:-1], _BAR_IN_PHRASE] - LEAD_SHEET_CHANNELS.offsets[_BAR_IN_PHRASE]
            notes_before = np.append(0, np.cumsum(tokens >= DUR_0))
            melody_before = np.append(0, np.cumsum((tokens == BAR) | (tokens >= POS_0)))
            for first, num_bars in pieces(np.flatnonzero(bar_in_phrase == 0), len(lines) - 1):
                start, end = int(lines[first]), int(lines[first + num_bars])
                notes = int(notes_before[end] - notes_before[start])
                if notes and int(melody_before[end] - melody_before[start]) <= max_tokens:
                    places.append((number, start, end))
                    num_notes.append(notes)
        self.places = np.array(places, dtype=np.int64).reshape(-1, 3)
        self.num_notes = np.array(num_notes, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.places)

    def read(self, number: int) -> tuple[NDArray[np.int16], PhraseSetting]:
        """Return the tokens and the setting of a phrase."""
        sequence, start, end = self.places[number].tolist()
        tokens, channels, _ = self._shard.read(sequence, start, end)
        free_from = channels[0, _FREE_FROM] - LEAD_SHEET_CHANNELS.offsets[_FREE_FROM]
        return read_phrase(tokens, free_step=int(_STEPS[free_from]))

    def batch(self, numbers: Sequence[int]) -> PhraseBatch:
        """Return phrases as a batch, padded to the longest."""
        phrases = [self.read(number) for number in numbers]
        length = max(len(tokens) for tokens, _ in phrases) - 1
        tokens = np.zeros((len(phrases), length), np.int64)
        channels = np.zeros((len(phrases), length, len(CHANNELS.sizes)), np.int64)
        targets = np.full((len(phrases), length), IGNORED, np.int64)
        for row, (found, setting) in enumerate(phrases):
            tokens[row, : len(found) - 1], targets[row, : len(found) - 1] = found[:-1], found[1:]
            channels[row, : len(found) - 1] = trace_phrase(found, setting)
        return torch.from_numpy(tokens), torch.from_numpy(channels), torch.from_numpy(targets)

    def batches(self, batch_size: int) -> Iterator[PhraseBatch]:
        """Yield every phrase once, in the order of their notes."""
        order = np.argsort(self.num_notes, kind="stable")
        for start in range(0, len(order), batch_size):
            yield self.batch(order[start : start + batch_size].tolist())


class PhraseSampler:
    """Batches for ever: every phrase once in random order, then again; phrases of a batch are about equally long.

    Noise and hidden tokens are part of the batch, so a run is the same over however many processes it is spread.

    Parameters
    ----------
    phrases : PhraseSet
    batch_size, latent_dim, seed : int
    word_dropout : float
        Share of tokens that are hidden.
    """

    def __init__(self, phrases: PhraseSet, *, batch_size: int, latent_dim: int, word_dropout: float, seed: int) -> None:
        self._phrases, self._batch_size = phrases, batch_size
        self._latent_dim, self._word_dropout = latent_dim, word_dropout
        self._rng = np.random.default_rng(seed)
        self._pending: list[list[int]] = []

    def next_batch(self) -> TrainingBatch:
        """Return the next batch, on the CPU."""
        if not self._pending:
            self._pending = self._arrange()
        tokens, channels, targets = self._phrases.batch(self._pending.pop())
        noise = self._rng.standard_normal((len(tokens), self._latent_dim), np.float32)
        is_hidden = self._rng.random(tuple(tokens.shape), np.float32) < self._word_dropout
        return tokens, channels, targets, torch.from_numpy(noise), tokens.masked_fill(torch.from_numpy(is_hidden), 0)

    def _arrange(self) -> list[list[int]]:
        size = self._batch_size
        order = self._rng.permutation(len(self._phrases))
        batches: list[list[int]] = []
        for start in range(0, len(order), _POOL_BATCHES * size):
            pool = order[start : start + _POOL_BATCHES * size]
            pool = pool[np.argsort(self._phrases.num_notes[pool], kind="stable")]
            batches += [pool[first : first + size].tolist() for first in range(0, len(pool), size)]
        return [batches[place] for place in self._rng.permutation(len(batches))]

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on exactly here."""
        return {"rng": self._rng.bit_generator.state, "pending": [list(batch) for batch in self._pending]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._rng.bit_generator.state = state["rng"]
        self._pending = [list(batch) for batch in state["pending"]]


class PhraseTask:
    """Phrases coded in a few numbers and written again; a `training.task.Task`.

    The loss of a phrase is the cross-entropy of its tokens and beta times the KL divergence of its latent numbers from
    the prior, in nats; its count is the tokens. beta rises linearly from 0 to `kl_weight` over the first `kl_warmup` of
    the run.

    Parameters
    ----------
    config : TrainingConfig
        Whose network is a PhraseVaeConfig.
    corpus : Path
        A prepared corpus.

    Raises
    ------
    ConfigError
        If the stream is not `lead_sheet`.
    InputError
        If the corpus is missing or damaged, or a split of it has no phrase with notes.
    """

    criterion = "objective_nats_per_note"

    def __init__(self, config: TrainingConfig, corpus: Path) -> None:
        if config.stream != "lead_sheet":
            raise ConfigError(f'a phrase-vae learns from stream = "lead_sheet", not {config.stream!r}')
        self.config = cast(PhraseVaeConfig, config.network)
        train, held_out = (
            open_shard(corpus, config.stream, split, sources=config.sources) for split in ("train", "validation")
        )
        phrases = PhraseSet(train, max_tokens=self.config.context_length)
        self._held_out = PhraseSet(held_out, max_tokens=self.config.context_length, first_forms_only=True)
        if not len(phrases) or not len(self._held_out):
            raise InputError(f"{corpus}: no phrases to train on or to validate with; prepare a larger corpus")
        self.network: nn.Module = make_network(self.config)
        self.sampler: Sampler = PhraseSampler(
            phrases,
            batch_size=config.batch_size,
            latent_dim=self.config.latent_dim,
            word_dropout=self.config.word_dropout,
            seed=config.seed,
        )
        self.vocabulary_fingerprint = VOCABULARY.fingerprint
        self.data_fingerprint = data_fingerprint(train, held_out)
        self._batch_size = config.batch_size

    def loss(self, network: nn.Module, batch: TensorBatch, *, progress: float) -> tuple[Tensor, Tensor]:
        """Return (sum, count) of a part of a batch."""
        tokens, channels, targets, noise, shown = batch
        logits, mean, log_variance = network(tokens, channels, noise, shown)
        total, count = cross_entropy(logits, targets)
        kl = gaussian_kl(mean, log_variance, free_bits=self.config.free_bits) * len(tokens)
        return total + self.kl_weight(progress) * kl, count

    def kl_weight(self, progress: float) -> float:
        """Return beta when a share of the run is over."""
        warmup = self.config.kl_warmup
        return self.config.kl_weight * (min(progress / warmup, 1.0) if warmup else 1.0)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return figures of held-out phrases.

        Returns
        -------
        dict
            reconstruction_nats_per_note : cross-entropy with one draw of z for each phrase.
            kl_nats : KL divergence of a phrase's posterior from the prior.
            elbo_nats_per_note : both together, an upper bound on -log likelihood; larger than a sequence network's
                exact figure by the slack of the bound.
            objective_nats_per_note : the same with the KL weighed as at the end of training.
            active_units : latent numbers whose means vary by more than ACTIVE_VARIANCE.
            pitch_accuracy : share of pitches that are most likely when the true notes before are known and z is the
                mean.
        """
        network.eval()
        generator = torch.Generator().manual_seed(0)
        total = kl = 0.0
        num_pitches = num_right = 0
        means: list[Tensor] = []
        for tokens, channels, targets in self._held_out.batches(self._batch_size):
            tokens, channels, targets = tokens.to(device), channels.to(device), targets.to(device)
            noise = torch.randn(len(tokens), self.config.latent_dim, generator=generator).to(device)
            logits, mean, log_variance = network(tokens, channels, noise)
            total += cross_entropy(logits, targets)[0].item()
            kl += gaussian_kl(mean, log_variance).item() * len(tokens)
            means.append(mean)
            chosen = network(tokens, channels)[0].argmax(dim=-1)
            is_pitch = (targets >= PITCH_0) & (targets < DUR_0)
            num_pitches += int(is_pitch.sum())
            num_right += int((chosen == targets)[is_pitch].sum())
        num_notes = int(self._held_out.num_notes.sum())
        variance = torch.cat(means).var(dim=0, unbiased=False)
        return {
            "reconstruction_nats_per_note": total / num_notes,
            "kl_nats": kl / len(self._held_out),
            "elbo_nats_per_note": (total + kl) / num_notes,
            "objective_nats_per_note": (total + self.config.kl_weight * kl) / num_notes,
            "active_units": float((variance > ACTIVE_VARIANCE).sum()),
            "pitch_accuracy": num_right / num_pitches,
        }


def make_network(config: PhraseVaeConfig) -> PhraseVae:
    """Return the network of a run, with fresh weights."""
    sizes = StreamSizes(vocab_size=len(VOCABULARY), num_channel_rows=CHANNELS.num_rows)
    return PhraseVae(config, sizes, num_places=NUM_PLACES)
