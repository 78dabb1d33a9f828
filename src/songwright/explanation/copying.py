"""How much of a token's probability comes through each copy gate.

The network adds to the logit of every hinted token a gate (`model.transformer`). What one gate is worth depends on the
others: where two references hint the same token, leaving out either changes little. So the log-probability that all
gates together add to the token that was written is shared out by Shapley's value [1]_: what each gate adds, averaged
over all orders in which the gates may come. The shares sum to log p(with all gates) - log p(with none). Only the output
layer is computed again. Knows ids and logits only.

References
----------
.. [1] Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017.
"""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray


def copied_nats(
    logits: NDArray[np.float32], gates: NDArray[np.float32], hints: NDArray[np.integer], targets: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return what each gate adds to the log-probability of the token that was written.

    Parameters
    ----------
    logits : ndarray, shape (time, vocab)
        With all gates added.
    gates : ndarray, shape (time, num_hints)
        What each hint added; 0 without a hint.
    hints : ndarray of int, shape (time, num_hints)
        Hinted tokens, 0 for none. All 2^num_hints sets of gates are tried.
    targets : ndarray of int, shape (time,)
        The token written after each step.

    Returns
    -------
    ndarray of float64, shape (time, num_hints)
        In nats; negative where a gate spoke for another token.

    Examples
    --------
    Two gates of log 3 speak for token 1, which without them has probability 1/2:

    >>> logits = np.array([[0, 2 * np.log(3)]], dtype=np.float32)
    >>> gates = np.full((1, 2), np.log(3), dtype=np.float32)
    >>> shares = copied_nats(logits, gates, np.array([[1, 1]]), np.array([1]))
    >>> shares.round(3).tolist(), round(float(shares.sum() - np.log(0.9 / 0.5)), 3)
    ([[0.294, 0.294]], 0.0)
    """
    time, num_hints = gates.shape
    steps, raises = np.arange(time), gates.astype(np.float64)
    plain: NDArray[np.float64] = logits.astype(np.float64)
    np.add.at(plain, (steps[:, None], hints), -raises)
    plain -= plain.max(axis=1, keepdims=True, initial=-np.inf)
    # Hints of one token stand for it together; the first of them holds its weight.
    same = (hints[:, :, None] == hints[:, None, :]) & (hints > 0)[:, :, None]
    is_first = (hints > 0) & ~np.tril(same, -1).any(axis=2)
    hinted = np.where(is_first, np.exp(plain[steps[:, None], hints]), 0)
    unhinted = np.exp(plain)
    np.put_along_axis(unhinted, hints.astype(np.int64), np.where(hints > 0, 0, unhinted[:, :1]), axis=1)
    rest = unhinted.sum(axis=1)
    speaks_for_target = np.where(hints == targets[:, None], raises, 0)

    sets = (np.arange(1 << num_hints)[:, None] >> np.arange(num_hints) & 1).astype(np.float64)
    value = np.empty((time, len(sets)))  # log-probability of the target with each set of gates, less a constant
    for index, members in enumerate(sets):
        raised = np.einsum("tr,tro->to", raises * members, same)
        value[:, index] = speaks_for_target @ members - np.log(rest + (hinted * np.exp(raised)).sum(axis=1))

    sizes = sets.sum(axis=1).astype(int)
    shares = np.zeros((time, num_hints))
    for hint in range(num_hints):
        for index in np.flatnonzero(sets[:, hint] == 0).tolist():
            orders = factorial(sizes[index]) * factorial(num_hints - 1 - sizes[index]) / factorial(num_hints)
            shares[:, hint] += orders * (value[:, index | 1 << hint] - value[:, index])
    return shares
