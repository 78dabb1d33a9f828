"""A simple recurrent network [1]_: h_t = tanh(W x_t + b + U h_(t-1) + c).

References
----------
.. [1] Elman, "Finding Structure in Time", Cognitive Science 14, 1990.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from songwright.model import recurrence
from songwright.model.config import RnnConfig
from songwright.model.layers import Block, State
from songwright.model.recurrent import RecurrentBlock


class RnnBlock(RecurrentBlock):
    """One layer; the state is (h,)."""

    def __init__(self, config: RnnConfig) -> None:
        super().__init__(config, nn.RNN(config.dim, config.dim, batch_first=True), recurrence.rnn)
        # Gradients through many steps neither vanish nor explode at first (Le, Jaitly and Hinton, 2015, with an
        # orthogonal matrix in place of the identity, as in Saxe et al., 2014).
        nn.init.orthogonal_(self.weights[1])

    def next_state(self, x: Tensor, state: State) -> State:
        """Return (h,)."""
        weight_ih, weight_hh, bias_ih, bias_hh = self.weights
        return (torch.tanh(F.linear(x, weight_ih, bias_ih) + F.linear(state[0], weight_hh, bias_hh)),)


def blocks(config: RnnConfig) -> list[Block]:
    """Return the layers of an RNN."""
    return [RnnBlock(config) for _ in range(config.num_layers)]
