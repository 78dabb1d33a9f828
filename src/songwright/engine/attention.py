"""Where the network looks: its forward pass in NumPy, with the attention that ONNX Runtime keeps inside.

Knows ids, and groups of ids that the caller makes; nothing of tokens' meaning. Windows, and so logits, are those of
`engine.session.Decoder`; int8 weights are widened, so their logits are those of the stored weights and not of products
in 8 bits. Axes: `time` (steps), `window` (tokens read together), `heads`, `kv_heads`, `head_dim`; `rows` and `groups`
of the result. Step t reads token t and predicts token t + 1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.engine.weights_file import StoredWeights, read_weights

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Attention:
    """What a network made of a sequence.

    Attributes
    ----------
    logits : ndarray of float32, shape (time, vocab)
        Of the token after each step.
    gates : ndarray of float32, shape (time, num_hints)
        What each hint adds to the logit of its token, included in `logits`; 0 without a hint.
    shares : ndarray of float32, shape (num_layers, num_heads, num_rows, num_groups)
        Share of a head's attention that goes to each group of tokens, mean over the steps of a row; 0 in rows without
        steps. A row sums to 1 where every token belongs to a group.
    uniform : ndarray of float32, shape (num_rows, num_groups)
        The same of a head that looks at all the tokens it can see alike.
    """

    logits: Floats
    gates: Floats
    shares: Floats
    uniform: Floats


def attend(
    network: StoredWeights | str | os.PathLike[str],
    tokens: ArrayLike,
    channels: ArrayLike | None = None,
    hints: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    rows: ArrayLike | None = None,
    num_groups: int | None = None,
    num_rows: int | None = None,
) -> Attention:
    """Read a sequence and return the logits with the attention, gathered by groups of tokens.

    Parameters
    ----------
    network : StoredWeights or path
        Weights, or the file that holds them.
    tokens : array_like of int, shape (time,)
    channels : array_like of int, shape (time, num_channels), optional
        Rows of the channel table (layout offsets added); for a network with channels.
    hints : array_like of int, shape (time, num_hints), optional
        Hinted tokens, 0 for none; for a network with hints.
    groups : array_like of int, shape (time,), optional
        Group of each token that is looked at, -1 for none. Without groups every token is its own.
    rows : array_like of int, shape (time,), optional
        Row of the result into which each step is averaged, -1 for none. Without rows every step has its own.
    num_groups, num_rows : int, optional
        Length of these axes; without them, one more than the largest id.

    Returns
    -------
    Attention

    Raises
    ------
    WeightsError
        If the file is missing or damaged.
    ValueError
        If channels or hints are missing, or an array does not fit the others or the network.

    Notes
    -----
    One window is held at a time: besides the result, memory does not grow with the sequence.
    """
    weights = network if isinstance(network, StoredWeights) else read_weights(network)
    config, arrays = weights.config, weights.arrays
    tokens = np.asarray(tokens, dtype=np.int64)
    time = len(tokens)
    _check("tokens", tokens, (time,), config.vocab_size)
    channels = _side("channels", channels, (time, config.num_channels), len(arrays.get("channel_rows.weight", ())))
    hints = _side("hints", hints, (time, config.num_hints), config.vocab_size)
    groups = np.arange(time) if groups is None else np.asarray(groups, dtype=np.int64)
    rows = np.arange(time) if rows is None else np.asarray(rows, dtype=np.int64)
    num_groups = int(groups.max(initial=-1)) + 1 if num_groups is None else num_groups
    num_rows = int(rows.max(initial=-1)) + 1 if num_rows is None else num_rows
    _check("groups", groups, (time,), num_groups, least=-1)
    _check("rows", rows, (time,), num_rows, least=-1)

    logits = np.empty((time, config.vocab_size), dtype=np.float32)
    gates = np.empty((time, config.num_hints), dtype=np.float32)
    shares = np.zeros((config.num_layers, config.num_heads, num_rows, num_groups), dtype=np.float32)
    uniform = np.zeros((num_rows, num_groups), dtype=np.float32)
    half = max(config.context_length // 2, 1)
    done = 0
    while done < time:
        start = max((done // half - 1) * half, 0)
        stop = min(start + 2 * half, time)
        x = arrays["token_embedding.weight"][tokens[start:stop]]
        if config.num_channels:
            x = x + arrays["channel_rows.weight"][channels[start:stop]].sum(axis=1)
        # Steps that earlier windows have answered are read again as past only.
        gather = _Gatherer(groups[start:stop], rows[done:stop], done - start)
        visible = np.tri(stop - start, dtype=np.float32)
        gather.add(uniform, visible / visible.sum(axis=1, keepdims=True))
        for layer in range(config.num_layers):
            x = _block(x, weights, layer, gather, shares[layer])
        x = _norm(x[done - start :], arrays["output_norm.weight"], config.norm_epsilon)
        both = x @ arrays["output.weight"]
        logits[done:stop] = both[:, : config.vocab_size]
        if config.num_hints:
            gate = both[:, config.vocab_size :] + arrays["copy_gate.bias"]
            gates[done:stop] = np.where(hints[done:stop] > 0, gate, 0)
            np.add.at(logits, (np.arange(done, stop)[:, None], hints[done:stop]), gates[done:stop])
        done = stop
    count = np.maximum(np.bincount(rows[rows >= 0], minlength=num_rows), 1).astype(np.float32)[:, None]
    shares /= count
    uniform /= count
    return Attention(logits, gates, shares, uniform)


class _Gatherer:
    """Sums the attention of one window into rows and groups: those that occur in the window only.

    Parameters
    ----------
    groups : ndarray of int, shape (window,)
    rows : ndarray of int, shape (new,)
        Of the steps after the first `past`.
    past : int
        Steps that other windows answer.
    """

    def __init__(self, groups: Ints, rows: Ints, past: int) -> None:
        self._past = past
        self._groups, self._of_token = _indicator(groups)
        self._rows, self._of_step = _indicator(rows)

    def add(self, total: Floats, attention: Floats) -> None:
        """Add attention, shape (window, window), to a total of shape (num_rows, num_groups)."""
        if len(self._rows) and len(self._groups):
            new = attention[self._past :]
            total[np.ix_(self._rows, self._groups)] += self._of_step.T @ (new @ self._of_token)


def _indicator(ids: Ints) -> tuple[Ints, Floats]:
    """Return the ids that occur (-1 left out) and which place has which, shape (places, ids that occur)."""
    present = np.unique(ids[ids >= 0])
    return present, (ids[:, None] == present).astype(np.float32)


def _block(x: Floats, weights: StoredWeights, layer: int, gather: _Gatherer, shares: Floats) -> Floats:
    """Run one block on a window, shape (window, dim); add its attention to `shares`, (heads, rows, groups)."""
    config, arrays, name = weights.config, weights.arrays, f"blocks.{layer}"
    window, dim, head_dim = len(x), config.dim, config.head_dim
    normed = _norm(x, arrays[f"{name}.attention_norm.weight"], config.norm_epsilon)
    heads = (normed @ arrays[f"{name}.qkv.weight"]).reshape(window, -1, head_dim).transpose(1, 0, 2)
    rotated = _rotate(heads[: config.num_heads + config.num_kv_heads], config.rotary_base)
    query, key = rotated[: config.num_heads] * np.float32(head_dim**-0.5), rotated[config.num_heads :]
    value = heads[config.num_heads + config.num_kv_heads :]
    future = np.triu_indices(window, 1)
    attended = np.empty((window, config.num_heads, head_dim), dtype=np.float32)
    for head in range(config.num_heads):
        shared = head // (config.num_heads // config.num_kv_heads)
        attention = query[head] @ key[shared].T
        attention[future] = -np.inf
        attention -= attention.max(axis=1, keepdims=True)
        np.exp(attention, out=attention)
        attention /= attention.sum(axis=1, keepdims=True)
        attended[:, head] = attention @ value[shared]
        gather.add(shares[head], attention)
    branch: Floats = attended.reshape(window, dim) @ arrays[f"{name}.output.weight"]
    x = x + branch
    normed = _norm(x, arrays[f"{name}.feed_forward_norm.weight"], config.norm_epsilon)
    gate_up: Floats = normed @ arrays[f"{name}.gate_up.weight"]
    gate, up = np.split(gate_up, 2, axis=1)
    with np.errstate(over="ignore"):  # exp overflows to infinity where the sigmoid is 0
        hidden = gate / (np.float32(1) + np.exp(-gate)) * up
    branch = hidden.astype(np.float32, copy=False) @ arrays[f"{name}.down.weight"]
    return x + branch


def _norm(x: Floats, scale: Floats, epsilon: float) -> Floats:
    """Divide by the root mean square over the last axis."""
    root: Floats = np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(epsilon))
    return x / root * scale


def _rotate(heads: Floats, base: float) -> Floats:
    """Turn the two halves of each head by its position in the window; shape (heads, window, head_dim)."""
    _, window, head_dim = heads.shape
    angle = np.arange(window)[:, None] * base ** (-np.arange(0, head_dim, 2) / head_dim)
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    first, second = heads[..., : head_dim // 2], heads[..., head_dim // 2 :]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _side(name: str, values: ArrayLike | None, shape: tuple[int, int], limit: int) -> Ints:
    """Return channels or hints, checked; of no columns for a network without them."""
    if not shape[1]:
        return np.zeros(shape, dtype=np.int64)
    if values is None:
        raise ValueError(f"this network reads {name} at every step")
    array = np.asarray(values, dtype=np.int64)
    _check(name, array, shape, limit)
    return array


def _check(name: str, array: Ints, shape: tuple[int, ...], limit: int, *, least: int = 0) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if array.size and not least <= array.min() <= array.max() < limit:
        raise ValueError(f"{name} must be from {least} to {limit - 1}, got {array.min()} to {array.max()}")
