"""An ONNX graph under construction: nodes, constants, and weights in the chosen precision.

Knows arrays and node types only; which nodes make a network is said in `engine.blocks` and `engine.graph`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from songwright.engine.config import GraphConfig

if TYPE_CHECKING:
    import onnx

Weights = Mapping[str, NDArray[np.float32]]
Precision = Literal["fp32", "int8"]
Shape = Sequence[int | str]
"""Axes; a name stands for a length that is known when the graph runs."""

CONTRIB = "com.microsoft"
# Weights are scaled in blocks of 64 inputs: at dim 192 a step takes 103 µs, with 32 or 128 it takes 108 µs.
_BLOCK_SIZE = 64


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


class Builder:
    """Nodes and constants of a graph. Methods return the name of the value they add.

    Parameters
    ----------
    weights : mapping of str to ndarray
    config : GraphConfig
    precision : {"fp32", "int8"}

    Attributes
    ----------
    nodes, constants : list
    inputs, outputs : dict of str to (type, shape)
        Of the graph, in order.
    """

    def __init__(self, weights: Weights, config: GraphConfig, precision: Precision) -> None:
        self.weights, self.config = weights, config
        self.precision: Precision = precision
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.inputs: dict[str, tuple[int, Shape]] = {}
        self.outputs: dict[str, tuple[int, Shape]] = {}

    def state(self, name: str, shape: Shape) -> tuple[str, str]:
        """Declare what is remembered from call to call, `shape` after the batch; return (its past, its present)."""
        from onnx import TensorProto

        past, present = f"past_{name}", f"present_{name}"
        self.inputs[past] = self.outputs[present] = (TensorProto.FLOAT, ["batch", *shape])
        return past, present

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add an array, once for each name."""
        from onnx import numpy_helper

        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def integer(self, value: int) -> str:
        """Add a whole number, shape (1,)."""
        return self.constant(f"integer.{value}", np.array([value], dtype=np.int64))

    def node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node; return its first output."""
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

    def linear(
        self,
        name: str,
        x: str,
        weight: NDArray[np.float32],
        *,
        bias: NDArray[np.float32] | None = None,
        output: str | None = None,
    ) -> str:
        """Multiply by `weight`, shape (outputs, inputs), and add `bias`, shape (outputs,)."""
        if bias is not None:
            product = self.linear(name, x, weight, output=f"{name}.product")
            return self.node("Add", [product, self.constant(f"{name}.bias", bias)], [output or name])
        output = output or name
        if self.precision == "fp32":
            return self.node("MatMul", [x, self.constant(f"{name}.weight", weight.T)], [output])
        quantized, scales = quantize_blocks(weight, _BLOCK_SIZE)
        operands = [x, self.constant(f"{name}.weight", quantized), self.constant(f"{name}.scale", scales)]
        # Accuracy level 4 quantizes x to 8 bits too, each row and block on its own: a sequence does not depend on
        # the others of its batch, as it would with DynamicQuantizeMatMul's one scale for all.
        sizes = {"K": weight.shape[1], "N": weight.shape[0], "bits": 8, "block_size": _BLOCK_SIZE, "accuracy_level": 4}
        return self.node("MatMulNBits", operands, [output], domain=CONTRIB, **sizes)

    def norm(self, name: str, stream: tuple[str, str]) -> tuple[str, str]:
        """Add a branch, "" for none, to the residual stream and normalise; return (normalised, sum)."""
        residual, branch = stream
        scale = self.constant(f"{name}.weight", self.weights[f"{name}.weight"])
        epsilon = self.config.norm_epsilon
        if not branch:
            inputs = [residual, scale]
            return self.node("SimplifiedLayerNormalization", inputs, [name], axis=-1, epsilon=epsilon), residual
        inputs, outputs = [residual, branch, scale], [name, "", "", f"{name}.sum"]
        self.node("SkipSimplifiedLayerNormalization", inputs, outputs, domain=CONTRIB, epsilon=epsilon)
        return name, f"{name}.sum"

    def body(self) -> Builder:
        """Return an empty graph to be run inside a node of this one, which holds its constants too."""
        inner = Builder(self.weights, self.config, self.precision)
        inner.constants = self.constants
        return inner

    def graph(self, name: str, *, constants: bool = True) -> onnx.GraphProto:
        """Return what was built."""
        from onnx import helper

        return helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(key, kind, list(shape)) for key, (kind, shape) in self.inputs.items()],
            [helper.make_tensor_value_info(key, kind, list(shape)) for key, (kind, shape) in self.outputs.items()],
            list(self.constants.values()) if constants else [],
        )
