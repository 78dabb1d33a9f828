"""What the graphs share that are written by hand, operator by operator: numbered values, and one version of ONNX.

Networks of sequences are written by `engine.graph`; these are the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from songwright.errors import OutputError

_OPSET, _IR_VERSION = 17, 9


def require_onnx() -> None:
    """Raise OutputError if the package `onnx` is not installed."""
    try:
        import onnx  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise OutputError("Exporting needs the package onnx: pip install 'songwright[train]'.") from error


class Graph:
    """Operators as they are added; methods return the name of a value."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Add numbers."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def outputs(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add an operator whose outputs have names of their own."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator of one output."""
        name = f"value_{len(self.nodes)}"
        self.outputs(operator, inputs, [name], **attributes)
        return name

    def serialize(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> bytes:
        """Return the content of an ONNX file; inputs and outputs are ValueInfoProto."""
        from onnx import helper

        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.constants)
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, producer_name="songwright", ir_version=_IR_VERSION)
        return model.SerializeToString()
