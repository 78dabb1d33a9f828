"""Small networks of every family with random weights, and their graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from songwright.engine.builder import Precision
from songwright.engine.graph import build_graph
from songwright.model.config import (
    ConvolutionConfig,
    GruConfig,
    HybridConfig,
    LstmConfig,
    NetworkConfig,
    RnnConfig,
    StreamSizes,
    TransformerConfig,
)
from songwright.model.network import SequenceNetwork
from songwright.training.export import graph_config

VOCAB, ROWS, CHANNELS, HINTS, CONTEXT = 61, 40, 5, 3, 32

_COMMON: dict[str, Any] = {"num_layers": 2, "context_length": CONTEXT, "dropout": 0.25}
_HEADS: dict[str, Any] = {"num_heads": 6, "num_kv_heads": 2, "hidden_dim": 80}
CONFIGS: dict[str, NetworkConfig] = {
    "transformer": TransformerConfig(dim=96, **_HEADS, **_COMMON),
    "hybrid": HybridConfig(dim=96, kernel_size=3, **_HEADS, **_COMMON),
    "convolution": ConvolutionConfig(dim=48, kernel_size=3, **(_COMMON | {"num_layers": 3})),
    "lstm": LstmConfig(dim=48, **_COMMON),
    "gru": GruConfig(dim=48, **_COMMON),
    "rnn": RnnConfig(dim=48, **_COMMON),
}
FAMILIES = tuple(CONFIGS)


def random_network(
    family: str, *, bare: bool = False, std: float = 0.25, config: NetworkConfig | None = None
) -> SequenceNetwork:
    """Return a network without dropout whose weights are large enough to matter; `bare`: no channels, no hints."""
    torch.manual_seed(2)
    sizes = StreamSizes(vocab_size=VOCAB, num_channel_rows=0 if bare else ROWS, num_hints=0 if bare else HINTS)
    network = SequenceNetwork(config or CONFIGS[family], sizes).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return network


def write_graph(network: SequenceNetwork, path: Path, precision: Precision) -> Path:
    """Export a network as `training.export` does."""
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    sizes = graph_config(network, num_channels=CHANNELS)
    path.write_bytes(
        build_graph(weights, sizes, precision=precision, metadata={"fingerprint": "abc"}).SerializeToString()
    )
    return path


def random_songs(batch: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return tokens, channel rows and hints, half of them 0."""
    rng = np.random.default_rng(4)
    hints = rng.integers(0, VOCAB, (batch, length, HINTS)) * rng.integers(0, 2, (batch, length, HINTS))
    return rng.integers(1, VOCAB, (batch, length)), rng.integers(0, ROWS, (batch, length, CHANNELS)), hints
