"""When requests come. Gaps are rounded to nanoseconds once and added up as integers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NoReturn

import numpy as np

from fallwise.draw.streams import Streams
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario.traffic import Poisson, Profile, Renewal
from fallwise.tables import LONGEST_NS, Int64s

__all__ = ["arrivals"]


def arrivals(
    law: Poisson | Renewal | Profile, chance: Streams, sizes: Iterable[int]
) -> Iterator[Int64s]:
    """Yield the arrival times of one block after another, (size,) int64 ns, never decreasing."""
    rng = chance["arrival_ns"]
    last = 0
    for size in sizes:
        if isinstance(law, Renewal):
            # Source: a gamma gap of shape 1 / cv**2 has the coefficient of variation cv.
            shape = law.cv**-2
            gaps = rng.standard_gamma(shape, size)
            gaps *= 1e9 / (law.rate_rps * shape)
        else:
            gaps = rng.standard_exponential(size)
            gaps *= 1e9 / (law.rate_rps if isinstance(law, Poisson) else 1.0)
        np.rint(gaps, out=gaps)
        if last + gaps.sum() > LONGEST_NS:
            _refuse_long()
        times = gaps.astype(np.int64)
        times[0] += last
        np.cumsum(times, out=times)
        last = int(times[-1])
        yield _warp(times, law) if isinstance(law, Profile) else times


def _warp(mass: Int64s, law: Profile) -> Int64s:
    """Return the times at which so many arrivals (in billionths) are expected to have come.

    Source: a Poisson process of rate 1, its clock changed by the cumulated rate, is one with that
    rate (Çınlar, Introduction to Stochastic Processes, 1975, chapter 4). In integers, so that the
    millionth day is as exact as the first.
    """
    rates = np.array(law.rates_rps)
    step_ns = round(law.step_s * 1e9)
    per_lap = np.rint(np.concatenate([[0.0], np.cumsum(rates)]) * law.step_s * 1e9)
    if not 0 < per_lap[-1] < LONGEST_NS or step_ns == 0:
        key = ("traffic", "arrivals", "rates_rps")
        raise ScenarioError(Problem("must not be zero in every step", "give a positive rate", key))
    cumulated = per_lap.astype(np.int64)
    lap, rest = np.divmod(mass, cumulated[-1])
    if float(lap[-1]) * step_ns * len(rates) > LONGEST_NS / 2:
        _refuse_long()
    # The last step whose start has this mass: steps of rate zero before it are passed over.
    step = np.searchsorted(cumulated, rest, side="right") - 1
    within = np.rint((rest - cumulated[step]) / rates[step]).astype(np.int64)
    times: Int64s = (lap * len(rates) + step) * step_ns + np.minimum(within, step_ns)
    return times


def _refuse_long() -> NoReturn:
    key = ("traffic", "arrivals")
    rule = "the requests take more than 36 years to come"
    raise ScenarioError(Problem(rule, "raise the rate or ask for fewer requests", key))
