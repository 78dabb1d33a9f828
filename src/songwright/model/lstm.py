"""Long short-term memory [1]_ with forget gates [2]_.

i, f, o = sigmoid(W x_t + b + U h_(t-1) + c), g = tanh(the same with its own W, b, U, c);
c_t = f * c_(t-1) + i * g; h_t = o * tanh(c_t).

References
----------
.. [1] Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997.
.. [2] Gers, Schmidhuber and Cummins, "Learning to Forget", Neural Computation 12, 2000; their bias starts at 1 as in
   Jozefowicz et al., "An Empirical Exploration of Recurrent Network Architectures", ICML 2015.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from songwright.model import recurrence
from songwright.model.config import LstmConfig
from songwright.model.layers import Block, State
from songwright.model.recurrent import RecurrentBlock


class LstmBlock(RecurrentBlock):
    """One layer; the state is (h, c)."""

    num_states = 2

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config, nn.LSTM(config.dim, config.dim, batch_first=True), recurrence.lstm)
        bias_ih, bias_hh = self.weights[2:]
        with torch.no_grad():
            bias_ih.zero_()
            bias_hh.zero_()
            bias_ih[config.dim : 2 * config.dim] = 1.0

    def next_state(self, x: Tensor, state: State) -> State:
        """Return (h, c)."""
        hidden, cell = state
        weight_ih, weight_hh, bias_ih, bias_hh = self.weights
        gates = F.linear(x, weight_ih, bias_ih) + F.linear(hidden, weight_hh, bias_hh)
        enter, forget, candidate, leave = gates.chunk(4, dim=-1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
        return leave.sigmoid() * cell.tanh(), cell


def blocks(config: LstmConfig) -> list[Block]:
    """Return the layers of an LSTM."""
    return [LstmBlock(config) for _ in range(config.num_layers)]
