"""What was picked, on the half it was not picked on, and what it is measured against there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from fallwise.analysis.baselines import accept_all, only
from fallwise.analysis.bootstrap import bounds, resampled
from fallwise.analysis.intervals import batch_quantile
from fallwise.analysis.quality import unqueued
from fallwise.analysis.settle import settle
from fallwise.analysis.yardsticks import aiq, apgr, by_lot, cpt, oracle
from fallwise.draw import stream
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.planning.pick import Goal, Pick
from fallwise.planning.search import wrong_but_sure
from fallwise.planning.side import Ways
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import Floats, OutcomeTable, RequestTable

__all__ = ["Changed", "evidence", "metrics", "reported", "simulated", "weighted"]

Json = dict[str, Any]
Changed = tuple[Scenario, RequestTable]
"""A scenario with a setting put in, and the requests for it."""


def weighted(side: Ways, values: Any) -> float:
    """Return the mean of a half's values, each request as much as it counts."""
    return float(np.average(values, weights=side.half.weight))


def simulated(changed: Changed | None, whole: Scenario, side: Ways, engine: Engine) -> OutcomeTable:
    """Return settled outcomes with queues, timeouts and cache; None is the frontier of `whole`."""
    if changed is None:
        scenario, requests = only(whole, whole.frontier), side.half.requests
        requests = replace(requests, router_ns=None)
        decisions = accept_all(requests, whole.frontier)
    else:
        scenario, requests = changed
        decisions = decide(scenario, requests)
    outcomes = simulate(plan(scenario), requests, decisions, engine)
    return settle(scenario, requests, decisions, outcomes)


def reported(
    scenario: Scenario,
    goal: Goal,
    chosen: Pick | None,
    changed: Changed | None,
    said: Json,
    side: Ways,
    seed: int,
    engine: Engine,
) -> Json:
    """Return the pick and the yardsticks on the reporting half, their intervals over questions.

    changed is the scenario with what was picked put in, and the half's requests for it; None where
    that is frontier-only. said is how it is written down.
    """
    values, more = evidence(side, math.nan if chosen is None else chosen.threshold)
    chance = stream(seed, "tune.bootstrap")
    half = side.half
    means = resampled(values, half.question, half.weight, chance, more=more).T
    (q0, c0, q1, c1), picked = means[:4], means[4:]
    found: Json = {
        name: {
            "tier": scenario.tiers[k].name,
            "cost_usd_mean": bounds(cost),
            "quality": bounds(quality),
        }
        for name, k, cost, quality in (
            ("cheapest_only", scenario.cheapest, c0, q0),
            ("frontier_only", scenario.frontier, c1, q1),
        )
    }
    found["pick"] = None
    if chosen is not None:
        quality, cost, on = picked
        upkeep_usd = chosen.upkeep_usd
        outcomes = simulated(changed, scenario, side, engine)
        found["pick"] = {
            "policy": "frontier_only" if chosen.frontier_only else "cascade",
            **said,
            "cost_usd_mean": bounds(cost),
            "quality": bounds(quality),
            "escalation_rate": bounds(on),
            "saving": _saved(cost, c1),
            "saving_with_upkeep": _saved(cost + upkeep_usd, c1) if upkeep_usd else None,
            "quality_difference": bounds(quality - q1),
            "wrong_but_sure": _wrong_but_sure(changed, side, engine),
            "met": goal.in_time(batch_quantile(outcomes.sojourn_s, 0.95).value)
            and goal.holds(*(float(x[0]) for x in (quality, cost + upkeep_usd, q1))),
            **{
                f"sojourn_s_p{name}": batch_quantile(outcomes.sojourn_s, q).dict()
                for name, q in (("50", 0.5), ("95", 0.95), ("99", 0.99))
            },
            "quality_simulated": weighted(side, np.asarray(outcomes.correct, np.float64)),
        }
    bar = goal.quality if goal.margin is None else float(q1[0]) - goal.margin
    at_cost = float(picked[1][0]) if chosen is not None else None
    found |= _yardsticks(side, [float(x[0]) for x in means[:4]], bar, at_cost)
    return found


