"""What an engine has to know of a scenario: numbers per tier, in arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from fallwise.draw.mix import most_popular
from fallwise.engines.calls import Calls, calls_of, outages_of
from fallwise.engines.capacity import Hours, hours_of
from fallwise.engines.fleet import Fleet, fleet_of
from fallwise.engines.units import UNLIMITED, nanoseconds
from fallwise.scenario import Scenario
from fallwise.tables import Bools, Floats, Int8s, Int64s, RequestTable

__all__ = [
    "CACHE",
    "CALL",
    "CHANGE",
    "DONE",
    "ENTER",
    "GAVE_UP",
    "HEDGE",
    "PLACE",
    "RETRY",
    "ROUND",
    "STEP",
    "TIMEOUT",
    "UNLIMITED",
    "VERIFIED",
    "Plan",
    "plan",
]

# Kinds of events, in the order in which they are handled at one instant.
CHANGE: Final = -3
"""A tier's servers come or go; no request's own event, like CALL."""
CALL: Final = -2
"""Those who wait start, as far as servers are free after a CHANGE."""
ROUND: Final = -1
"""A step of a replica's batch ends."""
DONE: Final = 0
"""A server has finished the work of a request."""
VERIFIED: Final = 1
"""A verifier has looked at an answer."""
TIMEOUT: Final = 2
GAVE_UP: Final = 3
"""Patience has ended."""
HEDGE: Final = 4
"""A call has taken so long that a second one is made."""
RETRY: Final = 5
"""The pause after an attempt that failed is over."""
ENTER: Final = 6
"""A request comes to a tier, from outside or from another tier."""
STEP: Final = 8
"""A step of a replica's batch begins. 7: an arrival."""

# Two roles a tier can have; everything else about kinds is in the numbers.
PLACE: Final = 0
CACHE: Final = 1


@dataclass(frozen=True)
class Plan:
    """K tiers in numbers. UNLIMITED stands for no limit, no timeout.

    role         (K,)  int8   CACHE or PLACE
    servers      (K,)  int64  in service at once
    queue_limit  (K,)  int64  waiting at once
    timeout_ns   (K,)  int64  from entering the tier
    cancel       (K,)  bool   a timeout in service frees the server
    local        (K,)  bool   requests that must stay local may come
    give_up      (K,)  bool   a visit that failed here ends the request
    paired       (K,)  bool   runs side by side with the tier before
    fills        (K,)  bool   accepted answers of this tier go into the cache
    capacity           int    of the cache
    ttl_ns             int    of the cache
    warm         (m,)  int64  keys in the cache when the run begins, the front one last
    away         (m, 3) int64  outages of the cache: from, to, and how long from one to the next
    hours              when the tiers' servers come and go; None where none do
    fleet              tiers whose replicas fail or are scaled; None where none are
    fallback     (K,)  bool   visited only after a visit to the tier before failed; None: no tier
    calls              Calls  tiers whose visits are several calls; None: there are none
    prompt_factor (K,) float64  how many times its tokens a tier is sent of a prompt; None: all once
    """

    role: Int8s
    servers: Int64s
    queue_limit: Int64s
    timeout_ns: Int64s
    cancel: Bools
    local: Bools
    give_up: Bools
    paired: Bools
    fills: Bools
    capacity: int
    ttl_ns: int
    hours: Hours | None = None
    warm: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    away: Int64s = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    fleet: Fleet | None = None
    fallback: Bools | None = None
    calls: Calls | None = None
    prompt_factor: Floats | None = None

    def prompt_tokens(self, requests: RequestTable, k: int) -> Int64s:
        """Return (n,) how many tokens of prompt tier k is sent, as `Tier.prompt_tokens` has it."""
        asked = requests.prompt_tokens
        if self.prompt_factor is None or self.prompt_factor[k] == 1:
            return asked.astype(np.int64)
        sent: Int64s = np.rint(asked * self.prompt_factor[k]).astype(np.int64)
        return sent

    @property
    def rents(self) -> bool:
        """Return True where an engine notes how much was rented: it is not always the same."""
        return self.hours is not None or (self.fleet is not None and self.fleet.is_scaled)


def plan(scenario: Scenario, seed: int | None = None) -> Plan:
    """Return the numbers that an engine needs of a scenario.

    When replicas fail is drawn from the seed, by default the scenario's own.
    """
    tiers = scenario.tiers
    cache = scenario.cache
    filled_by = (cache.filled_by or []) if cache else []

    def limits(values: list[int | None]) -> Int64s:
        return np.array([UNLIMITED if v is None else v for v in values], np.int64)

    return Plan(
        role=np.array([CACHE if t.kind == "cache" else PLACE for t in tiers], np.int8),
        servers=limits([t.servers for t in tiers]),
        queue_limit=limits([t.queue_limit for t in tiers]),
        timeout_ns=limits([nanoseconds(t.timeout_s) for t in tiers]),
        cancel=np.array([t.cancel for t in tiers], np.bool_),
        local=np.array([t.local for t in tiers], np.bool_),
        give_up=np.array([t.on_failure == "give_up" for t in tiers], np.bool_),
        paired=np.array([t.agree_with is not None for t in tiers], np.bool_),
        fills=np.array([t.name in filled_by for t in tiers], np.bool_),
        capacity=(cache.capacity if cache else None) or 0,
        ttl_ns=(nanoseconds(cache.ttl_s) if cache else None) or UNLIMITED,
        hours=hours_of(scenario),
        warm=most_popular(
            scenario.traffic, (cache and cache.warm_keys) or 0, bool(cache and cache.local)
        ),
        away=outages_of(cache)[:, :3].copy() if cache else np.zeros((0, 3), np.int64),
        fleet=fleet_of(scenario, scenario.run.seed if seed is None else seed),
        fallback=np.array([t.fallback for t in tiers]) if any(t.fallback for t in tiers) else None,
        calls=calls_of(tiers),
        prompt_factor=np.array([t.prompt.token_factor if t.prompt else 1.0 for t in tiers])
        if any(t.prompt for t in tiers)
        else None,
    )
