"""The best cascade of two tiers out of many: what further tiers have to beat."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from fallwise.analysis.money import call_usd
from fallwise.analysis.quality import Fork
from fallwise.engines.engine import Engine
from fallwise.planning.pick import Goal, candidates, pick
from fallwise.planning.rent import Rents, rents_of
from fallwise.planning.side import Ways
from fallwise.planning.waits import Waits, waits_of
from fallwise.scenario import Scenario
from fallwise.tables import RequestTable

__all__ = ["best_pair"]

COARSE = 9
"""Thresholds of a pair whose p95 is simulated, where the goal has a limit on it."""


def best_pair(
    scenario: Scenario, goal: Goal, tuning: Ways, reporting: Ways, engine: Engine
) -> dict[str, Any] | None:
    """Return the best of all pairs of tiers, one threshold on the first, for a goal.

    Chosen on the tuning half, cost and quality as of the reporting half; None where there are
    fewer than three tiers that could be in a pair, or no pair holds the goal. Verifiers, routers
    and agreement are left out.
    """
    tiers = [k for k, t in enumerate(scenario.tiers) if t.is_model]
    if len(tiers) < 3:
        return None
    best: tuple[float, int, int, float] | None = None
    for i, j in permutations(tiers, 2):
        fork, rents = _fork(scenario, tuning, i, j, engine)
        half, waits = tuning.half, _waits(scenario, goal, tuning, i, j, engine)
        p95_s = None if waits is None else waits.at
        rows = tuning.frontier, half.question, half.weight
        among = candidates(goal, fork, *rows, rents, p95_s, half.upkeep_usd)
        found = pick(goal, among)
        if found is None or found.frontier_only:
            continue
        worth = -found.quality if goal.usd is not None else found.whole_usd
        if best is None or worth < best[0]:
            best = worth, i, j, found.threshold
    if best is None:
        return None
    _, i, j, threshold = best
    fork, rents = _fork(scenario, reporting, i, j, engine)
    kept = fork.score >= threshold
    quality, cost, whole, right = (
        float(np.average(x, weights=reporting.half.weight))
        for x in (
            np.where(kept, *fork.correct),
            np.where(kept, *fork.cost_usd) + rents.at(threshold),
            reporting.frontier[1],
            reporting.frontier[0],
        )
    )
    return {
        "tiers": [scenario.tiers[i].name, scenario.tiers[j].name],
        "threshold": threshold if np.isfinite(threshold) else None,
        "cost_usd_mean": cost,
        "quality": quality,
        "quality_difference": quality - right,
        "saving": 1 - cost / whole if whole else None,
    }


def _fork(scenario: Scenario, side: Ways, i: int, j: int, engine: Engine) -> tuple[Fork, Rents]:
    """Return both ways of every request, and the rent of the two tiers."""
    requests = side.half.requests
    first, second = (call_usd(scenario.tiers[k], requests, k) for k in (i, j))
    right = [requests.correct[:, k].astype(np.float64) for k in (i, j)]
    fork = Fork(
        requests.score[:, i],
        np.ones(len(requests), np.bool_),
        (right[0], right[1]),
        (first, first + second),
    )
    return fork, rents_of(_only(scenario, i, j), 0, side.half, engine, _bare(side.half.run, i, j))


def _waits(
    scenario: Scenario, goal: Goal, side: Ways, i: int, j: int, engine: Engine
) -> Waits | None:
    pair, requests = _only(scenario, i, j), _bare(side.half.requests, i, j)
    frontier_s = math.inf  # Frontier-only is no pair.
    return waits_of(pair, 0, requests, engine, goal, frontier_s, COARSE)


def _bare(requests: RequestTable, i: int, j: int) -> RequestTable:
    return replace(requests.of_tiers([i, j]), router_ns=None, router_score=None)


def _only(scenario: Scenario, i: int, j: int) -> Scenario:
    """Return the scenario with two tiers alone, a threshold on the first."""
    bare = {"verifier": None, "agree_with": None}
    pair = [
        scenario.tiers[k].model_copy(update=bare | {"threshold": threshold, "on_failure": ends})
        for k, threshold, ends in ((i, 0.0, "escalate"), (j, None, "give_up"))
    ]
    return scenario.model_copy(update={"tiers": pair, "router": None})
