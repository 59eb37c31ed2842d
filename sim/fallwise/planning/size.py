"""The cheapest servers, slots and staff that hold a scenario's targets, confirmed by a fresh run.

Searched: replicas of rules and pool tiers, agents, and the concurrency of hosted tiers that have a
limit. Theory says where to begin (offered load, square-root staffing), simulation decides, on the
same requests for every plan. A target holds when the worse end of its 95 % interval does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.money import SECONDS_PER_MONTH, rent_usd_per_s
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.settle import settle
from fallwise.analysis.summary import Summary, summarise
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario import Scenario, Tier, override

__all__ = ["size"]

Units = dict[str, int]
"""How many replicas, agents or concurrent calls each sized tier has."""

MOST: Final = 1_000_000
FRESH: Final = 7919
"""Added to the seed for the confirming run."""
LONGER: Final = 3
"""The confirming run has so many times the requests."""
STEPS: Final = 200
"""Plans that are tried before the search gives up."""


def size(
    scenario: Scenario, traffic: float = 1.0, seed: int | None = None, engine: Engine = "compiled"
) -> dict[str, Any]:
    """Return the cheapest plan found that holds all targets at `traffic` times the arrivals' rate.

    pick is None, with `why`, where servers cannot help or the search gave up. headroom says up to
    what traffic the plan holds, in 5 % steps, and what gives way first.
    """
    if not scenario.targets:
        rule, remedy = "this scenario has no targets", "say what has to hold, at least one"
        raise ScenarioError(Problem(rule, remedy, ("targets",)))
    trial = _Trial(predict(scenario, seed, None, engine), traffic, {})
    free = trial.summary({name: MOST for name in _sized(scenario)})
    nothing = {
        "traffic": traffic,
        "pick": None,
        "cost_usd_per_month": None,
        "targets": free["targets"],
        "headroom": None,
    }
    if lost := list(_missed(free)):
        why = "even with servers for everybody, " + "; ".join(lost)
        return nothing | {"why": why, "tried": trial.rows()}
    found = _confirmed(scenario, trial, _first_guess(scenario, free))
    if found is None:
        why = f"no plan held every target within {STEPS} tries"
        return nothing | {"why": why, "tried": trial.rows()}
    units, summary = found
    return {
        "traffic": traffic,
        "pick": units,
        "why": None,
        "cost_usd_per_month": summary["cost_usd_per_month"],
        "targets": summary["targets"],
        "utilisation": {t["name"]: t["utilisation"] for t in summary["tiers"]},
        "confirmed_on": {"seed": summary["seed"], "requests": summary["requests"]},
        "headroom": _headroom(trial.prediction, traffic, units),
        "tried": trial.rows(),
    }


def _confirmed(scenario: Scenario, trial: _Trial, units: Units) -> tuple[Units, Summary] | None:
    """Return the cheapest plan that also holds in a longer run of other requests, with that run.

    A plan that does not is given one step more than it had, and searched from there, upwards only:
    otherwise the first run's luck would bring it back.
    """
    longer = override(scenario, {"run.requests": LONGER * scenario.run.requests})
    seed, engine = trial.prediction.seed + FRESH, trial.prediction.engine
    fresh = _Trial(predict(longer, seed, None, engine), trial.traffic, {})
    found = _search(scenario, trial, units)
    while found is not None and not fresh.holds(found):
        found = _next_up(scenario, found, fresh.summary(found))
        if len(fresh.done) > STEPS:
            return None
    return None if found is None else (found, fresh.summary(found))


@dataclass(frozen=True)
class _Trial:
    """The same requests under one plan after another."""

    prediction: Prediction
    traffic: float
    done: dict[tuple[tuple[str, int], ...], Summary]

    def summary(self, units: Mapping[str, int]) -> Summary:
        """Return the summary with so many units; each plan is simulated once."""
        key = tuple(units.items())
        if key not in self.done:
            scenario = override(self.prediction.scenario, dict(_values(self.prediction, units)))
            runs = [_rerun(run, scenario, self.traffic) for run in self.prediction.runs]
            whole = replace(runs[0], further=tuple(runs[1:]))
            self.done[key] = summarise(whole, "size", baselines=False)
        return self.done[key]

    def holds(self, units: Mapping[str, int]) -> bool:
        """Return True when every target holds."""
        return not any(_missed(self.summary(units)))

    def rows(self) -> list[dict[str, Any]]:
        """Return what was tried: units, whether the targets hold, and what each measure was."""
        return [
            {
                "units": dict(key),
                "holds": not any(_missed(summary)),
                "targets": summary["targets"],
                "cost_usd_per_month": summary["cost_usd_per_month"],
            }
            for key, summary in self.done.items()
            if all(count < MOST for _, count in key)
        ]


def _rerun(run: Prediction, scenario: Scenario, traffic: float) -> Prediction:
    requests = run.requests
    if traffic != 1:
        arrival_ns = np.rint(requests.arrival_ns / traffic).astype(np.int64)
        requests = replace(requests, arrival_ns=arrival_ns)
    outcomes = simulate(plan(scenario), requests, run.decisions, run.engine)
    settled = settle(scenario, requests, run.decisions, outcomes)
    return Prediction(scenario, requests, run.decisions, settled, run.seed, run.engine)


def _sized(scenario: Scenario) -> dict[str, str]:
    """Return the key of the number of units of each tier that is sized."""
    keys = {"rules": "replicas", "pool": "replicas", "human": "agents", "api": "concurrency"}
    return {t.name: keys[t.kind] for t in scenario.tiers if t.servers is not None}


def _values(prediction: Prediction, units: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    keys = _sized(prediction.scenario)
    for name, count in units.items():
        yield f"tiers.{name}.{keys[name]}", count


def _slots(tier: Tier) -> int:
    return (tier.slots or 1) if tier.kind in ("rules", "pool") else 1


def _unit_usd(tier: Tier) -> float:
    """Return a unit's rent a month."""
    held = (tier.agents or 1) if tier.kind == "human" else (tier.replicas or 1)
    return rent_usd_per_s(tier) / held * SECONDS_PER_MONTH


