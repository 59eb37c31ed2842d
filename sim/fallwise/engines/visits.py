"""Visits of several calls and their columns: what goes between the event loop and attempts.py."""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from fallwise.engines.attempts import ANSWERS, STAYS, give_back, handle_call, take_slot
from fallwise.engines.heap import push
from fallwise.engines.jit import pasted
from fallwise.engines.layout import (
    ATTEMPTS,
    BUSY,
    CUT_OFF,
    ENTERED,
    ERRORS,
    FINISHED,
    HEDGES,
    LIMITED,
    OUTRUN,
    PAUSED,
    QUEUED,
    STARTED,
)
from fallwise.engines.plan import DONE, ENTER, GAVE_UP, UNLIMITED, VERIFIED

__all__ = ["answered", "visit_by_calls"]


@pasted
def answered(rows, heap, now, i, k, v):
    """Return True where an answer is judged at once; otherwise its verifier looks at it first."""
    if rows.verify[v]:
        looking = rows.verifier_ns[v] if len(rows.verifier_ns) else 0
        push(heap, now + looking, VERIFIED << 56 | i << 8 | k)
        return False
    return True


@pasted
def visit_by_calls(rows, out, s, tier, now, code, i, k, v):
    """Return how a visit of several calls ended, if it did, and if it is to be judged now."""
    kind, visit, clock, judged = code >> 56, STAYS, s.clock[0], False
    if kind == ENTER:
        out.times[ENTERED, v] = now
        out.times[FINISHED, v] = -2 - take_slot(clock, tier, s.slots, now, i)
        if len(rows.patience_ns) and rows.patience_ns[v] < UNLIMITED:
            push(s.limits, now + rows.patience_ns[v], GAVE_UP << 56 | i << 8 | k)
    at = -2 - out.times[FINISHED, v]
    if at >= 0:
        tokens = rows.prompt_tokens[tier.prompt * clock.rows + i] + rows.output_tokens[v]
        places = s.slots, s.ends, s.outages, rows.calls
        visit = handle_call(clock, tier, *places, s.heap, s.limits, tokens, now, code, k, at)
        if visit != STAYS:
            _close(out, s.slots[at], now, v)
            give_back(clock, s.slots, at)
        if visit == ANSWERS:
            visit, judged = STAYS, answered(rows, s.heap, now, i, k, v)
    elif kind == DONE and not tier.cancel:
        tier.free += 1
    return visit, judged


@pasted
def _close(out, slot, now, v):
    """Write the columns of a visit of several calls."""
    out.times[STARTED, v], out.times[FINISHED, v] = slot.start_ns, now
    out.times[BUSY, v] = slot.busy_ns
    out.times[QUEUED, v], out.times[PAUSED, v] = slot.queued_ns, slot.paused_ns
    out.counts[ATTEMPTS, v], out.counts[ERRORS, v] = slot.attempts, slot.errors
    out.counts[LIMITED, v], out.counts[HEDGES, v] = slot.rate_limited, slot.hedges
    out.counts[CUT_OFF, v], out.counts[OUTRUN, v] = slot.cut_off, slot.outrun
