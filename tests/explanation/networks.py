"""Small networks to explain: one of numpy that copies, a torch LSTM and a torch convolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from songwright.score.lead_sheet import LeadSheet
from songwright.tokens.lead_sheet import BAR, VOCABULARY
from songwright.tokens.lead_sheet_state import CHANNELS
from songwright.tokens.streams import lead_sheet_sequence


class CopyingNetwork:
    """Expects each token of a bar to be that of the bar `lag` bars before, and knows nothing where there is none."""

    def __init__(self, lag: int = 4) -> None:
        self.lag = lag

    def log_probabilities(self, tokens: np.ndarray, channels: np.ndarray, hints: np.ndarray) -> np.ndarray:
        vocab = len(VOCABULARY)
        probability = np.full((len(tokens), vocab), 1 / vocab)
        starts: list[int] = []
        for row, token in enumerate(tokens.tolist()):
            if token == BAR:
                starts.append(row)
            if len(starts) > self.lag:
                source = starts[-1 - self.lag] + row + 1 - starts[-1]
                if source <= starts[-self.lag]:
                    probability[row] = 0.1 / (vocab - 1)
                    probability[row, tokens[source]] = 0.9
        return np.log(probability).astype(np.float32)


class LstmBody(nn.LSTM):
    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]


class ConvolutionBody(nn.Conv1d):
    """Each output sees its own input and the 15 before it."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, 16)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x.transpose(1, 2), (15, 0))).transpose(1, 2).tanh()


class TorchNetwork(nn.Module):
    """Token and channel embeddings, a body, an output layer; `log_probabilities` is all that explaining it takes."""

    def __init__(self, body: type[nn.Module], *, dim: int = 24, with_channels: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens = nn.Embedding(len(VOCABULARY), dim)
        self.channels = nn.Embedding(CHANNELS.num_rows, dim)
        self.body = body(dim)
        self.output = nn.Linear(dim, len(VOCABULARY))
        self.with_channels = with_channels

    def forward(self, tokens: Tensor, channels: Tensor, hints: Tensor) -> Tensor:
        x = self.tokens(tokens)
        if self.with_channels:
            x = x + self.channels(channels).sum(-2)
        return self.output(self.body(x) + x)

    def log_probabilities(self, tokens: np.ndarray, channels: np.ndarray, hints: np.ndarray) -> np.ndarray:
        arrays = [torch.from_numpy(array.astype(np.int64))[None] for array in (tokens, channels, hints)]
        return self(*arrays)[0].log_softmax(-1).detach().numpy()


def train(network: TorchNetwork, sheets: Sequence[LeadSheet], *, steps: int) -> TorchNetwork:
    """Take one step of Adam a song, round and round."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    songs = [
        [torch.from_numpy(array.astype(np.int64))[None] for array in lead_sheet_sequence(sheet)] for sheet in sheets
    ]
    for step in range(steps):
        tokens, channels, hints = songs[step % len(songs)]
        logits = network(tokens[:, :-1], channels[:, :-1], hints[:, :-1])
        optimizer.zero_grad()
        F.cross_entropy(logits[0], tokens[0, 1:]).backward()
        optimizer.step()
    return network
