"""One half of the questions, and what all of it would come to in each way."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fallwise.analysis.baselines import accept_all, only
from fallwise.analysis.quality import Fork, fork, unqueued
from fallwise.engines.engine import Engine
from fallwise.planning.halves import Half
from fallwise.planning.pick import Candidates, Goal, candidates
from fallwise.planning.rent import Rents, flat, rent_usd, rents_of
from fallwise.planning.waits import Waits
from fallwise.scenario import Scenario
from fallwise.tables import Floats

__all__ = ["Side", "Ways", "side_of"]


class Ways(Protocol):
    """One half, and what all of it would come to: in each way, at the cheapest and at the frontier.

    cheapest and frontier: quality and cost, (n,) arrays, rent included. A way has a number: a
    threshold, or its place in a list; NaN is frontier-only.
    """

    @property
    def half(self) -> Half: ...  # noqa: D102
    @property
    def cheapest(self) -> tuple[Floats, Floats]: ...  # noqa: D102
    @property
    def frontier(self) -> tuple[Floats, Floats]: ...  # noqa: D102

    def candidates(self, goal: Goal, rows: Any = slice(None)) -> Candidates:
        """Return what can be picked, judged by all rows or by some."""

    def at(self, way: float, /) -> tuple[Floats, Floats, Floats]:
        """Return quality, cost and escalation of every request."""


@dataclass(frozen=True)
class Side:
    """The ways of one threshold, its values; fork is None where no threshold is tuned."""

    half: Half
    fork: Fork | None
    cheapest: tuple[Floats, Floats]
    frontier: tuple[Floats, Floats]
    rents: Rents
    waits: Waits | None = None

    def candidates(self, goal: Goal, rows: Any = slice(None)) -> Candidates:
        """Return what can be picked, judged by all rows or by some."""
        ways = self.fork
        if ways is None:
            n = len(self.half)
            kept, cost = self.cheapest[0], self.cheapest[1] - self.rents.at(math.inf)
            ways = Fork(np.ones(n), np.zeros(n, np.bool_), (kept, kept), (cost, cost))
        part = Fork(
            ways.score[rows],
            ways.asked[rows],
            (ways.correct[0][rows], ways.correct[1][rows]),
            (ways.cost_usd[0][rows], ways.cost_usd[1][rows]),
        )
        alone = self.frontier[0][rows], self.frontier[1][rows]
        question, weight = self.half.question[rows], self.half.weight[rows]
        p95_s = None if self.waits is None else self.waits.at
        upkeep_usd = 0.0 if self.fork is None else self.half.upkeep_usd
        return candidates(goal, part, alone, question, weight, self.rents, p95_s, upkeep_usd)

    def at(self, threshold: float) -> tuple[Floats, Floats, Floats]:
        """Return quality, cost and escalation of every request; NaN is frontier-only."""
        if math.isnan(threshold):
            return *self.frontier, np.ones(len(self.half))
        if self.fork is None:
            return *self.cheapest, np.zeros(len(self.half))
        f = self.fork
        on = f.asked & ~(f.score >= threshold)
        quality, cost = (np.where(on, pair[1], pair[0]) for pair in (f.correct, f.cost_usd))
        return quality, cost + self.rents.at(threshold), on.astype(np.float64)


def side_of(scenario: Scenario, half: Half, k: int | None, engine: Engine) -> Side:
    """Return what a half's requests come to at tier k, kept and sent on, and at one tier alone."""
    requests = half.requests
    run = replace(half.run, router_ns=None)

    def alone(j: int) -> tuple[Floats, Floats]:
        bare = replace(requests, router_ns=None)
        outcomes = unqueued(only(scenario, j), bare, accept_all(bare, j), engine)
        quality, cost = np.asarray(outcomes.correct, np.float64), outcomes.cost_usd
        assert cost is not None
        rent = rent_usd(only(scenario, j), half, engine, run, accept_all(run, j))
        return quality, cost + rent

    return Side(
        half,
        None if k is None else fork(scenario, requests, k, engine),
        alone(scenario.cheapest),
        alone(scenario.frontier),
        flat(rent_usd(scenario, half, engine))
        if k is None
        else rents_of(scenario, k, half, engine),
    )
