"""From which monthly volume does a cascade pay? Calls by use, rent by whole replicas, and upkeep.

Per request, calls and work are those of one run in which nobody has to wait for a server: they do
not depend on the volume. Rented tiers are scaled with it: so many whole replicas (or agents) that
none is busier than `utilisation` at the busiest rate of the arrivals. What is autoscaled is rented
as in runs at a quarter of the traffic, at all of it and at four times as much. What people wait is
left out; `fallwise size` looks at it. A cache is as good at every volume as at the scenario's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.baselines import alone, only
from fallwise.analysis.money import SECONDS_PER_MONTH, there, unit_usd, unit_usd_per_s
from fallwise.analysis.predict import Prediction
from fallwise.analysis.questions import by_question
from fallwise.analysis.sample import Json, Sample, collect, warmup
from fallwise.planning.again import again, unlimited
from fallwise.planning.load import peak_factor
from fallwise.planning.rent import Follows, rented_for
from fallwise.planning.resample import outer, ranged, weights
from fallwise.planning.volume import Costs, Rent, pays_from, pays_in
from fallwise.scenario import Scenario
from fallwise.tables import Floats

__all__ = ["breakeven", "costs_of"]

POINTS: Final = 41
"""Volumes on the printed curve."""

Number = Callable[["_World", Floats], float]
"""A number of a world, where its batches count so often."""


def breakeven(prediction: Prediction, utilisation: float = 0.7) -> dict[str, Any]:
    """Return from which volume on the cascade is cheaper than its frontier alone, and the curve.

    requests_per_month is an estimate; None, with `why`, where it never pays. A `high` of None has
    no end. pays_in has all ranges of volume in which it pays: whole units can make several.
    with_wrong_answers has the same, each shipped wrong answer counted at its segment's stakes;
    None where no segment has any.
    """
    scenario = prediction.scenario
    worlds = _worlds(prediction, utilisation)
    ours, theirs = worlds[0].sides(worlds[0].whole)

    def estimate(number: Number) -> Json:
        """Return a number of the run; what other questions would have given is in its interval."""
        return outer([world.estimate(number) for world in worlds])

    pays = estimate(lambda world, w: pays_from(*world.sides(w)))
    rate = collect(prediction, warmup(prediction)).ratio("n", "gap_s")
    now = 0.0 if rate is None else (rate["value"] or 0.0) * SECONDS_PER_MONTH
    staked = any(segment.wrong_answer_usd for segment in scenario.traffic.segments)
    return {
        **_answer(scenario, ours, theirs, pays),
        "with_wrong_answers": _with_stakes(worlds[0], estimate) if staked else None,
        "requests_per_month_now": now,
        "monthly": _curve(ours, theirs, pays["value"], now),
        "call_saving_usd": estimate(
            lambda x, w: x.mean(1, "cost_usd", w) - x.mean(0, "cost_usd", w)
        ),
        "quality": estimate(lambda world, w: world.mean(0, "correct", w)),
        "quality_frontier_only": estimate(lambda world, w: world.mean(1, "correct", w)),
        "kept_share": {"simulated": estimate(_World.kept), "needed": estimate(_World.needed)},
        "frontier": scenario.tiers[scenario.frontier].name,
        "upkeep_usd_per_month": ours.upkeep_usd,
        "utilisation": utilisation,
        "peak_factor": peak_factor(scenario),
        "sides": {"cascade": _plain(ours), "frontier_only": _plain(theirs)},
    }


def _worlds(prediction: Prediction, utilisation: float) -> list[_World]:
    """Return the run in batches and, where questions come again, in groups of questions."""
    free = again(prediction, unlimited(prediction.scenario))
    frontier = alone(free, prediction.scenario.frontier)
    cuts = warmup(free)
    # What is rented is the scenario's own: replicas that fail, pools that follow their load.
    priced = prediction.scenario, only(prediction.scenario, prediction.scenario.frontier)
    ours, theirs = (
        replace(collect(run, cuts), scenario=one)
        for run, one in zip((free, frontier), priced, strict=True)
    )
    follows, seed = rented_for(prediction), prediction.seed
    worlds = [_World((ours, theirs), follows, utilisation, seed)]
    one, other = by_question(free, cuts, ours), by_question(frontier, cuts, theirs)
    if one is not None and other is not None:
        worlds.append(_World((one, other), follows, utilisation, seed))
    return worlds


def _answer(scenario: Scenario, ours: Costs, theirs: Costs, pays: Json) -> dict[str, Any]:
    ranges = [
        {"from": begin, "to": end if math.isfinite(end) else None}
        for begin, end in pays_in(ours, theirs)
    ]
    if pays["value"] is not None and len(scenario.tiers) > 1:
        return {"requests_per_month": pays, "why": None, "pays_in": ranges}
    why = _why(scenario, ours, theirs, ranges)
    # A resample that pays says that the run is too short to be sure that it never does.
    unsure = pays["value"] is None and pays["low"] is not None
    why += "; but this run is too short to be sure" if unsure else ""
    return {"requests_per_month": None, "why": why, "pays_in": ranges}


def _with_stakes(world: _World, estimate: Callable[[Number], Json]) -> dict[str, Any]:
    ours, theirs = world.sides(world.whole, stakes=True)
    pays = estimate(lambda world, w: pays_from(*world.sides(w, stakes=True)))
    usd = [world.mean(side, "stakes_usd", world.whole) for side in (0, 1)]
    return _answer(world.samples[0].scenario, ours, theirs, pays) | {
        "wrong_answers_usd": {"cascade": usd[0], "frontier_only": usd[1]}
    }


def costs_of(
    scenario: Scenario,
    usage_usd: float,
    work_s: Sequence[float],
    follows: Follows,
    utilisation: float = 0.7,
) -> Costs:
    """Return what a way costs, from a request's calls in USD and its seconds of work at each tier.

    follows says of each autoscaled tier what is rented for how much work.
    """
    rents = []
    for k, (tier, work) in enumerate(zip(scenario.tiers, work_s, strict=True)):
        month_usd = unit_usd_per_s(tier) * SECONDS_PER_MONTH
        if month_usd and tier.autoscale is not None:
            each = SECONDS_PER_MONTH / work if work else math.inf
            rents.append(Rent(tier.name, month_usd, each, follows[k]))
        elif month_usd:
            peak_s = work * peak_factor(scenario) if tier.kind != "cache" else 0.0
            room_s = SECONDS_PER_MONTH * there(tier) * utilisation * (tier.slots or 1)
            each = room_s / peak_s if peak_s else math.inf
            rents.append(Rent(tier.name, unit_usd(tier), each))
    return Costs(usage_usd, scenario.money.upkeep_usd_per_month, tuple(rents))


class _World:
    """Both ways of serving the same requests, as functions of how often each batch counts."""

    def __init__(
        self,
        samples: tuple[Sample, Sample],
        follows: tuple[Follows, Follows],
        utilisation: float,
        seed: int,
    ):
        self.samples, self.follows = samples, follows
        self.utilisation = utilisation
        self.n = samples[0].column("n")
        self.whole = np.ones(len(self.n))
        self.weights = weights(len(self.n), seed)
        self.columns: dict[tuple[int, str], Floats] = {}

    def estimate(self, number: Number) -> Json:
        """Return a number of this world and its weights; None stands for no end, and for never."""
        return ranged(number(self, self.whole), [number(self, w) for w in self.weights])

    def mean(self, side: int, name: str, weight: Floats) -> float:
        """Return a request's part of a sum: side 0 is the cascade, 1 its frontier alone."""
        if (side, name) not in self.columns:
            self.columns[side, name] = self.samples[side].column(name)
        return float(weight @ self.columns[side, name] / (weight @ self.n))

    def sides(self, weight: Floats, stakes: bool = False) -> tuple[Costs, Costs]:
        """Return the cascade and the frontier alone."""
        return self._side(0, weight, stakes), self._side(1, weight, stakes)

    def _side(self, side: int, weight: Floats, stakes: bool) -> Costs:
        scenario = self.samples[side].scenario
        usage = self.mean(side, "cost_usd", weight)
        if stakes:
            usage += self.mean(side, "stakes_usd", weight)
        tiers = range(len(scenario.tiers))
        work_s = [max(0.0, self.mean(side, f"tier{k}.work_s", weight)) for k in tiers]
        return costs_of(scenario, usage, work_s, self.follows[side], self.utilisation)

    def kept(self, weight: Floats) -> float:
        """Return the share of requests that never reach the frontier."""
        k = self.samples[0].scenario.frontier
        return 1 - self.mean(0, f"tier{k}.visits", weight)

    def needed(self, weight: Floats) -> float:
        """Return the share that must be kept for a request to cost no more than the frontier's.

        Every request pays for what stands before the frontier, rent of busy units included, and
        those that are kept save a frontier call: (c_cheap + c_verify) / c_frontier. People after
        the frontier are left out. inf where the frontier costs nothing.
        Source: Chen, Zaharia and Zou, FrugalGPT (2023), section 3, solved for the kept share.
        """
        ours, theirs = self.sides(weight)
        scenario = self.samples[0].scenario
        after = {tier.name for tier in scenario.tiers[scenario.frontier :]}
        calls = [
            self.mean(0, f"tier{k}.cost_usd", weight)
            for k, tier in enumerate(scenario.tiers)
            if tier.name in after
        ]
        rent = sum(
            rent.usd_per_month * rent.share / rent.requests_per_month
            for rent in ours.rents
            if rent.name not in after
        )
        call = theirs.full_usd
        return (ours.usage_usd - sum(calls) + rent) / call if call else math.inf


