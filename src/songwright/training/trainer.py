"""The training loop: optimizer, schedule, averaged weights, checkpoints."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from songwright.config import from_mapping
from songwright.errors import InputError, OutputError, TrainingError
from songwright.model.transformer import Transformer, TransformerConfig
from songwright.preparation.shards import open_shard
from songwright.tokens.channels import NUM_REFERENCES
from songwright.tokens.streams import STREAMS, Stream
from songwright.training.batches import IGNORED, WindowSampler, augmented, evaluation_batches
from songwright.training.config import TrainingConfig
from songwright.training.validation import validate


def build_network(config: TrainingConfig) -> Transformer:
    """Return the network of a run, with fresh weights."""
    stream = STREAMS[config.stream]
    return Transformer(
        TransformerConfig(
            vocab_size=len(stream.vocabulary),
            num_channel_rows=stream.channels.num_rows,
            num_hints=stream.num_hints,
            **asdict(config.network),
        )
    )


def make_optimizers(network: Transformer, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Return Muon [1]_ for the matrices of the blocks and AdamW for embeddings, norms and the copy gate.

    References
    ----------
    .. [1] Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; learning rate scaled to
       AdamW's as in Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982, 2025.
    """
    options = config.optimizer
    matrices = [parameter for parameter in network.blocks.parameters() if parameter.ndim == 2]
    chosen = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    return [
        torch.optim.Muon(
            matrices,
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def learning_rate_factor(step: int, done: float, config: TrainingConfig) -> float:
    """Return the share of the peak learning rate: linear warm-up over steps, linear decay to zero over the run.

    Parameters
    ----------
    step : int
        Steps taken.
    done : float
        Share of the run that is over, 0 to 1.
    """
    warmup = config.optimizer.warmup_steps
    return min((step + 1) / warmup if warmup else 1.0, max(0.0, 1.0 - done))


class Trainer:
    """One run: `train()` goes from where the checkpoint stands to the last step.

    Parameters
    ----------
    config : TrainingConfig
    corpus : Path
        A prepared corpus.
    out : Path
        Folder for `last.pt`, `best.pt` and `log.csv`.
    report : callable
        Called with one line of text at each validation and now and then between.
    resume : bool
        Go on from `last.pt` in `out`.
    """

    def __init__(
        self, config: TrainingConfig, corpus: Path, out: Path, *, report: Callable[[str], None], resume: bool = False
    ) -> None:
        torch.manual_seed(config.seed)
        if config.num_threads:
            torch.set_num_threads(config.num_threads)
        self.config, self.out, self.report = config, out, report
        self.stream: Stream = STREAMS[config.stream]
        self.shard = open_shard(corpus, config.stream, "train", sources=config.sources)
        self.held_out = open_shard(corpus, config.stream, "validation", sources=config.sources)
        if not self.shard.num_tokens or not self.held_out.num_tokens:
            raise InputError(f"{corpus}: no songs to train on or to validate with; prepare a larger corpus")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = build_network(config).to(self.device)
        self.average = build_network(config).to(self.device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizers = make_optimizers(self.network, config)
        self.step = 0
        self.seconds = 0.0
        self.best = float("inf")
        self.sampler = WindowSampler(
            self.shard,
            batch_size=config.batch_size,
            length=config.network.context_length,
            seed=config.seed,
            change=augmented(config.augmentation) if config.augment else None,
        )
        out.mkdir(parents=True, exist_ok=True)
        if resume:
            self._load(out / "last.pt")

    def train(self) -> dict[str, float]:
        """Run to the last step; return the figures of the last validation."""
        config = self.config
        figures: dict[str, float] = {}
        began, tokens_seen, running = time.monotonic(), 0, 0.0
        self.network.train()
        while self.done < 1:
            step_began = time.monotonic()
            tokens, channels, hints, targets = (tensor.to(self.device) for tensor in self.sampler.next_batch())
            if config.channel_dropout and self.stream.num_hints:
                channels, hints = self._drop_references(channels, hints)
            factor = learning_rate_factor(self.step, self.done, config)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = config.optimizer.learning_rate * factor
            with torch.autocast(self.device.type, torch.bfloat16):
                logits = self.network(tokens, channels, hints)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.optimizer.clip_norm)
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            self._update_average()
            self.step += 1
            value = loss.item()
            self.seconds += time.monotonic() - step_began
            if not np.isfinite(value):
                raise TrainingError(
                    f"{self.out}: the loss is not a number at step {self.step}; lower optimizer.learning_rate "
                    "and go on from last.pt with --resume"
                )
            running = value if tokens_seen == 0 else 0.98 * running + 0.02 * value
            tokens_seen += int((targets != IGNORED).sum())
            pace = tokens_seen / (time.monotonic() - began)
            if self.step % 50 == 0:
                left = self.seconds / self.done * (1 - self.done) / 60
                self.report(f"step {self.step}  loss {running:.3f}  {pace:,.0f} tokens/s  {left:.0f} min left")
            if self.step % config.validate_every == 0 or self.done >= 1:
                figures = self.validate()
                self._log({"step": self.step, "train_nats_per_token": running, **figures})
                self.report(
                    "  ".join([f"step {self.step}", *(f"{name} {value:.3f}" for name, value in figures.items())])
                )
                # The best first: a run that is resumed from last.pt then knows how good best.pt is.
                if figures["nats_per_token"] < self.best:
                    self.best = figures["nats_per_token"]
                    self._save(self.out / "best.pt")
                self._save(self.out / "last.pt")
        return figures

    @property
    def done(self) -> float:
        """Share of the run that is over, 0 to 1: of its minutes if it has any, else of its steps."""
        if self.config.minutes:
            return self.seconds / (60 * self.config.minutes)
        return self.step / self.config.num_steps

    def validate(self) -> dict[str, float]:
        """Return the figures of the averaged weights on the validation songs."""
        length = self.config.network.context_length
        batches = evaluation_batches(self.held_out, batch_size=self.config.batch_size, length=length)
        moved = (tuple(tensor.to(self.device) for tensor in batch) for batch in batches)
        return validate(self.average, moved, self.stream)  # pyright: ignore[reportArgumentType]

    def _drop_references(self, channels: torch.Tensor, hints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Hide references, each sequence and reference on its own, as if the bar had none."""
        dropped = torch.rand(len(channels), 1, NUM_REFERENCES, device=channels.device) < self.config.channel_dropout
        for column, (name, offset) in enumerate(
            zip(self.stream.channels.names, self.stream.channels.offsets, strict=True)
        ):
            if name.startswith("reference_"):
                reference = int(name.split("_")[1])
                channels[..., column] = torch.where(dropped[..., reference], offset, channels[..., column])
        return channels, torch.where(dropped, 0, hints)

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows closely, so that it does not carry the initial weights along.
        decay = min(self.config.optimizer.average_decay, (1 + self.step) / (10 + self.step))
        for averaged, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
            averaged.lerp_(current, 1 - decay)

    def _log(self, row: dict[str, float]) -> None:
        path = self.out / "log.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(
                {name: f"{value:.5g}" if isinstance(value, float) else value for name, value in row.items()}
            )

    def _save(self, path: Path) -> None:
        state: dict[str, Any] = {
            "config": asdict(self.config),
            "fingerprint": self.stream.vocabulary.fingerprint,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "sampler": self.sampler.state(),
            "torch_rng": torch.get_rng_state(),
        }
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            torch.save(state, temporary)
            os.replace(temporary, path)
        except (OSError, RuntimeError) as error:  # torch says RuntimeError where the disk is full
            raise OutputError(f"{path}: the checkpoint cannot be written; free some space and --resume") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        state = load_checkpoint(path, stream=self.stream)
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{path}: of a network of other sizes; resume with the config of that run") from error
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.sampler.restore(state["sampler"])
        torch.set_rng_state(state["torch_rng"])


def load_checkpoint(path: Path, *, stream: Stream | None = None) -> dict[str, Any]:
    """Return a checkpoint's content.

    Raises
    ------
    InputError
        If the file is missing or damaged, or its vocabulary is not that of `stream`.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no checkpoint here; train first, or leave out --resume") from error
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InputError(f"{path}: not a readable checkpoint; use best.pt or an earlier one") from error
    if not isinstance(state, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"{path}: not a readable checkpoint; use best.pt or an earlier one")
    if stream is not None and state.get("fingerprint") != stream.vocabulary.fingerprint:
        raise InputError(f"{path}: trained with another vocabulary than {stream.name} of this version; train anew")
    return state


def load_network(path: Path) -> tuple[Transformer, TrainingConfig]:
    """Return the averaged network of a checkpoint, ready to evaluate, and the run's config.

    Raises
    ------
    ConfigError, InputError
        If the file is missing or damaged, or of another version.
    """
    state = load_checkpoint(path)
    try:
        config = from_mapping(TrainingConfig, state["config"], where=str(path))
        network = build_network(config)
        network.load_state_dict(state["average"])
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{path}: no checkpoint of this version of songwright; train anew") from error
    return network.eval(), config
