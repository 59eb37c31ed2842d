"""Intervals by drawing blocks of neighbours again: for statistics that have no formula.

For shares under bursty traffic, or any function of rows that follow each other. Where the noise
is that of the questions asked, and not of the moment, see bootstrap.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from fallwise.analysis.intervals import LEVEL, Estimate
from fallwise.tables import Floats, Int64s

__all__ = ["block_bootstrap", "block_length", "block_rows", "block_values"]

QUIET: Final = 5
"""So many lags without correlation in a row, and there is none any more."""


def block_bootstrap(
    statistic: Callable[..., float],
    arrays: tuple[ArrayLike, ...],
    generator: np.random.Generator,
    *,
    block: float | None = None,
    resamples: int = 999,
    level: float = LEVEL,
) -> Estimate:
    """Return statistic(*arrays) with its percentile interval; rows of the arrays stay together.

    Blocks of neighbours are drawn, of random length with the mean `block`, by default the longest
    block_length() of the arrays; the end is joined to the start. Bounds are NaN for under 2 rows.
    Source: Politis and Romano, The stationary bootstrap, J. American Statistical Assoc. 89 (1994).
    """
    columns = [np.asarray(array) for array in arrays]
    value = float(statistic(*columns)) if len(columns[0]) else math.nan
    values = block_values(statistic, arrays, generator, block=block, resamples=resamples)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


def block_values(
    statistic: Callable[..., Any],
    arrays: tuple[ArrayLike, ...],
    generator: np.random.Generator,
    *,
    block: float | None = None,
    resamples: int = 999,
) -> Floats:
    """Return (resamples, ...) what block_bootstrap() takes its interval from; NaN under 2 rows."""
    columns = [np.asarray(array) for array in arrays]
    n = len(columns[0])
    if n < 2:
        return np.full((resamples, *np.shape(statistic(*columns) if n else 0.0)), math.nan)
    if block is None:
        block = max(block_length(column) for column in columns)
    drawn = (_rows(n, block, generator) for _ in range(resamples))
    return np.array([statistic(*(column[rows] for column in columns)) for rows in drawn])


def block_rows(x: ArrayLike, generator: np.random.Generator) -> Int64s:
    """Return (n,) which rows of x, one for each, blocks of neighbours drawn again have."""
    values = np.asarray(x, np.float64)
    return _rows(len(values), block_length(values), generator)


def block_length(x: ArrayLike) -> float:
    """Return the mean block length for the mean of x, at least 1 and at most a tenth of the rows.

    Source: Politis and White, Automatic block-length selection for the dependent bootstrap,
    Econometric Reviews 23 (2004), with the correction of Patton, Politis and White, 28 (2009).
    """
    centred: Floats = np.asarray(x, np.float64) - np.mean(np.asarray(x, np.float64))
    n = len(centred)
    if n < 20 or not centred.any():
        return 1.0
    longest = min(n - 1, QUIET + math.ceil(math.sqrt(n)))
    covariance = _covariances(centred, longest)
    near = np.abs(covariance[1:]) < 2 * math.sqrt(math.log10(n) / n) * covariance[0]
    quiet = np.convolve(near, np.ones(QUIET), "valid") == QUIET
    last = int(np.argmax(quiet)) if quiet.any() else longest
    window = min(2 * max(last, 1), longest)
    lag = np.arange(1, window + 1)
    weighted = 2 * np.minimum(1, 2 * (1 - lag / window)) * covariance[1 : window + 1]
    slope, density = float(weighted @ lag), float(weighted.sum() + covariance[0])
    if density <= 0:
        return 1.0
    return float(np.clip((n * slope**2 / density**2) ** (1 / 3), 1, n / 10))


def _covariances(x: Floats, lags: int) -> Floats:
    """Return (lags + 1,) autocovariances by a fast Fourier transform."""
    n = len(x)
    size = 1 << (2 * n - 1).bit_length()
    found: Floats = np.fft.irfft(np.abs(np.fft.rfft(x, size)) ** 2, size)[: lags + 1] / n
    return found


def _rows(n: int, block: float, generator: np.random.Generator) -> Int64s:
    """Return n rows: stretches of neighbours, each row beginning a new one by chance 1 / block."""
    begins = generator.random(n) < 1 / block
    begins[0] = True
    first = np.flatnonzero(begins)
    start = generator.integers(0, n, len(first))
    stretch = np.cumsum(begins) - 1
    rows: Int64s = (start[stretch] + np.arange(n) - first[stretch]) % n
    return rows
