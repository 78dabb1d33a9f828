"""What the recurrent families share: a cell over whole sequences, and dropout outside of it.

Dropout falls on what goes up from layer to layer and never on what goes on in time [1]_. Layers are stacked without
residual sums, as they were when these networks were the state of the art.

References
----------
.. [1] Zaremba, Sutskever and Vinyals, "Recurrent Neural Network Regularization", arXiv:1409.2329, 2014.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from songwright.model.config import NetworkConfig
from songwright.model.layers import Block, Dropout, State


class RecurrentBlock(Block):
    """One recurrent layer and the dropout above it; the state is the cell's, each (batch, dim)."""

    num_states = 1

    def __init__(
        self, config: NetworkConfig, cell: nn.RNNBase, recurrence: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.dim = config.dim
        self.cell = cell  # holds the weights; its own kernels serve on GPUs
        self.recurrence = recurrence
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, dim) -> (batch, time, dim)."""
        if x.is_cuda:
            return self.dropout(self.cell(x)[0])
        weight_ih, weight_hh, bias_ih, bias_hh = self.weights
        return self.dropout(self.recurrence(F.linear(x, weight_ih, bias_ih), weight_hh, bias_hh))

    def initial_state(self, batch: int) -> State:
        """Return zeros."""
        zeros = self.weights[0].new_zeros(batch, self.dim)
        return (zeros,) * self.num_states

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, dim) -> (batch, dim)."""
        state = self.next_state(x, state)
        return self.dropout(state[0]), state

    @abstractmethod
    def next_state(self, x: Tensor, state: State) -> State:
        """Return the state after one more input; its first part is the output."""

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Matrices of input and state, each (gates * dim, dim), and their biases, in PyTorch's order of gates."""
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(self.cell, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        )
        return weight_ih, weight_hh, bias_ih, bias_hh
