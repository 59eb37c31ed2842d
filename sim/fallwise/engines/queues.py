"""Who waits for a tier whose visits are one call, in rings of rows.

One that has left the queue is skipped when its turn comes. Nobody in it has his timeout before its
head, so of their timeouts one is among the events, the tier's timer. In a batch nobody knows when
he is done: who is in service stays in the ring, before those that wait, and the timer is theirs.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.engines.heap import push
from fallwise.engines.jit import part, pasted
from fallwise.engines.layout import ENTERED, FINISHED
from fallwise.engines.plan import GAVE_UP, TIMEOUT, UNLIMITED

__all__ = ["NOBODY", "called", "join", "set_timer", "wait"]

NOBODY: Final = -1


@pasted
def wait(rows, s, tier, now, i, k, v):
    """Put a row at the end of its tier's queue."""
    join(s.clock[0], tier, s.ring, s.limits, now, i, k)
    if len(rows.patience_ns) and rows.patience_ns[v] < UNLIMITED:
        push(s.limits, now + rows.patience_ns[v], GAVE_UP << 56 | i << 8 | k)
    tier.waiting += 1


@part
def join(clock, tier, ring, limits, now, i, k):
    """Put a row at the end of its tier's ring."""
    if tier.timer == NOBODY and tier.timeout_ns < UNLIMITED:
        tier.timer = i
        push(limits, now + tier.timeout_ns, TIMEOUT << 56 | i << 8 | k)
    ring[k * clock.ring + (tier.last & (clock.ring - 1))] = i
    tier.last += 1
    if tier.last - (tier.oldest if tier.watched else tier.first) == clock.ring:
        clock.crowded = 1


@pasted
def called(out, tier, ring, size, n, k):
    """Return the head of the queue, which leaves it, or NOBODY where nobody may start."""
    head = np.int64(NOBODY)
    if tier.free > 0:
        head = _head(out.times, tier, ring, size, n, k)
        if head != NOBODY:
            tier.first += 1
            tier.waiting -= 1
    return head


@pasted
def set_timer(out, tier, ring, size, limits, n, k):
    """Set the timer for who has it next."""
    if tier.watched:
        first, tier.first = tier.first, tier.oldest
        head = _head(out.times, tier, ring, size, n, k)
        tier.oldest, tier.first = tier.first, max(first, tier.first)
    else:
        head = _head(out.times, tier, ring, size, n, k)
    tier.timer = head
    if head != NOBODY:
        limit = out.times[ENTERED, k * n + head] + tier.timeout_ns
        push(limits, limit, TIMEOUT << 56 | head << 8 | k)


@part
def _head(times, tier, ring, size, n, k):
    """Return the first that waits, or NOBODY; those before it have left and are forgotten."""
    while tier.first < tier.last:
        i = ring[k * size + (tier.first & (size - 1))]
        if times[FINISHED, k * n + i] < 0:
            return i
        tier.first += 1
    return np.int64(NOBODY)
