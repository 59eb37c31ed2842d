"""The cheapest servers and staff that hold a scenario's targets, confirmed by a fresh, longer run.

Searched: replicas of rules and pool tiers, agents, the concurrency of hosted tiers that have a
limit, and whatever values the user offers (slots, rate limits, each with its price). Theory says
where to begin (M/M/c), simulation decides, on the same requests for every plan. The plan has to
hold at the traffic as it is and at its peak, all the time at the busiest rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Final

from fallwise.analysis.predict import predict
from fallwise.analysis.summary import Summary
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.planning.again import plenty, sized
from fallwise.planning.load import peak_factor, scaled
from fallwise.planning.plans import Combination, waiting, worst_of
from fallwise.planning.runs import Progress, Run, here
from fallwise.planning.trial import Trial, Units, missed
from fallwise.scenario import Scenario, override

__all__ = ["Offers", "size"]

Offers = Mapping[str, Sequence[tuple[Any, float]]]
"""Values that a key may have, each with what it costs a month: {"tiers.api.concurrency": ...}."""

OFFERS: Final = 64
"""Combinations of offered values that are looked at."""
TOGETHER: Final = 4
"""So many of them at a time."""
FURTHEST: Final = 8.0
"""Times the traffic, beyond which headroom is not looked for."""


@dataclass(frozen=True)
class _Found:
    """A plan that holds, and the trials that say so."""

    scenario: Scenario
    offers: dict[str, Any]
    units: Units
    trial: Trial
    fresh: Trial


def size(
    scenario: Scenario,
    traffic: float = 1.0,
    seed: int | None = None,
    engine: Engine = "compiled",
    peak: float | None = None,
    growth: float | None = None,
    offers: Offers | None = None,
    run: Run = here,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Return the cheapest plan found that holds all targets at `traffic` times the arrivals' rate.

    peak is the busiest rate over the mean; by default what the pattern of the arrivals says. The
    plan for growth (so many times the traffic) is `grown`. pick is None, with `why`, where servers
    cannot help, the search gave up, or the plan costs more than a target allows. headroom says at
    what traffic the plan breaks, and what breaks first. Who runs the combinations of offers
    (`runs.crew`) makes no difference.
    """
    if not scenario.targets:
        rule, remedy = "this scenario has no targets", "say what has to hold, at least one"
        raise ScenarioError(Problem(rule, remedy, ("targets",)))
    seed = scenario.run.seed if seed is None else seed
    peak = peak_factor(scenario) if peak is None else peak
    how = offers or {}, seed, engine, run, progress
    found = _sized_for(scenario, traffic, peak, *how)
    if growth is not None and found["pick"] is not None:
        found["grown"] = _sized_for(scenario, traffic * growth, peak, *how)
    return found


def _sized_for(
    scenario: Scenario,
    traffic: float,
    peak: float,
    offers: Offers,
    seed: int,
    engine: Engine,
    run: Run,
    progress: Progress,
) -> dict[str, Any]:
    """Return the answer for one traffic and its peak.

    Combinations are looked at some at a time, so that whoever runs them knows as much: what the
    best plan of those before costs.
    """
    best: tuple[float, dict[str, Any], Combination, Units] | None = None
    tried: list[dict[str, Any]] = []
    whys: list[str] = []
    combinations = list(_combinations(scenario, offers))
    for begin in range(0, len(combinations), TOGETHER):
        known = None if best is None else best[0]
        plans = []
        for values, usd in combinations[begin : begin + TOGETHER]:
            upkeep = {"money.upkeep_usd_per_month": scenario.money.upkeep_usd_per_month + usd}
            one = override(scenario, values | upkeep)
            plans.append((values, Combination(one, traffic, peak, seed, engine, known)))
        told = partial(_told, progress, begin, len(combinations))
        points = run([plan for _, plan in plans], told)
        for (values, plan), point in zip(plans, points, strict=True):
            tried += [{"offers": values} | row for row in point["tried"]]
            if point["units"] is None:
                whys.append(point["why"])
            elif best is None or point["cost_usd"] < best[0]:
                best = point["cost_usd"], values, plan, point["units"]
    answer = {"traffic": traffic, "peak_factor": peak, "grown": None}
    tried = [row for row in tried if row["units"] != plenty(scenario)]
    if best is None:
        nothing = dict.fromkeys(("pick", "offers", "cost_usd_per_month", "headroom"))
        return answer | nothing | {"why": whys[0], "targets": [], "tried": tried}
    _, values, plan, units = best
    found = _Found(plan.scenario, values, units, plan.trial(), plan.fresh())
    return answer | _answer(found, engine) | {"tried": tried}


