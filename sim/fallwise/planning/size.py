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
from itertools import product
from typing import Any, Final

from fallwise import theory
from fallwise.analysis.money import SECONDS_PER_MONTH
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import Summary
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.planning.again import plenty, sized
from fallwise.planning.load import at_peak, peak_factor, scaled
from fallwise.planning.trial import Trial, Units, missed, slots_of, there, unit_usd
from fallwise.scenario import Scenario, override

__all__ = ["Offers", "size"]

Offers = Mapping[str, Sequence[tuple[Any, float]]]
"""Values that a key may have, each with what it costs a month: {"tiers.api.concurrency": ...}."""

FRESH: Final = 7919
"""Added to the seed for the confirming run."""
LONGER: Final = 3
"""The confirming run has so many times the requests."""
STEPS: Final = 200
"""Plans that are tried before the search gives up."""
OFFERS: Final = 64
"""Combinations of offered values that are looked at."""
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

    @property
    def cost_usd(self) -> float:
        return self.fresh.cost_usd(self.units)


def size(
    scenario: Scenario,
    traffic: float = 1.0,
    seed: int | None = None,
    engine: Engine = "compiled",
    peak: float | None = None,
    growth: float | None = None,
    offers: Offers | None = None,
) -> dict[str, Any]:
    """Return the cheapest plan found that holds all targets at `traffic` times the arrivals' rate.

    peak is the busiest rate over the mean; by default what the pattern of the arrivals says. The
    plan for growth (so many times the traffic) is `grown`. pick is None, with `why`, where servers
    cannot help, the search gave up, or the plan costs more than a target allows. headroom says at
    what traffic the plan breaks, and what breaks first.
    """
    if not scenario.targets:
        rule, remedy = "this scenario has no targets", "say what has to hold, at least one"
        raise ScenarioError(Problem(rule, remedy, ("targets",)))
    seed = scenario.run.seed if seed is None else seed
    peak = peak_factor(scenario) if peak is None else peak
    found = _sized_for(scenario, traffic, peak, offers or {}, seed, engine)
    if growth is not None and found["pick"] is not None:
        found["grown"] = _sized_for(scenario, traffic * growth, peak, offers or {}, seed, engine)
    return found


def _sized_for(
    scenario: Scenario, traffic: float, peak: float, offers: Offers, seed: int, engine: Engine
) -> dict[str, Any]:
    """Return the answer for one traffic and its peak."""
    best: _Found | None = None
    tried: list[dict[str, Any]] = []
    whys: list[str] = []
    for values, usd in _combinations(scenario, offers):
        one = override(
            scenario,
            values | {"money.upkeep_usd_per_month": scenario.money.upkeep_usd_per_month + usd},
        )
        trial = Trial(_loads(one, traffic, peak, seed, engine))
        found = _plan(one, values, trial, seed, engine, best)
        tried += [{"offers": values} | row for row in trial.rows()]
        if isinstance(found, str):
            whys.append(found)
        elif best is None or found.cost_usd < best.cost_usd:
            best = found
    answer = {"traffic": traffic, "peak_factor": peak, "grown": None}
    tried = [row for row in tried if row["units"] != plenty(scenario)]
    if best is None:
        nothing = dict.fromkeys(("pick", "offers", "cost_usd_per_month", "headroom"))
        return answer | nothing | {"why": whys[0], "targets": [], "tried": tried}
    return answer | _answer(best, engine) | {"tried": tried}


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


def _loads(scenario: Scenario, traffic: float, peak: float, seed: int, engine: Engine) -> Any:
    """Return the requests of the usual traffic and, where there is one, of its peak."""
    usual = scaled(scenario, traffic)
    loads = [usual] if peak <= 1 else [usual, at_peak(usual, peak)]
    return tuple(predict(load, seed, None, engine) for load in loads)


