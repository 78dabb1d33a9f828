"""Sampling songs in step: grammar states on one side, the engine's decoder on the other.

Knows neither melody nor piano: a state offers `mask`, `channels` and `hints` and takes a token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from songwright.engine.sampling import epsilon, sample
from songwright.engine.session import Decoder
from songwright.tokens.channels import NUM_REFERENCES, ChannelLayout
from songwright.tokens.vocabulary import Vocabulary


class SequenceState(Protocol):
    """What decoding needs of a grammar state."""

    hints: list[int]
    is_finished: bool

    @property
    def bar(self) -> int:
        """Bar being written, counted from zero."""
        ...

    def channels(self) -> list[int]:
        """Return channel values, offsets not added."""
        ...

    def mask(self) -> NDArray[np.bool_]:
        """Return which tokens may come next."""
        ...

    def advance(self, token: int) -> None:
        """Take the next token."""
        ...


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How the next token is drawn from the network's distribution."""

    temperature: float = 1.0
    """Below 1 sharper, above 1 flatter."""
    cutoff: float = 0.002
    """Tokens less likely than this are never drawn. A nucleus (top-p) instead would never leave a phrase that it
    copies: a chance of 3 % a step to vary is above this cutoff and outside a nucleus of 0.95."""
    temperatures: Mapping[str, float] = field(default_factory=dict[str, float])
    """Temperatures that replace `temperature` for a kind of token (the name before its `_`)."""

    def __post_init__(self) -> None:
        for value in (self.temperature, *self.temperatures.values()):
            if not 0 < value <= 10:
                raise ValueError(f"temperature must be above 0 and at most 10, got {value}")
        if not 0 <= self.cutoff < 1:
            raise ValueError(f"cutoff must be from 0 to 1, got {self.cutoff}")


def token_temperatures(vocabulary: Vocabulary, config: SamplingConfig) -> NDArray[np.float32]:
    """Return the temperature of each token, shape (vocabulary,)."""
    kinds = [name.split("_")[0] for name in vocabulary.names]
    return np.array([config.temperatures.get(kind, config.temperature) for kind in kinds], dtype=np.float32)


def decode_together(
    decoder: Decoder,
    states: Sequence[SequenceState],
    rngs: Sequence[np.random.Generator],
    *,
    layout: ChannelLayout,
    vocabulary: Vocabulary,
    config: SamplingConfig,
    start_token: int,
    on_bar: Callable[[int], None] | None = None,
) -> list[list[int]]:
    """Sample one token after another for every state until all are finished.

    Each sequence draws from its own generator, so it comes out the same whatever else is in the batch, up to the
    engine's rounding.

    Parameters
    ----------
    decoder : Decoder
        Of batch size len(states), at position 0.
    states : sequence of SequenceState
    rngs : sequence of Generator
        One for each state.
    layout, vocabulary
        Of the decoder's stream.
    config : SamplingConfig
    start_token : int
        The token before the first.
    on_bar : callable, optional
        Called with the number of bars finished in the slowest sequence, when it grows.

    Returns
    -------
    list of list of int
        The tokens of each sequence, start token left out.
    """
    batch = len(states)
    offsets = np.array(layout.offsets, dtype=np.int64)
    temperatures = token_temperatures(vocabulary, config)
    uniform = bool(np.all(temperatures == temperatures[0]))
    samplers = [epsilon(config.cutoff)]
    tokens = np.full(batch, start_token, dtype=np.int64)
    channels = np.zeros((batch, len(layout.sizes)), dtype=np.int64)
    hints = np.zeros((batch, NUM_REFERENCES), dtype=np.int64)
    written: list[list[int]] = [[] for _ in states]
    active = list(range(batch))
    bars_done = 0
    while active:
        for row in active:
            channels[row] = states[row].channels()
            hints[row] = states[row].hints
        logits = decoder.step(tokens, channels + offsets, hints)
        for row in active:
            state = states[row]
            scaled = logits[row] / (temperatures[0] if uniform else temperatures)
            token = sample(scaled, state.mask(), rngs[row], samplers)
            state.advance(token)
            tokens[row] = token
            written[row].append(token)
        active = [row for row in active if not states[row].is_finished]
        slowest = min((states[row].bar for row in active), default=bars_done + 1)
        if slowest > bars_done:
            bars_done = slowest
            if on_bar:
                on_bar(bars_done)
    return written