def _told(progress: Progress, begin: int, total: int, done: int, asked: int) -> None:
    progress(begin + done, total)


def _answer(best: _Found, engine: Engine) -> dict[str, Any]:
    summaries = best.fresh.summaries(best.units)
    usual, busiest = summaries[0], summaries[-1]
    broken = best.fresh.missed(best.units, money=True)
    return {
        "pick": None if broken else best.units,
        "why": f"the cheapest plan found ({best.units}): {'; '.join(broken)}" if broken else None,
        "offers": best.offers,
        "cost_usd_per_month": usual["cost_usd_per_month"],
        "targets": usual["targets"],
        "targets_at_peak": busiest["targets"] if len(summaries) > 1 else None,
        "utilisation": {t["name"]: t["utilisation"] for t in busiest["tiers"]},
        "confirmed_on": {"seed": usual["seed"], "requests": usual["requests"]},
        "headroom": None if broken else _headroom(best, engine),
    }


def _combinations(scenario: Scenario, offers: Offers) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield one value for every key that has offers, and what they cost a month together."""
    for key in offers:
        if key in {f"tiers.{name}.{unit}" for name, unit in sized(scenario).items()}:
            rule, remedy = "is what size looks for", "offer values of another key"
            raise ScenarioError(Problem(rule, remedy, value=key, file="--offer"))
    number = math.prod(len(values) for values in offers.values())
    if number > OFFERS:
        rule, remedy = f"{number} combinations are too many", f"offer {OFFERS} at most"
        raise ScenarioError(Problem(rule, remedy, file="--offer"))
    for chosen in product(*offers.values()):
        pairs = zip(offers, chosen, strict=True)
        yield {key: value for key, (value, _) in pairs}, sum(usd for _, usd in chosen)


def _headroom(best: _Found, engine: Engine) -> dict[str, Any]:
    """Return the most traffic at which the plan holds, to about 2 %, and what breaks beyond it."""
    usual, seed = best.trial.scenario, best.trial.loads[0].seed
    peaks = [load.scenario for load in best.trial.loads]

    def worst_at(factor: float) -> Summary | None:
        """Return the summary that misses most, or None where nothing breaks."""
        loads = (scaled(load, factor) for load in peaks)
        trial = Trial(tuple(predict(load, seed, None, engine) for load in loads))
        worst = worst_of(trial, best.units)
        curve.append({"traffic_factor": factor, "targets": worst["targets"]})
        return worst if list(missed(worst, settled=False)) else None

    curve = [{"traffic_factor": 1.0, "targets": worst_of(best.trial, best.units)["targets"]}]
    low, high, broken = 1.0, 1.0, None
    while broken is None and high < FURTHEST:
        low, high = high, high * 1.25
        broken = worst_at(high)
    if broken is None:
        held: dict[str, Any] = {
            "traffic_factor": high,
            "breaks_at": None,
            "breaks": [],
            "gives_way": None,
        }
        return held | {"curve": curve}
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        worst = worst_at(middle)
        if worst is None:
            low = middle
        else:
            high, broken = middle, worst
    each = waiting(broken)
    waits = {name: each[name] for name in sized(usual)}
    return {
        "traffic_factor": round(low, 3),
        "breaks_at": round(high, 3),
        "breaks": list(missed(broken, settled=False)),
        "gives_way": max(waits, key=lambda name: waits[name]) if waits else None,
        "curve": sorted(curve, key=lambda row: row["traffic_factor"]),
    }
