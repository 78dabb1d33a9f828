"""Drawing a token from logits: small `logits -> logits` functions and one draw.

A sampler takes and returns logits of shape (num_tokens,); a token that it rules out becomes -inf, and the most
likely token always stays. `sample` first drops what the grammar forbids, so samplers see allowed tokens only and a step
costs microseconds.

Truncation by an absolute (`epsilon`) or relative (`min_p`) probability keeps rare continuations that
nucleus sampling (`top_p`) cuts: where a network expects a copy with 97 %, top-p .95 copies always, and songs repeat
more literally than the network means them to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.floating]
Sampler = Callable[[Logits], Logits]


def temperature(value: float) -> Sampler:
    """Return a sampler that divides logits: below 1 sharper, above 1 flatter.

    Raises
    ------
    ValueError
        If the value is not positive.
    """
    if not value > 0:
        raise ValueError(f"temperature must be above 0, got {value}")
    return lambda logits: logits / value


def min_p(share: float) -> Sampler:
    """Return a sampler that drops tokens less likely than `share` times the most likely one [1]_.

    Raises
    ------
    ValueError
        If the share is not from 0 to 1.

    References
    ----------
    .. [1] Nguyen et al., "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs", ICLR 2025.
    """
    _check_share("min_p", share)
    if share == 0:
        return lambda logits: logits
    margin = log(share)
    return lambda logits: np.where(logits >= np.maximum.reduce(logits) + margin, logits, -np.inf)


def epsilon(probability: float) -> Sampler:
    """Return a sampler that drops tokens less likely than `probability`, but never the most likely one [1]_.

    Raises
    ------
    ValueError
        If the probability is not from 0 to 1.

    References
    ----------
    .. [1] Hewitt, Manning and Liang, "Truncation Sampling as Language Model Desmoothing", Findings of EMNLP 2022.
    """
    _check_share("epsilon", probability)
    if probability == 0:
        return lambda logits: logits
    threshold = log(probability)

    def truncate(logits: Logits) -> Logits:
        highest = np.maximum.reduce(logits)
        lowest_kept = highest + log(np.add.reduce(np.exp(logits - highest))) + threshold
        return np.where(logits >= min(lowest_kept, highest), logits, -np.inf)

    return truncate


def top_p(mass: float) -> Sampler:
    """Return a sampler that keeps the fewest tokens whose probabilities reach `mass` (the nucleus) [1]_.

    Raises
    ------
    ValueError
        If the mass is not from 0 to 1.

    References
    ----------
    .. [1] Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020.
    """
    _check_share("top_p", mass)

    def truncate(logits: Logits) -> Logits:
        order = np.argsort(-logits, kind="stable")  # of equal tokens the first: the same on every machine
        probabilities = np.exp(logits[order] - logits[order[0]])
        before = np.cumsum(probabilities) - probabilities  # mass of the more likely tokens
        kept = order[: max(int(np.searchsorted(before, mass * probabilities.sum(), side="left")), 1)]
        result = np.full_like(logits, -np.inf)
        result[kept] = logits[kept]
        return result

    return truncate


def allow(mask: NDArray[np.bool_]) -> Sampler:
    """Return a sampler that keeps the tokens where `mask`, shape (num_tokens,), is true."""
    return lambda logits: np.where(mask, logits, -np.inf)


def sample(logits: Logits, mask: NDArray[np.bool_], rng: np.random.Generator, samplers: Sequence[Sampler] = ()) -> int:
    """Draw one allowed token.

    Parameters
    ----------
    logits : ndarray, shape (vocab,)
    mask : ndarray of bool, shape (vocab,)
        Allowed tokens.
    rng : numpy.random.Generator
        Gives one number a draw, none where a single token is allowed.
    samplers : sequence of Sampler
        Applied in order to the logits of the allowed tokens.

    Returns
    -------
    int
        Token id.

    Raises
    ------
    ValueError
        If no token is allowed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sample(np.array([5.0, 1.0, 9.0]), np.array([True, True, False]), rng, [min_p(0.5)])
    0
    """
    allowed = mask.nonzero()[0]
    if len(allowed) < 2:
        if not len(allowed):
            raise ValueError("no token is allowed")
        return int(allowed[0])
    values = logits[allowed].astype(np.float64)
    for sampler in samplers:
        values = sampler(values)
    cumulative = np.add.accumulate(np.exp(values - np.maximum.reduce(values)))
    # `right` skips tokens of probability 0; a random number is below 1, so the product is below the last entry.
    return int(allowed[cumulative.searchsorted(rng.random() * cumulative[-1], side="right")])


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {share}")
