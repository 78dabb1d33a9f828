"""A variational autoencoder of phrases [1]_, in one readable file.

Knows ids and tensors only. Axes: `batch`, `time`, `dim` (width), `places` (beats of a phrase), `latent`, `vocab`.

Each step reads a token and the rows of its side channels (summed embeddings), among them the chord and the place. Two
LSTMs [2]_ read the phrase, one forwards and one backwards; the mean of their outputs at each place, narrowed, all
places side by side, gives mean and log-variance of the latent numbers, z ~ N(mean, exp(log_variance)). One matrix turns
z into a code for each place, and a third LSTM writes the phrase with the code of its place added to each token.
MusicVAE's conductor [3]_ makes a code for each bar, step by step; eight bars need no recurrence for it.

The loss (`training.phrases`) is the cross-entropy and KL(z || N(0, 1)). A strong decoder would ignore z [4]_: the
weight of the KL rises from 0, each latent number has free bits, some tokens are hidden from the writer, and deviations
start small, so that z says something from the first step on.

References
----------
.. [1] Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
.. [2] Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997.
.. [3] Roberts et al., "A Hierarchical Latent Vector Model for Learning Long-Term Structure in Music", ICML 2018.
.. [4] Bowman et al., "Generating Sentences from a Continuous Space", CoNLL 2016.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from songwright.model.config import PhraseVaeConfig, StreamSizes

_FIRST_LOG_VARIANCE = -3.0

State = tuple[Tensor, Tensor]
"""Output and cell of the writing LSTM, each (1, batch, dim)."""


class Reader(nn.Module):
    """Embedded phrases -> mean and log-variance of their latent numbers."""

    def __init__(self, config: PhraseVaeConfig, num_places: int) -> None:
        super().__init__()
        self.forward_lstm = nn.LSTM(config.dim, config.dim // 2, batch_first=True)
        self.backward_lstm = nn.LSTM(config.dim, config.dim // 2, batch_first=True)
        self.narrow = nn.Linear(config.dim, config.code_dim)
        self.posterior = nn.Linear(num_places * config.code_dim, 2 * config.latent_dim)
        nn.init.constant_(self.posterior.bias[config.latent_dim :], _FIRST_LOG_VARIANCE)

    def forward(self, x: Tensor, is_there: Tensor, at_place: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance, each (batch, latent).

        Parameters
        ----------
        x : Tensor, shape (batch, time, dim)
        is_there : Tensor of bool, shape (batch, time)
            False in the padding after a phrase.
        at_place : Tensor, shape (batch, time, places)
            1 at the place of each step, else 0.
        """
        # Phrases are turned round without their padding, so that it changes nothing; twice turned is as before. (A
        # packed bidirectional LSTM does the same, four times as slowly on a CPU: it leaves the fused kernel.)
        time = x.shape[1]
        turned = (is_there.sum(dim=1, keepdim=True) - 1 - torch.arange(time, device=x.device)) % time
        backward = _at(self.backward_lstm(_at(x, turned))[0], turned)
        read = self.narrow(torch.cat([self.forward_lstm(x)[0], backward], dim=-1))
        weights = at_place.type_as(read) * is_there[..., None]
        means = weights.transpose(1, 2) @ read / weights.sum(dim=1).clamp(min=1)[..., None]
        mean, log_variance = self.posterior(means.flatten(1)).float().chunk(2, dim=-1)
        return mean, log_variance


class Writer(nn.Module):
    """Latent numbers and the embedded steps so far -> what the next token is read from."""

    def __init__(self, config: PhraseVaeConfig, num_places: int) -> None:
        super().__init__()
        self.num_places = num_places
        self.codes = nn.Linear(config.latent_dim, num_places * config.code_dim)
        self.widen = nn.Linear(config.code_dim, config.dim)
        self.lstm = nn.LSTM(config.dim, config.dim, batch_first=True)
        self.mix = nn.Linear(2 * config.dim, config.dim)

    def forward(self, z: Tensor, x: Tensor, at_place: Tensor, state: State | None) -> tuple[Tensor, State]:
        """(batch, latent), (batch, time, dim), (batch, time, places) -> (batch, time, dim) and the state after it."""
        codes = self.widen(F.silu(self.codes(z)).view(len(z), self.num_places, -1))
        x = x + at_place.type_as(codes) @ codes
        written, following = self.lstm(x, state)
        return F.silu(self.mix(torch.cat([written, x], dim=-1))), following


