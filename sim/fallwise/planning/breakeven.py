"""From which monthly volume does a cascade pay? Calls by use, rent by whole replicas, and upkeep.

Per request, calls and work are those of one simulated run: they do not depend on the volume. Rented
tiers are scaled with it: so many whole replicas (or agents) that none is busier than `utilisation`
at the busiest rate of the arrivals. Waiting times are left out; `fallwise size` looks at them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fallwise.analysis.baselines import alone
from fallwise.analysis.money import SECONDS_PER_MONTH, rent_usd_per_s
from fallwise.analysis.predict import Prediction
from fallwise.analysis.sample import Sample, collect, estimate, warmup
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.traffic import Profile
from fallwise.tables import Floats

__all__ = ["Rent", "Side", "breakeven", "pays_from", "peak_factor"]

POINTS = 41
"""Volumes on the printed curve."""


@dataclass(frozen=True)
class Rent:
    """One rented tier: what a unit (a replica, or an agent) costs and can do in a month."""

    name: str
    usd_per_month: float
    requests_per_month: float
    """How many requests to the cascade keep one unit as busy as it may be; inf if none come."""

    def units(self, volume: Floats) -> Floats:
        """Return how many whole units a monthly volume needs, at least one."""
        return np.maximum(1.0, np.ceil(volume / self.requests_per_month * (1 - 1e-12)))


@dataclass(frozen=True)
class Side:
    """One way of serving the traffic: so much by use, so much by the month, and what is rented."""

    usage_usd: float
    upkeep_usd: float
    rents: tuple[Rent, ...]

    def monthly_usd(self, volume: Floats) -> Floats:
        """Return what a month costs at each volume of requests."""
        rent = sum(rent.units(volume) * rent.usd_per_month for rent in self.rents)
        return volume * self.usage_usd + self.upkeep_usd + rent

    @property
    def full_usd(self) -> float:
        """Return a request's cost at volumes so large that whole units do not matter."""
        return self.usage_usd + sum(r.usd_per_month / r.requests_per_month for r in self.rents)

    @property
    def fixed_usd(self) -> float:
        """Return the most that a month can cost beyond full_usd a request."""
        return self.upkeep_usd + sum(rent.usd_per_month for rent in self.rents)


def breakeven(prediction: Prediction, utilisation: float = 0.7) -> dict[str, Any]:
    """Return from which volume on the cascade is cheaper than its frontier alone, and the curve.

    requests_per_month is an estimate, its interval that of the calls' saving per request (paired,
    the same requests); None with `why` where it never pays. A `high` of None has no end.
    """
    cuts = warmup(prediction)
    cascade = collect(prediction, cuts)
    frontier = collect(alone(prediction, prediction.scenario.frontier), cuts)
    ours, theirs = _side(cascade, utilisation), _side(frontier, utilisation)
    saving = estimate(frontier.column("cost_usd") - cascade.column("cost_usd"), cascade.column("n"))
    assert saving is not None and saving["value"] is not None
    found: dict[str, float | None] = {"value": pays_from(ours, theirs, 0.0)}
    for end, other in (("low", "high"), ("high", "low")):
        bound = saving[other]
        shift = math.nan if bound is None else bound - saving["value"]
        found[end] = None if math.isnan(shift) else pays_from(ours, theirs, shift)
    rate = cascade.ratio("n", "gap_s")
    now = 0.0 if rate is None else (rate["value"] or 0.0) * SECONDS_PER_MONTH
    return {
        "requests_per_month": found if found["value"] is not None else None,
        "why": None if found["value"] is not None else _why(ours, theirs),
        "monthly": _curve(ours, theirs, found["value"], now),
        "requests_per_month_now": now,
        "call_saving_usd": saving,
        "upkeep_usd_per_month": ours.upkeep_usd,
        "utilisation": utilisation,
        "peak_factor": peak_factor(cascade.scenario),
        "kept_share": _kept_share(cascade, frontier),
    }