def _why(scenario: Scenario, ours: Costs, theirs: Costs, ranges: list[dict[str, Any]]) -> str:
    """Return why there is no volume from which on it pays."""
    name = scenario.tiers[scenario.frontier].name
    if len(scenario.tiers) == 1:
        return f"there is no cascade: {name} is its only tier"
    loses = ours.full_usd > theirs.full_usd
    rest = "more volume loses more" if loses else "there is no saving to pay anything else"
    why = f"a request costs {_parts(ours)}, and with {name} alone {_parts(theirs)}: {rest}"
    if ranges:
        begin, end = ranges[-1]["from"], ranges[-1]["to"]
        why = f"it does between {begin:,.0f} and {end:,.0f} requests a month, not beyond: {why}"
    return why


def _parts(side: Costs) -> str:
    """Return a request's cost at large volumes, in words."""
    rent = side.full_usd - side.usage_usd
    if not side.rents:
        return f"${side.full_usd:.4g}"
    names = ", ".join(unit.name for unit in side.rents)
    return f"${side.full_usd:.4g} (${rent:.4g} of it for the rented capacity of {names})"


def _curve(ours: Costs, theirs: Costs, found: float | None, now: float) -> list[dict[str, float]]:
    centre = [x for x in (found, now) if x] or [1e6]
    volume = np.unique(np.rint(np.geomspace(max(1.0, min(centre) / 10), max(centre) * 10, POINTS)))
    pairs = zip(volume, ours.monthly_usd(volume), theirs.monthly_usd(volume), strict=True)
    return [
        {"requests_per_month": float(v), "cascade_usd": float(a), "frontier_only_usd": float(b)}
        for v, a, b in pairs
    ]


def _plain(side: Costs) -> dict[str, Any]:
    """Return what the month's cost is made of, ready for JSON."""
    return {
        "usage_usd": side.usage_usd,
        "upkeep_usd_per_month": side.upkeep_usd,
        "rented": [
            {
                "name": rent.name,
                "usd_per_month": rent.usd_per_month,
                "requests_per_month": rent.requests_per_month
                if math.isfinite(rent.requests_per_month)
                else None,
                "follows": [list(point) for point in rent.follows],
            }
            for rent in side.rents
        ],
    }
