"""The cheapest servers for one set of offers: where theory begins, simulation decides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fallwise import theory
from fallwise.analysis.money import SECONDS_PER_MONTH, there, unit_usd
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import Summary
from fallwise.engines.engine import Engine
from fallwise.planning.again import plenty, sized
from fallwise.planning.load import at_peak, scaled
from fallwise.planning.runs import Point, key_of
from fallwise.planning.trial import Trial, Units, missed, slots_of
from fallwise.scenario import Scenario, override

__all__ = ["Combination", "waiting", "worst_of"]

FRESH: Final = 7919
"""Added to the seed for the confirming run."""
LONGER: Final = 3
"""The confirming run has so many times the requests."""
STEPS: Final = 200
"""Plans that are tried before the search gives up."""


@dataclass(frozen=True)
class Combination:
    """The search for one combination of offers; its point has the cheapest units, or says why not.

    known is what a plan costs that is known to hold: one that is dearer in any case is not looked
    for.
    """

    scenario: Scenario
    traffic: float
    peak: float
    seed: int
    engine: Engine
    known: float | None

    @property
    def key(self) -> str:
        """Return what tells this job from all others."""
        how = self.traffic, self.peak, self.seed, self.engine, self.known
        return key_of(self.scenario, "plan", how)

    @property
    def requests(self) -> int:
        """Return about how many requests are simulated: some dozens of plans are tried."""
        return 50 * self.scenario.run.requests * self.scenario.run.replications

    def trial(self) -> Trial:
        """Return the requests that plans are tried on."""
        usual = scaled(self.scenario, self.traffic)
        loads = [usual] if self.peak <= 1 else [usual, at_peak(usual, self.peak)]
        return Trial(tuple(predict(load, self.seed, None, self.engine) for load in loads))

    def fresh(self) -> Trial:
        """Return the other requests, and more of them, that a plan is confirmed on."""
        usual = scaled(self.scenario, self.traffic)
        loads = [usual] if self.peak <= 1 else [usual, at_peak(usual, self.peak)]
        longer = [override(x, {"run.requests": LONGER * x.run.requests}) for x in loads]
        return Trial(tuple(predict(one, self.seed + FRESH, None, self.engine) for one in longer))

    def point(self) -> Point:
        """Return what the search came to."""
        trial = self.trial()
        found = _plan(self, trial)
        said = dict.fromkeys(("why", "units", "cost_usd")) | {"tried": trial.rows()}
        if isinstance(found, str):
            return said | {"why": found}
        units, cost_usd = found
        return said | {"units": units, "cost_usd": cost_usd}


def _plan(offered: Combination, trial: Trial) -> tuple[Units, float] | str:
    """Return the cheapest plan that also holds in a longer run of other requests, or why not.

    A plan that does not is given one step more than it had, and searched from there, upwards only:
    otherwise the first run's luck would bring it back.
    """
    servers = plenty(offered.scenario)
    if lost := trial.missed(servers):
        return "even with servers for everybody, " + "; ".join(lost)
    free = trial.summaries(servers)[-1]
    least = _least_usd(offered.scenario, trial.summaries(servers)[0])
    if offered.known is not None and least > offered.known:
        return f"costs ${least:,.0f} a month at least"
    units = _search(trial, _first_guess(offered.scenario, free))
    fresh = offered.fresh()
    while units is not None and not fresh.holds(units):
        units = _next_up(units, worst_of(fresh, units))
        if len(fresh.done) > STEPS:
            units = None
    if units is None:
        return f"no plan held every target within {STEPS} tries"
    return units, fresh.cost_usd(units)


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
        units = _next_up(units, worst_of(trial, units))
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


def worst_of(trial: Trial, units: Units) -> Summary:
    """Return the summary of the load that misses most, the busiest of those that miss as much."""
    return max(reversed(trial.summaries(units)), key=lambda summary: len(list(missed(summary))))


def waiting(summary: Summary) -> dict[str, float]:
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
    each = waiting(summary)
    name = max(units, key=lambda name: each[name])
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
