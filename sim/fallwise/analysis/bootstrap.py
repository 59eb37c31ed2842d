"""Intervals of means by drawing questions again: what other questions would have given.

The block is the question: requests that ask the same thing again are no further evidence.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fallwise.tables import Floats, Int64s

__all__ = ["DRAWS", "bounds", "resampled"]

DRAWS: Final = 1000


def resampled(
    values: Floats,
    question: Int64s,
    weight: Floats,
    chance: np.random.Generator,
    draws: int = DRAWS,
    more: Floats | None = None,
) -> Floats:
    """Return (1 + draws, m) weighted means of values (n, m): of the data, then of each resample.

    more (k, m): questions that count in the resamples only, each as much as an average one. That
    few questions had none of a rare kind does not mean that there is none: two more of each end
    keep the interval from being too short (Agresti and Coull, The American Statistician 52, 1998).
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 8 (of blocks).
    """
    _, block = np.unique(question, return_inverse=True)
    blocks = int(block.max()) + 1
    columns = [np.bincount(block, weight * column, blocks) for column in values.T]
    sums = np.column_stack([*columns, np.bincount(block, weight, blocks)])
    found = np.empty((1 + draws, sums.shape[1]))
    found[0] = sums.sum(axis=0)
    if more is not None:
        each = sums[:, -1].mean()
        sums = np.vstack([sums, each * np.column_stack([more, np.ones(len(more))])])
        blocks += len(more)
    for b in range(1, 1 + draws):
        times = np.bincount(chance.integers(0, blocks, blocks), minlength=blocks)
        found[b] = times @ sums
    means: Floats = found[:, :-1] / found[:, -1:]
    return means


def bounds(means: Any, level: float = 0.95) -> dict[str, float]:
    """Return value, low and high of a number whose resamples follow its value: (1 + draws,).

    The percentile interval: as for the mean, it never leaves the range that a number can have.
    """
    tail = (1 - level) / 2
    low, high = np.quantile(means[1:], [tail, 1 - tail])
    value = float(means[0])
    return {"value": value, "low": min(value, float(low)), "high": max(value, float(high))}
