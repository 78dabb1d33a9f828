"""A decoder-only Transformer: pre-norm blocks of self-attention and a feed-forward layer.

x = x + attention(norm(x)), then x = x + feed_forward(norm(x)) [1]_.

References
----------
.. [1] Vaswani et al., "Attention Is All You Need", NeurIPS 2017; norm before the branch as in Xiong et al., "On Layer
   Normalization in the Transformer Architecture", ICML 2020.
"""

from __future__ import annotations

from torch import Tensor

from songwright.model.config import TransformerConfig
from songwright.model.layers import Attention, Block, Dropout, FeedForward, Norm, State


class TransformerBlock(Block):
    """Attention, then feed-forward; the state is the attention's."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention_norm = Norm(config.dim)
        self.attention = Attention(config, config.context_length)
        self.feed_forward_norm = Norm(config.dim)
        self.feed_forward = FeedForward(config.dim, config.hidden_dim)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, dim) -> (batch, time, dim)."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))

    def initial_state(self, batch: int) -> State:
        """Return keys and values of no steps."""
        return self.attention.initial_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, dim) -> (batch, dim)."""
        attended, state = self.attention.step(self.attention_norm(x), state)
        x = x + self.dropout(attended)
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x))), state


def blocks(config: TransformerConfig) -> list[Block]:
    """Return the blocks of a Transformer."""
    return [TransformerBlock(config) for _ in range(config.num_layers)]
