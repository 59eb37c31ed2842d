"""What a month costs at a volume of requests, and at which volumes one way is cheaper than another.

Rented capacity comes in whole units, so a month's cost is a line with steps, and two of them may
cross several times. What an autoscaler rents follows the volume, and is a line with a few bends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fallwise.tables import Floats

__all__ = ["Costs", "Rent", "costs_from", "pays_from", "pays_in", "volumes"]

MOST_STEPS = 20_000
"""Of more steps some are taken together: by then a whole unit is nothing beside the total."""


@dataclass(frozen=True)
class Rent:
    """One rented tier: what a unit (a replica, or an agent) costs and can do in a month.

    Whole units are rented, at least one, unless an autoscaler goes with the load: `follows` then
    has points (units' worth of work that comes in, units rented on average), the first at 0. What
    is rented lies on straight lines between them, and beyond the last is in proportion.
    """

    name: str
    usd_per_month: float
    requests_per_month: float
    """How many requests to the cascade keep one unit as busy as it may be; inf if none come."""
    follows: tuple[tuple[float, float], ...] = ()

    def units(self, volume: Floats) -> Floats:
        """Return how many units a monthly volume needs."""
        if self.follows:
            work, units = np.array(self.follows).T
            load = volume / self.requests_per_month
            return np.where(load <= work[-1], np.interp(load, work, units), load * self.share)
        return np.maximum(1.0, np.ceil(volume / self.requests_per_month * (1 - 1e-12)))

    def steps(self, furthest: float) -> Floats:
        """Return the volumes up to furthest beyond which one more unit is needed, or ever more."""
        if self.follows:
            bends = np.array([work * self.requests_per_month for work, _ in self.follows])
            return bends[bends <= furthest]
        count = furthest / self.requests_per_month
        if count < MOST_STEPS:
            units: Floats = np.arange(1.0, math.floor(count) + 1)
        else:
            units = np.unique(np.floor(np.geomspace(1, count, MOST_STEPS)))
        steps: Floats = units * self.requests_per_month
        return steps

    @property
    def share(self) -> float:
        """Return how many units are rented for one unit's worth of work, at large volumes."""
        work, units = self.follows[-1] if self.follows else (1.0, 1.0)
        return units / work if work else 1.0

    @property
    def last(self) -> float:
        """Return the volume from which on units are in proportion, whole or not."""
        return self.follows[-1][0] * self.requests_per_month if self.follows else 0.0

    @property
    def standing(self) -> float:
        """Return how many units more than that there can be at any volume."""
        return max((units - work * self.share for work, units in self.follows), default=1.0)


@dataclass(frozen=True)
class Costs:
    """What one way of serving the traffic costs: by use, by the month, and what is rented."""

    usage_usd: float
    upkeep_usd: float
    rents: tuple[Rent, ...]

    def monthly_usd(self, volume: Floats, units_at: Floats | None = None) -> Floats:
        """Return what a month costs at each volume, with the whole units of another if given."""
        usd: Floats = self.upkeep_usd + volume * self.usage_usd
        for rent in self.rents:
            at = volume if rent.follows or units_at is None else units_at
            usd = usd + rent.units(at) * rent.usd_per_month
        return usd

    @property
    def full_usd(self) -> float:
        """Return a request's cost at volumes so large that whole units do not matter."""
        each = (r.usd_per_month * r.share / r.requests_per_month for r in self.rents)
        return self.usage_usd + sum(each)

    @property
    def fixed_usd(self) -> float:
        """Return the most that a month can cost beyond full_usd a request."""
        return self.upkeep_usd + sum(rent.usd_per_month * rent.standing for rent in self.rents)


def costs_from(plain: dict[str, Any]) -> Costs:
    """Return the costs of one way, as the summary of `breakeven` has it."""
    rents = [
        Rent(
            one["name"],
            one["usd_per_month"],
            one["requests_per_month"] or math.inf,
            tuple((work, units) for work, units in one.get("follows", ())),
        )
        for one in plain["rented"]
    ]
    return Costs(plain["usage_usd"], plain["upkeep_usd_per_month"], tuple(rents))


def volumes(low: float, high: float, sides: Sequence[Costs]) -> Floats:
    """Return volumes between two, with both ends of every step that can be seen."""
    found = [np.geomspace(low, high, 400)]
    for side in sides:
        for rent in side.rents:
            if math.isfinite(rent.requests_per_month):
                steps = rent.steps(min(high, 300 * rent.requests_per_month))
                found += [steps * (1 - 1e-9), steps * (1 + 1e-9)]
    volume = np.unique(np.concatenate(found))
    seen: Floats = volume[(volume >= low) & (volume <= high)]
    return seen


def pays_from(ours: Costs, theirs: Costs) -> float:
    """Return the smallest monthly volume from which on `ours` never costs more than `theirs`.

    The last crossing counts, where there are several. inf if there is no such volume.
    """
    ranges = pays_in(ours, theirs)
    return ranges[-1][0] if ranges and math.isinf(ranges[-1][1]) else math.inf


def pays_in(ours: Costs, theirs: Costs) -> list[tuple[float, float]]:
    """Return the ranges of monthly volume in which `ours` costs no more than `theirs`, ascending.

    An upper end of inf means from there on.
    """
    slope = theirs.full_usd - ours.full_usd
    # Whole units cost at most one unit more than their share. Beyond this volume the dearer side
    # stays so; where neither is, a thousand units of each tier are looked at.
    rents = [r for r in (*ours.rents, *theirs.rents) if math.isfinite(r.requests_per_month)]
    if slope:
        furthest = (ours if slope > 0 else theirs).fixed_usd / abs(slope)
    else:
        furthest = 1000 * max((rent.requests_per_month for rent in rents), default=1.0)
    furthest = max(furthest, 1.0, *(rent.last for rent in rents))
    at = np.unique(np.concatenate([[0.0, furthest], *(rent.steps(furthest) for rent in rents)]))
    low, high = at[:-1], at[1:]
    # Within a step the whole units are those at its upper end, and the gain is a straight line.
    gain_low, gain = (_gain(ours, theirs, volume, high) for volume in (low, high))
    crosses = (gain_low >= 0) != (gain >= 0)
    part = np.divide(gain_low, gain_low - gain, out=np.zeros_like(gain), where=crosses)
    root = low + part * (high - low)
    begin, end = np.where(gain_low >= 0, low, root), np.where(gain >= 0, high, root)
    begin, end = begin[either := (gain_low >= 0) | (gain >= 0)], end[either]
    found = [(a, b) for a, b in zip(begin.tolist(), end.tolist(), strict=True) if a <= b]
    forever = slope > 0 or (slope == 0 and not rents and gain[-1] >= 0)
    return _joined([*found, (furthest, math.inf)] if forever else found)


def _gain(ours: Costs, theirs: Costs, volume: Floats, units_at: Floats) -> Floats:
    """Return what ours saves a month; what is equal but for the last digits is equal."""
    usd = theirs.monthly_usd(volume, units_at)
    return usd - ours.monthly_usd(volume, units_at) + 1e-12 * usd


def _joined(ranges: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the ranges with those that touch made one; a single point is none."""
    joined: list[tuple[float, float]] = []
    for begin, end in ranges:
        if joined and joined[-1][1] >= begin:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((begin, end))
    return [(a, b) for a, b in joined if b - a > 1e-9 * max(1.0, a)]
