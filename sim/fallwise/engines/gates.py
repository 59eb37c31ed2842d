"""What stands before a call in the compiled engine: breaker, limits, retry budget; and outages.

A tier's gate is GATE numbers of State.gates, named below; docs/engine.md, 11 to 14.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.engines.calls import FULL_BUDGET, MINUTE_NS, RETRY_COST
from fallwise.engines.jit import part, pasted
from fallwise.engines.state import GATE
from fallwise.engines.units import UNLIMITED

__all__ = ["conforms", "credit", "in_outage", "lets_through", "may_retry", "tell"]

# Places in a gate.
REQUESTS_DUE: Final = 0
TOKENS_DUE: Final = 1
TRIPPED: Final = 2
"""Not 0 when the breaker is open or half open."""
OPEN_UNTIL: Final = 3
THROUGH: Final = 4
"""Probes that were let through."""
GOOD: Final = 5
SEEN: Final = 6
BAD: Final = 7
SPENT: Final = 8
"""Millionths of the ten retries that the budget begins with, and not yet earned again."""


@pasted
def lets_through(calls, gates, k, now):
    """Return True where the breaker lets an attempt through, and count it as a probe."""
    gate = k * GATE
    if calls.window[k] == 0 or gates[gate + TRIPPED] == 0:
        return True
    if now < gates[gate + OPEN_UNTIL] or gates[gate + THROUGH] >= calls.probes[k]:
        return False
    gates[gate + THROUGH] += 1
    return True


@pasted
def tell(calls, gates, ends, k, now, bad):
    """Tell the breaker, if there is one, how an attempt ended."""
    gate, size = k * GATE, calls.window[k]
    if size == 0:
        return
    if gates[gate + TRIPPED] == 0:
        at, seen = k * (len(ends) // len(calls.window)), gates[gate + SEEN]
        if seen >= size:
            gates[gate + BAD] -= ends[at + seen % size]
        ends[at + seen % size] = bad
        gates[gate + BAD] += bad
        gates[gate + SEEN] = seen + 1
        opens = seen + 1 >= size and gates[gate + BAD] >= calls.worst[k]
    elif now < gates[gate + OPEN_UNTIL]:
        return
    else:
        gates[gate + GOOD] += not bad
        opens = bad
        if gates[gate + GOOD] >= calls.probes[k]:
            gates[gate + TRIPPED] = 0
    if opens:
        gates[gate + TRIPPED], gates[gate + OPEN_UNTIL] = 1, now + calls.open_ns[k]
        gates[gate + THROUGH] = gates[gate + GOOD] = gates[gate + SEEN] = gates[gate + BAD] = 0


@part
def _cost_ns(amount, per_minute):
    # In two steps, which stay inside int64: amount * MINUTE_NS // per_minute.
    return amount // per_minute * MINUTE_NS + amount % per_minute * MINUTE_NS // per_minute


@pasted
def conforms(calls, rows, gates, k, i, v, now):
    """Return 0 and charge the call to its limits, or else how long until it would conform."""
    gate = k * GATE
    requests, tokens = calls.requests_per_minute[k], calls.tokens_per_minute[k]
    wait = np.int64(0)
    if requests < UNLIMITED:
        wait = max(wait, gates[gate + REQUESTS_DUE] - now - calls.burst_ns[k])
    if tokens < UNLIMITED:
        wait = max(wait, gates[gate + TOKENS_DUE] - now - calls.burst_ns[k])
    if wait == 0:
        if requests < UNLIMITED:
            due = max(gates[gate + REQUESTS_DUE], now)
            gates[gate + REQUESTS_DUE] = due + _cost_ns(1, requests)
        if tokens < UNLIMITED:
            amount = np.int64(rows.prompt_tokens[i]) + rows.output_tokens[v]
            due = max(gates[gate + TOKENS_DUE], now)
            gates[gate + TOKENS_DUE] = due + _cost_ns(amount, tokens)
    return wait


@pasted
def credit(calls, gates, k):
    """Let the budget grow by a visit."""
    if calls.budget[k] < UNLIMITED:
        gates[k * GATE + SPENT] = max(0, gates[k * GATE + SPENT] - calls.budget[k])


@pasted
def may_retry(calls, gates, k):
    """Return True where the budget has a retry left, and take it."""
    if calls.budget[k] < UNLIMITED:
        if gates[k * GATE + SPENT] + RETRY_COST > FULL_BUDGET:
            return False
        gates[k * GATE + SPENT] += RETRY_COST
    return True


@pasted
def in_outage(calls, k, now):
    """Return True where all calls fail that start now."""
    for j in range(calls.outage[k], calls.outage[k + 1]):
        since = now - calls.from_ns[j]
        if since >= 0 and since % calls.every_ns[j] < calls.to_ns[j] - calls.from_ns[j]:
            return True
    return False
