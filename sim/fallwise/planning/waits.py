"""How long requests take: the p95 of every threshold of a tier, simulated with queues and all.

Between the thresholds that are simulated, the longer of the two next to it counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fallwise.analysis.baselines import accept_all, only
from fallwise.analysis.intervals import batch_quantile
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.planning.pick import Goal
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import Decisions, Floats, RequestTable

__all__ = ["Waits", "alone_p95_s", "p95_s", "waits_of"]

KNOTS: Final = 21
"""So many thresholds are simulated, evenly spread over what they send on."""


@dataclass(frozen=True)
class Waits:
    """The p95 (m,) at (m,) shares of the scores, ascending, that are below the threshold.

    frontier_s is that of the frontier alone.
    """

    score: Floats
    share: Floats
    p95_s: Floats
    frontier_s: float

    def at(self, threshold: Floats) -> Floats:
        """Return the p95 of each threshold; NaN is frontier-only."""
        below = np.searchsorted(self.score, threshold) / max(len(self.score), 1)
        last = len(self.share) - 1
        above = np.minimum(np.searchsorted(self.share, below), last)
        under = np.searchsorted(self.share, below, side="right") - 1
        longer: Floats = np.maximum(self.p95_s[np.maximum(under, 0)], self.p95_s[above])
        return np.where(np.isnan(threshold), self.frontier_s, longer)


def p95_s(
    scenario: Scenario,
    requests: RequestTable,
    engine: Engine,
    goal: Goal,
    decisions: Decisions | None = None,
) -> float:
    """Return the p95 of all requests; of a goal that has to be sure the upper end of its interval.

    Where there are too few requests for an interval, the value counts.
    """
    decided = decide(scenario, requests) if decisions is None else decisions
    sojourn_s = simulate(plan(scenario), requests, decided, engine).sojourn_s
    found = batch_quantile(sojourn_s, 0.95)
    return found.high if goal.sure and np.isfinite(found.half_width) else found.value


def alone_p95_s(scenario: Scenario, requests: RequestTable, engine: Engine, goal: Goal) -> float:
    """Return the same of the frontier alone."""
    k, bare = scenario.frontier, replace(requests, router_ns=None)
    return p95_s(only(scenario, k), bare, engine, goal, accept_all(bare, k))


def waits_of(
    scenario: Scenario,
    k: int | None,
    requests: RequestTable,
    engine: Engine,
    goal: Goal,
    frontier_s: float,
    knots: int = KNOTS,
) -> Waits | None:
    """Return the waits of tier k's thresholds, None where the goal does not ask for them.

    k of None: of the scenario as it is.
    """
    if goal.p95_s is None:
        return None
    if k is None:
        own = np.array([p95_s(scenario, requests, engine, goal)])
        return Waits(np.zeros(0), np.zeros(1), own, frontier_s)
    score = np.sort(requests.score[:, k])
    at = np.linspace(0, len(score), knots).astype(np.int64)[:-1]
    thresholds = np.unique(np.append(score[at], np.inf))
    found = []
    for threshold in thresholds.tolist():
        changed = scenario.with_tier(k, threshold=threshold)
        found.append(p95_s(changed, requests, engine, goal))
    share = np.searchsorted(score, thresholds) / len(score)
    return Waits(score, share, np.array(found), frontier_s)
