"""Windows of songs as batches of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from songwright.preparation.shards import Shard

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""tokens (batch, time), channels (batch, time, num_channels), hints (batch, time, num_hints), targets (batch, time);
targets are -100 where there is nothing to predict."""

IGNORED = -100


def window(shard: Shard, song: int, start: int, stop: int, length: int) -> tuple[np.ndarray, ...]:
    """Return inputs [start, stop) of a song and their targets, padded to `length`."""
    size = stop - start
    found_tokens, found_channels, found_hints = shard.read(song, start, stop + 1)
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
    """

    def __init__(self, shard: Shard, *, batch_size: int, length: int, seed: int) -> None:
        self._shard, self._batch_size, self._length = shard, batch_size, length
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
        song = self._pending.pop()
        room = max(int(lengths[song]) - length, 0)
        offset = min(max(int(rng.integers(-length // 2, room + length // 2 + 1)), 0), room)
        return window(self._shard, song, offset, min(offset + length, int(lengths[song])), length)

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
    for song, end in enumerate(shard.lengths.tolist()):
        begin, counted = 0, 0
        while counted < end - 1:
            stop = min(begin + length, end)
            tokens, channels, hints, targets = window(shard, song, begin, stop, length)
            targets[: counted - begin] = IGNORED
            rows.append((tokens, channels, hints, targets))
            counted = stop
            begin += length // 2
            if len(rows) == batch_size:
                yield _stack(rows)
                rows = []
    if rows:
        yield _stack(rows)
