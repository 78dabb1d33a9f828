"""The Transformer as an ONNX graph that decodes into a key-value buffer shared by past and present.

Knows arrays and node types only; nothing of files, sessions or PyTorch. Weights carry the names and the layout
(outputs, inputs) of the state dict of `model.transformer`.

Written by hand, not traced: a step of a small network is mostly the cost of starting nodes. A block has ten:
query, key and value are one product, gate and up another, the residual sum is inside the norm, rotary positions and
the cache are inside `GroupQueryAttention` [1]_. All channel rows are one look-up and one sum; the copy gate is six more
columns of the output layer.

Inputs (axes: `batch`; `time`; `window`, the length of the cache in tokens)

    tokens                     int64 (batch, time)
    channels                   int64 (batch, time, num_channels)   rows of the channel table; absent without channels
    hints                      int64 (batch, time, num_hints)      hinted tokens, 0 for none; absent without hints
    seqlens_k                  int32 (batch,)                      tokens in the cache after this call, less one
    total_sequence_length      int32 ()                            tokens in the fullest cache after this call
    cos, sin                   float32 (positions, head_dim / 2)   rotary tables, positions >= window
    past_key_I, past_value_I   float32 (batch, num_kv_heads, window, head_dim), I = 0 .. num_layers - 1

Outputs: logits, float32 (batch, time, vocab), and present_key_I, present_value_I, to be bound to the memory of the
past. `time` may exceed 1 where the caches are empty (a prompt), or where batch is 1.

References
----------
.. [1] ONNX Runtime, "Contrib Operators", domain com.microsoft.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Weights = Mapping[str, NDArray[np.float32]]
Precision = Literal["fp32", "int8"]

METADATA_KEY = "songwright"
"""Name of the metadata property that holds the description of a graph, as JSON."""

_CONTRIB = "com.microsoft"
# Weights are scaled in blocks of 64 inputs: at dim 192 a step takes 103 µs, with 32 or 128 it takes 108 µs.
_BLOCK_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """Sizes of the network, as the graph and the session need them."""

    vocab_size: int
    """Tokens."""
    num_channels: int
    """Rows of the channel table summed at each step; 0 for none."""
    num_hints: int
    """Hinted tokens a step; 0 for none."""
    dim: int
    """Model width."""
    num_layers: int
    """Blocks."""
    num_heads: int
    """Query heads."""
    num_kv_heads: int
    """Key and value heads."""
    context_length: int
    """Longest sequence the network was trained to attend to, in tokens."""
    norm_epsilon: float
    """Added to the mean square under the root of each norm."""
    rotary_base: float
    """Base of the rotary frequencies."""

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.dim // self.num_heads


def quantize_blocks(weight: NDArray[np.float32], block_size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a matrix as bytes with one scale for each block of inputs: weight is about (bytes - 128) * scale.

    Parameters
    ----------
    weight : ndarray, shape (outputs, inputs)
    block_size : int
        Inputs that share a scale.

    Returns
    -------
    bytes : ndarray of uint8, shape (outputs, blocks, block_size)
        Padded with 128, that is zero, up to whole blocks.
    scales : ndarray of float32, shape (outputs, blocks)
    """
    outputs, inputs = weight.shape
    blocks = -(-inputs // block_size)
    padded = np.zeros((outputs, blocks * block_size), dtype=np.float32)
    padded[:, :inputs] = weight
    padded = padded.reshape(outputs, blocks, block_size)
    scales = np.abs(padded).max(axis=-1) / 127
    divisor = np.where(scales > 0, scales, 1)[..., None]
    return (np.rint(padded / divisor) + 128).astype(np.uint8), scales.astype(np.float32)


class _Builder:
    """Nodes and constants of a graph under construction. Methods return the name of the value they add."""

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], domain=domain, **attributes))
        return outputs[0]

    def table(self, name: str, weight: NDArray[np.float32], rows: str) -> str:
        """Look rows up in an embedding."""
        from onnx import TensorProto

        if self.precision == "fp32":
            return self.node("Gather", [self.constant(f"{name}.weight", weight), rows], [name])
        # Stored in half the space; the session widens it once, when it loads the graph.
        half = self.constant(f"{name}.weight", weight.astype(np.float16))
        return self.node("Gather", [self.node("Cast", [half], [f"{name}.wide"], to=TensorProto.FLOAT), rows], [name])

    def linear(self, name: str, x: str, weight: NDArray[np.float32], *, output: str | None = None) -> str:
        """Multiply by `weight`, shape (outputs, inputs)."""
        output = output or name
        if self.precision == "fp32":
            return self.node("MatMul", [x, self.constant(f"{name}.weight", weight.T)], [output])
        quantized, scales = quantize_blocks(weight, _BLOCK_SIZE)
        operands = [x, self.constant(f"{name}.weight", quantized), self.constant(f"{name}.scale", scales)]
        # Accuracy level 4 quantizes x to 8 bits too, each row and block on its own: a sequence does not depend on
        # the others of its batch, as it would with DynamicQuantizeMatMul's one scale for all.
        sizes = {"K": weight.shape[1], "N": weight.shape[0], "bits": 8, "block_size": _BLOCK_SIZE, "accuracy_level": 4}
        return self.node("MatMulNBits", operands, [output], domain=_CONTRIB, **sizes)


