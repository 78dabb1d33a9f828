"""A small LSTM and a small causal convolution on the lead sheet stream, for benchmarks that compare families.

    python benchmarks/small_networks.py CORPUS FOLDER [--minutes 2.5] [--seed 0]

Each reads what the Transformer reads: the token and the summed rows of its side channels. They are trained for a few
minutes on one CPU core, on the training songs alone, to be explained and not to be played: `load` gives them back as
networks of `explanation.likelihood`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from songwright.preparation.shards import open_shard
from songwright.tokens.streams import STREAMS
from songwright.training.batches import IGNORED, WindowSampler, evaluation_batches

STREAM = STREAMS["lead_sheet"]
DIM = 160
WINDOW = 512


class Recurrent(nn.Module):
    """One layer of LSTM (Hochreiter and Schmidhuber, 1997)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(DIM, DIM, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, dim) to the same, no step seeing a later one."""
        return x + self.layer(x)[0]


class Convolutional(nn.Module):
    """Gated causal convolutions of width 3, dilated 1 to 64: each output sees 255 inputs (WaveNet, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.dilations = [2**layer for layer in range(7)]
        self.layers = nn.ModuleList([nn.Conv1d(DIM, 2 * DIM, 3, dilation=dilation) for dilation in self.dilations])

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, dim) to the same, no step seeing a later one."""
        x = x.transpose(1, 2)
        for dilation, layer in zip(self.dilations, self.layers, strict=True):
            x = x + F.glu(layer(F.pad(x, (2 * dilation, 0))), dim=1)
        return x.transpose(1, 2)


FAMILIES: dict[str, type[nn.Module]] = {"lstm": Recurrent, "convolution": Convolutional}


class SmallNetwork(nn.Module):
    """Embeddings, a body of one family, and the output layer that shares the token embedding."""

    def __init__(self, family: str) -> None:
        super().__init__()
        self.tokens = nn.Embedding(len(STREAM.vocabulary), DIM)
        self.channels = nn.EmbeddingBag(STREAM.channels.num_rows, DIM, mode="sum")
        self.body = FAMILIES[family]()
        self.norm = nn.LayerNorm(DIM)
        for table in (self.tokens, self.channels):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, tokens: Tensor, channels: Tensor) -> Tensor:
        """Return logits, shape (batch, time, vocab)."""
        rows = self.channels(channels.flatten(0, 1)).view(*tokens.shape, DIM)
        return self.norm(self.body(self.tokens(tokens) + rows)) @ self.tokens.weight.T

    @torch.no_grad()
    def log_probabilities(
        self, tokens: NDArray[np.integer], channels: NDArray[np.integer], hints: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Return what `explanation.likelihood.Network` asks for."""
        read = [torch.from_numpy(array.astype(np.int64))[None] for array in (tokens, channels)]
        return self(*read)[0].log_softmax(-1).numpy()


class ReachingNetwork(SmallNetwork):
    """A convolution, which says how far it sees."""

    def window_start(self, row: int) -> int:
        """Return the first token that a row depends on."""
        return max(row - 2 * sum(2**layer for layer in range(7)), 0)


def load(path: Path, family: str) -> SmallNetwork:
    """Return a trained network."""
    network = (ReachingNetwork if family == "convolution" else SmallNetwork)(family)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def train(corpus: Path, family: str, *, minutes: float, seed: int) -> tuple[SmallNetwork, dict[str, Any]]:
    """Return a network after so many minutes, and its nats a token on the validation songs."""
    torch.manual_seed(seed)
    network = SmallNetwork(family)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    sampler = WindowSampler(open_shard(corpus, "lead_sheet", "train"), batch_size=16, length=WINDOW, seed=seed)
    began, step = time.perf_counter(), 0
    while (share := (time.perf_counter() - began) / (60 * minutes)) < 1:
        tokens, channels, _, targets = sampler.next_batch()
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 20) * (1 - share)
        loss = F.cross_entropy(network(tokens, channels).flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
    network.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for tokens, channels, _, targets in evaluation_batches(
            open_shard(corpus, "lead_sheet", "validation"), batch_size=16, length=WINDOW
        ):
            logits = network(tokens, channels).flatten(0, 1)
            total += float(F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum"))
            count += int((targets != IGNORED).sum())
    parameters = sum(table.numel() for table in network.parameters())
    figures = {"family": family, "parameters": parameters, "steps": step, "minutes": minutes, "seed": seed}
    return network, {**figures, "validation_nats_per_token": round(total / count, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a prepared corpus of POP909")
    parser.add_argument("folder", type=Path, help="gets FAMILY.pt")
    parser.add_argument("--minutes", type=float, default=2.5, help="training time of each")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        network, figures = train(arguments.corpus, family, minutes=arguments.minutes, seed=arguments.seed)
        torch.save(network.state_dict(), arguments.folder / f"{family}.pt")
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
