"""Which threshold to take: what is asked of it, and the cheapest that gives it.

Frontier-only is always a candidate. Quality is judged as a difference for each request, from the
bar or from what the frontier alone would have answered: what is hard for both then cancels out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from fallwise.analysis.quality import Fork, threshold_curve
from fallwise.errors import Problem, ScenarioError
from fallwise.planning.rent import Rents
from fallwise.scenario import Scenario
from fallwise.scenario.study import Target
from fallwise.tables import Bools, Floats, Int64s

__all__ = [
    "Candidates",
    "Goal",
    "Pick",
    "candidates",
    "goal_of",
    "listed",
    "margin_of",
    "pick",
]

ONE_SIDED: Final = 1.6448536269514722
"""The normal's 95 % point: one side is all that can miss a goal."""


@dataclass(frozen=True)
class Goal:
    """What is asked for: at least `quality`, or the frontier's own less `margin`; or at most `usd`.

    With `p95_s`, 95 % of the requests have to be done in so many seconds as well. With `sure` the
    worse end of a one-sided 95 % interval on the tuning half has to hold.
    """

    quality: float | None = None
    margin: float | None = None
    usd: float | None = None
    sure: bool = False
    p95_s: float | None = None

    def in_time(self, p95_s: float) -> bool:
        """Return True where a p95 is short enough."""
        return self.p95_s is None or p95_s <= self.p95_s * (1 + 1e-12)

    def holds(self, quality: float, usd: float, frontier: float) -> bool:
        """Return True where mean quality and cost hold it, beside frontier-only's quality."""
        if self.usd is not None:
            return usd <= self.usd * (1 + 1e-12)
        bar = frontier - (self.margin or 0.0) if self.quality is None else self.quality
        return quality >= bar - 1e-12

    def words(self) -> str:
        """Return the goal in words."""
        if self.usd is not None:
            text = f"the best quality for at most ${self.usd:.4g} a request"
        elif self.quality is not None:
            text = f"the least cost at a quality of at least {self.quality:.4g}"
        else:
            points = 100 * (self.margin or 0.0)
            text = f"the least cost at a quality at most {points:.3g} points below frontier-only"
        if self.p95_s is not None:
            text += f", 95 % done in {self.p95_s:.4g} s"
        return text + (", with 95 % confidence" if self.sure else "")


@dataclass(frozen=True)
class Candidates:
    """What can be picked and, as its last entry, frontier-only (NaN), judged against a goal.

    threshold                (m,)  or, of a search, the number of what was tried
    cost_usd_mean, quality   (m,)
    room     (m,)  how far the goal is surpassed, in grades or in dollars
    safe     (m,)  the lower end of room's one-sided 95 % interval
    upkeep_usd (m,) what keeping it up adds to a request's cost: 0 where one tier alone answers all
    p95_s    (m,)  how long 95 % of the requests take; None where nobody asked
    """

    threshold: Floats
    cost_usd_mean: Floats
    quality: Floats
    room: Floats
    safe: Floats
    upkeep_usd: Floats
    p95_s: Floats | None = None


@dataclass(frozen=True)
class Pick:
    """What was chosen: a threshold, infinity (all are sent on) or NaN (frontier-only).

    safe is the lower end of what is left of the goal's room, and upkeep_usd what keeping it up adds
    to a request's cost, as in Candidates.
    """

    threshold: float
    cost_usd_mean: float
    quality: float
    safe: float = math.nan
    upkeep_usd: float = 0.0

    @property
    def whole_usd(self) -> float:
        """Return what a request costs, upkeep counted."""
        return self.cost_usd_mean + self.upkeep_usd

    @property
    def frontier_only(self) -> bool:
        """Return True where the cascade is not worth it."""
        return math.isnan(self.threshold)


