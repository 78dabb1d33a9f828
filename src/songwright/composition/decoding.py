"""Sampling a sequence token by token: a grammar state on one side, the engine's decoder on the other.

Knows neither melody nor piano: a state offers `mask`, `channels` and `hints` and takes a token. A writer can go back
to any bar line and write on from there anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from songwright.engine.sampling import Logits, epsilon, sample
from songwright.tokens.channels import ChannelLayout
from songwright.tokens.vocabulary import Vocabulary


class SequenceState(Protocol):
    """What writing needs of a grammar state."""

    hints: list[int]
    is_finished: bool

    @property
    def bar(self) -> int:
        """Bar being written, counted from zero; -1 before the first."""
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


class StepDecoder(Protocol):
    """What writing needs of a network."""

    def step(self, tokens: ArrayLike, channels: ArrayLike | None = None, hints: ArrayLike | None = None) -> Logits:
        """Feed one token; return the logits of the next, shape (1, vocab)."""
        ...

    def rewind(self, lengths: int) -> None:
        """Go back to where so many tokens had been fed."""
        ...


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How the next token is drawn from the network's distribution."""

    temperature: float = 1.0
    """Below 1 sharper, above 1 flatter."""
    cutoff: float = 0.002
    """Tokens less likely than this are never drawn. A nucleus (top-p) of 0.95 would cut a chance of 3 % to leave a
    phrase that is copied; this keeps it."""
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


class Writer:
    """One sequence in the making.

    Parameters
    ----------
    decoder : StepDecoder
        Of batch size 1, at position 0: `engine.session.Decoder` or `engine.ngram.NgramDecoder`.
    new_state : callable
        Returns a grammar state at the start of the song.
    rng : numpy.random.Generator
    layout, vocabulary
        Of the decoder's stream.
    config : SamplingConfig
    bar_token, start_token : int
        The bar line, and the token before the first.

    Attributes
    ----------
    tokens : list of int
        What has been written, start token left out.
    """

    def __init__(
        self,
        decoder: StepDecoder,
        new_state: Callable[[], SequenceState],
        rng: np.random.Generator,
        *,
        layout: ChannelLayout,
        vocabulary: Vocabulary,
        config: SamplingConfig,
        bar_token: int,
        start_token: int,
    ) -> None:
        self.tokens: list[int] = []
        self._decoder, self._new_state, self._rng = decoder, new_state, rng
        self._state = new_state()
        self._offsets = np.array(layout.offsets, dtype=np.int64)
        self._temperatures = token_temperatures(vocabulary, config)
        self._samplers = [epsilon(config.cutoff)]
        self._bar_token, self._start_token = bar_token, start_token

    def write(self, *, on_bar: Callable[[int], None] | None = None) -> list[int]:
        """Sample to the end of the song; return all tokens.

        Parameters
        ----------
        on_bar : callable, optional
            Called at each bar line with the number of bars finished, and at the end.
        """
        state = self._state
        token = self.tokens[-1] if self.tokens else self._start_token
        while not state.is_finished:
            channels = np.array(state.channels(), dtype=np.int64) + self._offsets
            logits = self._decoder.step([token], channels[None], [state.hints])[0]
            token = sample(logits / self._temperatures, state.mask(), self._rng, self._samplers)
            state.advance(token)
            self.tokens.append(token)
            if on_bar and token == self._bar_token:
                on_bar(state.bar)
        if on_bar:
            on_bar(state.bar + 1)
        return self.tokens

    def go_back(self, bar: int) -> None:
        """Forget a bar, counted from zero, and all that follows."""
        lines = [place for place, token in enumerate(self.tokens) if token == self._bar_token]
        del self.tokens[lines[bar] :]
        self._state = self._new_state()
        for token in self.tokens:
            self._state.advance(token)
        self._decoder.rewind(len(self.tokens))