def _plan(
    scenario: Scenario,
    offers: dict[str, Any],
    trial: Trial,
    seed: int,
    engine: Engine,
    best: _Found | None,
) -> _Found | str:
    """Return the cheapest plan that also holds in a longer run of other requests, or why not.

    A plan that does not is given one step more than it had, and searched from there, upwards only:
    otherwise the first run's luck would bring it back.
    """
    servers = plenty(scenario)
    if lost := trial.missed(servers):
        return "even with servers for everybody, " + "; ".join(lost)
    free = trial.summaries(servers)[-1]
    least = _least_usd(scenario, trial.summaries(servers)[0])
    if best is not None and least > best.cost_usd:
        return f"costs ${least:,.0f} a month at least"
    units = _search(trial, _first_guess(scenario, free))
    longer = [
        override(load.scenario, {"run.requests": LONGER * load.scenario.run.requests})
        for load in trial.loads
    ]
    fresh = Trial(tuple(predict(one, seed + FRESH, None, engine) for one in longer))
    while units is not None and not fresh.holds(units):
        units = _next_up(units, _worst(fresh, units))
        if len(fresh.done) > STEPS:
            units = None
    if units is None:
        return f"no plan held every target within {STEPS} tries"
    return _Found(scenario, offers, units, trial, fresh)


def _least_usd(scenario: Scenario, free: Summary) -> float:
    """Return what every plan costs at least: its calls, upkeep, and servers always busy."""
    rows = {row["name"]: row for row in free["tiers"]}
    call = sum(path["share"]["value"] * path["cost_usd_mean"]["value"] for path in free["paths"])
    rate = (free["rate_rps"] or {"value": 0.0})["value"]
    rent = 0.0
    for tier in scenario.tiers:
        if tier.servers is not None:
            busy = _load(rows[tier.name]) / there(tier) / slots_of(tier)
            whole = max(1, math.ceil(busy)) if tier.autoscale is None else busy
            rent += unit_usd(tier) * whole
    return float(call * rate * SECONDS_PER_MONTH + scenario.money.upkeep_usd_per_month + rent)


def _load(row: Summary) -> float:
    return float((row["offered_load"] or {"value": 0.0})["value"])


def _first_guess(scenario: Scenario, free: Summary) -> Units:
    """Return the fewest servers whose waits, as in M/M/c, fit into what the targets leave.

    What a limit leaves above the sojourn of who never waits is shared out equally. Without such a
    target: offered load and its square root (Halfin and Whitt, Operations Research 29, 1981).
    """
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
    rows = {row["name"]: row for row in free["tiers"]}
    tiers = [tier for tier in scenario.tiers if tier.name in sized(scenario)]
    limits = [
        (at[target["name"].split()[0].rsplit("_", 1)[1]], target["limit"] - target["value"])
        for target in free["targets"]
        if target["name"].startswith("sojourn_s_")
    ]
    guess = {}
    for tier in tiers:
        row, load = rows[tier.name], _load(rows[tier.name]) / there(tier)
        servers = math.floor(load) + 1
        service_s = (row["service_s_mean"] or {"value": 0.0})["value"]
        enough = load + 4 * math.sqrt(load) + 1 if limits else load + math.sqrt(load)
        while servers < enough and not (
            limits
            and service_s
            and all(
                theory.mmc_wait_quantile_s(load / service_s, service_s, servers, q)
                <= room / len(tiers)
                for q, room in limits
            )
        ):
            servers += 1
        guess[tier.name] = max(1, math.ceil(servers / slots_of(tier)))
    return guess


def _search(trial: Trial, units: Units) -> Units | None:
    """Return the cheapest plan from here: up until it holds, then down, then one for another.

    None when it takes too many tries.
    """
    while not trial.holds(units):
        if len(trial.done) > STEPS:
            return None
        units = _next_up(units, _worst(trial, units))
    # The dearest unit goes first.
    tiers = [tier for tier in trial.scenario.tiers if tier.name in units]
    for tier in sorted(tiers, key=unit_usd, reverse=True):
        units = _fewest(trial, units, tier.name)
    while len(trial.done) < STEPS:
        better = next(_better(trial, units), None)
        if better is None:
            break
        units = better
    return units


