"""How far a number can be trusted: 95 % intervals of means, shares and quantiles of a run.

What follows each other in a queue is alike, so a run of n requests knows less than n independent
numbers do. Everything here takes its noise from how much consecutive batches, or whole runs,
differ. docs/validation.md has the measured coverage, and how long a run has to be for it. A bound
that the numbers do not give is NaN; nothing is raised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from fallwise.analysis.ranked import Ranked
from fallwise.tables import Floats, Int64s

__all__ = [
    "BATCHES",
    "LEVEL",
    "Estimate",
    "Paired",
    "batch_mean",
    "batch_quantile",
    "batch_ratio",
    "batch_share",
    "edges",
    "mser5",
    "order_statistic",
    "paired",
    "paired_quantile",
    "pooled_quantile",
    "t_interval",
    "wilson",
]

LEVEL: Final = 0.95
BATCHES: Final = 20
Z: Final = 1.959963984540054
"""The normal's 97.5 % point."""


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


NOTHING: Final = Estimate(math.nan, math.nan, math.nan)


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
    if not len(values):
        return NOTHING
    value = float(values.mean())
    half = _t(len(values), level) * _error(values - value, ordered=False)
    return Estimate(value, value - half, value + half)


def batch_mean(x: ArrayLike, batches: int = BATCHES, level: float = LEVEL) -> Estimate:
    """Return the mean of a run's values in order; see batch_ratio."""
    x = np.asarray(x, np.float64)
    return batch_ratio(x, np.ones(len(x)), batches, level)


def batch_ratio(
    numerator: ArrayLike, denominator: ArrayLike, batches: int = BATCHES, level: float = LEVEL
) -> Estimate:
    """Return sum(numerator) / sum(denominator) of a run's values in order, NaN for 0 / 0.

    Batch means, corrected for the correlation of neighbouring batches and for their skewness.
    Source: Tafazzoli, Steiger and Wilson, N-Skart, IEEE Trans. Automatic Control 56 (2011), whose
    corrections are used with batches of a fixed number; the classical estimator of a ratio,
    Iglehart, Naval Research Logistics Quarterly 22 (1975).
    """
    over, under = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if not under.sum():
        return NOTHING
    at = edges(len(over), batches)[:-1]
    over, under = np.add.reduceat(over, at), np.add.reduceat(under, at)
    value = float(over.sum() / under.sum())
    deviations = (over - value * under) / under.mean()
    error, skew = _error(deviations), _skewness(deviations) / (6 * math.sqrt(len(at)))
    t = _t(len(at), level)
    return Estimate(value, value - _bent(t, skew) * error, value - _bent(-t, skew) * error)


def batch_share(
    events: ArrayLike, trials: ArrayLike, batches: int = BATCHES, level: float = LEVEL
) -> Estimate:
    """Return the share of trials that are events, from counts of a run in order.

    Never surer than of independent trials: no event at all does not mean that there are none.
    Source: batch_ratio; Clopper and Pearson, Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    share = batch_ratio(events, trials, batches, level)
    n, tail = float(np.sum(trials)), (1 - level) / 2
    if not n:
        return share
    hits = float(np.sum(events))
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    if math.isnan(share.low):
        return share
    return Estimate(share.value, max(0.0, min(share.low, low)), min(1.0, max(share.high, high)))


def wilson(share: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    """Return low and high (m,), the 95 % intervals of shares of n independent trials each.

    Source: Wilson, Probable Inference, J. American Statistical Assoc. 22 (1927).

    >>> [round(float(x), 3) for x in wilson(0.5, 100)], float(wilson(0.0, 10)[0])
    ([0.404, 0.596], 0.0)
    """
    share, n = np.asarray(share, np.float64), np.asarray(n, np.float64)
    spread = Z * np.sqrt(share * (1 - share) / n + (Z / (2 * n)) ** 2)
    centre, scale = share + Z**2 / (2 * n), 1 + Z**2 / n
    low = np.maximum((centre - spread) / scale, 0.0)
    high = np.minimum((centre + spread) / scale, 1.0)
    return np.minimum(low, share), np.maximum(high, share)


def order_statistic(x: ArrayLike, q: float, level: float = LEVEL) -> Estimate:
    """Return the q-quantile of independent values; its exact interval is between two of them.

    Source: Conover, Practical Nonparametric Statistics (1999), section 3.2.
    """
    from scipy.special import bdtr

    x = np.sort(np.asarray(x, np.float64))
    n, tail = len(x), (1 - level) / 2
    if not n:
        return NOTHING
    reach = 10 * math.sqrt(n * q * (1 - q)) + 10
    rank = np.arange(max(0, math.floor(n * q - reach)), min(n, math.ceil(n * q + reach)) + 1)
    below = bdtr(rank.astype(np.float64), n, q)  # P(at most `rank` values are below the quantile)
    low = int(np.searchsorted(below, tail, "right")) + int(rank[0]) - 1
    high = int(np.searchsorted(below, 1 - tail)) + int(rank[0])
    value = _between(x, q)  # between two values, so a bound could be on the wrong side
    return Estimate(
        value,
        min(float(x[low]), value) if low >= 0 else math.nan,
        max(float(x[high]), value) if high < n else math.nan,
    )


def batch_quantile(
    x: ArrayLike, q: float, batches: int = BATCHES, level: float = LEVEL
) -> Estimate:
    """Return the q-quantile of a run's values in order; see pooled_quantile."""
    return pooled_quantile([np.asarray(x, np.float64)], q, batches, level)