def build_graph(
    weights: Weights, config: GraphConfig, *, precision: Precision = "fp32", metadata: Mapping[str, Any] | None = None
) -> onnx.ModelProto:
    """Return the network as an ONNX model.

    Parameters
    ----------
    weights : mapping of str to ndarray
        The state dict of `model.transformer.Transformer` as float32 arrays.
    config : GraphConfig
    precision : {"fp32", "int8"}
        int8 stores matrices as bytes with a scale for 64 inputs and multiplies in 8 bits; embeddings become float16.
    metadata : mapping, optional
        Facts about the weights, stored beside `config` and `precision` in the property `METADATA_KEY`.

    Returns
    -------
    onnx.ModelProto
    """
    from onnx import TensorProto, helper

    graph = _Builder(precision)
    cache = ["batch", config.num_kv_heads, "window", config.head_dim]
    shapes: dict[str, tuple[int, list[Any]]] = {"tokens": (TensorProto.INT64, ["batch", "time"])}
    if config.num_channels:
        shapes["channels"] = (TensorProto.INT64, ["batch", "time", config.num_channels])
    if config.num_hints:
        shapes["hints"] = (TensorProto.INT64, ["batch", "time", config.num_hints])
    shapes["seqlens_k"] = (TensorProto.INT32, ["batch"])
    shapes["total_sequence_length"] = (TensorProto.INT32, [])
    shapes["cos"] = shapes["sin"] = (TensorProto.FLOAT, ["positions", config.head_dim // 2])
    results: dict[str, tuple[int, list[Any]]] = {"logits": (TensorProto.FLOAT, ["batch", "time", config.vocab_size])}

    residual = graph.table("token_embedding", weights["token_embedding.weight"], "tokens")
    branch = ""
    if config.num_channels:
        rows = graph.table("channel_rows", weights["channel_embedding.weight"], "channels")
        axis = graph.constant("channel_axis", np.array([2], dtype=np.int64))
        branch = graph.node("ReduceSum", [rows, axis], ["channel_embedding"], keepdims=0)
    for layer in range(config.num_layers):
        block = f"blocks.{layer}"
        x, residual = _norm(graph, f"{block}.attention_norm", residual, branch, weights, config)
        packed = np.concatenate([weights[f"{block}.attention.{name}.weight"] for name in ("query", "key", "value")])
        for name in ("key", "value"):
            shapes[f"past_{name}_{layer}"] = results[f"present_{name}_{layer}"] = (TensorProto.FLOAT, cache)
        attended = graph.node(
            "GroupQueryAttention",
            [
                *(graph.linear(f"{block}.qkv", x, packed), "", ""),
                *(f"past_key_{layer}", f"past_value_{layer}"),
                *("seqlens_k", "total_sequence_length", "cos", "sin"),
            ],
            [f"{block}.attention", f"present_key_{layer}", f"present_value_{layer}"],
            domain=_CONTRIB,
            num_heads=config.num_heads,
            kv_num_heads=config.num_kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
        )
        branch = graph.linear(f"{block}.output", attended, weights[f"{block}.attention.output.weight"])
        x, residual = _norm(graph, f"{block}.feed_forward_norm", residual, branch, weights, config)
        packed = np.concatenate([weights[f"{block}.feed_forward.{name}.weight"] for name in ("gate", "up")])
        gate, up = f"{block}.gate", f"{block}.up"
        graph.node("Split", [graph.linear(f"{block}.gate_up", x, packed)], [gate, up], axis=-1, num_outputs=2)
        gate = graph.node("QuickGelu", [gate], [f"{block}.silu"], domain=_CONTRIB, alpha=1.0)  # x * sigmoid(x)
        hidden = graph.node("Mul", [gate, up], [f"{block}.hidden"])
        branch = graph.linear(f"{block}.down", hidden, weights[f"{block}.feed_forward.down.weight"])
    x, _ = _norm(graph, "output_norm", residual, branch, weights, config)
    _output_layer(graph, x, weights, config)

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "decoder",
            [helper.make_tensor_value_info(name, *shape) for name, shape in shapes.items()],
            [helper.make_tensor_value_info(name, *shape) for name, shape in results.items()],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(_CONTRIB, 1)],
        ir_version=9,
        producer_name="songwright",
    )
    description = {**(metadata or {}), "config": asdict(config), "precision": precision}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(description)})
    return model


