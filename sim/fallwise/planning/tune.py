"""Quality against cost for all that a scenario lets one turn, and the setting to take for a goal.

One threshold: its exact curve. Several, or a router's cuts, or verifiers: what a search finds.
Chosen on one half of the questions, reported on the other. Cost and quality leave queues, timeouts
and cached answers out, as `analysis.quality` does; what people wait is simulated with all of them.
Upkeep is left out: it does not depend on a threshold (`fallwise breakeven` looks at it).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fallwise import __version__
from fallwise.draw import stream
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.planning.advice import advice
from fallwise.planning.halves import Half, first, halves, whole
from fallwise.planning.knobs import knobs_of, pairs_of, said, turned
from fallwise.planning.labels import labels_needed
from fallwise.planning.pairs import best_pair
from fallwise.planning.pick import Candidates, Goal, pick
from fallwise.planning.reported import Changed, metrics, reported, simulated, weighted
from fallwise.planning.runs import Run, here
from fallwise.planning.search import (
    frontier_of,
    polished,
    search,
    searched,
    tried,
    wrong_but_sure,
)
from fallwise.planning.side import Side, Ways, side_of
from fallwise.planning.trust import trust
from fallwise.planning.waits import alone_p95_s, waits_of
from fallwise.scenario import Scenario
from fallwise.tables import NOT_VISITED

__all__ = ["TRIALS", "bend_of", "tune", "tuned_tier", "ways_of"]

TRIALS: Final = 600
POINTS: Final = 41
"""Thresholds of the printed curve."""
REPORTED: Final = 100_000
Json = dict[str, Any]


@dataclass(frozen=True)
class _Tuned:
    """All that can be picked on two halves, and what a way's number stands for.

    put_in gives the scenario with it put in, and a half's requests, None for frontier-only; said
    writes it down. curve gives the points to show, and the literature's areas.
    """

    tuning: Ways
    reporting: Ways
    put_in: Callable[[float, Half], Changed | None]
    said: Callable[[float], Json]
    curve: Callable[[], tuple[list[Json], Json | None]]
    about: Json
    labels: int


def tune(
    scenario: Scenario,
    goal: Goal,
    tier: str | None = None,
    seed: int | None = None,
    engine: Engine = "compiled",
    trials: int = TRIALS,
    progress: Callable[[int, int], None] = lambda done, total: None,
    run: Run = here,
) -> Json:
    """Return the curve of what can be turned, its bend, the pick for a goal, and the yardsticks.

    With a tier named, or one threshold and nothing else to turn, its curve is exact; otherwise
    `trials` settings are searched. With nothing to turn the choice is between the cheapest tier and
    the frontier, and all questions are reported on. Who runs the settings (`runs.crew`) makes no
    difference. ScenarioError: a tier that has no threshold.
    """
    seed = scenario.run.seed if seed is None else seed
    tuned = ways_of(scenario, goal, tier, seed, engine, trials, progress, run)
    tuning, reporting = tuned.tuning, tuned.reporting
    curve, areas = tuned.curve()
    among = tuning.candidates(goal)
    chosen = pick(goal, among)
    bend = bend_of(among, tuning)
    changed = None if chosen is None else tuned.put_in(chosen.threshold, reporting.half)
    words = {} if chosen is None else tuned.said(chosen.threshold)
    found: Json = {
        "scenario": scenario.name,
        "command": "tune",
        "seed": seed,
        "version": __version__,
        "engine": engine,
        **tuned.about,
        "tiers": [{"name": one.name, "kind": one.kind} for one in scenario.tiers],
        "goal": {**vars(goal), "words": goal.words()},
        "curve": curve,
        "bend": None if bend is None else _point(reporting, bend) | tuned.said(bend),
        **reported(scenario, goal, chosen, changed, words, reporting, seed, engine),
        "best_pair": best_pair(scenario, goal, tuning, reporting, engine),
        "labels": {"tuned_on": tuned.labels, "reported_on": reporting.half.labels}
        | labels_needed(goal, tuning, reporting, stream(seed, "tune.labels"), tuned.labels),
        "metrics": areas,
    }
    both = tuning.half, reporting.half
    found["calibration"] = trust(scenario, goal, both, seed, engine) if tuned.labels else []
    found["tuned"] = chosen and {
        "cost_usd_mean": chosen.cost_usd_mean,
        "quality": chosen.quality,
        "certain": chosen.safe >= 0,
    }
    found["findings"] = list(advice(scenario, found, goal))
    return found


def ways_of(
    scenario: Scenario,
    goal: Goal,
    tier: str | None,
    seed: int,
    engine: Engine,
    trials: int,
    progress: Callable[[int, int], None],
    run: Run = here,
) -> _Tuned:
    """Return all that can be picked, on both halves: of one threshold, or what a search finds."""
    if tier is None and len(knobs_of(scenario)) > 1:
        return _searched(scenario, goal, seed, engine, trials, progress, run)
    return _one(scenario, goal, tuned_tier(scenario, tier), seed, engine)


def tuned_tier(scenario: Scenario, name: str | None) -> int | None:
    """Return the tier whose threshold is tuned, None where no tier has one."""
    names = [tier.name for tier in scenario.tiers if tier.threshold is not None]
    if name is None:
        return scenario.index(names[0]) if names else None
    if name not in names:
        known = ", ".join(names) or "none"
        rule, remedy = "is no tier with a threshold", f"name one of those that have: {known}"
        raise ScenarioError(Problem(rule, remedy, value=name, file="--tier"))
    return scenario.index(name)


def _one(scenario: Scenario, goal: Goal, k: int | None, seed: int, engine: Engine) -> _Tuned:
    """Return every threshold of tier k, exactly."""
    if k is None:
        reporting = tuning = side_of(scenario, whole(scenario, seed), None, engine)
    else:
        tuning, reporting = (side_of(scenario, h, k, engine) for h in halves(scenario, seed))
    tuning = _timed(scenario, goal, tuning, k, engine)

    def put_in(threshold: float, half: Half) -> Changed | None:
        if math.isnan(threshold):
            return None
        changed = scenario if k is None else scenario.with_tier(k, threshold=threshold)
        return changed, half.requests

    def curve() -> tuple[list[Json], Json | None]:
        if reporting.fork is None:
            return [], None
        exact = reporting.fork.curve(reporting.half.weight)
        cost = exact.cost_usd_mean + reporting.rents.at(exact.threshold)
        areas = metrics(reporting, exact.escalation_rate, exact.quality, cost)
        return _curve(put_in, tuning.candidates(goal), scenario, reporting, engine), areas

    return _Tuned(
        tuning,
        reporting,
        put_in,
        lambda x: {"threshold": x if math.isfinite(x) else None},
        curve,
        {"tier": None if k is None else scenario.tiers[k].name, "searched": None},
        0 if k is None else tuning.half.labels,
    )


def _searched(
    scenario: Scenario,
    goal: Goal,
    seed: int,
    engine: Engine,
    trials: int,
    progress: Callable[[int, int], None],
    run: Run = here,
) -> _Tuned:
    """Return what a search finds: settings that nothing beats, and the best for the goal."""

    def side(half: Half) -> Side:
        return side_of(scenario, half, None, engine)

    one, other = halves(scenario, seed)
    half, knobs = searched(scenario, seed)
    tuning, reporting = side(half), side(first(scenario, other, REPORTED))
    tuning = _timed(scenario, goal, tuning, None, engine)
    found = frontier_of(search(scenario, trials, seed, engine, progress, run))
    settings = [trial.setting for trial in found]
    # The frontier alone is a candidate already, and wins where another way costs the same.
    settings = [x for x in settings if len(turned(scenario, one.requests, knobs, x)[0].tiers) > 1]
    ways = tried(scenario, tuning, knobs, settings, engine, goal)
    start = pick(goal, ways.candidates(goal))
    begin = pairs_of(knobs)
    if start is not None and not start.frontier_only:
        begin.append(settings[int(start.threshold)])
    best = [polished(scenario, tuning, knobs, one, goal, engine) for one in begin]
    settings += [one for one in dict.fromkeys(best) if one not in settings]
    ways = tried(scenario, tuning, knobs, settings, engine, goal)
    there = tried(scenario, reporting, knobs, settings, engine, goal)

    def put_in(number: float, half: Half) -> Changed | None:
        if math.isnan(number):
            return None
        return turned(scenario, half.requests, knobs, settings[int(number)])

    def words(number: float) -> Json:
        return said(knobs, None if math.isnan(number) else settings[int(number)])

    return _Tuned(
        ways,
        there,
        put_in,
        words,
        lambda: _frontier(scenario, there, len(settings), put_in, words, engine),
        {"tier": None, "searched": {"trials": trials, "keys": [knob.key for knob in knobs]}},
        tuning.half.labels,
    )


def _timed(scenario: Scenario, goal: Goal, side: Side, k: int | None, engine: Engine) -> Side:
    """Return the side with how long requests take, where the goal asks for it."""
    if goal.p95_s is None:
        return side
    requests = side.half.requests
    frontier_s = alone_p95_s(scenario, requests, engine, goal)
    return replace(side, waits=waits_of(scenario, k, requests, engine, goal, frontier_s))


def _frontier(
    scenario: Scenario,
    side: Ways,
    settings: int,
    put_in: Callable[[float, Half], Changed | None],
    words: Callable[[float], Json],
    engine: Engine,
) -> tuple[list[Json], Json]:
    """Return what a search found, as reported, and the areas of its quality over strong calls."""
    points = []
    for i in range(settings):
        changed = put_in(i, side.half)
        assert changed is not None
        outcomes = simulated(changed, scenario, side, engine)
        visits = outcomes.visit[:, changed[0].frontier] != NOT_VISITED
        points.append(
            words(i)
            | _point(side, i)
            | {"frontier_share": weighted(side, visits)}
            | {"sojourn_s_p95": float(np.quantile(outcomes.sojourn_s, 0.95))}
            | {"wrong_but_sure": weighted(side, wrong_but_sure(*changed, outcomes))}
        )
    points.sort(key=lambda point: (point["cost_usd_mean"], point["quality"]))
    share, quality, cost = (
        np.array([point[name] for point in points])
        for name in ("frontier_share", "quality", "cost_usd_mean")
    )
    order = np.argsort(share, kind="stable")
    # Of settings with equal shares, and of those that get worse, the best so far counts.
    best = np.maximum.accumulate(quality[order])
    return points, metrics(side, share[order], best, cost[order])


def bend_of(among: Candidates, side: Ways) -> float | None:
    """Return the way at the bend; None where none beats sending requests by lot.

    Up to the bend a dollar spent on a higher threshold buys more quality than a dollar spent on
    sending more requests, by lot, to the frontier instead of the cheapest tier; beyond it, less.
    So it is the point furthest above the line between those two alone. It does not depend on units
    nor on what else is drawn.
    """
    q0, c0, q1, c1 = (weighted(side, x) for x in (*side.cheapest, *side.frontier))
    if c1 <= c0:
        return None
    cost, quality = among.cost_usd_mean[:-1], among.quality[:-1]
    above = quality - (q0 + (cost - c0) / (c1 - c0) * (q1 - q0))
    best = int(np.argmax(above))
    return float(among.threshold[best]) if above[best] > 1e-12 else None


def _point(side: Ways, way: float) -> Json:
    quality, cost, on = (weighted(side, x) for x in side.at(way))
    return {"cost_usd_mean": cost, "quality": quality, "escalation_rate": on}


def _curve(
    put_in: Callable[[float, Half], Changed | None],
    among: Candidates,
    scenario: Scenario,
    side: Side,
    engine: Engine,
) -> list[Json]:
    """Return thresholds of the tuning half, evenly spread over what they escalate, as reported.

    A threshold of None sends every answer on.
    """
    thresholds = among.threshold[:-1]
    score = side.fork.score[side.fork.asked] if side.fork else np.zeros(0)
    share = np.searchsorted(np.sort(score), thresholds) / max(len(score), 1)
    near = np.searchsorted(share, np.linspace(0, 1, POINTS)).clip(0, len(share) - 1)
    rows = np.unique(np.append(near, [0, len(share) - 1]))
    points = []
    for t in thresholds[rows].tolist():
        sojourn_s = simulated(put_in(t, side.half), scenario, side, engine).sojourn_s
        points.append(
            {"threshold": t if math.isfinite(t) else None}
            | _point(side, t)
            | {"sojourn_s_p95": float(np.quantile(sojourn_s, 0.95))}
        )
    return points
