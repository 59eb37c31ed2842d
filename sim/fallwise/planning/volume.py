"""What a month costs at a volume of requests, and at which volumes one way is cheaper than another.

Rented capacity comes in whole units, so a month's cost is a line with steps, and two of them may
cross several times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fallwise.tables import Floats

__all__ = ["Rent", "Side", "pays_from", "pays_in"]

MOST_STEPS = 20_000
"""Of more steps some are taken together: by then a whole unit is nothing beside the total."""


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

    def steps(self, furthest: float) -> Floats:
        """Return the volumes up to furthest beyond which one more unit is needed."""
        count = furthest / self.requests_per_month
        if count < MOST_STEPS:
            units: Floats = np.arange(1.0, math.floor(count) + 1)
        else:
            units = np.unique(np.floor(np.geomspace(1, count, MOST_STEPS)))
        steps: Floats = units * self.requests_per_month
        return steps


@dataclass(frozen=True)
class Side:
    """One way of serving the traffic: so much by use, so much by the month, and what is rented."""

    usage_usd: float
    upkeep_usd: float
    rents: tuple[Rent, ...]

    def monthly_usd(self, volume: Floats) -> Floats:
        """Return what a month costs at each volume of requests."""
        return volume * self.usage_usd + self.standing_usd(volume)

    def standing_usd(self, volume: Floats) -> Floats:
        """Return the part of it that is paid by the month: upkeep, and rent of whole units."""
        standing: Floats = np.full(np.shape(volume), self.upkeep_usd)
        for rent in self.rents:
            standing += rent.units(volume) * rent.usd_per_month
        return standing

    @property
    def full_usd(self) -> float:
        """Return a request's cost at volumes so large that whole units do not matter."""
        return self.usage_usd + sum(r.usd_per_month / r.requests_per_month for r in self.rents)

    @property
    def fixed_usd(self) -> float:
        """Return the most that a month can cost beyond full_usd a request."""
        return self.upkeep_usd + sum(rent.usd_per_month for rent in self.rents)


def pays_from(ours: Side, theirs: Side) -> float:
    """Return the smallest monthly volume from which on `ours` never costs more than `theirs`.

    The last crossing counts, where there are several. inf if there is no such volume.
    """
    ranges = pays_in(ours, theirs)
    return ranges[-1][0] if ranges and math.isinf(ranges[-1][1]) else math.inf


def pays_in(ours: Side, theirs: Side) -> list[tuple[float, float]]:
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
    furthest = max(furthest, 1.0)
    at = np.unique(np.concatenate([[0.0, furthest], *(rent.steps(furthest) for rent in rents)]))
    low, high = at[:-1], at[1:]
    # Within a step the units are those at its upper end, and the gain is a straight line.
    gain = theirs.usage_usd - ours.usage_usd
    standing = theirs.standing_usd(high)
    # What is equal but for the last digits is equal.
    base = standing - ours.standing_usd(high) + 1e-12 * (standing + theirs.usage_usd * high)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = -base / gain if gain else np.where(base >= 0, -np.inf, np.inf)
    begin, end = (np.maximum(low, root), high) if gain >= 0 else (low, np.minimum(high, root))
    found = [(a, b) for a, b in zip(begin.tolist(), end.tolist(), strict=True) if a <= b]
    forever = slope > 0 or (slope == 0 and not rents and base[-1] >= 0)
    return _joined([*found, (furthest, math.inf)] if forever else found)


def _joined(ranges: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the ranges with those that touch made one; a single point is none."""
    joined: list[tuple[float, float]] = []
    for begin, end in ranges:
        if joined and joined[-1][1] >= begin:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((begin, end))
    return [(a, b) for a, b in joined if b - a > 1e-9 * max(1.0, a)]
