"""The best cascade of two tiers out of many: what further tiers have to beat."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from fallwise.analysis.money import call_usd, rent_usd_per_s
from fallwise.analysis.quality import Fork
from fallwise.planning.pick import Goal, candidates, pick
from fallwise.planning.side import Ways
from fallwise.scenario import Scenario

__all__ = ["best_pair"]


def best_pair(
    scenario: Scenario, goal: Goal, tuning: Ways, reporting: Ways
) -> dict[str, Any] | None:
    """Return the best of all pairs of tiers, one threshold on the first, for a goal.

    Chosen on the tuning half, cost and quality as of the reporting half; None where there are
    fewer than three tiers that could be in a pair, or no pair holds the goal. Verifiers, routers
    and agreement are left out.
    """
    tiers = [k for k, t in enumerate(scenario.tiers) if t.kind not in ("cache", "human")]
    if len(tiers) < 3:
        return None
    best: tuple[float, int, int, float] | None = None
    for i, j in permutations(tiers, 2):
        fork, rent_usd = _fork(scenario, tuning, i, j)
        half = tuning.half
        among = candidates(goal, fork, tuning.frontier, half.question, half.weight, rent_usd)
        found = pick(goal, among)
        if found is None or found.frontier_only:
            continue
        worth = -found.quality if goal.usd is not None else found.cost_usd_mean
        if best is None or worth < best[0]:
            best = worth, i, j, found.threshold
    if best is None:
        return None
    _, i, j, threshold = best
    fork, rent_usd = _fork(scenario, reporting, i, j)
    kept = fork.score >= threshold
    quality, cost, whole, right = (
        float(np.average(x, weights=reporting.half.weight))
        for x in (
            np.where(kept, *fork.correct),
            np.where(kept, *fork.cost_usd) + rent_usd,
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


def _fork(scenario: Scenario, side: Ways, i: int, j: int) -> tuple[Fork, float]:
    """Return both ways of every request, and the rent of the two tiers."""
    requests = side.half.requests
    first, second = (call_usd(scenario.tiers[k], requests, k) for k in (i, j))
    right = [requests.correct[:, k].astype(np.float64) for k in (i, j)]
    rent = sum(rent_usd_per_s(scenario.tiers[k]) for k in (i, j)) * side.half.gap_s
    fork = Fork(
        requests.score[:, i],
        np.ones(len(requests), np.bool_),
        (right[0], right[1]),
        (first, first + second),
    )
    return fork, rent
