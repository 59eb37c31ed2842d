"""Quality against cost for every threshold of one tier, and the threshold to take.

Chosen on one half of the questions, reported on the other. Cost and quality leave queues, timeouts
and cached answers out, as `analysis.quality` does; what people wait is simulated with all of them.
Upkeep is left out: it does not depend on a threshold (`fallwise breakeven` looks at it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fallwise import __version__
from fallwise.analysis.baselines import accept_all, only
from fallwise.analysis.bootstrap import bounds, resampled
from fallwise.analysis.intervals import batch_quantile
from fallwise.analysis.settle import settle
from fallwise.analysis.tally import SURE
from fallwise.analysis.yardsticks import aiq, apgr, by_lot, cpt, oracle
from fallwise.draw import stream
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.planning.halves import halves, whole
from fallwise.planning.labels import labels_needed
from fallwise.planning.pairs import best_pair
from fallwise.planning.pick import Candidates, Goal, Pick, pick
from fallwise.planning.side import Side, side_of
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import Floats, OutcomeTable

__all__ = ["bend_of", "tune", "tuned_tier"]

POINTS: Final = 41
"""Thresholds of the printed curve."""
Json = dict[str, Any]


def tune(
    scenario: Scenario,
    goal: Goal,
    tier: str | None = None,
    seed: int | None = None,
    engine: Engine = "compiled",
) -> Json:
    """Return the curve of a tier's threshold, its bend, the pick for a goal, and the yardsticks.

    Without any threshold nothing is tuned: the choice is between the cheapest tier and the
    frontier, and all questions are reported on. ScenarioError: a tier that has no threshold, or
    several that have one and none named.
    """
    seed = scenario.run.seed if seed is None else seed
    k = tuned_tier(scenario, tier)
    if k is None:
        reporting = side_of(scenario, whole(scenario, seed), None, engine)
        tuning = reporting
    else:
        tuning, reporting = (side_of(scenario, h, k, engine) for h in halves(scenario, seed))
    among = tuning.candidates(goal)
    chosen = pick(goal, among)
    bend = bend_of(among, tuning)
    found: Json = {
        "scenario": scenario.name,
        "command": "tune",
        "seed": seed,
        "version": __version__,
        "engine": engine,
        "tier": None if k is None else scenario.tiers[k].name,
        "goal": {**vars(goal), "words": goal.words()},
        "curve": _curve(scenario, k, among, reporting, engine),
        "bend": None if bend is None else _point(reporting, bend),
        **_reported(scenario, goal, chosen, reporting, k, seed, engine),
        "best_pair": best_pair(scenario, goal, tuning, reporting),
        "labels": {
            "tuned_on": 0 if k is None else tuning.half.labels,
            "reported_on": reporting.half.labels,
            **labels_needed(goal, tuning, reporting, stream(seed, "tune.labels")),
        },
        "metrics": _metrics(reporting),
    }
    found["tuned"] = None if chosen is None else _tuned(chosen)
    found["findings"] = list(_findings(scenario, found, goal))
    return found


def tuned_tier(scenario: Scenario, name: str | None) -> int | None:
    """Return the tier whose threshold is tuned, None where no tier has one."""
    having = [k for k, t in enumerate(scenario.tiers) if t.threshold is not None]
    names = [scenario.tiers[k].name for k in having]
    if name is not None:
        if name not in names:
            known = ", ".join(names) or "none"
            rule, remedy = "is no tier with a threshold", f"name one of those that have: {known}"
            raise ScenarioError(Problem(rule, remedy, value=name, file="--tier"))
        return scenario.index(name)
    if len(having) > 1:
        rule = f"{', '.join(names)} have thresholds"
        raise ScenarioError(Problem(rule, "name the one to tune", file="--tier"))
    return having[0] if having else None


def bend_of(among: Candidates, side: Side) -> float | None:
    """Return the threshold at the bend; None where no threshold beats sending requests by lot.

    Up to the bend a dollar spent on a higher threshold buys more quality than a dollar spent on
    sending more requests, by lot, to the frontier instead of the cheapest tier; beyond it, less.
    So it is the point furthest above the line between those two alone. It does not depend on units
    nor on what else is drawn.
    """
    weight = side.half.weight
    q0, c0, q1, c1 = (
        float(np.average(x, weights=weight)) for x in (*side.cheapest, *side.frontier)
    )
    if c1 <= c0:
        return None
    cost, quality = among.cost_usd_mean[:-1], among.quality[:-1]
    above = quality - (q0 + (cost - c0) / (c1 - c0) * (q1 - q0))
    best = int(np.argmax(above))
    return float(among.threshold[best]) if above[best] > 1e-12 else None


def _weighted(side: Side, values: Floats) -> float:
    return float(np.average(values, weights=side.half.weight))


def _threshold(value: float) -> float | None:
    """Return a threshold for JSON: None is frontier-only, or that everything is sent on."""
    return value if math.isfinite(value) else None


def _point(side: Side, threshold: float) -> Json:
    quality, cost, on = (_weighted(side, x) for x in side.at(threshold))
    return {
        "threshold": _threshold(threshold),
        "cost_usd_mean": cost,
        "quality": quality,
        "escalation_rate": on,
    }


def _curve(
    scenario: Scenario, k: int | None, among: Candidates, side: Side, engine: Engine
) -> list[Json]:
    """Return thresholds of the tuning half, evenly spread over what they escalate, as reported.

    A threshold of None sends every answer on.
    """
    if k is None:
        return []
    thresholds = among.threshold[:-1]
    score = side.fork.score[side.fork.asked] if side.fork else np.zeros(0)
    share = np.searchsorted(np.sort(score), thresholds) / max(len(score), 1)
    near = np.searchsorted(share, np.linspace(0, 1, POINTS)).clip(0, len(share) - 1)
    rows = np.unique(np.append(near, [0, len(share) - 1]))
    points = []
    for t in thresholds[rows].tolist():
        sojourn_s = _simulated(scenario, k, t, side, engine).sojourn_s
        points.append(_point(side, t) | {"sojourn_s_p95": float(np.quantile(sojourn_s, 0.95))})
    return points


def _simulated(
    scenario: Scenario, k: int | None, threshold: float, side: Side, engine: Engine
) -> OutcomeTable:
    """Return settled outcomes with queues, timeouts and cache, as the scenario says."""
    requests = side.half.requests
    if math.isnan(threshold):
        frontier = scenario.frontier
        scenario, requests = only(scenario, frontier), replace(requests, router_ns=None)
        decisions = accept_all(requests, frontier)
    else:
        if k is not None:
            tiers = list(scenario.tiers)
            tiers[k] = tiers[k].model_copy(update={"threshold": threshold})
            scenario = scenario.model_copy(update={"tiers": tiers})
        decisions = decide(scenario, requests)
    outcomes = simulate(plan(scenario), requests, decisions, engine)
    return settle(scenario, requests, decisions, outcomes)


def _reported(
    scenario: Scenario,
    goal: Goal,
    chosen: Pick | None,
    side: Side,
    k: int | None,
    seed: int,
    engine: Engine,
) -> Json:
    """Return the pick and the yardsticks on the reporting half, their intervals over questions."""
    columns = [*side.cheapest, *side.frontier]
    if chosen is not None:
        columns += side.at(chosen.threshold)
    chance = stream(seed, "tune.bootstrap")
    values = np.column_stack(columns)
    means = resampled(values, side.half.question, side.half.weight, chance).T
    (q0, c0, q1, c1), picked = means[:4], means[4:]
    names = scenario.tiers[scenario.cheapest].name, scenario.tiers[scenario.frontier].name
    found: Json = {
        "cheapest_only": {
            "tier": names[0],
            "cost_usd_mean": bounds(c0),
            "quality": bounds(q0),
        },
        "frontier_only": {
            "tier": names[1],
            "cost_usd_mean": bounds(c1),
            "quality": bounds(q1),
        },
        "pick": None,
    }
    if chosen is not None:
        quality, cost, on = picked
        outcomes = _simulated(scenario, k, chosen.threshold, side, engine)
        found["pick"] = {
            "policy": "frontier_only" if chosen.frontier_only else "cascade",
            "threshold": _threshold(chosen.threshold),
            "cost_usd_mean": bounds(cost),
            "quality": bounds(quality),
            "escalation_rate": bounds(on),
            "saving": bounds(1 - cost / c1) if c1.all() else None,
            "quality_difference": bounds(quality - q1),
            "wrong_but_sure": _wrong_but_sure(scenario, k, chosen, side),
            "met": goal.holds(float(quality[0]), float(cost[0]), float(q1[0])),
            **{
                f"sojourn_s_p{name}": batch_quantile(outcomes.sojourn_s, q).dict()
                for name, q in (("50", 0.5), ("95", 0.95), ("99", 0.99))
            },
            "quality_simulated": _weighted(side, np.asarray(outcomes.correct, np.float64)),
        }
    bar = goal.quality
    if bar is None and goal.margin is not None:
        bar = float(q1[0]) - goal.margin
    at_cost = float(picked[1][0]) if chosen is not None else None
    found |= _yardsticks(side, [float(x[0]) for x in means[:4]], bar, at_cost)
    return found


def _wrong_but_sure(scenario: Scenario, k: int | None, chosen: Pick, side: Side) -> float | None:
    """Return the operational risk: the share of all requests shipped wrong with a score above SURE.

    None where no score decides.
    """
    if k is None or chosen.frontier_only or side.fork is None:
        return None
    fork = side.fork
    kept = fork.asked & (fork.score >= chosen.threshold)
    return _weighted(
        side, (kept & (fork.score > SURE) & (fork.correct[0] < 0.5)).astype(np.float64)
    )


def _yardsticks(side: Side, alone: list[float], bar: float | None, at_cost: float | None) -> Json:
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


def _metrics(side: Side) -> Json | None:
    """Return the literature's areas of the curve on the reporting half; None without a curve.

    A threshold's share of strong calls is its escalation rate; the cheap call comes on top.
    """
    if side.fork is None:
        return None
    curve = side.fork.curve(side.half.weight)
    (q0, q1) = (_weighted(side, x[0]) for x in (side.cheapest, side.frontier))
    gap = q1 - q0
    share, quality = curve.escalation_rate, curve.quality
    wanted = (0.5, 0.8)
    return {
        "apgr": apgr(share, quality, q0, q1) if gap > 0 else None,
        **{f"cpt_{100 * w:g}": cpt(share, quality, q0, q1, w) if gap > 0 else None for w in wanted},
        "aiq": aiq(curve.cost_usd_mean + side.rent_usd, quality),
    }


def _tuned(chosen: Pick) -> Json:
    """Return what the pick promised on the half that it was chosen on."""
    return {"cost_usd_mean": chosen.cost_usd_mean, "quality": chosen.quality}


def _findings(scenario: Scenario, found: Json, goal: Goal) -> Iterator[str]:
    pick, whole = found["pick"], found["frontier_only"]
    name = scenario.tiers[scenario.frontier].name
    if pick is None:
        yield f"No threshold, and not {name} alone, gives {goal.words()}: nothing was picked."
        return
    if pick["policy"] == "frontier_only":
        yield f"{name} alone is the best choice for {goal.words()}: no threshold is cheaper."
    if not pick["met"]:
        yield (
            f"The goal ({goal.words()}) held on the tuning half, but not on the other one. "
            + ("" if goal.sure else "--sure picks with a margin for that.")
        ).rstrip()
    if pick["policy"] == "cascade" and found["bend"] is None:
        yield f"No threshold beats sending requests by lot to {name}: its score tells too little."
    off = abs(pick["quality_simulated"] - pick["quality"]["value"])
    if off > 0.002:
        yield (
            f"With queues, timeouts and cached answers quality is {pick['quality_simulated']:.4f} "
            f"instead of {pick['quality']['value']:.4f}: see `fallwise run` with this threshold."
        )
    labels = found["labels"]
    if labels["needed"] and labels["needed"] > labels["tuned_on"]:
        yield (
            f"Tuned on {labels['tuned_on']:,} graded questions; about {labels['needed']:,} are "
            "needed for a promised quality within 1 point of the real one."
        )
    wide = whole["quality"]["high"] - whole["quality"]["low"]
    if wide > 0.1:
        yield f"Intervals are wide (quality ± {50 * wide:.1f} points): grade more questions."