def goal_of(
    scenario: Scenario,
    quality_bar: float | None,
    budget: float | None,
    margin: float | None,
    sure: bool = False,
    p95_s: float | None = None,
) -> Goal:
    """Return the one goal that was given or else the scenario's target on quality; else 1 point.

    The limit on p95 is the scenario's target unless it is given.
    """
    given = {"--quality-bar": quality_bar, "--budget": budget, "--match": margin}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        rule, remedy = f"{named[0]} and {named[1]} are two goals", "give one of them"
        raise ScenarioError(Problem(rule, remedy, file=named[1]))
    if quality_bar is not None and not 0 <= quality_bar <= 1:
        rule, remedy = "must be from 0 to 1", "write 0.9 for 90 %"
        raise ScenarioError(Problem(rule, remedy, value=quality_bar, file="--quality-bar"))
    if budget is not None and not (budget >= 0 and math.isfinite(budget)):
        rule, remedy = "must be a number of dollars, not negative", "write 0.002"
        raise ScenarioError(Problem(rule, remedy, value=budget, file="--budget"))
    if not named:
        bars = [t.at_least for t in _targets(scenario, "quality") if t.at_least is not None]
        quality_bar = max(bars, default=None)
        margin = 0.01 if quality_bar is None else None
    if p95_s is None:
        limits = [t.at_most for t in _targets(scenario, "sojourn_s_p95") if t.at_most is not None]
        p95_s = min(limits, default=None)
    elif not (p95_s > 0 and math.isfinite(p95_s)):
        rule, remedy = "must be a number of seconds above 0", "write 2.5"
        raise ScenarioError(Problem(rule, remedy, value=p95_s, file="--p95"))
    return Goal(quality_bar, margin, budget, sure, p95_s)


def _targets(scenario: Scenario, measure: str) -> list[Target]:
    """Return the targets on a measure of all requests."""
    return [one for one in scenario.targets if one.measure == measure and not one.segment]


def margin_of(text: str) -> float:
    """Return a margin in grades; ScenarioError where it is none.

    >>> margin_of("1pt"), margin_of("0.5 pt"), margin_of("0.01")
    (0.01, 0.005, 0.01)
    """
    found = re.fullmatch(r"(\d*\.?\d+)\s*(pts?)?", text.strip())
    value = math.nan if found is None else float(found[1]) / (100 if found[2] else 1)
    if not 0 <= value <= 1:
        rule, remedy = "is no margin from 0 to 1", "write 1pt, or 0.01"
        raise ScenarioError(Problem(rule, remedy, value=text, file="--margin"))
    return value


def candidates(
    goal: Goal,
    fork: Fork,
    frontier: tuple[Floats, Floats],
    question: Int64s,
    weight: Floats,
    rents: Rents | None = None,
    p95_s: Callable[[Floats], Floats] | None = None,
    upkeep_usd: float = 0.0,
) -> Candidates:
    """Return every threshold of a fork, and frontier-only, judged against a goal.

    frontier is what it alone would have come to: quality and cost, (n,) arrays, rented capacity
    included. rents is what that adds to a request's cost in the cascade, upkeep_usd what keeping it
    up does; p95_s gives how long requests take at thresholds, NaN is frontier-only.
    """
    ways = zip((*fork.correct, frontier[0]), (*fork.cost_usd, frontier[1]), strict=True)
    kept, sent, other = (_room(goal, quality, usd, frontier[0]) for quality, usd in ways)
    curve = fork.curve(weight)
    rent = np.zeros(len(curve.threshold)) if rents is None else rents.at(curve.threshold)
    room = threshold_curve(fork.score, (kept, sent), (kept**2, sent**2), fork.asked, weight)
    mean = np.append(room.quality, np.average(other, weights=weight))
    square = np.append(room.cost_usd_mean, np.average(other**2, weights=weight))
    error = _error(goal, mean, square, _independent(question, weight))
    # Where nothing is sent on, one tier answers all: that is no cascade to keep up.
    least = -math.inf if not fork.asked.all() else float(fork.score.min(initial=math.inf))
    upkeep = np.append(upkeep_usd * (curve.threshold > least), 0.0)
    if goal.usd is not None:
        mean[:-1] -= rent
        mean -= upkeep
    threshold = np.append(curve.threshold, math.nan)
    return Candidates(
        threshold,
        np.append(curve.cost_usd_mean + rent, np.average(frontier[1], weights=weight)),
        np.append(curve.quality, np.average(frontier[0], weights=weight)),
        mean,
        mean - ONE_SIDED * error,
        upkeep,
        None if p95_s is None else p95_s(threshold),
    )


