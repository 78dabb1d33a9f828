"""The weights of a Transformer in a graph of `engine.graph`, read without ONNX.

Knows the file format only: a strict reader of the few protobuf fields [1]_ that `engine.graph` writes (initialisers
with raw data, and the metadata). What it does not expect is a damaged file. Running the network is left to
`engine.session` (fast) and `engine.attention` (open to inspection).

References
----------
.. [1] ONNX, "onnx.proto", https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.engine.config import METADATA_KEY, GraphConfig
from songwright.errors import WeightsError

# Field numbers of the messages ModelProto, StringStringEntryProto, GraphProto and TensorProto.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_GRAPH_INITIALIZER = 5
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW_DATA = 1, 2, 8, 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_DTYPES = {1: np.dtype("<f4"), 2: np.dtype("u1"), 7: np.dtype("<i8"), 10: np.dtype("<f2")}


@dataclass(frozen=True, eq=False)
class StoredWeights:
    """A network as its file holds it.

    Attributes
    ----------
    config : GraphConfig
    metadata : mapping
        What the export knew of the weights: stream, fingerprint, precision and so on.
    arrays : mapping of str to ndarray of float32
        By the names of the graph. Embeddings are (rows, dim); matrices are (inputs, outputs), to be multiplied from
        the right; bytes are widened with their scales.
    """

    config: GraphConfig
    metadata: Mapping[str, Any]
    arrays: Mapping[str, NDArray[np.float32]]


def read_weights(path: str | os.PathLike[str]) -> StoredWeights:
    """Return the weights of a Transformer written by `training.export`, in either precision.

    Parameters
    ----------
    path : path

    Returns
    -------
    StoredWeights

    Raises
    ------
    WeightsError
        If the file is missing, damaged, not one of ours, or holds a network of another family.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: no weights can be read here ({error.strerror}); install the package again"
        ) from None
    try:
        return _decode(memoryview(data), path)
    except (ValueError, KeyError, TypeError, IndexError, ArithmeticError) as error:
        raise WeightsError(
            f"{path}: these weights are damaged or not songwright's; install or export them again"
        ) from error


def _decode(data: memoryview, path: str | os.PathLike[str]) -> StoredWeights:
    """Return the weights of a ModelProto; raise ValueError, KeyError, TypeError or the like where it is damaged."""
    stored: dict[str, NDArray[Any]] = {}
    properties: dict[str, str] = {}
    for number, value in _fields(data):
        if number == _MODEL_GRAPH:
            stored.update(_tensor(_bytes(part)) for key, part in _fields(_bytes(value)) if key == _GRAPH_INITIALIZER)
        elif number == _MODEL_METADATA:
            entry = {key: bytes(_bytes(part)).decode() for key, part in _fields(_bytes(value))}
            properties[entry[_ENTRY_KEY]] = entry[_ENTRY_VALUE]
    metadata: dict[str, Any] = json.loads(properties[METADATA_KEY])
    config = GraphConfig(**metadata["config"])
    if config.family != "transformer":
        raise WeightsError(
            f"{path}: holds a network of the family {config.family}, and attention can be shown of a transformer only"
        )
    _check_sizes(config)
    names = {name: shape for name, shape in _shapes(config, stored).items() if prod(shape)}
    return StoredWeights(config, metadata, {name: _widened(stored, name, shape) for name, shape in names.items()})


def _check_sizes(config: GraphConfig) -> None:
    """Raise ValueError if the sizes are those of no network."""
    for field in fields(config):
        if field.name in ("family", "kernel_size", "dilations"):
            continue
        value, least = getattr(config, field.name), 0 if field.name in ("num_channels", "num_hints") else 1
        if field.name in ("norm_epsilon", "rotary_base"):
            value, least = float(value), 0
        elif not isinstance(value, int):
            raise ValueError(f"{field.name} is no whole number")
        if not least <= value < 1 << 24:
            raise ValueError(f"{field.name} is {value}")
    if config.dim % config.num_heads or config.num_heads % config.num_kv_heads or config.head_dim % 2:
        raise ValueError("the heads do not divide the width")


def _shapes(config: GraphConfig, stored: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """Return the shape that each array must have; what the sizes leave open is taken from the file."""
    dim, columns = config.dim, config.dim + 2 * config.num_kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"token_embedding.weight": (config.vocab_size, dim)}
    if config.num_channels:
        shapes["channel_rows.weight"] = (len(stored["channel_rows.weight"]), dim)
    for layer in range(config.num_layers):
        block = f"blocks.{layer}"
        gate_up = stored[f"{block}.gate_up.weight"]
        hidden = gate_up.shape[0 if gate_up.ndim == 3 else 1] // 2
        shapes |= {
            f"{block}.attention_norm.weight": (dim,),
            f"{block}.qkv.weight": (dim, columns),
            f"{block}.output.weight": (dim, dim),
            f"{block}.feed_forward_norm.weight": (dim,),
            f"{block}.gate_up.weight": (dim, 2 * hidden),
            f"{block}.down.weight": (hidden, dim),
        }
    shapes |= {"output_norm.weight": (dim,), "output.weight": (dim, config.vocab_size + config.num_hints)}
    return shapes | {"copy_gate.bias": (config.num_hints,)}


def _widened(stored: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return an array as float32 of the given shape."""
    array = stored[name]
    if array.dtype == np.uint8:
        # (outputs, blocks, block size): see `engine.graph.quantize_blocks`.
        scales = stored[name.removesuffix("weight") + "scale"]
        outputs, num_blocks, block_size = array.shape
        if scales.shape != (outputs, num_blocks) or not 0 <= num_blocks * block_size - shape[0] < block_size:
            raise ValueError(f"{name} does not fit its scales")
        wide = (array.astype(np.float32) - 128) * scales.astype(np.float32)[..., None]
        array = np.ascontiguousarray(wide.reshape(outputs, -1)[:, : shape[0]].T)
    if array.dtype.kind != "f" or array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} holds {array.dtype} of shape {array.shape}")
    return array.astype(np.float32, copy=False)


def _tensor(data: memoryview) -> tuple[str, NDArray[Any]]:
    """Return (name, array) of a TensorProto."""
    name, kind, raw = "", 0, memoryview(b"")
    shape: list[int] = []
    for number, value in _fields(data):
        if number == _TENSOR_NAME:
            name = bytes(_bytes(value)).decode()
        elif number == _TENSOR_RAW_DATA:
            raw = _bytes(value)
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_DIMS:
            shape.extend([value] if isinstance(value, int) else _varints(value))
        else:
            raise ValueError(f"a tensor with field {number}")
    dtype = _DTYPES[kind]
    if len(raw) != prod(shape) * dtype.itemsize:
        raise ValueError(f"{name}: {len(raw)} bytes for shape {shape}")
    return name, np.frombuffer(raw, dtype=dtype).reshape(shape)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of a message: an int of a varint, else the bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if position + length > len(data):
            raise ValueError("the file ends early")
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return (number, position after it)."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number of more than ten bytes")


def _varints(data: memoryview) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where bytes should be")
    return value
