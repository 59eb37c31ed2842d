"""What an engine has to know of tiers whose visits are several calls: docs/engine.md, 10 to 14."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fallwise.engines.units import UNLIMITED, nanoseconds
from fallwise.policies.guards import FULL_BUDGET, MINUTE_NS, REASONS, RETRY_COST
from fallwise.scenario import Tier
from fallwise.tables import Bools, Int64s

__all__ = ["FULL_BUDGET", "MINUTE_NS", "RETRY_COST", "Calls", "calls_of", "no_calls", "outages_of"]


class Calls(NamedTuple):
    """Columns of (K,), but for those of outages. UNLIMITED stands for none.

    several              bool   visits of this tier are made of calls; all else counts only there
    attempts             int64  at most so many, 1 to 8
    width                int64  calls of an attempt: 2 with a hedge
    first                int64  where its first call stands in the columns of (n, C)
    attempt_timeout_ns   int64
    hedge_ns             int64
    retry_on             int64  bit v is set where a visit outcome v is a reason to try again
    budget               int64  millionths of a retry for each visit
    requests_per_minute  int64
    tokens_per_minute    int64
    burst_ns             int64
    window               int64  attempts that the breaker looks back at; 0: no breaker
    worst                int64  so many bad ones open it
    open_ns              int64
    probes               int64
    outage               (K + 1,) int64: tier k's outages are those from outage[k] to outage[k + 1]
    from_ns, to_ns, every_ns   (outages,) int64
    slow                 (outages,) int64: thousandths of their time that calls take; 0: they fail
    """

    several: Bools
    attempts: Int64s
    width: Int64s
    first: Int64s
    attempt_timeout_ns: Int64s
    hedge_ns: Int64s
    retry_on: Int64s
    budget: Int64s
    requests_per_minute: Int64s
    tokens_per_minute: Int64s
    burst_ns: Int64s
    window: Int64s
    worst: Int64s
    open_ns: Int64s
    probes: Int64s
    outage: Int64s
    from_ns: Int64s
    to_ns: Int64s
    every_ns: Int64s
    slow: Int64s


def no_calls(tiers: int) -> Calls:
    """Return the columns for tiers whose visits are one call each."""
    fill = {
        "attempts": 1,
        "width": 1,
        "budget": UNLIMITED,
        "attempt_timeout_ns": UNLIMITED,
        "hedge_ns": UNLIMITED,
        "requests_per_minute": UNLIMITED,
        "tokens_per_minute": UNLIMITED,
    }
    columns = {name: np.full(tiers, fill.get(name, 0), np.int64) for name in Calls._fields[1:15]}
    none = {name: np.empty(0, np.int64) for name in ("from_ns", "to_ns", "every_ns", "slow")}
    return Calls(
        several=np.zeros(tiers, np.bool_), **columns, outage=np.zeros(tiers + 1, np.int64), **none
    )


def calls_of(tiers: Sequence[Tier]) -> Calls | None:
    """Return the columns of a scenario's tiers; None where no tier needs them."""
    if not any(tier.calls for tier in tiers):
        return None
    found = no_calls(len(tiers))
    outages: list[list[int]] = []
    first = 0
    for k, tier in enumerate(tiers):
        found.outage[k], found.first[k] = len(outages), first
        found.several[k] = tier.calls > 0
        first += tier.calls
        _limits(found, k, tier)
        if tier.retries is not None:
            found.attempts[k] = tier.retries.attempts
            visits = [visit for reason in tier.retries.on for visit in REASONS[reason]]
            found.retry_on[k] = sum(1 << visit for visit in visits)
            if tier.retries.budget is not None:
                found.budget[k] = round(tier.retries.budget * RETRY_COST)
        if tier.breaker is not None:
            found.window[k], found.probes[k] = tier.breaker.window_calls, tier.breaker.probes
            found.worst[k] = tier.breaker.worst_calls
            found.open_ns[k] = nanoseconds(tier.breaker.open_s) or 0
        if tier.hedge is not None:
            found.hedge_ns[k], found.width[k] = nanoseconds(tier.hedge.after_s) or 0, 2
        outages += outages_of(tier).tolist()
    found.outage[len(tiers)] = len(outages)
    columns = np.array(outages, np.int64).reshape(-1, 4).T
    begin_ns, end_ns, period_ns, slow = columns
    return found._replace(from_ns=begin_ns, to_ns=end_ns, every_ns=period_ns, slow=slow)


def outages_of(tier: Tier) -> Int64s:
    """Return (m, 4) a tier's outages: from_ns, to_ns, every_ns and slow, as Calls has them."""
    found = [
        (
            nanoseconds(o.from_s) or 0,
            nanoseconds(o.to_s),
            nanoseconds(o.every_s) or UNLIMITED,
            o.thousandths,
        )
        for o in tier.outages or ()
    ]
    return np.array(found, np.int64).reshape(-1, 4)


def _limits(found: Calls, k: int, tier: Tier) -> None:
    limits = {
        "attempt_timeout_ns": nanoseconds(tier.attempt_timeout_s),
        "requests_per_minute": tier.requests_per_minute,
        "tokens_per_minute": tier.tokens_per_minute,
        "burst_ns": nanoseconds(tier.burst_s),
    }
    for name, value in limits.items():
        if value is not None:
            getattr(found, name)[k] = value
