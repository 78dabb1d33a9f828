"""A network of any family as an ONNX graph that decodes: one step, or many, from a state to a state.

Knows arrays and node types only; nothing of files, sessions or PyTorch. Weights carry the names and the layout
(outputs, inputs) of the state dict of `model.network`. What families share is here, their blocks in `engine.blocks`.

Written by hand, not traced: a step of a small network is mostly the cost of starting nodes. All channel rows are one
look-up and one sum; the copy gate is a few more columns of the output layer.

Inputs (axes: `batch`; `time`)

    tokens                     int64 (batch, time)
    channels                   int64 (batch, time, num_channels)   rows of the channel table; absent without channels
    hints                      int64 (batch, time, num_hints)      hinted tokens, 0 for none; absent without hints
    past_NAME_I                float32 (batch, ...)                what block I remembered, zeros at first

and, for a network with attention (axis `window`, the length of the cache in tokens)

    seqlens_k                  int32 (batch,)                      tokens in the cache after this call, less one
    total_sequence_length      int32 ()                            tokens in the fullest cache after this call
    cos, sin                   float32 (positions, head_dim / 2)   rotary tables, positions >= window
    past_key_I, past_value_I   float32 (batch, num_kv_heads, window, head_dim)

Outputs: logits, float32 (batch, time, vocab), and present_NAME_I for each past. Keys and values are to be bound to the
memory of the past; no other state may be. With attention `time` may exceed 1 where the caches are empty (a prompt), or
where batch is 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from songwright.engine.blocks import FAMILIES
from songwright.engine.builder import CONTRIB, Builder, Precision, Weights
from songwright.engine.config import METADATA_KEY, GraphConfig

if TYPE_CHECKING:
    import onnx


def build_graph(
    weights: Weights, config: GraphConfig, *, precision: Precision = "fp32", metadata: Mapping[str, Any] | None = None
) -> onnx.ModelProto:
    """Return the network as an ONNX model.

    Parameters
    ----------
    weights : mapping of str to ndarray
        The state dict of `model.network.SequenceNetwork` as float32 arrays.
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

    graph = Builder(weights, config, precision)
    graph.inputs["tokens"] = (TensorProto.INT64, ["batch", "time"])
    if config.num_channels:
        graph.inputs["channels"] = (TensorProto.INT64, ["batch", "time", config.num_channels])
    if config.num_hints:
        graph.inputs["hints"] = (TensorProto.INT64, ["batch", "time", config.num_hints])
    graph.outputs["logits"] = (TensorProto.FLOAT, ["batch", "time", config.vocab_size])

    stream = graph.table("token_embedding", weights["token_embedding.weight"], "tokens"), ""
    if config.num_channels:
        rows = graph.table("channel_rows", weights["channel_embedding.weight"], "channels")
        axis = graph.constant("channel_axis", np.array([2], dtype=np.int64))
        stream = stream[0], graph.node("ReduceSum", [rows, axis], ["channel_embedding"], keepdims=0)
    for layer in range(config.num_layers):
        stream = FAMILIES[config.family](graph, layer, stream)
    _output_layer(graph, graph.norm("output_norm", stream)[0])

    model = helper.make_model(
        graph.graph("decoder"),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(CONTRIB, 1)],
        ir_version=9,
        producer_name="songwright",
    )
    description = {**(metadata or {}), "config": asdict(config), "precision": precision}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(description)})
    return model


def _output_layer(graph: Builder, x: str) -> None:
    """Logits by the token embedding, and the gate of each hint added to the logit of the hinted token."""
    from onnx import TensorProto

    weights, config = graph.weights, graph.config
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
