"""A stack of dilated causal convolutions with gates.

x = x + output(a * sigmoid(b)) with (a, b) = convolution(norm(x)): the gated residual blocks of WaveNet [1]_ and
ByteNet [2]_, with a linear in place of a tanh unit [3]_. Dilations double from layer to layer, so that L layers of K
taps see 1 + (K - 1) (2^L - 1) steps back.

References
----------
.. [1] van den Oord et al., "WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499, 2016.
.. [2] Kalchbrenner et al., "Neural Machine Translation in Linear Time", arXiv:1610.10099, 2016.
.. [3] Dauphin et al., "Language Modeling with Gated Convolutional Networks", ICML 2017.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from songwright.model.config import ConvolutionConfig
from songwright.model.layers import Block, CausalConvolution, Dropout, Norm, State, linear


class ConvolutionBlock(Block):
    """One gated convolution; the state is its latest inputs."""

    def __init__(self, config: ConvolutionConfig, dilation: int) -> None:
        super().__init__()
        self.norm = Norm(config.dim)
        self.convolution = CausalConvolution(
            config.dim, 2 * config.dim, kernel_size=config.kernel_size, dilation=dilation
        )
        self.output = linear(config.dim, config.dim)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, dim) -> (batch, time, dim)."""
        return x + self.dropout(self.output(F.glu(self.convolution(self.norm(x)), dim=-1)))

    def initial_state(self, batch: int) -> State:
        """Return zeros before the sequence."""
        return self.convolution.initial_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, dim) -> (batch, dim)."""
        convolved, state = self.convolution.step(self.norm(x), state)
        return x + self.dropout(self.output(F.glu(convolved, dim=-1))), state


def blocks(config: ConvolutionConfig) -> list[Block]:
    """Return the blocks of a convolution."""
    return [ConvolutionBlock(config, dilation) for dilation in config.dilations]
