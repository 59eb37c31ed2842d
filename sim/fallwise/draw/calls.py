"""How each call of a visit would go, where a visit may be several: its time, failure and pause.

Call c of a tier is attempt c // width, and its hedge where width is 2 and c is odd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fallwise.draw.laws import nanoseconds
from fallwise.draw.streams import Streams
from fallwise.scenario import Tier
from fallwise.scenario.laws import Batching, Law
from fallwise.tables import Int64s

__all__ = ["call_columns"]

Times = Callable[[Law, str, int, int, Any], Int64s]
"""times(law, name, k, call, key) -> (n,) ns for tier k, from the streams that begin with name."""


def call_columns(
    tiers: list[Tier], chance: Streams, service_ns: Int64s, times: Times
) -> dict[str, Any]:
    """Return call_ns, call_fails, error_ns and pause_ns (n, C), as far as they are needed.

    service_ns (n, K) is how long the first call of each visit takes.
    """
    count = sum(tier.calls for tier in tiers)
    if not count:
        return {}
    n = len(service_ns)

    def wide(dtype: Any) -> Any:
        return np.zeros((n, count), dtype, "F")

    found = {"call_ns": wide(np.int64)}
    if any(tier.error_rate for tier in tiers):
        found["call_fails"] = wide(np.bool_)
    if any(tier.calls and tier.error_after for tier in tiers):
        found["error_ns"] = wide(np.int64)
    if any(tier.calls and tier.retries for tier in tiers):
        found["pause_ns"] = wide(np.int64)
    at = 0
    for k, tier in enumerate(tiers):
        for call in range(tier.calls):
            _fill(found, at + call, tier, k, call, chance, service_ns, times)
        at += tier.calls
    return found


def _fill(
    found: dict[str, Any],
    at: int,
    tier: Tier,
    k: int,
    call: int,
    chance: Streams,
    service_ns: Int64s,
    times: Times,
) -> None:
    """Write column `at`: the tier's call of this number."""
    name = f"{tier.name}:{call}"
    assert tier.service is not None and not isinstance(tier.service, Batching)
    first = service_ns[:, k]
    again = ("tiers", k, "service")
    took = times(tier.service, f"call_ns:{name}", k, call, again) if call else first
    found["call_ns"][:, at] = took
    if tier.error_rate:
        found["call_fails"][:, at] = chance[f"call_fails:{name}"].random(len(first)) < (
            tier.error_rate
        )
    if "error_ns" in found:
        after = tier.error_after
        key = ("tiers", k, "error_after")
        found["error_ns"][:, at] = times(after, f"error_ns:{name}", k, 0, key) if after else took
    width = 2 if tier.hedge else 1
    if tier.retries is not None and call % width == 0:
        attempt = call // width
        share = chance[f"pause_ns:{name}"].random(len(first)) if tier.retries.jitter else 0.0
        pause_s = np.broadcast_to(tier.retries.pause_s(attempt, share), first.shape)
        found["pause_ns"][:, at] = nanoseconds(pause_s, ("tiers", k, "retries", "backoff_s"))
