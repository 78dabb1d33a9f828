"""Weights to start from: a checkpoint, or a Transformer that was exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from songwright.engine.weights_file import StoredWeights, read_weights
from songwright.errors import InputError
from songwright.model.config import TransformerConfig
from songwright.tokens.streams import STREAMS
from songwright.training.networks import load_network

StateDict = dict[str, Tensor]


def read_start(path: Path, *, stream: str, dropout: float) -> tuple[TransformerConfig, StateDict]:
    """Return the sizes and the weights of a network that learned a stream.

    Parameters
    ----------
    path : Path
        `best.pt` of a run, or `STREAM.fp32.onnx` of a style (8 bits are widened, and cost a little).
    stream : str
        What it must have learned.
    dropout : float
        Of the network that is to be trained on.

    Raises
    ------
    InputError, WeightsError
        If the file is missing, damaged, or of another stream or vocabulary.
    """
    if path.suffix == ".pt":
        network, config = load_network(path)
        if config.stream != stream or not isinstance(config.network, TransformerConfig):
            raise InputError(
                f"{path}: learned {config.stream} with a {config.network.family}; start from a Transformer"
            )
        values = {name: value for name, value in vars(config.network).items() if name not in ("family", "dropout")}
        return TransformerConfig(**values, dropout=dropout), dict(network.state_dict())
    stored = read_weights(path)
    if stored.metadata.get("fingerprint") != STREAMS[stream].vocabulary.fingerprint:
        raise InputError(f"{path}: its vocabulary is not that of {stream} in this version; name other weights")
    return sizes_of(stored, dropout=dropout), state_dict(stored)


def sizes_of(stored: StoredWeights, *, dropout: float) -> TransformerConfig:
    """Return the sizes of an exported Transformer."""
    config = stored.config
    return TransformerConfig(
        dim=config.dim,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        hidden_dim=stored.arrays["blocks.0.gate_up.weight"].shape[1] // 2,
        context_length=config.context_length,
        dropout=dropout,
    )


def state_dict(stored: StoredWeights) -> StateDict:
    """Return the weights of an exported Transformer under the names of `model.network`: `engine.graph` undone."""
    arrays, config = stored.arrays, stored.config
    found = {
        "token_embedding.weight": arrays["token_embedding.weight"],
        "output_norm.weight": arrays["output_norm.weight"],
    }
    if config.num_channels:
        found["channel_embedding.weight"] = arrays["channel_rows.weight"]
    if config.num_hints:
        found["copy_gate.weight"] = arrays["output.weight"].T[config.vocab_size :]
        found["copy_gate.bias"] = arrays["copy_gate.bias"]
    kv_dim = config.num_kv_heads * config.head_dim
    for layer in range(config.num_layers):
        block = f"blocks.{layer}"
        places = np.cumsum([config.dim, kv_dim])
        packed = np.split(arrays[f"{block}.qkv.weight"].T, places)
        for name, matrix in zip(("query", "key", "value"), packed, strict=True):
            found[f"{block}.attention.{name}.weight"] = matrix
        found[f"{block}.attention.output.weight"] = arrays[f"{block}.output.weight"].T
        for name, matrix in zip(("gate", "up"), np.split(arrays[f"{block}.gate_up.weight"].T, 2), strict=True):
            found[f"{block}.feed_forward.{name}.weight"] = matrix
        found[f"{block}.feed_forward.down.weight"] = arrays[f"{block}.down.weight"].T
        for name in ("attention_norm", "feed_forward_norm"):
            found[f"{block}.{name}.weight"] = arrays[f"{block}.{name}.weight"]
    return {name: torch.from_numpy(np.array(array)) for name, array in found.items()}