def _norm(
    graph: _Builder, name: str, residual: str, branch: str, weights: Weights, config: GraphConfig
) -> tuple[str, str]:
    """Add a branch to the residual stream and normalise; return (normalised, sum). `branch` may be "" for none."""
    scale = graph.constant(f"{name}.weight", weights[f"{name}.weight"])
    epsilon = config.norm_epsilon
    if not branch:
        inputs = [residual, scale]
        return graph.node("SimplifiedLayerNormalization", inputs, [name], axis=-1, epsilon=epsilon), residual
    inputs, outputs = [residual, branch, scale], [name, "", "", f"{name}.sum"]
    graph.node("SkipSimplifiedLayerNormalization", inputs, outputs, domain=_CONTRIB, epsilon=epsilon)
    return name, f"{name}.sum"


def _output_layer(graph: _Builder, x: str, weights: Weights, config: GraphConfig) -> None:
    """Logits by the token embedding, and the gate of each hint added to the logit of the hinted token."""
    from onnx import TensorProto

    embedding = weights["token_embedding.weight"]
    if not config.num_hints:
        graph.linear("output", x, embedding, output="logits")
        return
    both = graph.linear("output", x, np.concatenate([embedding, weights["copy_gate.weight"]]))
    sizes = graph.constant("output.sizes", np.array([config.vocab_size, config.num_hints], dtype=np.int64))
    graph.node("Split", [both, sizes], ["output.plain", "output.gate"], axis=-1)
    bias = graph.constant("copy_gate.bias", weights["copy_gate.bias"])
    gate = graph.node("Add", ["output.gate", bias], ["copy_gate"])
    is_hinted = graph.node("Cast", ["hints"], ["is_hinted"], to=TensorProto.BOOL)
    gate = graph.node(
        "Where", [is_hinted, gate, graph.constant("no_gate", np.zeros(1, dtype=np.float32))], ["kept_gate"]
    )
    graph.node("ScatterElements", ["output.plain", "hints", gate], ["logits"], axis=-1, reduction="add")