def pays_from(ours: Side, theirs: Side, shift_usd: float) -> float | None:
    """Return the smallest monthly volume from which on `ours` never costs more than `theirs`.

    shift_usd is added to the saving of each request. None if there is no such volume. Units come
    in steps, so the totals may cross more than once: the last crossing counts.
    """
    slope = theirs.full_usd - ours.full_usd + shift_usd
    if slope <= 0:
        return None
    # Whole units cost at most one unit more than their share: beyond this volume it always pays.
    furthest = ours.fixed_usd / slope
    steps = [np.array([0.0, furthest])]
    for rent in (*ours.rents, *theirs.rents):
        if math.isfinite(rent.requests_per_month):
            count = min(int(furthest / rent.requests_per_month), 1_000_000)
            steps.append(np.arange(1, count + 1) * rent.requests_per_month)
    at = np.unique(np.concatenate(steps))
    low, high = at[:-1], at[1:]
    # Within a step the units are those at its upper end, and the saving is a straight line.
    gain = theirs.usage_usd - ours.usage_usd + shift_usd
    base = (theirs.monthly_usd(high) - theirs.usage_usd * high) - (
        ours.monthly_usd(high) - ours.usage_usd * high
    )
    losing = np.flatnonzero((base + gain * low < 0) | (base + gain * high < -1e-9))
    if not len(losing):
        return 0.0
    last = losing[-1]
    if gain > 0 and base[last] + gain * high[last] >= 0:
        return float(min(high[last], max(low[last], -base[last] / gain)))
    return float(high[last])


def peak_factor(scenario: Scenario) -> float:
    """Return the busiest rate of the arrivals over their mean; 1 where it is constant."""
    law = scenario.traffic.arrivals
    if isinstance(law, Profile):
        return max(law.rates_rps) / (sum(law.rates_rps) / len(law.rates_rps))
    return 1.0


def _side(sample: Sample, utilisation: float) -> Side:
    scenario, n = sample.scenario, sample.total["n"]
    usage = sample.column("cost_usd").sum() / n
    rents = []
    for k, tier in enumerate(scenario.tiers):
        rent = rent_usd_per_s(tier)
        if not rent:
            continue
        units, slots = _units(tier)
        work_s = sample.column(f"tier{k}.work_s").sum() / n * peak_factor(scenario)
        room_s = SECONDS_PER_MONTH * utilisation * slots
        each = room_s / work_s if work_s else math.inf
        rents.append(Rent(tier.name, rent * SECONDS_PER_MONTH / units, each))
    return Side(float(usage), scenario.money.upkeep_usd_per_month, tuple(rents))


def _units(tier: Tier) -> tuple[int, int]:
    """Return how many replicas or agents a tier has now, and the slots of each."""
    if tier.kind == "human":
        return tier.agents or 1, 1
    return tier.replicas or 1, tier.slots or 1


def _why(ours: Side, theirs: Side) -> str:
    if ours.usage_usd >= theirs.usage_usd:
        return (
            f"its calls cost ${ours.usage_usd:.4g} a request and frontier-only "
            f"${theirs.usage_usd:.4g}: more volume loses more"
        )
    names = ", ".join(rent.name for rent in ours.rents)
    return (
        f"its calls save ${theirs.usage_usd - ours.usage_usd:.4g} a request, but the rented "
        f"capacity that it needs for a request ({names}) costs "
        f"${ours.full_usd - ours.usage_usd:.4g}"
    )


def _curve(ours: Side, theirs: Side, found: float | None, now: float) -> list[dict[str, float]]:
    centre = [x for x in (found, now) if x] or [1e6]
    volume = np.unique(np.rint(np.geomspace(max(1.0, min(centre) / 10), max(centre) * 10, POINTS)))
    pairs = zip(volume, ours.monthly_usd(volume), theirs.monthly_usd(volume), strict=True)
    return [
        {"requests_per_month": float(v), "cascade_usd": float(a), "frontier_only_usd": float(b)}
        for v, a, b in pairs
    ]


def _kept_share(cascade: Sample, frontier: Sample) -> dict[str, Any]:
    """Return the share of requests that never reach the frontier, simulated, and the least of it.

    Source of the closed form: every request pays for what stands before the frontier, and those
    that are kept save a frontier call, so the kept share must be at least (c_cheap + c_verify) /
    c_frontier (FrugalGPT, Chen, Zaharia and Zou, 2023, section 3).
    """
    k = cascade.scenario.frontier
    before = cascade.column("cost_usd") - cascade.column(f"tier{k}.cost_usd")
    people = [
        cascade.column(f"tier{j}.cost_usd")
        for j, tier in enumerate(cascade.scenario.tiers)
        if j > k and tier.kind == "human"
    ]
    cheap = (before - sum(people)).sum() / cascade.total["n"]
    call = frontier.column("cost_usd").sum() / frontier.total["n"]
    kept = cascade.total["n"] - cascade.total[f"tier{k}.visits"]
    return {
        "simulated": kept / cascade.total["n"],
        "needed": None if not call else cheap / call,
    }
