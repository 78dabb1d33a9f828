"""What everything that decodes has in common: sequences that keep positions of their own, but step together."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

Logits = NDArray[np.float32]


class SequenceDecoder(ABC):
    """Logits of the next token of `batch_size` sequences; a finished one may be fed any valid token.

    Parameters
    ----------
    batch_size : int
        Sequences decoded together.
    max_length : int
        Longest sequence, in tokens.
    """

    def __init__(self, *, batch_size: int, max_length: int) -> None:
        if batch_size < 1 or max_length < 1:
            raise ValueError(f"batch_size and max_length must be at least 1, got {batch_size} and {max_length}")
        self.batch_size, self.max_length = batch_size, max_length
        self._tokens = np.zeros((batch_size, max_length), dtype=np.int64)
        self._positions = np.zeros(batch_size, dtype=np.int64)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Tokens fed to each sequence, shape (batch,)."""
        return self._positions.copy()

    @abstractmethod
    def step(self, tokens: ArrayLike, channels: ArrayLike | None = None, hints: ArrayLike | None = None) -> Logits:
        """Feed one token to each sequence and return the logits of the next, shape (batch, vocab)."""

    @abstractmethod
    def prefill(self, tokens: ArrayLike, channels: ArrayLike | None = None, hints: ArrayLike | None = None) -> Logits:
        """Feed several tokens to each sequence; the logits are those that as many steps would return."""

    def rewind(self, lengths: int | ArrayLike) -> None:
        """Go back to where each sequence had as many tokens as given (one number for all, or one for each).

        Raises
        ------
        ValueError
            If a sequence has fewer tokens.
        """
        wanted = np.broadcast_to(np.asarray(lengths, dtype=np.int64), self._positions.shape)
        if (wanted < 0).any() or (wanted > self._positions).any():
            raise ValueError(f"cannot rewind to {lengths}: the sequences have {self._positions.tolist()} tokens")
        self._positions[:] = wanted

    def reset(self) -> None:
        """Forget everything that was fed."""
        self.rewind(0)

    def _require_room(self, time: int) -> None:
        if int(self._positions.max()) + time > self.max_length:
            raise ValueError(f"a sequence cannot exceed max_length, {self.max_length} tokens")
