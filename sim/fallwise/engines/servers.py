"""Servers that come and go, in arrays: rules 16 and 17 of docs/engine.md for the event loop."""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from fallwise.engines.heap import push
from fallwise.engines.jit import part, pasted
from fallwise.engines.plan import CALL, CHANGE
from fallwise.engines.state import CHANGES

__all__ = ["call", "change", "expect", "note_rent", "rent"]


@part
def change(tiers, s, now, step, k):
    """Take the step of tier k's hours that begins now; the next one is then to come."""
    hours = tiers.hours
    first, end = hours.first[k], hours.first[k + 1]
    at = first + step
    more = hours.servers[at] - s.units[k]
    rent(s, now, k, more)
    s.free[k] += more
    call(s, now, k)
    if end - first > 1:
        last = at + 1 == end
        after = hours.period_ns[0] - hours.at_ns[at] if last else hours.at_ns[at + 1]
        after -= 0 if last else hours.at_ns[at]
        expect(s, now + after, CHANGE, 0 if last else step + 1, k)


@pasted
def call(s, now, k):
    """Let those who wait at tier k start, at this instant."""
    expect(s, now, CALL, 0, k)


@pasted
def expect(s, at_ns, kind, step, k):
    """Add an event that is no request's own."""
    s.flags[CHANGES] += 1
    push(s.heap, at_ns, kind << 56 | step << 8 | k)


@pasted
def rent(s, now, k, more):
    """Rent so many more units of tier k from now on."""
    s.rented_ns[k] += s.units[k] * (now - s.since_ns[k])
    s.since_ns[k] = now
    s.units[k] += more


@part
def note_rent(out, s, now, i):
    """Write into row i what was rented at each tier since the arrival before."""
    for k in range(len(s.units)):
        rent(s, now, k, 0)
        out.rented_ns[k * len(out.request) + i] = s.rented_ns[k]
        s.rented_ns[k] = 0