def _first_guess(scenario: Scenario, free: Summary) -> Units:
    """Return offered load and its square root, in whole units.

    Source: square-root staffing (Halfin and Whitt, Operations Research 29, 1981).
    """
    guess = {}
    for tier, row in zip(scenario.tiers, free["tiers"], strict=True):
        if tier.servers is not None:
            load = (row["offered_load"] or {"value": 0.0})["value"]
            guess[tier.name] = max(1, math.ceil((load + math.sqrt(load)) / _slots(tier)))
    return guess


def _search(scenario: Scenario, trial: _Trial, units: Units) -> Units | None:
    """Return the cheapest plan from here: up until it holds, then down as long as it does.

    None when it takes too many tries.
    """
    while not trial.holds(units):
        if len(trial.done) > STEPS:
            return None
        units = _next_up(scenario, units, trial.summary(units))
    # The dearest unit goes first; what cannot go stays for good.
    tiers = [t for t in scenario.tiers if t.name in units]
    for tier in sorted(tiers, key=_unit_usd, reverse=True):
        units = _fewest(trial, units, tier.name)
    return units


def _next_up(scenario: Scenario, units: Units, summary: Summary) -> Units:
    """Return the plan with a tenth more units, at least one, where requests wait longest."""
    rows = {row["name"]: row for row in summary["tiers"]}

    def waiting(name: str) -> float:
        wait, visits = rows[name]["wait_s_mean"], rows[name]["visit_share"]
        lost = rows[name]["timeouts"] + rows[name]["abandoned"] + rows[name]["turned_away"]
        per_request = (wait or {"value": 0})["value"] * (visits or {"value": 0})["value"]
        return float(per_request + lost / max(1, summary["requests_measured"]))

    name = max(units, key=waiting)
    return units | {name: units[name] + max(1, units[name] // 10)}


def _fewest(trial: _Trial, units: Units, name: str) -> Units:
    """Return the plan with the fewest units of one tier that holds, by bisection."""
    low, high = 0, units[name]
    while high - low > 1:
        middle = (low + high) // 2
        if trial.holds(units | {name: middle}):
            high = middle
        else:
            low = middle
    return units | {name: high}


def _missed(summary: Summary) -> Iterator[str]:
    """Yield a sentence for each target that does not hold at the worse end of its interval."""
    for target in summary["targets"]:
        estimate = summary[target["name"]]
        if estimate is None:
            yield f"{target['name']} cannot be measured"
            continue
        at_most = target["side"] == "at_most"
        end = estimate["high" if at_most else "low"]
        worst = estimate["value"] if end is None else end
        if worst is None or (worst > target["limit"] if at_most else worst < target["limit"]):
            side = "at most" if at_most else "at least"
            yield f"{target['name']} may be {worst:.4g}, wanted {side} {target['limit']:g}"


def _headroom(prediction: Prediction, traffic: float, units: Units) -> dict[str, Any]:
    """Return the most traffic at which the plan holds, up to four times, and what breaks then."""
    factor, last = 1.0, 1.0
    while factor < 4:
        factor = round(factor * 1.05, 4)
        summary = _Trial(prediction, traffic * factor, {}).summary(units)
        lost = list(_missed(summary))
        if lost:
            busy = {
                t["name"]: t["utilisation"]["value"] for t in summary["tiers"] if t["utilisation"]
            }
            return {
                "traffic_factor": last,
                "breaks": lost,
                "busiest": max(busy, key=lambda name: busy[name]) if busy else None,
            }
        last = factor
    return {"traffic_factor": last, "breaks": [], "busiest": None}
