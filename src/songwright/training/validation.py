"""Likelihood of held-out songs under a network; the figures are those of `training.figures`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from songwright.tokens.streams import Stream
from songwright.training.figures import Totals, is_later
from songwright.training.losses import IGNORED
from songwright.training.task import TensorBatch


@torch.no_grad()
def validate(network: nn.Module, batches: Iterable[TensorBatch], stream: Stream) -> dict[str, float]:
    """Return `training.figures.Totals.figures` of batches of tokens, channels, hints and targets."""
    was_training = network.training
    network.eval()
    totals = Totals(stream)
    for tokens, channels, hints, targets in batches:
        logits = network(tokens, channels, hints)
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
        kept = (targets.flatten() != IGNORED).cpu()
        later = is_later(channels.cpu().numpy(), stream).ravel()
        totals.add(nats.float().cpu()[kept].numpy(), targets.flatten().cpu()[kept].numpy(), later[kept.numpy()])
    network.train(was_training)
    return totals.figures()
