"""How many numbers a network has, and which sizes give a wanted number, without PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log
from typing import Any

from songwright.errors import ConfigError
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

_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
MIN_SIZE, MAX_SIZE = 100_000, 2_000_000_000


def parse_size(text: str) -> int:
    """Read a number of parameters, such as 6M, 2.5M or 500k.

    Raises
    ------
    ConfigError
        If it is no number, or no network has it.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmb]?)", text.strip().lower())
    size = round(float(match.group(1)) * _UNITS[match.group(2)]) if match else 0
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ConfigError(f"--size {text}: give a number of parameters from 100k to 2B, such as 1M, 6M, 25M or 100M")
    return size


def count_parameters(config: NetworkConfig, sizes: StreamSizes) -> int:
    """Return how many numbers the network of a config has; those of `model.network.SequenceNetwork`."""
    dim = config.dim
    outside = (sizes.vocab_size + sizes.num_channel_rows + 1) * dim + sizes.num_hints * (dim + 1)
    return outside + config.num_layers * _COUNTS[config.family](config)


def _count_transformer(config: Any) -> int:
    dim, kv = config.dim, config.num_kv_heads * config.head_dim
    return 2 * dim * dim + 2 * dim * kv + 3 * dim * config.hidden_dim + 2 * dim


def _count_hybrid(config: Any) -> int:
    return _count_transformer(config) + 2 * config.kernel_size * config.dim


def _count_convolution(config: Any) -> int:
    return 2 * config.kernel_size * config.dim**2 + 2 * config.dim + config.dim**2 + config.dim


def _count_recurrent(num_gates: int) -> Callable[[Any], int]:
    return lambda config: num_gates * (2 * config.dim**2 + 2 * config.dim)


_COUNTS: dict[str, Callable[[Any], int]] = {
    "transformer": _count_transformer,
    "hybrid": _count_hybrid,
    "convolution": _count_convolution,
    "rnn": _count_recurrent(1),
    "gru": _count_recurrent(3),
    "lstm": _count_recurrent(4),
}

SIZED_FAMILIES = tuple(_COUNTS)


def sized(family: str, num_parameters: int, sizes: StreamSizes, **options: Any) -> NetworkConfig:
    """Return a config of a family with about so many parameters, embeddings included.

    Depth and width grow together: a Transformer is about 32 times as wide as deep below 10 million parameters and 64
    times above; recurrent networks have two layers, convolutions as many as see a whole window.

    Parameters
    ----------
    family : str
        One of `SIZED_FAMILIES`.
    num_parameters : int
    sizes : StreamSizes
    **options
        Further fields of the config, such as `dropout`.

    Raises
    ------
    ConfigError
        If the family has no sizes to choose.
    """
    if family not in _COUNTS:
        raise ConfigError(f"--size does not fit {family}; it fits {', '.join(SIZED_FAMILIES)}")

    def distance(candidate: tuple[NetworkConfig, float]) -> float:
        config, penalty = candidate
        return abs(log(count_parameters(config, sizes) / num_parameters)) + penalty

    config, _ = min(_candidates(family, num_parameters), key=distance)
    return replace(config, **options)


def _candidates(family: str, num_parameters: int) -> Iterator[tuple[NetworkConfig, float]]:
    """Yield configs of all sizes, and how unusual their shapes are."""
    if family in ("transformer", "hybrid"):
        kind = TransformerConfig if family == "transformer" else HybridConfig
        wanted = 32 if num_parameters < 10_000_000 else 64
        for dim in range(64, 4097, 64):
            heads = dim // 64
            kv_heads = 1 if heads < 5 else max(share for share in (1, 2, 4) if heads % share == 0 and share < heads)
            hidden_dim = max(round(dim * 8 / 3 / 64), 1) * 64
            for num_layers in range(2, 49):
                yield (
                    kind(dim=dim, num_layers=num_layers, num_heads=heads, num_kv_heads=kv_heads, hidden_dim=hidden_dim),
                    0.3 * abs(log(dim / num_layers / wanted)),
                )
    elif family == "convolution":
        for dim in range(32, 4097, 32):
            yield ConvolutionConfig(dim=dim, num_layers=12), 0.0
    else:
        kinds = {"rnn": RnnConfig, "gru": GruConfig, "lstm": LstmConfig}
        for dim in range(32, 8193, 32):
            yield kinds[family](dim=dim, num_layers=2), 0.0
