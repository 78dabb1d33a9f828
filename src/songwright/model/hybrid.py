"""Convolution and self-attention together: a Transformer whose branches first look at their neighbours.

c = short_convolution(norm(x)); x = x + attention(c); then the same with the feed-forward layer. The convolutions, a few
steps wide, make figures of tokens; attention then compares figures [1]_, [2]_.

References
----------
.. [1] Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", Interspeech 2020.
.. [2] So et al., "Primer: Searching for Efficient Transformers for Language Modeling", NeurIPS 2021.
"""

from __future__ import annotations

from torch import Tensor

from songwright.model.config import HybridConfig
from songwright.model.layers import Attention, Block, Dropout, FeedForward, Norm, ShortConvolution, State


class HybridBlock(Block):
    """Convolution and attention, then convolution and feed-forward; the state is (keys, values, inputs, inputs)."""

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.attention_norm = Norm(config.dim)
        self.attention_convolution = ShortConvolution(config.dim, kernel_size=config.kernel_size)
        self.attention = Attention(config, config.context_length)
        self.feed_forward_norm = Norm(config.dim)
        self.feed_forward_convolution = ShortConvolution(config.dim, kernel_size=config.kernel_size)
        self.feed_forward = FeedForward(config.dim, config.hidden_dim)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, dim) -> (batch, time, dim)."""
        x = x + self.dropout(self.attention(self.attention_convolution(self.attention_norm(x))))
        return x + self.dropout(self.feed_forward(self.feed_forward_convolution(self.feed_forward_norm(x))))

    def initial_state(self, batch: int) -> State:
        """Return no keys and values, and zeros before the sequence."""
        return (
            *self.attention.initial_state(batch),
            *self.attention_convolution.initial_state(batch),
            *self.feed_forward_convolution.initial_state(batch),
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, dim) -> (batch, dim)."""
        near, near_state = self.attention_convolution.step(self.attention_norm(x), state[2:3])
        attended, attention_state = self.attention.step(near, state[:2])
        x = x + self.dropout(attended)
        near, last_state = self.feed_forward_convolution.step(self.feed_forward_norm(x), state[3:])
        return x + self.dropout(self.feed_forward(near)), (*attention_state, *near_state, *last_state)


def blocks(config: HybridConfig) -> list[Block]:
    """Return the blocks of a hybrid."""
    return [HybridBlock(config) for _ in range(config.num_layers)]
