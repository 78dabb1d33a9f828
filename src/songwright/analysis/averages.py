"""Averages of samples that may be empty: NaN then, and no warning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean(values: NDArray[np.number | np.bool_]) -> float:
    """Return the mean of some values, or the share of truths."""
    return float(np.mean(values)) if len(values) else np.nan


def ratio(numerator: float, denominator: float) -> float:
    """Return a quotient; NaN over nothing."""
    return float(numerator / denominator) if denominator else np.nan


def entropy(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the entropy of each row of counts, in bits, shape `counts.shape[:-1]`.

    Examples
    --------
    >>> entropy(np.array([[1, 1, 1, 1], [3, 0, 0, 0], [0, 0, 0, 0]])).tolist()
    [2.0, 0.0, nan]
    """
    total = counts.sum(axis=-1, keepdims=True)
    share = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    return np.abs((share * np.log2(np.where(share == 0, 1, share))).sum(axis=-1))
