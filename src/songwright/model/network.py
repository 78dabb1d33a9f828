"""A sequence network of any family: token ids, channel rows and hints in, logits of the next token out.

Knows ids and tensors only. What all families share is here, so that they differ in their blocks alone: each step reads
a token and the rows of its side channels (summed embeddings); the output layer shares the token embedding [1]_ and
adds, for each hint, a learned gate to the logit of the hinted token: a copy mechanism in the space of logits, simpler
than the mixture of [2]_ and free to abstain (a negative gate).

References
----------
.. [1] Press and Wolf, "Using the Output Embedding to Improve Language Models", EACL 2017.
.. [2] See, Liu and Manning, "Get To The Point: Summarization with Pointer-Generator Networks", ACL 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from songwright.model import convolution, gru, hybrid, lstm, rnn, transformer
from songwright.model.config import NetworkConfig, StreamSizes
from songwright.model.layers import Block, Dropout, Norm, State

FAMILIES: Mapping[str, Callable[[Any], list[Block]]] = {
    "transformer": transformer.blocks,
    "hybrid": hybrid.blocks,
    "convolution": convolution.blocks,
    "lstm": lstm.blocks,
    "gru": gru.blocks,
    "rnn": rnn.blocks,
}
"""What makes the blocks of each family."""


class SequenceNetwork(nn.Module):
    """Embeddings, the blocks of a family, and the output layer.

    Parameters
    ----------
    config : NetworkConfig
        Of one of `FAMILIES`.
    sizes : StreamSizes
    """

    def __init__(self, config: NetworkConfig, sizes: StreamSizes) -> None:
        super().__init__()
        self.config, self.sizes = config, sizes
        self.token_embedding = nn.Embedding(sizes.vocab_size, config.dim)
        self.channel_embedding = (
            nn.EmbeddingBag(sizes.num_channel_rows, config.dim, mode="sum") if sizes.num_channel_rows else None
        )
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(FAMILIES[config.family](config))
        self.output_norm = Norm(config.dim)
        self.copy_gate = nn.Linear(config.dim, sizes.num_hints) if sizes.num_hints else None
        self.apply(_initialise)
        # Residual branches start small so that depth does not raise the variance (GPT-2's rule).
        for name, parameter in self.blocks.named_parameters():
            if name.endswith(("output.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / (2 * config.num_layers) ** 0.5)
        if self.copy_gate is not None:
            nn.init.zeros_(self.copy_gate.weight)
            nn.init.zeros_(self.copy_gate.bias)

    def forward(self, tokens: Tensor, channels: Tensor | None = None, hints: Tensor | None = None) -> Tensor:
        """Return logits of the token after each step.

        Parameters
        ----------
        tokens : Tensor of int64, shape (batch, time)
        channels : Tensor of int64, shape (batch, time, num_channels), optional
            Rows of the channel table.
        hints : Tensor of int64, shape (batch, time, num_hints), optional
            Hinted token ids, 0 for none.

        Returns
        -------
        Tensor of float32, shape (batch, time, vocab)
        """
        x = self._embed(tokens, channels)
        for block in self.blocks:
            x = block(x)
        return self._logits(x, hints)

    def initial_state(self, batch: int) -> list[State]:
        """Return the state of each block before the first step of so many sequences."""
        return [block.initial_state(batch) for block in cast("list[Block]", list(self.blocks))]

    def step(
        self, tokens: Tensor, state: list[State], channels: Tensor | None = None, hints: Tensor | None = None
    ) -> tuple[Tensor, list[State]]:
        """Read one token of each sequence; return logits of the next, and the state after it.

        Parameters
        ----------
        tokens : Tensor of int64, shape (batch,)
        state : list of State
            Of the steps before; left as it is.
        channels : Tensor of int64, shape (batch, num_channels), optional
        hints : Tensor of int64, shape (batch, num_hints), optional

        Returns
        -------
        logits : Tensor of float32, shape (batch, vocab)
        state : list of State
        """
        x = self._embed(tokens, channels)
        following: list[State] = []
        for block, past in zip(cast("list[Block]", list(self.blocks)), state, strict=True):
            x, after = block.step(x, past)
            following.append(after)
        return self._logits(x, hints), following

    def _embed(self, tokens: Tensor, channels: Tensor | None) -> Tensor:
        x = self.token_embedding(tokens)
        if self.channel_embedding is not None and channels is not None:
            x = x + self.channel_embedding(channels.flatten(0, -2)).view_as(x)
        return self.dropout(x)

    def _logits(self, x: Tensor, hints: Tensor | None) -> Tensor:
        x = self.output_norm(x)
        logits = F.linear(x, self.token_embedding.weight).float()
        if self.copy_gate is not None and hints is not None:
            gate = self.copy_gate(x).float() * (hints > 0)
            logits = logits.scatter_add(-1, hints, gate)
        return logits

    @property
    def num_parameters(self) -> int:
        """Trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding | nn.EmbeddingBag):
        nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and isinstance(cast("Tensor | None", module.bias), torch.Tensor):
            nn.init.zeros_(module.bias)
