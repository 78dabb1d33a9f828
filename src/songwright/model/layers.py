"""The layers that families share: fully connected, convolution, attention; each with its formula and source.

Axes: `batch`, `time`, `dim` (model width), `heads`, `head_dim`. Layers that look back have two faces: `forward` reads a
whole sequence, (batch, time, dim), and `step` reads one step, (batch, dim), with the state of the steps before;
both compute the same, and nothing sees a later step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from songwright.model.config import AttentionSizes

NORM_EPSILON = 1e-6
ROTARY_BASE = 10_000.0
QUERY_BLOCK = 256
"""Queries that are compared with the past together, on a CPU."""

State = tuple[Tensor, ...]
"""What a layer remembers of the steps before; the first axis is the batch."""


class Block(nn.Module, ABC):
    """One of the stacked parts of a network; keeps the width of what it reads."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Read whole sequences, (batch, time, dim); return the same shape."""

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """Return the state before the first step of so many sequences."""

    @abstractmethod
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one step, (batch, dim); return the same shape and the state after it."""


def linear(inputs: int, outputs: int, *, bias: bool = False) -> nn.Linear:
    """Return a fully connected layer, y = W x (+ b)."""
    return nn.Linear(inputs, outputs, bias=bias)


class Norm(nn.Module):
    """y = x / sqrt(mean(x²) + ε) * scale [1]_.

    References
    ----------
    .. [1] Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        return cast(Tensor, _RootMeanSquare.apply(x, self.weight))


class _RootMeanSquare(torch.autograd.Function):
    """The norm with its gradient written out: on a CPU, a third of the passes over memory of composed operators."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        """Return x r s with r = (mean(x²) + ε)^(-1/2)."""
        inverse = (x.float().square().mean(-1, keepdim=True) + NORM_EPSILON).rsqrt_()
        ctx.save_for_backward(x, scale, inverse)
        return (x * inverse).mul_(scale).type_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """With n = x r: dx = r (g s - n mean(g s n)), ds = Σ g n."""
        x, scale, inverse = ctx.saved_tensors
        normed = x * inverse
        product = gradients[0] * normed
        of_scale = product.flatten(0, -2).sum(0)
        share = (product.float() @ scale)[..., None] / x.shape[-1]
        return (gradients[0] * scale).sub_(normed.mul_(share)).mul_(inverse).type_as(x), of_scale.type_as(scale)


class Dropout(nn.Module):
    """Each number is dropped with probability p and the others divided by 1 - p, in training only [1]_.

    p is rounded to 256ths: one random byte decides, four times as fast on a CPU as PyTorch's own.

    References
    ----------
    .. [1] Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.threshold = round(256 * probability)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        if not self.training or not self.threshold:
            return x
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int32, device=x.device).random_(-(2**31), 2**31 - 1)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.threshold
        return x * kept.to(x.dtype).mul_(256 / (256 - self.threshold))