def _saved(cost: Floats, whole: Floats) -> Json | None:
    return bounds(1 - cost / whole) if whole.all() else None


def evidence(side: Ways, way: float) -> tuple[Floats, Floats]:
    """Return what is known of a way, (n, 7), and the four questions that are added to it, (4, 7).

    Columns: quality and cost of the cheapest, of the frontier and of the way, and escalation. Of
    the four the way keeps two and sends two on, and answers one of each right; the same for the
    others, and each question costs what its kind does on average.
    """
    picked = side.at(way)
    values = np.column_stack([*side.cheapest, *side.frontier, *picked])
    weight = side.half.weight
    c0, c1, cost = (float(np.average(values[:, i], weights=weight)) for i in (1, 3, 5))
    q0, q1, q = [0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]
    if math.isnan(way):
        return values, np.column_stack([q0, [c0] * 4, q1, [c1] * 4, q1, [cost] * 4, np.ones(4)])
    on = picked[2] > 0.5
    kept = float(np.average(picked[1][~on], weights=weight[~on])) if not on.all() else c0
    sent = float(np.average(picked[1][on], weights=weight[on])) if on.any() else kept + c1
    costs, ons = [kept, kept, sent, sent], [0.0, 0.0, 1.0, 1.0]
    return values, np.column_stack([q0, [c0] * 4, q1, [c1] * 4, q, costs, ons])


def _wrong_but_sure(changed: Changed | None, side: Ways, engine: Engine) -> float | None:
    """Return the share of all requests shipped wrong with a score above SURE.

    None where no score decides.
    """
    if changed is None or all(tier.threshold is None for tier in changed[0].tiers):
        return None
    scenario, requests = changed
    outcomes = unqueued(scenario, requests, decide(scenario, requests), engine)
    return weighted(side, wrong_but_sure(scenario, requests, outcomes))


def _yardsticks(side: Ways, alone: list[float], bar: float | None, at_cost: float | None) -> Json:
    """Return requests by lot and the oracle, at the pick's cost and at the quality asked for."""
    q0, c0, q1, c1 = alone
    ladder = oracle(
        (side.cheapest[0], side.frontier[0]),
        (side.cheapest[1], side.frontier[1]),
        side.half.weight,
    )

    def row(share: float | None, cost: float | None, quality: float | None) -> Json | None:
        if share is None or cost is None:
            return None
        saving = 1 - cost / c1 if c1 else None
        return {
            "frontier_share": share,
            "cost_usd_mean": cost,
            "quality": quality,
            "saving": saving,
        }

    best = int(np.argmax(ladder.quality >= ladder.quality.max() - 1e-12))
    lot = None if at_cost is None or c1 <= c0 else min(1.0, max(0.0, (at_cost - c0) / (c1 - c0)))
    mixed = None if lot is None else row(lot, c0 + lot * (c1 - c0), q0 + lot * (q1 - q0))
    steps = (
        float(ladder.share[best]),
        float(ladder.cost_usd_mean[best]),
        float(ladder.quality[best]),
    )
    found: Json = {"random_mix": mixed, "oracle": row(*steps), "at_goal": None}
    if bar is not None:
        share = by_lot(q0, q1, bar)
        cost = None if share is None else c0 + share * (c1 - c0)
        step = ladder.at_quality(bar)
        found["at_goal"] = {
            "quality": bar,
            "random_mix": row(share, cost, bar),
            "oracle": None if step is None else row(*step, bar),
        }
    return found


def metrics(side: Ways, share: Floats, quality: Floats, cost_usd: Floats) -> Json:
    """Return the literature's areas of a curve, share of strong calls ascending, on a half.

    Where a threshold is the curve, the share of strong calls is its escalation rate; the cheap call
    comes on top.
    """
    q0, q1 = (weighted(side, x[0]) for x in (side.cheapest, side.frontier))
    gap, wanted = q1 - q0, (0.5, 0.8)
    return {
        "apgr": apgr(share, quality, q0, q1) if gap > 0 else None,
        **{f"cpt_{100 * w:g}": cpt(share, quality, q0, q1, w) if gap > 0 else None for w in wanted},
        "aiq": aiq(cost_usd, quality),
    }
