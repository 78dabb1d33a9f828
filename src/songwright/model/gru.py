"""The gated recurrent unit [1]_.

r, z = sigmoid(W x_t + b + U h_(t-1) + c); n = tanh(W x_t + b + r * (U h_(t-1) + c)); h_t = (1 - z) * n + z * h_(t-1).
The reset gate falls on the product, not on the state: PyTorch's and cuDNN's form.

References
----------
.. [1] Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation",
   EMNLP 2014.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from songwright.model import recurrence
from songwright.model.config import GruConfig
from songwright.model.layers import Block, State
from songwright.model.recurrent import RecurrentBlock


class GruBlock(RecurrentBlock):
    """One layer; the state is (h,)."""

    def __init__(self, config: GruConfig) -> None:
        super().__init__(config, nn.GRU(config.dim, config.dim, batch_first=True), recurrence.gru)

    def next_state(self, x: Tensor, state: State) -> State:
        """Return (h,)."""
        weight_ih, weight_hh, bias_ih, bias_hh = self.weights
        of_input = F.linear(x, weight_ih, bias_ih).chunk(3, dim=-1)
        of_state = F.linear(state[0], weight_hh, bias_hh).chunk(3, dim=-1)
        reset, keep = (of_input[0] + of_state[0]).sigmoid(), (of_input[1] + of_state[1]).sigmoid()
        candidate = (of_input[2] + reset * of_state[2]).tanh()
        return ((1 - keep) * candidate + keep * state[0],)


def blocks(config: GruConfig) -> list[Block]:
    """Return the layers of a GRU."""
    return [GruBlock(config) for _ in range(config.num_layers)]