def pooled_quantile(
    runs: Sequence[Floats],
    q: float,
    batches: int = BATCHES,
    level: float = LEVEL,
    *,
    ranked: Ranked | None = None,
) -> Estimate:
    """Return the q-quantile of the values of all runs, each in its order.

    ranked: all of them, where other quantiles have been asked for already.

    The noise of the share of values above it comes from batch means, and is read as ranks. Unlike
    the quantiles of single batches or runs, that has no bias where few values lie beyond.
    Source: Woodruff, Confidence intervals for medians, J. American Statistical Assoc. 47 (1952);
    for one run: Asmussen and Glynn, Stochastic Simulation (2007), section III.4a.
    """
    there = [run for run in runs if len(run)]
    if not there:
        return NOTHING
    if ranked is None:
        ranked = Ranked(np.concatenate(there))
    value = _between(ranked, q)
    low, high = _bounds(ranked, q, _above(there, value, batches), level)
    return Estimate(value, min(low, value), max(high, value))  # NaN, being first, stays


@dataclass(frozen=True)
class Paired:
    """A difference on the same requests; drawn apart, it takes variance_reduction times as many."""

    difference: Estimate
    variance_reduction: float


def paired(a: ArrayLike, b: ArrayLike, batches: int = BATCHES, level: float = LEVEL) -> Paired:
    """Return mean(a) - mean(b); row i of both is the same request.

    Source: Law, Simulation Modeling and Analysis (2015), section 11.2 (common random numbers).
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not len(a):
        return Paired(NOTHING, math.nan)
    at = edges(len(a), batches)
    means = [np.add.reduceat(x - x.mean(), at[:-1]) / np.diff(at) for x in (a, b)]
    return Paired(batch_mean(a - b, batches, level), _reduction(*means))


def paired_quantile(
    a: ArrayLike, b: ArrayLike, q: float, batches: int = BATCHES, level: float = LEVEL
) -> Paired:
    """Return the difference of the q-quantiles; row i of both is the same request.

    Source: Bahadur, A note on quantiles in large samples, Annals of Math. Statistics 37 (1966): a
    quantile moves with the share above it, here by the slope between the bounds of its interval.
    """
    moves, estimates = [], []
    for x in (np.asarray(a, np.float64), np.asarray(b, np.float64)):
        estimate = batch_quantile(x, q, batches, level)
        estimates.append(estimate)
        if math.isfinite(estimate.half_width):
            more, less = (np.count_nonzero(x > y) / len(x) for y in (estimate.low, estimate.high))
            slope = 2 * estimate.half_width / (more - less) if more > less else 0.0
            moves.append(slope * _above([x], estimate.value, batches))
    difference = estimates[0].value - estimates[1].value
    if len(moves) < 2:
        return Paired(Estimate(difference, math.nan, math.nan), math.nan)
    half = _t(len(moves[0]), level) * _error(moves[0] - moves[1])
    return Paired(Estimate(difference, difference - half, difference + half), _reduction(*moves))


def _reduction(a: Floats, b: Floats) -> float:
    apart, together = _error(a) ** 2 + _error(b) ** 2, _error(a - b) ** 2
    return apart / together if together else math.nan


def edges(n: int, batches: int) -> Int64s:
    """Return the edges of consecutive parts of n rows, equal to one row and none empty."""
    parts = max(1, min(batches, n))
    return np.arange(parts + 1) * n // parts


def _error(deviations: Floats, *, ordered: bool = True) -> float:
    """Return the standard error of a mean, from the deviations of its b parts.

    Neighbours in order are taken as a first-order autoregression; a negative correlation is not
    believed, it would be noise.
    """
    b = len(deviations)
    squares = float(deviations @ deviations)
    if b < 2 or not squares:
        return 0.0 if b > 1 else math.nan
    alike = float(deviations[1:] @ deviations[:-1]) / squares if ordered else 0.0
    alike = max(0.0, alike)
    return math.sqrt(squares / (b * (b - 1)) * (1 + alike) / (1 - alike))


def _skewness(deviations: Floats) -> float:
    """Return the sample skewness; 0 of fewer than ten, where it is all noise."""
    b = len(deviations)
    squares = float(deviations @ deviations)
    if b < 10 or not squares:
        return 0.0
    cubes = float((deviations**3).sum())
    return cubes * b / ((b - 1) * (b - 2)) / math.sqrt(squares / (b - 1)) ** 3


def _bent(t: float, skew: float) -> float:
    """Return a quantile of Student's t, moved for skewness.

    Source: Willink, A confidence interval and test for the mean of an asymmetric distribution,
    Communications in Statistics: Theory and Methods 34 (2005).
    """
    if abs(skew) < 1e-3:
        return t
    return float((np.cbrt(1 + 6 * skew * (t - skew)) - 1) / (2 * skew))


def _t(batches: float, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(batches - 1, (1 + level) / 2)) if batches > 1 else math.nan


def _above(runs: Sequence[Floats], value: float, batches: int) -> Floats:
    """Return for each batch of each run how far its share of values above differs from all's."""
    each = -(-batches // len(runs))
    over, size = [], []
    for run in runs:
        at = edges(len(run), each)
        over += [np.count_nonzero(run[i:j] > value) for i, j in pairwise(at)]
        size += np.diff(at).tolist()
    counts, sizes = np.array(over, np.float64), np.array(size, np.float64)
    shares: Floats = (counts - counts.sum() / sizes.sum() * sizes) / sizes.mean()
    return shares


def _between(ascending: Floats | Ranked, q: float) -> float:
    """Return what np.quantile does, which would sort once more."""
    at = q * (len(ascending) - 1)
    low, high = ascending[int(at)], ascending[math.ceil(at)]
    return float(low + (high - low) * (at % 1))


def _bounds(ascending: Ranked, q: float, above: Floats, level: float) -> tuple[float, float]:
    """Return the bounds of the q-quantile, from the batches' shares above it.

    Values above a high quantile come in few, unequal bursts. So the noise of their share is itself
    uncertain: its degrees of freedom are those of a sample whose excess kurtosis is the squared
    skewness, as for Poisson bursts (variance of a sample variance: Cramer, Mathematical Methods of
    Statistics (1946), section 27.4). And the interval is bent, by half of what a mean's would be:
    a mean's noise grows with it, that of a share only as far as the bursts are unequal. Half
    makes both sides miss alike (docs/validation.md).
    """
    from scipy.special import ndtri

    n, b = len(ascending), len(above)
    if b < 2:
        return math.nan, math.nan
    skew = _skewness(above)
    t = _t(1 + 2 / (2 / (b - 1) + skew**2 / b), level)
    bend = skew / (12 * math.sqrt(b))
    independent = math.sqrt(q * (1 - q) / n)
    least = float(ndtri((1 + level) / 2)) * independent  # As if each value stood for itself.
    error = max(_error(above), independent)
    more = max(-_bent(-t, bend) * error, least)
    high = (q + more) * n
    # Where so few bursts were seen that nothing is known above, they tell as little below.
    less = max(_bent(t, bend) * error, least) if high < n else more
    low = (q - less) * n
    return (
        float(ascending[int(low)]) if low >= 0 else math.nan,
        float(ascending[int(high)]) if high < n else math.nan,
    )
