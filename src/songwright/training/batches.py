"""Windows of songs as batches of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from songwright.corpus.augmentation import AugmentationConfig, augment
from songwright.preparation.shards import Shard
from songwright.tokens import score as score_tokens
from songwright.tokens.streams import Sequence3, score_sequence
from songwright.training.losses import IGNORED

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""tokens (batch, time), channels (batch, time, num_channels), hints (batch, time, num_hints), targets (batch, time);
targets are -100 where there is nothing to predict."""

Change = Callable[[Sequence3, np.random.Generator], Sequence3]


def augmented(config: AugmentationConfig) -> Change:
    """Return the change that makes of a piece of the stream `score` another one, as `corpus.augmentation` does."""

    def change(song: Sequence3, rng: np.random.Generator) -> Sequence3:
        piece, _ = augment(score_tokens.decode(song[0]), (), config, rng)
        return score_sequence(score_tokens.encode(piece))

    return change


def window(song: Sequence3, start: int, stop: int, length: int) -> tuple[np.ndarray, ...]:
    """Return inputs [start, stop) of a song and their targets, padded to `length`."""
    size = stop - start
    found_tokens, found_channels, found_hints = (array[start : stop + 1] for array in song)
    tokens = np.zeros(length, np.int64)
    channels = np.zeros((length, found_channels.shape[1]), np.int64)
    hints = np.zeros((length, found_hints.shape[1]), np.int64)
    targets = np.full(length, IGNORED, np.int64)
    tokens[:size] = found_tokens[:size]
    channels[:size] = found_channels[:size]
    hints[:size] = found_hints[:size]
    following = found_tokens[1:]
    targets[: len(following)] = following
    return tokens, channels, hints, targets


class WindowSampler:
    """Batches for ever: windows at random places, each song as often as its length asks, in random order.

    Windows reach past a song's ends before they are clipped, so its first and last tokens are seen as often
    as the others.

    Parameters
    ----------
    shard : Shard
    batch_size : int
    length : int
        Tokens in a window.
    seed : int
    change : callable, optional
        Changes the arrays of a song each time it is visited, by a generator it is given.
    """

    def __init__(self, shard: Shard, *, batch_size: int, length: int, seed: int, change: Change | None = None) -> None:
        self._shard, self._batch_size, self._length, self._change = shard, batch_size, length, change
        self._rng = np.random.default_rng(seed)
        self._pending: list[int] = []

    def next_batch(self) -> Batch:
        """Return the next batch."""
        return _stack([self._random_window() for _ in range(self._batch_size)])

    def _random_window(self) -> tuple[np.ndarray, ...]:
        rng, length = self._rng, self._length
        lengths = self._shard.lengths
        if not self._pending:
            visits = np.maximum(lengths / length + rng.random(len(lengths)), 1).astype(int)
            self._pending = rng.permutation(np.repeat(np.arange(len(lengths)), visits)).tolist()
        song = self._shard.read(self._pending.pop())
        if self._change is not None:
            song = self._change(song, np.random.default_rng(int(rng.integers(2**63))))
        room = max(len(song[0]) - length, 0)
        offset = min(max(int(rng.integers(-length // 2, room + length // 2 + 1)), 0), room)
        return window(song, offset, min(offset + length, len(song[0])), length)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on exactly here."""
        return {"rng": self._rng.bit_generator.state, "pending": self._pending}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._rng.bit_generator.state = state["rng"]
        self._pending = list(state["pending"])


def _stack(rows: list[tuple[np.ndarray, ...]]) -> Batch:
    tokens, channels, hints, targets = (torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
    return tokens, channels, hints, targets


def evaluation_batches(shard: Shard, *, batch_size: int, length: int) -> Iterator[Batch]:
    """Yield every song once: windows of `length` that advance by half of it, targets only where not yet counted."""
    rows: list[tuple[np.ndarray, ...]] = []
    for number, end in enumerate(shard.lengths.tolist()):
        song = shard.read(number)
        begin, counted = 0, 0
        while counted < end - 1:
            stop = min(begin + length, end)
            tokens, channels, hints, targets = window(song, begin, stop, length)
            targets[: counted - begin] = IGNORED
            rows.append((tokens, channels, hints, targets))
            counted = stop
            begin += length // 2
            if len(rows) == batch_size:
                yield _stack(rows)
                rows = []
    if rows:
        yield _stack(rows)
