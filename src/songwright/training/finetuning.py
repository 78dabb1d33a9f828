"""From weights that know one music to weights that know yours: a short run that watches what it forgets and copies.

The music of a folder is split by pieces: most to learn from, some to tell when to stop (validation), some that nothing
was chosen by (test), on which the result is told. A small folder whose split left a side nearly empty is split anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from songwright.errors import InputError
from songwright.preparation.shards import Shard, open_shard
from songwright.tokens.streams import STREAMS
from songwright.training.batches import evaluation_batches
from songwright.training.config import OptimizerConfig, TrainingConfig
from songwright.training.networks import build_network, load_network
from songwright.training.sequences import SequenceTask
from songwright.training.starting import read_start
from songwright.training.trainer import Trainer, has_bfloat16
from songwright.training.validation import validate

MIN_PIECES = 8
"""Pieces below which nothing is learned that is not copied."""
FEW_PIECES = 50
"""Pieces below which a warning is given."""
OVERFITTED = 0.15
"""Nats a token by which held-out music may be worse than training music before it is said."""


@dataclass(frozen=True)
class Finetuning:
    """What became of one stream.

    Attributes
    ----------
    stream : str
    num_pieces : tuple of int
        Pieces learned from, validated with, and held out to the end.
    before, after : dict of str to float
        Figures of the held-out pieces (`training.figures`).
    gap : float
        Nats a token that validation music is worse than training music at the end.
    steps : int
    checkpoint : Path
    """

    stream: str
    num_pieces: tuple[int, int, int]
    before: dict[str, float]
    after: dict[str, float]
    gap: float
    steps: int
    checkpoint: Path

    @property
    def improvement(self) -> float:
        """Share of the nats a note that is saved."""
        return 1 - self.after["nats_per_note"] / self.before["nats_per_note"]

    def warnings(self) -> list[str]:
        """Return what the user should know, a sentence each."""
        found: list[str] = []
        if sum(self.num_pieces) < FEW_PIECES:
            found.append(
                f"{sum(self.num_pieces)} pieces are little: expect your phrases to come back; {FEW_PIECES} or more "
                "are better"
            )
        if self.gap > OVERFITTED:
            found.append(
                f"the {self.stream} network knows its training pieces better than others by {self.gap:.2f} nats a "
                "token: it has begun to learn them by heart"
            )
        if self.improvement <= 0:
            found.append(
                f"your held-out pieces gained nothing from the {self.stream} network: the old weights serve as well"
            )
        return found


def split_pieces(corpus: Path, stream: str) -> tuple[Shard, Shard, Shard]:
    """Return (train, validation, test) of a stream, split anew where the corpus's split left one with under two pieces.

    Raises
    ------
    InputError
        If there are fewer than MIN_PIECES pieces.
    """
    sides = [open_shard(corpus, stream, split) for split in ("train", "validation", "test")]
    counts = [len(np.unique(side.pieces)) for side in sides]
    if sum(counts) < MIN_PIECES:
        raise InputError(
            f"{corpus}: {sum(counts)} usable pieces for {stream} are too little to learn from; give at least "
            f"{MIN_PIECES}, better {FEW_PIECES} (files.csv says why files were left out)"
        )
    if min(counts[1:]) >= 2:
        return sides[0], sides[1], sides[2]
    whole = sides[0].join(sides[1]).join(sides[2])
    order = sorted(set(whole.pieces.tolist()), key=lambda piece: hashlib.sha256(str(piece).encode()).digest())
    held_out = max(2, len(order) // 10)
    kept = np.isin(whole.pieces, order[:held_out]), np.isin(whole.pieces, order[held_out : 2 * held_out])
    return whole.select(~(kept[0] | kept[1])), whole.select(kept[0]), whole.select(kept[1])


def finetune(
    corpus: Path,
    stream: str,
    start: Path,
    out: Path,
    *,
    minutes: float,
    seed: int = 0,
    num_threads: int = 0,
    report: Callable[[str], None],
) -> Finetuning:
    """Train weights on the music of a corpus.

    Parameters
    ----------
    corpus : Path
        A prepared corpus.
    stream : str
    start : Path
        `best.pt` of a run or `STREAM.fp32.onnx`.
    out : Path
        Folder of the run.
    minutes : float
        Time budget; the run stops earlier where held-out music no longer gains.
    seed : int
    num_threads : int
        0 for all cores.
    report : callable
        Called with lines of text.

    Raises
    ------
    ConfigError, InputError, OutputError, TrainingError
        As `Trainer`; also if there are too few pieces.
    KeyboardInterrupt
        If a signal ended the run: nothing is made of half of it.
    """
    shards = split_pieces(corpus, stream)
    # Few pieces are learned by heart sooner: more dropout for them.
    num_pieces = tuple(len(np.unique(shard.pieces)) for shard in shards)
    dropout = 0.3 if num_pieces[0] < 200 else 0.2
    network, weights = read_start(start, stream=stream, dropout=dropout)
    steps_an_epoch = max(shards[0].num_tokens // (16 * network.context_length), 1)
    config = TrainingConfig(
        stream=stream,
        seed=seed,
        minutes=minutes,
        num_threads=num_threads,
        validate_every=min(max(steps_an_epoch, 15), 100),
        patience=4,
        channel_dropout=0.15,
        network=network,
        optimizer=OptimizerConfig(learning_rate=0.002, warmup_steps=20, average_decay=0.97),
    )
    task = SequenceTask(config, corpus, shards=(shards[0], shards[1]))
    before = _measure(start, config, shards[2], weights)
    trainer = Trainer(config, corpus, out, report=report, initial_weights=weights, task=task)
    trainer.validate_and_save()  # the old weights win where nothing is better
    trainer.train()
    if trainer.is_interrupted:
        raise KeyboardInterrupt
    best, _ = load_network(out / "best.pt")
    after = _figures(best, config, shards[2])
    seen = _figures(best, config, shards[0].select(np.arange(len(shards[0])) % max(len(shards[0]) // 20, 1) == 0))
    gap = _figures(best, config, shards[1])["nats_per_token"] - seen["nats_per_token"]
    return Finetuning(
        stream,
        (num_pieces[0], num_pieces[1], num_pieces[2]),
        before,
        after,
        gap,
        trainer.step,
        out / "best.pt",
    )


def _measure(start: Path, config: TrainingConfig, shard: Shard, weights: dict[str, torch.Tensor]) -> dict[str, float]:
    network = build_network(config)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{start}: of other sizes than this version's {config.stream}; train anew") from error
    return _figures(network.eval(), config, shard)


def _figures(network: torch.nn.Module, config: TrainingConfig, shard: Shard) -> dict[str, float]:
    batches = evaluation_batches(shard, batch_size=config.batch_size, length=config.network.context_length)  # pyright: ignore
    with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16(torch.device("cpu"))):
        return validate(network, batches, STREAMS[config.stream])
