"""Rates that change by steps, and the clock that they drive.

Pieces are (m,) ends in ns, which ascend, and (m,) rates: a rate counts from the end before (0 at
first) to its own. A process yields them without end, in parts of its own size, so that what is
drawn does not depend on who asks for how much.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import pairwise
from math import log
from typing import Final, NoReturn

import numpy as np

from fallwise.draw.streams import Streams
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario.hours import minutes
from fallwise.scenario.traffic import Cox, Mmpp, Profile, Surge, Traffic, Week
from fallwise.tables import LONGEST_NS, Floats, Int64s

__all__ = ["Clock", "clock", "refuse_long"]

Pieces = Iterator[tuple[Int64s, Floats]]

PART: Final = 1024
"""So many pieces are made at a time, about."""
HOUR_NS: Final = 3600 * 10**9
DAYS_PER_MONTH: Final = 365.25 / 12


def clock(traffic: Traffic, chance: Streams) -> Clock | None:
    """Return the clock that the arrivals go by; None where it is the one on the wall.

    Of a profile, mmpp or cox it has the process's own rates, so that Poisson arrivals of rate 1 on
    it are the process; of all others just what week, growth and surges make of the rate.
    """
    law, factors = traffic.arrivals, []
    if isinstance(law, Profile):
        factors.append(_profile(law))
    elif isinstance(law, Mmpp):
        factors.append(_mmpp(law, chance))
    elif isinstance(law, Cox):
        factors.append(_cox(law, chance))
    if traffic.week is not None:
        factors.append(_week(traffic.week, minutes(traffic.starts)))
    if traffic.growth_per_month:
        factors.append(_growth(traffic.growth_per_month))
    if traffic.surges:
        factors.append(_surges(traffic.surges))
    return Clock(reduce(_product, factors)) if factors else None


class Clock:
    """Turns ascending times, block after block, into those at which so much has come together.

    What comes together is rate times time: in billionths, with rates a second and times in ns.
    Source: a Poisson process of rate 1, its clock changed by the cumulated rate, is one with that
    rate (Çınlar, Introduction to Stochastic Processes, 1975, chapter 4). In integers, so that the
    millionth day is as exact as the first.
    """

    def __init__(self, pieces: Pieces):
        self.pieces = pieces
        self.ns, self.mass = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.rate = np.zeros(0)

    def times(self, mass: Int64s) -> Int64s:
        """Return (n,) ns, never decreasing; ScenarioError where they are too far away."""
        while self.mass[-1] <= mass[-1]:
            if self.ns[-1] > LONGEST_NS:
                refuse_long()
            ends, rates = next(self.pieces)
            ns = np.concatenate([self.ns[-1:], ends])
            gained = _summed(self.mass[-1], rates * np.diff(ns))
            self.ns, self.mass = (
                np.concatenate([self.ns, ends]),
                np.concatenate([self.mass, gained]),
            )
            self.rate = np.concatenate([self.rate, rates])
        # The last piece whose start has this mass: pieces of rate zero before it are passed over.
        piece = np.searchsorted(self.mass, mass, side="right") - 1
        within = np.rint((mass - self.mass[piece]) / self.rate[piece]).astype(np.int64)
        times: Int64s = np.minimum(self.ns[piece] + within, self.ns[piece + 1])
        if times[-1] > LONGEST_NS:
            refuse_long()
        past = piece[-1]
        self.ns, self.mass, self.rate = self.ns[past:], self.mass[past:], self.rate[past:]
        return times


def refuse_long() -> NoReturn:
    """Raise ScenarioError: the requests are not of this life."""
    key = ("traffic", "arrivals")
    rule = "the requests take more than 36 years to come"
    raise ScenarioError(Problem(rule, "raise the rate or ask for fewer requests", key))


def _summed(start: int, parts: Floats) -> Int64s:
    """Return start and the rounded parts added up; 2**62 for all that is beyond 2**61."""
    low = np.minimum(np.rint(parts), 2.0**60)
    far = start + np.cumsum(low) >= 2.0**61
    total = start + np.cumsum(low.astype(np.int64))
    total[far] = 1 << 62
    return total


def _product(a: Pieces, b: Pieces) -> Pieces:
    """Yield the pieces over which both factors are constant, with their product."""
    (end_a, rate_a), (end_b, rate_b) = next(a), next(b)
    while True:
        last = min(end_a[-1], end_b[-1])
        ends = np.union1d(end_a[end_a <= last], end_b[end_b <= last])
        yield ends, rate_a[np.searchsorted(end_a, ends)] * rate_b[np.searchsorted(end_b, ends)]
        if last == 1 << 62:
            refuse_long()
        end_a, rate_a = end_a[end_a > last], rate_a[end_a > last]
        end_b, rate_b = end_b[end_b > last], rate_b[end_b > last]
        if not len(end_a):
            end_a, rate_a = next(a)
        if not len(end_b):
            end_b, rate_b = next(b)


def _steps(rates: Floats, step_ns: int) -> Pieces:
    """Yield rates that change after each step, and begin again after the last one."""
    rates = np.tile(rates, -(-PART // len(rates)))
    last = 0
    while True:
        ends = _summed(last, np.full(len(rates), float(step_ns)))
        yield ends, rates
        last = int(ends[-1])


def _profile(law: Profile) -> Pieces:
    step_ns = round(law.step_s * 1e9)
    if step_ns == 0:
        rule, key = "is shorter than a nanosecond", ("traffic", "arrivals", "step_s")
        raise ScenarioError(Problem(rule, "give longer steps", key, law.step_s))
    return _steps(np.array(law.rates_rps), step_ns)


def _week(week: Week, begun_min: int) -> Pieces:
    """Yield the hours' factors, from so many minutes after Monday's midnight on."""
    factors = np.outer(week.days, week.hours).ravel()
    for ends, rates in _steps(factors / factors.mean(), HOUR_NS):
        to_come = ends - begun_min * 60 * 10**9
        yield to_come[to_come > 0], rates[to_come > 0]


def _growth(per_month: float) -> Pieces:
    day = 0
    while True:
        days = np.arange(day, day + 64)
        yield (days + 1) * 24 * HOUR_NS, (1 + per_month) ** (days / DAYS_PER_MONTH)
        day += 64


def _surges(surges: list[Surge]) -> Pieces:
    ends = {round(t * 1e9) for surge in surges for t in (surge.from_s, surge.to_s)}
    edges = [0, *sorted(ends - {0}), 1 << 62]
    rates = np.ones(len(edges) - 1)
    for surge in surges:
        low, high = round(surge.from_s * 1e9), round(surge.to_s * 1e9)
        for j, (start, end) in enumerate(pairwise(edges)):
            if low <= start and end <= high:
                rates[j] *= surge.factor
    yield np.array(edges[1:]), rates
    refuse_long()


def _mmpp(law: Mmpp, chance: Streams) -> Pieces:
    """Yield the states, the first drawn by its share of the time: so it is as if it always ran."""
    rng = chance["arrival_rate"]
    rate = np.array([state.rate_rps for state in law.states])
    mean_ns = np.array([state.mean_s for state in law.states]) * 1e9
    among = np.cumsum(law.time_shares)
    state = min(int(np.searchsorted(among, rng.random(), side="right")), len(rate) - 1)
    last = 0
    while True:
        states = _visited(law, state, rng)
        state = int(states[-1])
        ends = _summed(last, rng.standard_exponential(PART) * mean_ns[states[:-1]])
        yield ends, rate[states[:-1]]
        last = int(ends[-1])


def _visited(law: Mmpp, state: int, rng: np.random.Generator) -> Int64s:
    """Return a state and the PART that follow it."""
    number = len(law.states)
    if all(one.next is None for one in law.states):
        # Any other state is so many further on, round and round.
        further = rng.integers(1, number, PART)
        states: Int64s = (state + np.concatenate([[0], np.cumsum(further)])) % number
        return states
    rows = [np.cumsum(row)[:-1] for row in law.follows]
    visited = [state]
    for x in rng.random(PART).tolist():
        visited.append(int(np.searchsorted(rows[visited[-1]], x, side="right")))
    return np.array(visited)


def _cox(law: Cox, chance: Streams) -> Pieces:
    rng, every = chance["arrival_rate"], np.full(PART, round(law.every_s * 1e9), np.float64)
    last = 0
    while True:
        if law.law == "gamma":
            rates = rng.standard_gamma(law.rate_cv**-2, PART) * (law.rate_rps * law.rate_cv**2)
        else:
            # Source: exp(s z - s**2 / 2) has the mean 1 and the squared cv exp(s**2) - 1.
            variance = log(1 + law.rate_cv**2)
            normal = rng.standard_normal(PART)
            rates = law.rate_rps * np.exp(variance**0.5 * normal - variance / 2)
        ends = _summed(last, every)
        yield ends, rates
        last = int(ends[-1])
