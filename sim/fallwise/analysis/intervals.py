"""How far a number can be trusted: 95 % intervals of means, shares and quantiles of a run.

What follows each other in a queue is alike, so a run of n requests knows less than n independent
numbers. Everything here takes its noise from how much consecutive batches, or whole runs, differ.
docs/validation.md has the measured coverage, and for which lengths of a run it holds. With too few
numbers to tell, the bounds are NaN; nothing is raised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from fallwise.tables import Floats, Int64s

__all__ = [
    "LEVEL",
    "Estimate",
    "Paired",
    "batch_mean",
    "batch_quantile",
    "batch_ratio",
    "mser5",
    "order_statistic",
    "paired",
    "sections_quantile",
    "t_interval",
]

LEVEL: Final = 0.95
BATCHES: Final = 20


@dataclass(frozen=True)
class Estimate:
    """A number and its interval; NaN is a bound that the data do not give."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's length."""
        return (self.high - self.low) / 2

    def dict(self) -> dict[str, float | None]:
        """Return it for JSON, which has no NaN and no infinity: those are None."""
        return {k: x if math.isfinite(x) else None for k, x in asdict(self).items()}


def mser5(x: ArrayLike) -> int:
    """Return how many values at the start to leave out, a multiple of 5 and never above half.

    The rest has the smallest squared standard error, computed as if fives were independent.
    Source: White, An effective truncation heuristic for bias reduction in simulation output,
    Simulation 69 (1997); in fives: White, Cobb and Spratt, Proc. Winter Simulation Conf. 2000.
    """
    x = np.asarray(x, np.float64)
    fives = x[: len(x) // 5 * 5].reshape(-1, 5).mean(axis=1)
    if len(fives) < 2:
        return 0
    fives = fives - fives.mean()  # Sums of squares then lose no digits.
    left = np.arange(len(fives), 0, -1)
    total = np.cumsum(fives[::-1])[::-1]
    squares = np.cumsum(fives[::-1] ** 2)[::-1]
    error = (squares - total**2 / left) / left**2
    return 5 * int(np.argmin(error[: len(fives) // 2 + 1]))


def t_interval(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """Return the mean of independent values, such as one for each replication.

    Source: Student's t; Law, Simulation Modeling and Analysis (2015), section 9.4.
    """
    values = np.asarray(values, np.float64)
    b = len(values)
    value = float(values.mean()) if b else math.nan
    error = float(values.std(ddof=1)) / math.sqrt(b) if b > 1 else math.nan
    return _around(value, _t(b - 1, level) * error)


def batch_mean(x: ArrayLike, batches: int = BATCHES, level: float = LEVEL) -> Estimate:
    """Return the mean of a run's values in order, with an interval from batch means.

    Source: Law, Simulation Modeling and Analysis (2015), section 9.5.3.
    """
    x = np.asarray(x, np.float64)
    at = _edges(len(x), batches)
    sums = np.add.reduceat(x, at[:-1]) if len(x) else x
    return batch_ratio(sums, np.diff(at), batches, level)


def batch_ratio(
    numerator: ArrayLike, denominator: ArrayLike, batches: int = BATCHES, level: float = LEVEL
) -> Estimate:
    """Return sum(numerator) / sum(denominator) of a run's values in order, NaN for 0 / 0.

    Source: Iglehart, Simulating stable stochastic systems V: comparison of ratio estimators,
    Naval Research Logistics Quarterly 22 (1975), the classical estimator, on batches.
    """
    over, under = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    at = _edges(len(over), batches)[:-1]
    if not len(over) or not under.sum():
        return Estimate(math.nan, math.nan, math.nan)
    over, under = np.add.reduceat(over, at), np.add.reduceat(under, at)
    value = float(over.sum() / under.sum())
    error = _error(over - value * under) / float(under.mean())
    return _around(value, _t(len(at) - 1, level) * error)


def order_statistic(x: ArrayLike, q: float, level: float = LEVEL) -> Estimate:
    """Return the q-quantile of independent values, with the exact interval from their ranks.

    Source: Conover, Practical Nonparametric Statistics (1999), section 3.2.
    """
    return _ranked(np.sort(np.asarray(x, np.float64)), q, float(len(np.asarray(x))), level)


def batch_quantile(
    x: ArrayLike, q: float, batches: int = BATCHES, level: float = LEVEL
) -> Estimate:
    """Return the q-quantile of a run's values in order; see sections_quantile."""
    x = np.asarray(x, np.float64)
    at = _edges(len(x), batches)
    return sections_quantile([x[i:j] for i, j in pairwise(at)], q, level)


def sections_quantile(sections: Sequence[Floats], q: float, level: float = LEVEL) -> Estimate:
    """Return the q-quantile of all values; the sections are batches of a run, or whole runs.

    Its interval is that of as many independent values as have the same noise in the share below
    the quantile: quantiles of single sections, biased where few values lie beyond, are not used.
    """
    everything = np.sort(np.concatenate([*sections, np.empty(0)]))
    n = len(everything)
    if not n:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(np.quantile(everything, q))
    below = np.array([np.count_nonzero(x <= value) for x in sections])
    size = np.array([len(x) for x in sections])
    share = below.sum() / n
    error = _error(below - share * size) * len(sections) / n
    independent = q * (1 - q) / error**2 if error > 0 else float(n)
    return _ranked(everything, q, min(independent, float(n)), level)


@dataclass(frozen=True)
class Paired:
    """A difference on the same requests; an unpaired one would need variance_reduction as many."""

    difference: Estimate
    variance_reduction: float


def paired(a: ArrayLike, b: ArrayLike, batches: int = BATCHES, level: float = LEVEL) -> Paired:
    """Return mean(a) - mean(b), row i of both being the same request.

    Source: Law, Simulation Modeling and Analysis (2015), section 11.2 (common random numbers).
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    difference = batch_mean(a - b, batches, level)
    noise = [batch_mean(x, batches, level).half_width ** 2 for x in (a, b, a - b)]
    return Paired(difference, (noise[0] + noise[1]) / noise[2] if noise[2] else math.nan)


def _edges(n: int, batches: int) -> Int64s:
    """Return the edges of consecutive parts of n rows, equal to one row and none empty."""
    parts = max(1, min(batches, n))
    return np.arange(parts + 1) * n // parts


def _error(deviations: Floats) -> float:
    """Return the standard error of the mean of deviations that sum to 0."""
    b = len(deviations)
    return math.sqrt(float(deviations @ deviations) / (b * (b - 1))) if b > 1 else math.nan


def _t(freedom: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2)) if freedom > 0 else math.nan


def _around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


def _ranked(ascending: Floats, q: float, independent: float, level: float) -> Estimate:
    """Return the q-quantile with the interval that so many independent values would have."""
    from scipy.special import betaincinv

    n = len(ascending)
    if not n:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(np.quantile(ascending, q))
    beyond = (1 - level) / 2
    # Placeholder shape; see docs/validation.md.
    low = float(betaincinv(q * independent, (1 - q) * independent + 1, beyond))
    high = float(betaincinv(q * independent + 1, (1 - q) * independent, 1 - beyond))
    return Estimate(value, float(np.quantile(ascending, low)), float(np.quantile(ascending, high)))
