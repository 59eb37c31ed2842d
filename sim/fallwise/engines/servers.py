"""Servers that come and go, in records: rules 16 and 17 of docs/engine.md for the event loop."""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from fallwise.engines.heap import push
from fallwise.engines.jit import part
from fallwise.engines.plan import CALL, CHANGE

__all__ = ["call", "change", "expect", "rent"]


@part
def change(clock, tier, steps, heap, now, step, k):
    """Take the step of the tier's hours that begins now; the next one is then to come."""
    at = tier.first_step + step
    more = steps[at].servers - tier.units
    rent(tier, now, more)
    tier.free += more
    call(clock, heap, now, k)
    if tier.steps > 1:
        following = 0 if step + 1 == tier.steps else step + 1
        after = steps[tier.first_step + following].at_ns - steps[at].at_ns
        at_ns = now + after + (0 if following else clock.period_ns)
        expect(clock, heap, at_ns, following, k)


@part
def call(clock, heap, now, k):
    """Let those who wait at tier k start, at this instant."""
    clock.changes += 1
    push(heap, now, CALL << 56 | k)


@part
def expect(clock, heap, at_ns, step, k):
    """Let a change come."""
    clock.changes += 1
    push(heap, at_ns, CHANGE << 56 | step << 8 | k)


@part
def rent(tier, now, more):
    """Rent so many more units of a tier from now on."""
    tier.rented_ns += tier.units * (now - tier.since_ns)
    tier.since_ns = now
    tier.units += more