def listed(
    goal: Goal,
    ways: tuple[Floats, Floats],
    frontier: tuple[Floats, Floats],
    question: Int64s,
    weight: Floats,
    p95_s: Floats | None = None,
    upkeep_usd: float = 0.0,
) -> Candidates:
    """Return ways by their number, and frontier-only, judged against a goal.

    ways: quality and cost, (m, n) arrays, rent included; the rest as in candidates.
    """
    share = weight / weight.sum()
    quality, cost = (np.vstack([all_, one]) for all_, one in zip(ways, frontier, strict=True))
    room = _room(goal, quality, cost, frontier[0])
    mean = room @ share
    error = _error(goal, mean, room**2 @ share, _independent(question, weight))
    number = np.append(np.arange(len(quality) - 1.0), math.nan)
    upkeep = np.append(np.full(len(number) - 1, upkeep_usd), 0.0)
    if goal.usd is not None:
        mean = mean - upkeep
    safe = mean - ONE_SIDED * error
    return Candidates(number, cost @ share, quality @ share, mean, safe, upkeep, p95_s)


def pick(goal: Goal, among: Candidates) -> Pick | None:
    """Return the best candidate that holds the goal, None where none does.

    Best: the cheapest, upkeep counted, or at a budget the one of the highest quality; of equals the
    other number decides, and then the first threshold. Rounding is no reason to miss a goal.
    """
    holds: Bools = (among.safe if goal.sure else among.room) >= -1e-12
    if goal.p95_s is not None and among.p95_s is not None:
        holds = holds & (among.p95_s <= goal.p95_s * (1 + 1e-12))
    if not holds.any():
        return None
    first, second = among.cost_usd_mean + among.upkeep_usd, -among.quality
    if goal.usd is not None:
        first, second = second, first
    at = np.flatnonzero(holds)
    best = at[np.lexsort((at, _rounded(second[at]), _rounded(first[at])))[0]]
    found = among.threshold, among.cost_usd_mean, among.quality, among.safe, among.upkeep_usd
    return Pick(*(float(column[best]) for column in found))


def _rounded(values: Floats) -> Floats:
    """Return values without the last digits, in which equal sums may differ."""
    scale = float(np.abs(values).max()) or 1.0
    rounded: Floats = np.rint(values / scale * 1e12)
    return rounded


def _room(goal: Goal, quality: Floats, usd: Floats, alone: Floats) -> Floats:
    if goal.usd is not None:
        return goal.usd - usd
    if goal.quality is not None:
        return quality - goal.quality
    return quality - alone + (goal.margin or 0.0)


def _error(goal: Goal, mean: Floats, square: Floats, n: float) -> Floats:
    """Return the standard error of each mean of room, frontier-only's last."""
    variance = np.maximum(square - mean**2, 0.0)
    if goal.usd is None:
        # That no question went wrong does not mean that none would: one more may have. Only
        # frontier-only has no difference to itself.
        variance[: -1 if goal.margin is not None else None] += 1 / n
    error: Floats = np.sqrt(variance / max(n - 1, 1))
    return error


def _independent(question: Int64s, weight: Floats) -> float:
    """Return how many equally weighted independent questions know as much.

    Source: Kish, Survey Sampling (1965), section 11.7.
    """
    each = np.bincount(np.unique(question, return_inverse=True)[1], weight)
    return float(each.sum() ** 2 / (each**2).sum())
