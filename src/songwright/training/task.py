"""What a run learns, as the trainer sees it: a network, batches, a loss, and figures of held-out music.

The trainer knows schedules, checkpoints and processes; a task knows the data and what is asked of the network.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

TensorBatch = tuple[Tensor, ...]
"""Tensors whose first axis is the sequences of the batch."""


class Sampler(Protocol):
    """Batches for ever, the same ones again from the same state."""

    def next_batch(self) -> TensorBatch:
        """Return the next batch, on the CPU."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on exactly here: numbers, strings, lists and dicts only."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        ...


class Task(Protocol):
    """A network and what it is trained for.

    Attributes
    ----------
    vocabulary_fingerprint, data_fingerprint : str
        Of the tokens and of the corpus, for checkpoints.
    criterion : str
        The figure of `validate` that tells the best checkpoint, the lower the better.
    """

    vocabulary_fingerprint: str
    data_fingerprint: str
    criterion: str

    @property
    def network(self) -> nn.Module:
        """What is trained, with fresh weights."""
        ...

    @property
    def sampler(self) -> Sampler:
        """What it is trained on."""
        ...

    def loss(self, network: nn.Module, batch: TensorBatch, *, progress: float) -> tuple[Tensor, Tensor]:
        """Return (sum, count) of a part of a batch; the loss is the sum over all parts divided by the count over all.

        Parameters
        ----------
        network : nn.Module
            `self.network`, or a wrapper that spreads it over processes; called, never looked into.
        batch : tuple of Tensor
            On the device of the network.
        progress : float
            Share of the run that is over, 0 to 1.
        """
        ...

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return figures of held-out music under a network of averaged weights; it may be put into evaluation mode."""
        ...