def _better(trial: Trial, units: Units) -> Iterator[Units]:
    """Yield plans near this one that hold and cost less: one unit of a tier for some of another.

    More of a tier that turns requests away may save the dearer calls that they end with.
    """
    usd = {tier.name: unit_usd(tier) for tier in trial.scenario.tiers if tier.name in units}
    rows = {row["name"]: row for row in trial.summaries(units)[0]["tiers"]}
    lost = {
        name: rows[name]["timeouts"] + rows[name]["abandoned"] + rows[name]["turned_away"]
        for name in units
    }
    moves = [{name: units[name] + step} for name in units if lost[name] for step in (1, 4)]
    moves += [
        {dear: units[dear] - 1, cheap: units[cheap] + step}
        for dear in units
        for cheap in units
        for step in (1, 2, 4)
        if units[dear] > 1 and usd[dear] > step * usd[cheap]
    ]
    cost = trial.cost_usd(units)
    for move in moves:
        plan = units | move
        if trial.holds(plan) and trial.cost_usd(plan) < cost * (1 - 1e-9):
            yield plan


def _worst(trial: Trial, units: Units) -> Summary:
    """Return the summary of the load that misses most, the busiest of those that miss as much."""
    return max(reversed(trial.summaries(units)), key=lambda summary: len(list(missed(summary))))


def _waiting(summary: Summary) -> dict[str, float]:
    """Return how much a request waits at each tier, and how often it is sent on unserved."""
    found = {}
    for row in summary["tiers"]:
        wait, visits = row["wait_s_mean"], row["visit_share"]
        lost = row["timeouts"] + row["abandoned"] + row["turned_away"]
        per_request = (wait or {"value": 0})["value"] * (visits or {"value": 0})["value"]
        found[row["name"]] = float(per_request + lost / max(1, summary["requests_measured"]))
    return found


def _next_up(units: Units, summary: Summary) -> Units:
    """Return the plan with a tenth more units, at least one, where requests wait longest."""
    waiting = _waiting(summary)
    name = max(units, key=lambda name: waiting[name])
    return units | {name: units[name] + max(1, units[name] // 10)}


def _fewest(trial: Trial, units: Units, name: str) -> Units:
    """Return the plan with the fewest units of one tier that holds, by bisection."""
    low, high = 0, units[name]
    while high - low > 1:
        middle = (low + high) // 2
        if trial.holds(units | {name: middle}):
            high = middle
        else:
            low = middle
    return units | {name: high}


def _headroom(best: _Found, engine: Engine) -> dict[str, Any]:
    """Return the most traffic at which the plan holds, to about 2 %, and what breaks beyond it."""
    usual, seed = best.trial.scenario, best.trial.loads[0].seed
    peaks = [load.scenario for load in best.trial.loads]

    def worst_at(factor: float) -> Summary | None:
        """Return the summary that misses most, or None where nothing breaks."""
        loads = (scaled(load, factor) for load in peaks)
        trial = Trial(tuple(predict(load, seed, None, engine) for load in loads))
        worst = _worst(trial, best.units)
        curve.append({"traffic_factor": factor, "targets": worst["targets"]})
        return worst if list(missed(worst, settled=False)) else None

    curve = [{"traffic_factor": 1.0, "targets": _worst(best.trial, best.units)["targets"]}]
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
    waiting = {name: _waiting(broken)[name] for name in sized(usual)}
    return {
        "traffic_factor": round(low, 3),
        "breaks_at": round(high, 3),
        "breaks": list(missed(broken, settled=False)),
        "gives_way": max(waiting, key=lambda name: waiting[name]) if waiting else None,
        "curve": sorted(curve, key=lambda row: row["traffic_factor"]),
    }
