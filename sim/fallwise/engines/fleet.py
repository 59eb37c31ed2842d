"""Replicas that fail, are repaired and come and go: what an engine has to know of them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from fallwise.draw.failures import up_and_down
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Batching
from fallwise.tables import NEVER_NS, Int64s

__all__ = [
    "DOWN",
    "FAIL",
    "LEAVING",
    "LOOK",
    "LOSE",
    "NEVER",
    "OFF",
    "READY",
    "REPAIR",
    "STARTING",
    "UP",
    "WHAT",
    "Fleet",
    "fleet_of",
]

NEVER: Final = NEVER_NS

# What a replica is.
OFF: Final = 0
STARTING: Final = 1
UP: Final = 2
DOWN: Final = 3
LEAVING: Final = 4

# What a CHANGE does to a replica, in the order of one instant; its step is what << WHAT | replica.
FAIL: Final = 0
LOSE: Final = 1
"""The next one in service is lost with its replica."""
REPAIR: Final = 2
READY: Final = 3
LOOK: Final = 4
WHAT: Final = 20


class Fleet(NamedTuple):
    """Rules 18 to 21 of docs/engine.md: (m,) arrays, one entry a tier that has replicas, in order.

    up_ns and down_ns are (m, R, c) for the most replicas R; c is 0 where none of them fails.
    NEVER stands for an interval or an up_ns that does not end.
    """

    tier: Int64s
    replicas: Int64s
    slots: Int64s
    least: Int64s
    interval_ns: Int64s
    target_ppm: Int64s
    cold_ns: Int64s
    linger_ns: Int64s
    step_ns: Int64s
    """0 where a replica serves each request by itself; see rule 21."""
    each_ns: Int64s
    prefill_ns: Int64s
    up_ns: Int64s
    down_ns: Int64s

    @property
    def is_batching(self) -> bool:
        """Return True where a tier serves in batches, by tokens."""
        return bool(self.step_ns.any())

    @property
    def is_scaled(self) -> bool:
        """Return True where the number of replicas may change."""
        return bool((self.interval_ns < NEVER).any())


def fleet_of(scenario: Scenario, seed: int) -> Fleet | None:
    """Return the tiers whose replicas fail or are scaled, or None."""
    mine = [
        k
        for k, tier in enumerate(scenario.tiers)
        if tier.failures or tier.autoscale or isinstance(tier.service, Batching)
    ]
    if not mine:
        return None
    tiers = [scenario.tiers[k] for k in mine]
    scaling = [tier.autoscale for tier in tiers]
    most = [a.max_replicas if a else t.replicas or 1 for a, t in zip(scaling, tiers, strict=True)]

    def column(values: Any) -> Int64s:
        return np.array(list(values), np.int64)

    def times(values_s: Any) -> Int64s:
        return column(round(x * 1e9) for x in values_s)

    laws = [tier.service if isinstance(tier.service, Batching) else None for tier in tiers]
    up_ns, down_ns = up_and_down(tiers, most, seed)
    return Fleet(
        tier=column(mine),
        replicas=column(most),
        slots=column(tier.slots or 1 for tier in tiers),
        least=column(
            a.min_replicas if a else count for a, count in zip(scaling, most, strict=True)
        ),
        interval_ns=column(round(a.interval_s * 1e9) if a else NEVER for a in scaling),
        target_ppm=column(round(a.target_utilisation * 1e6) if a else 1_000_000 for a in scaling),
        cold_ns=times(a.cold_start_s if a else 0 for a in scaling),
        linger_ns=times(a.scale_down_after_s if a else 0 for a in scaling),
        # A step of no time at all would never end.
        step_ns=column(max(1, round(law.step_s * 1e9)) if law else 0 for law in laws),
        each_ns=times(law.step_s_per_request if law else 0 for law in laws),
        prefill_ns=times(law.prefill_s_per_prompt_token if law else 0 for law in laws),
        up_ns=up_ns,
        down_ns=down_ns,
    )
