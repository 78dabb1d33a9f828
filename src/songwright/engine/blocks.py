"""The blocks of each family as ONNX nodes, as `model.transformer`, `model.lstm` and so on compute them.

A block takes and returns the residual stream as a pair (sum so far, branch to be added, "" for none), so that the sum
is made inside the next norm. What a block remembers is a state (`Builder.state`): zeros at the start of a sequence.
A state with an axis `window` is a cache, which the graph fills in place; the others are written anew at each call.

Nodes are few, for a step of a small network is mostly the cost of starting them: query, key and value are one product,
gate and up another, rotary positions and the cache are inside `GroupQueryAttention` [1]_. A recurrent cell is the body
of a `Scan` over time, so that its products are in 8 bits like all others. At 2 layers of 512 a step of an LSTM then
takes 227 µs; `DynamicQuantizeLSTM` takes 209 µs at 1.6 times the error, with one scale for a whole batch. In fp32 the
scan takes 707 µs and the node `LSTM` 676 µs: the time is that of reading the weights (docs/engine.md).

References
----------
.. [1] ONNX Runtime, "Contrib Operators", domain com.microsoft.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from songwright.engine.builder import CONTRIB, Builder

Stream = tuple[str, str]
Cell = Callable[[Builder, str, str, str, list[str]], list[str]]
"""(graph, name, gates of the input, gates of the state, state) -> state after the step, output first."""

_END = int(np.iinfo(np.int64).max)


def transformer(graph: Builder, layer: int, stream: Stream) -> Stream:
    """Add attention, then feed-forward; ten nodes."""
    block = f"blocks.{layer}"
    x, residual = graph.norm(f"{block}.attention_norm", stream)
    x, residual = graph.norm(f"{block}.feed_forward_norm", (residual, _attention(graph, layer, x)))
    return residual, _feed_forward(graph, layer, x)


def hybrid(graph: Builder, layer: int, stream: Stream) -> Stream:
    """Add the same, each after a short convolution."""
    block = f"blocks.{layer}"
    x, residual = graph.norm(f"{block}.attention_norm", stream)
    x = _short_convolution(graph, layer, "attention_convolution", x)
    x, residual = graph.norm(f"{block}.feed_forward_norm", (residual, _attention(graph, layer, x)))
    x = _short_convolution(graph, layer, "feed_forward_convolution", x)
    return residual, _feed_forward(graph, layer, x)


def convolution(graph: Builder, layer: int, stream: Stream) -> Stream:
    """Add a gated dilated convolution: one product of the taps side by side."""
    block, weights, config = f"blocks.{layer}", graph.weights, graph.config
    dilation, last = config.dilations[layer], config.kernel_size - 1
    x, residual = graph.norm(f"{block}.norm", stream)
    recent = _recent(graph, f"inputs_{layer}", x, last * dilation)
    shifted: list[str] = []
    for tap in range(last):
        bounds = graph.integer(tap * dilation), graph.integer((tap - last) * dilation), graph.integer(1)
        shifted.append(graph.node("Slice", [recent, *bounds], [f"{block}.tap.{tap}"]))
    taps = graph.node("Concat", [*shifted, x], [f"{block}.taps"], axis=-1)
    name = f"{block}.convolution.taps"
    both = graph.linear(f"{block}.convolution", taps, weights[f"{name}.weight"], bias=weights[f"{name}.bias"])
    plain, gate = f"{block}.plain", f"{block}.gate"
    graph.node("Split", [both], [plain, gate], axis=-1, num_outputs=2)
    gated = graph.node("Mul", [plain, graph.node("Sigmoid", [gate], [f"{block}.open"])], [f"{block}.gated"])
    return residual, graph.linear(f"{block}.output", gated, weights[f"{block}.output.weight"])


def lstm(graph: Builder, layer: int, stream: Stream) -> Stream:
    """Add a layer of an LSTM."""
    return _recurrent(graph, layer, stream, ("hidden", "cell"), _lstm_cell)


def gru(graph: Builder, layer: int, stream: Stream) -> Stream:
    """Add a layer of a GRU."""
    return _recurrent(graph, layer, stream, ("hidden",), _gru_cell)


def rnn(graph: Builder, layer: int, stream: Stream) -> Stream:
    """Add a layer of an Elman network."""
    return _recurrent(graph, layer, stream, ("hidden",), _rnn_cell)


FAMILIES: Mapping[str, Callable[[Builder, int, Stream], Stream]] = {
    "transformer": transformer,
    "hybrid": hybrid,
    "convolution": convolution,
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
}
"""What adds block number `layer` of each family."""


def _attention(graph: Builder, layer: int, x: str) -> str:
    """Return a new branch: what each step gathers from the steps it looks at."""
    from onnx import TensorProto

    block, weights, config = f"blocks.{layer}", graph.weights, graph.config
    graph.inputs["seqlens_k"] = (TensorProto.INT32, ["batch"])
    graph.inputs["total_sequence_length"] = (TensorProto.INT32, [])
    graph.inputs["cos"] = graph.inputs["sin"] = (TensorProto.FLOAT, ["positions", config.head_dim // 2])
    packed = np.concatenate([weights[f"{block}.attention.{name}.weight"] for name in ("query", "key", "value")])
    cache = (config.num_kv_heads, "window", config.head_dim)
    past_key, present_key = graph.state(f"key_{layer}", cache)
    past_value, present_value = graph.state(f"value_{layer}", cache)
    attended = graph.node(
        "GroupQueryAttention",
        [
            *(graph.linear(f"{block}.qkv", x, packed), "", "", past_key, past_value),
            *("seqlens_k", "total_sequence_length", "cos", "sin"),
        ],
        [f"{block}.attention", present_key, present_value],
        domain=CONTRIB,
        num_heads=config.num_heads,
        kv_num_heads=config.num_kv_heads,
        do_rotary=1,
        rotary_interleaved=0,
    )
    return graph.linear(f"{block}.output", attended, weights[f"{block}.attention.output.weight"])


def _feed_forward(graph: Builder, layer: int, x: str) -> str:
    """Return a new branch: down(silu(gate) * up)."""
    block, weights = f"blocks.{layer}", graph.weights
    packed = np.concatenate([weights[f"{block}.feed_forward.{name}.weight"] for name in ("gate", "up")])
    gate, up = f"{block}.gate", f"{block}.up"
    graph.node("Split", [graph.linear(f"{block}.gate_up", x, packed)], [gate, up], axis=-1, num_outputs=2)
    gate = graph.node("QuickGelu", [gate], [f"{block}.silu"], domain=CONTRIB, alpha=1.0)  # x * sigmoid(x)
    hidden = graph.node("Mul", [gate, up], [f"{block}.hidden"])
    return graph.linear(f"{block}.down", hidden, weights[f"{block}.feed_forward.down.weight"])


def _short_convolution(graph: Builder, layer: int, kind: str, x: str) -> str:
    """Return x plus its latest steps, each times a row of the kernel."""
    name = f"blocks.{layer}.{kind}"
    kernel = graph.weights[f"{name}.kernel"].copy()  # (taps, dim), oldest first
    kernel[-1] += 1  # x itself
    recent = _recent(graph, f"{kind}_{layer}", x, len(kernel) - 1)
    # (batch, time, taps, dim): three nodes, where a product and a sum of each tap would take seven.
    taps = graph.node("Gather", [recent, _windows(graph, len(kernel))], [f"{name}.taps"], axis=1)
    products = graph.node("Mul", [taps, graph.constant(f"{name}.kernel", kernel)], [f"{name}.products"])
    return graph.node("ReduceSum", [products, graph.integer(2)], [name], keepdims=0)


def _windows(graph: Builder, taps: int) -> str:
    """Return which steps, counted from the oldest remembered, each step sees: (time, taps); added once."""
    if not any(node.name == "windows" for node in graph.nodes):
        time = graph.node("Shape", ["tokens"], ["time"], start=1, end=2)
        time = graph.node("Squeeze", [time], ["time.scalar"])
        zero, one = (graph.constant(f"scalar.{value}", np.array(value, dtype=np.int64)) for value in (0, 1))
        first = graph.node(
            "Unsqueeze", [graph.node("Range", [zero, time, one], ["steps"]), graph.integer(1)], ["first"]
        )
        graph.node("Add", [first, graph.constant("taps", np.arange(taps, dtype=np.int64))], ["windows"])
    return "windows"


def _recent(graph: Builder, state: str, x: str, steps: int) -> str:
    """Return x, (batch, time, dim), after so many steps before it; remember what the next call needs."""
    if not steps:
        return x
    past, present = graph.state(state, (steps, graph.config.dim))
    recent = graph.node("Concat", [past, x], [f"{state}.recent"], axis=1)
    graph.node("Slice", [recent, graph.integer(-steps), graph.integer(_END), graph.integer(1)], [present])
    return recent


def _recurrent(graph: Builder, layer: int, stream: Stream, names: tuple[str, ...], cell: Cell) -> Stream:
    """Add a recurrent layer: the product of all inputs at once, then a scan of `cell` over time."""
    from onnx import TensorProto

    block, weights, config = f"blocks.{layer}", graph.weights, graph.config
    residual, branch = stream
    x = graph.node("Add", [residual, branch], [f"{block}.input"]) if branch else residual
    of_input = graph.linear(
        f"{block}.of_input",
        x,
        weights[f"{block}.cell.weight_ih_l0"],
        bias=weights[f"{block}.cell.bias_ih_l0"],
    )
    states = [graph.state(f"{name}_{layer}", (config.dim,)) for name in names]
    body = graph.body()
    before = [f"{block}.{name}.before" for name in names]
    row = (TensorProto.FLOAT, ["batch", config.dim])
    body.inputs = dict.fromkeys(before, row)
    step = f"{block}.step"
    body.inputs[step] = (TensorProto.FLOAT, ["batch", weights[f"{block}.cell.bias_ih_l0"].size])
    of_state = body.linear(
        f"{block}.of_state",
        before[0],
        weights[f"{block}.cell.weight_hh_l0"],
        bias=weights[f"{block}.cell.bias_hh_l0"],
    )
    after = cell(body, block, step, of_state, before)
    body.outputs = dict.fromkeys([*after, body.node("Identity", [after[0]], [f"{block}.seen"])], row)
    graph.node(
        "Scan",
        [*(past for past, _ in states), of_input],
        [*(present for _, present in states), f"{block}.hidden"],
        body=body.graph(f"{block}.body", constants=False),
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1],
    )
    return f"{block}.hidden", ""


def _lstm_cell(graph: Builder, block: str, of_input: str, of_state: str, state: list[str]) -> list[str]:
    """C' = f c + i g; h' = o tanh(c')."""
    gates = graph.node("Add", [of_input, of_state], [f"{block}.gates"])
    names = [f"{block}.{gate}" for gate in ("enter", "forget", "candidate", "leave")]
    graph.node("Split", [gates], [f"{name}.linear" for name in names], axis=-1, num_outputs=4)
    enter, forget, candidate, leave = (
        graph.node("Tanh" if name.endswith("candidate") else "Sigmoid", [f"{name}.linear"], [name]) for name in names
    )
    kept = graph.node("Mul", [forget, state[1]], [f"{block}.kept"])
    added = graph.node("Mul", [enter, candidate], [f"{block}.added"])
    cell = graph.node("Add", [kept, added], [f"{block}.cell.after"])
    return [graph.node("Mul", [leave, graph.node("Tanh", [cell], [f"{block}.squashed"])], [f"{block}.after"]), cell]


def _gru_cell(graph: Builder, block: str, of_input: str, of_state: str, state: list[str]) -> list[str]:
    """N = tanh(of_input + r of_state); h' = n + z (h - n)."""
    names = [f"{block}.{gate}" for gate in ("reset", "keep", "candidate")]
    for source, suffix in ((of_input, "input"), (of_state, "state")):
        graph.node("Split", [source], [f"{name}.{suffix}" for name in names], axis=-1, num_outputs=3)
    sums = [graph.node("Add", [f"{name}.input", f"{name}.state"], [f"{name}.linear"]) for name in names[:2]]
    reset, keep = (graph.node("Sigmoid", [total], [name]) for name, total in zip(names[:2], sums, strict=True))
    shown = graph.node("Mul", [reset, f"{names[2]}.state"], [f"{block}.shown"])
    candidate = graph.node("Add", [f"{names[2]}.input", shown], [f"{names[2]}.linear"])
    candidate = graph.node("Tanh", [candidate], [names[2]])
    change = graph.node("Sub", [state[0], candidate], [f"{block}.change"])
    kept = graph.node("Mul", [keep, change], [f"{block}.kept"])
    return [graph.node("Add", [candidate, kept], [f"{block}.after"])]


def _rnn_cell(graph: Builder, block: str, of_input: str, of_state: str, state: list[str]) -> list[str]:
    """H' = tanh(of_input + of_state)."""
    total = graph.node("Add", [of_input, of_state], [f"{block}.linear"])
    return [graph.node("Tanh", [total], [f"{block}.after"])]