class PhraseVae(nn.Module):
    """Phrases to latent numbers and back.

    Parameters
    ----------
    config : PhraseVaeConfig
    sizes : StreamSizes
    num_places : int
        Places of the longest phrase.

    Notes
    -----
    Channel 0 must be the place, its rows the first `num_places` of the table: it says which code a step reads.
    """

    def __init__(self, config: PhraseVaeConfig, sizes: StreamSizes, *, num_places: int) -> None:
        super().__init__()
        self.config, self.sizes, self.num_places = config, sizes, num_places
        self.token_embedding = nn.Embedding(sizes.vocab_size, config.dim)
        self.channel_embedding = nn.EmbeddingBag(sizes.num_channel_rows, config.dim, mode="sum")
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList([Reader(config, num_places), Writer(config, num_places)])
        self.output_bias = nn.Parameter(torch.zeros(sizes.vocab_size))
        nn.init.normal_(self.token_embedding.weight, std=0.1)
        nn.init.normal_(self.channel_embedding.weight, std=0.05)

    @property
    def reader(self) -> Reader:
        """The encoder."""
        return cast(Reader, self.blocks[0])

    @property
    def writer(self) -> Writer:
        """The decoder."""
        return cast(Writer, self.blocks[1])

    def forward(
        self, tokens: Tensor, channels: Tensor, noise: Tensor | None = None, shown: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of the token after each step, and the posterior.

        Parameters
        ----------
        tokens : Tensor of int64, shape (batch, time)
            Phrases without their last token; 0 after their ends.
        channels : Tensor of int64, shape (batch, time, num_channels)
            Rows of the channel table.
        noise : Tensor, shape (batch, latent), optional
            Standard normal numbers; z is the mean without.
        shown : Tensor of int64, shape (batch, time), optional
            Tokens with 0 for those that the writer is not shown; it is shown all without.

        Returns
        -------
        logits : Tensor of float32, shape (batch, time, vocab)
        mean, log_variance : Tensor of float32, shape (batch, latent)
        """
        mean, log_variance = self.encode(tokens, channels)
        z = mean if noise is None else mean + (log_variance / 2).exp() * noise
        logits, _ = self.decode(z, tokens if shown is None else shown, channels)
        return logits, mean, log_variance

    def encode(self, tokens: Tensor, channels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the latent numbers, each (batch, latent)."""
        return self.reader(self._embed(tokens, channels), tokens > 0, self._at_place(channels))

    def decode(self, z: Tensor, shown: Tensor, channels: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return logits, (batch, time, vocab), and the state after the last step.

        Parameters
        ----------
        z : Tensor, shape (batch, latent)
        shown : Tensor of int64, shape (batch, time)
            Tokens; 0 for a hidden one.
        channels : Tensor of int64, shape (batch, time, num_channels)
        state : State, optional
            After the step before; zeros at the start.
        """
        mixed, following = self.writer(z, self._embed(shown, channels), self._at_place(channels), state)
        return F.linear(self.dropout(mixed), self.token_embedding.weight, self.output_bias).float(), following

    def _embed(self, tokens: Tensor, channels: Tensor) -> Tensor:
        rows = self.channel_embedding(channels.flatten(0, 1)).view(*tokens.shape, -1)
        return self.dropout(self.token_embedding(tokens) + rows)

    def _at_place(self, channels: Tensor) -> Tensor:
        return F.one_hot(channels[..., 0], self.num_places)

    @property
    def num_parameters(self) -> int:
        """Trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters())


def _at(x: Tensor, places: Tensor) -> Tensor:
    """Return the steps of (batch, time, dim) at these places, (batch, time)."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))
