"""When servers come and go: what an engine has to know of a scenario beyond its plain numbers."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np

from fallwise.scenario import Scenario
from fallwise.tables import Int64s

__all__ = ["WEEK_NS", "Hours", "hours_of"]

WEEK_NS: Final = 7 * 24 * 3600 * 10**9


class Hours(NamedTuple):
    """At at_ns of every period, tier's servers become so many: (m,) arrays, by tier and time.

    The first step of a tier is at 0. A tier that is not named has the servers of the plan.
    """

    tier: Int64s
    at_ns: Int64s
    servers: Int64s
    period_ns: int = WEEK_NS

    @classmethod
    def of(cls, steps: list[tuple[int, int, int]], period_ns: int = WEEK_NS) -> Self:
        """Return the hours of (tier, at_ns, servers), which are in order."""
        tier, at_ns, servers = np.array(steps, np.int64).reshape(-1, 3).T
        return cls(tier, at_ns, servers, period_ns)


def hours_of(scenario: Scenario) -> Hours | None:
    """Return the hours of all tiers that have some, counted from when the run starts, or None."""
    steps = []
    for k, tier in enumerate(scenario.tiers):
        week = tier.week(scenario.traffic.starts)
        steps += [(k, minute * 60 * 10**9, servers) for minute, servers in week]
    return Hours.of(steps) if steps else None