class FeedForward(nn.Module):
    """SwiGLU [1]_: down(silu(gate(x)) * up(x)).

    References
    ----------
    .. [1] Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, 2020.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate = linear(dim, hidden_dim)
        self.up = linear(dim, hidden_dim)
        self.down = linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


def rotary_tables(length: int, head_dim: int, *, base: float = ROTARY_BASE) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of rotary positions [1]_, each of shape (length, head_dim / 2).

    References
    ----------
    .. [1] Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", Neurocomputing 568, 2024.
    """
    frequency = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angle = torch.arange(length, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the two halves of each head by its position. `x`: (batch, heads, time, head_dim)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).type_as(x)


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(Q Kᵀ / √head_dim) V with the future masked.

    Parameters
    ----------
    query : Tensor, shape (batch, heads, time, head_dim)
    key, value : Tensor, shape (batch, kv_heads, time, head_dim)

    Returns
    -------
    Tensor, shape (batch, heads, time, head_dim)
    """
    if query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    # Plain products are faster than the fused kernel on a CPU, above all a block of queries at a time, which leaves out
    # most of the future: forward and backward of 16 x 4 heads x 512 steps in bfloat16 take 144 ms on one core, 383 ms
    # without blocks, 245 ms fused. Query heads of one group are stacked along time to share their keys.
    batch, heads, time, head_dim = query.shape
    kv_heads = key.shape[1]
    group = heads // kv_heads
    keys, values = (tensor.reshape(batch * kv_heads, time, head_dim) for tensor in (key, value))
    attended: list[Tensor] = []
    for start in range(0, time, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, time)
        rows = (query[:, :, start:stop] * head_dim**-0.5).reshape(batch * kv_heads, group * (stop - start), head_dim)
        future = torch.full((stop - start, stop), -1e4, dtype=query.dtype, device=query.device).triu(start + 1)
        scores = torch.baddbmm(future.repeat(group, 1)[None], rows, keys[:, :stop].transpose(1, 2))
        mixed = scores.softmax(-1, dtype=value.dtype) @ values[:, :stop]
        attended.append(mixed.view(batch, heads, stop - start, head_dim))
    return attended[0] if len(attended) == 1 else torch.cat(attended, dim=2)


class Attention(nn.Module):
    """Causal self-attention, softmax(Q Kᵀ / √head_dim) V, with rotary positions and few key-value heads [1]_.

    The state is the keys and values of the steps before, each (batch, kv_heads, time, head_dim).

    References
    ----------
    .. [1] Ainslie et al., "GQA: Training Generalized Multi-Query Transformer Models", EMNLP 2023.
    """

    def __init__(self, sizes: AttentionSizes, context_length: int) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = sizes.num_heads, sizes.num_kv_heads, sizes.head_dim
        self.query = linear(sizes.dim, sizes.dim)
        self.key = linear(sizes.dim, sizes.num_kv_heads * sizes.head_dim)
        self.value = linear(sizes.dim, sizes.num_kv_heads * sizes.head_dim)
        self.output = linear(sizes.dim, sizes.dim)
        cos, sin = rotary_tables(context_length, sizes.head_dim)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def _heads(self, x: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of (batch, time, dim) at positions from `start` on."""
        batch, time, _ = x.shape
        # One product, and one turn of queries and keys together.
        packed = F.linear(x, torch.cat([self.query.weight, self.key.weight, self.value.weight]))
        heads = packed.view(batch, time, -1, self.head_dim).transpose(1, 2)
        tables = self.cos[start : start + time], self.sin[start : start + time]  # pyright: ignore[reportIndexIssue]
        turned = rotate(heads[:, : self.num_heads + self.num_kv_heads], *tables)
        return turned[:, : self.num_heads], turned[:, self.num_heads :], heads[:, self.num_heads + self.num_kv_heads :]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, dim) -> (batch, time, dim)."""
        batch, time, dim = x.shape
        attended = causal_attention(*self._heads(x, 0))
        return self.output(attended.transpose(1, 2).reshape(batch, time, dim))

    def initial_state(self, batch: int) -> State:
        """Return keys and values of no steps."""
        empty = self.query.weight.new_zeros(batch, self.num_kv_heads, 0, self.head_dim)
        return empty, empty

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read (batch, dim) after the steps in the state."""
        batch, dim = x.shape
        query, key, value = self._heads(x[:, None], state[0].shape[2])
        keys, values = torch.cat([state[0], key], dim=2), torch.cat([state[1], value], dim=2)
        grouped = query.view(batch, self.num_kv_heads, -1, self.head_dim) * self.head_dim**-0.5
        attended = (grouped @ keys.transpose(-1, -2)).softmax(-1) @ values
        return self.output(attended.reshape(batch, dim)), (keys, values)


def shifted(x: Tensor, steps: int) -> Tensor:
    """Return a sequence, (batch, time, dim), moved so many steps into the future, zeros before."""
    return x if steps == 0 else F.pad(x, (0, 0, steps, 0))[:, : x.shape[1]]


class CausalConvolution(nn.Module):
    """A dilated causal convolution [1]_: y_t = Σ_k W_k x_(t - (K - 1 - k) d) + b for a kernel of K taps, dilation d.

    One product of the K shifted inputs side by side: the matrix is (outputs, K * inputs), oldest tap first. The state
    is the latest (K - 1) d inputs, (batch, steps, inputs).

    References
    ----------
    .. [1] van den Oord et al., "WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499, 2016.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.inputs, self.kernel_size, self.dilation = inputs, kernel_size, dilation
        self.taps = linear(kernel_size * inputs, outputs, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, inputs) -> (batch, time, outputs)."""
        ages = range(self.kernel_size - 1, -1, -1)
        return self.taps(torch.cat([shifted(x, age * self.dilation) for age in ages], dim=-1))

    def initial_state(self, batch: int) -> State:
        """Return zeros before the sequence."""
        return (self.taps.weight.new_zeros(batch, (self.kernel_size - 1) * self.dilation, self.inputs),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, inputs) -> (batch, outputs)."""
        recent = torch.cat([state[0], x[:, None]], dim=1)
        return self.taps(recent[:, :: self.dilation].flatten(1)), (recent[:, 1:],)


class ShortConvolution(nn.Module):
    """A causal convolution of each channel with itself, added to its input: y_t = x_t + Σ_k w_k * x_(t - (K - 1 - k)).

    Lets every position see its neighbours before attention compares positions [1]_, [2]_: what followed the last
    occurrence of a figure is then found by one layer of attention instead of two. Starts as the identity. The state is
    the latest K - 1 inputs.

    References
    ----------
    .. [1] So et al., "Primer: Searching for Efficient Transformers for Language Modeling", NeurIPS 2021.
    .. [2] Poli et al., "Hyena Hierarchy: Towards Larger Convolutional Language Models", ICML 2023.
    """

    def __init__(self, dim: int, *, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.kernel = nn.Parameter(torch.zeros(kernel_size, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, dim) -> (batch, time, dim)."""
        kernel = self.kernel.type_as(x)
        result = x + x * kernel[-1]
        for age in range(1, self.kernel_size):
            result = result + shifted(x, age) * kernel[-1 - age]
        return result

    def initial_state(self, batch: int) -> State:
        """Return zeros before the sequence."""
        return (self.kernel.new_zeros(batch, self.kernel_size - 1, self.kernel.shape[1]),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, dim) -> (batch, dim)."""
        recent = torch.cat([state[0], x[:, None]], dim=1)
        return x + (recent * self.kernel).sum(dim=1), (recent[:, 1:],)
