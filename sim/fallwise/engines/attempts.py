"""Visits of several calls in the compiled engine: docs/engine.md, 10.

While such a visit is under way it has a slot. Those that wait for a tier are chained by their
slots, the first and the last of them known to the tier. Events that would do nothing are not made:
of a TIMEOUT that no call under way reaches, and of a HEDGE that its call does not.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.engines.gates import conforms, credit, lets_through, may_retry, pace, slowed, tell
from fallwise.engines.heap import push
from fallwise.engines.jit import ONE, ZERO, part, pasted
from fallwise.engines.plan import DONE, ENTER, GAVE_UP, HEDGE, RETRY, TIMEOUT, UNLIMITED
from fallwise.engines.tiers import numbers
from fallwise.tables import (
    ABANDONED,
    CUT_SHORT,
    ERRORED,
    RATE_LIMITED,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
)

__all__ = ["ANSWERS", "SLOT", "STAYS", "give_back", "handle_call", "start_waiting", "take_slot"]

STAYS: Final = -1
"""What happened ended no visit, or no attempt."""
ANSWERS: Final = -2
"""The visit has an answer, which is to be judged."""

SLOT: Final = numbers(
    "row",  # Whose visit it is; of a slot that was given back, the next one, or -1.
    "attempt",
    "phase",
    "on",  # Bit 0: the first call of the attempt is on; bit 1: its hedge is.
    "fails",  # The same bits: the call will fail.
    "begun_ns",
    "hedge_begun_ns",
    "lasts_ns",  # How long the call holds a server, if nothing stops it.
    "hedge_lasts_ns",
    "since_ns",  # When its phase began.
    "limit_ns",  # When the visit's TIMEOUT is due; UNLIMITED: never, or it is an event.
    "attempt_limit_ns",  # The same of the attempt.
    "ahead",  # 1 + the slot before it in the queue; 0 where there is nobody.
    "behind",
    "start_ns",
    "busy_ns",
    "queued_ns",
    "paused_ns",
    "attempts",
    "errors",
    "rate_limited",
    "hedges",
    "cut_off",
    "outrun",
)

# Phases of a visit.
PAUSING: Final = 0
WAITING: Final = 1
SERVED: Final = 2


@pasted
def take_slot(clock, tier, slots, now, i):
    """Return the place of a slot for the visit of row i, which begins."""
    at = clock.free_slot
    if at >= 0:
        clock.free_slot = slots[at].row
    else:
        at = clock.unused_slot
        clock.unused_slot += 1
    if clock.free_slot < 0 and clock.unused_slot >= len(slots):
        clock.crowded = 1
    slot = slots[at]
    slot.row, slot.start_ns = i, -1
    slot.limit_ns = now + tier.timeout_ns if tier.timeout_ns < UNLIMITED else UNLIMITED
    slot.attempt_limit_ns = UNLIMITED
    slot.attempt = slot.phase = slot.on = slot.fails = 0
    slot.busy_ns = slot.queued_ns = slot.paused_ns = 0
    slot.attempts = slot.errors = slot.rate_limited = 0
    slot.hedges = slot.cut_off = slot.outrun = 0
    return at


@pasted
def give_back(clock, slots, at):
    """Give back the slot of a visit that has ended."""
    slots[at].row = clock.free_slot
    clock.free_slot = at


@pasted
def handle_call(clock, tier, slots, ends, outages, calls, heap, limits, tokens, now, code, k, at):
    """Handle an event of the visit at a slot; return how the visit ended, ANSWERS or STAYS."""
    slot = slots[at]
    kind, call = code >> 56, code >> 4 & 15
    reason, visit, drops, told, retry_after = STAYS, STAYS, False, False, 0
    begins = kind in (ENTER, RETRY)
    if kind == ENTER:
        credit(tier)
    elif kind == RETRY:
        slot.attempt = call
        slot.paused_ns += now - slot.since_ns
    elif kind == DONE:
        reason = _done(tier, slot, now, call)
        if reason == ANSWERS:
            slot.outrun += _drop(tier, slot, now)
            tell(tier, ends, now, ZERO)
            return ANSWERS
    elif kind == HEDGE and slot.attempt == call >> 1 and slot.on == 1:
        if tier.free > 0 and conforms(tier, tokens, now) == 0:
            slot.hedges += 1
            _start(clock, tier, slot, outages, calls, heap, limits, now, k, ONE)
    elif kind == TIMEOUT and call == 0:
        visit, told, drops = _late(slot), slot.phase != PAUSING, True
        if slot.phase == PAUSING:
            slot.paused_ns += now - slot.since_ns
    elif kind == TIMEOUT and slot.attempt == call - 1 and slot.phase != PAUSING:
        reason, drops = _late(slot), True
    elif kind == GAVE_UP and slot.phase == WAITING:
        visit, told = ABANDONED, True
    if (visit != STAYS or reason != STAYS) and slot.phase == WAITING:
        _leave_queue(tier, slots, slot, now)
    if drops:
        slot.cut_off += _drop(tier, slot, now)
    if begins:
        reason, retry_after = _begin(tier, slots, slot, limits, tokens, now, k, at)
        if reason == CUT_SHORT:
            return CUT_SHORT
    if told or reason != STAYS:
        tell(tier, ends, now, ONE)
    if reason != STAYS:
        visit = _retry_or_end(clock, tier, slot, calls, heap, limits, now, k, reason, retry_after)
    return visit


@part
def _late(slot):
    return WORKED_OUT if slot.phase == SERVED else WAITED_OUT


@pasted
def _done(tier, slot, now, call):
    """Return how the attempt ended with a call: ANSWERS, ERRORED, or STAYS where it did not."""
    side = call & 1
    if slot.attempt != call >> 1 or not slot.on >> side & 1:
        tier.free += 0 if tier.cancel else 1
        return STAYS
    slot.on ^= 1 << side
    tier.free += 1
    slot.busy_ns += now - (slot.hedge_begun_ns if side else slot.begun_ns)
    if not slot.fails >> side & 1:
        return ANSWERS
    slot.errors += 1
    return STAYS if slot.on else ERRORED


@pasted
def _begin(tier, slots, slot, limits, tokens, now, k, at):
    """Begin an attempt: return why it failed, if it did at once, and the Retry-After."""
    if not lets_through(tier, now):
        return CUT_SHORT, 0
    slot.attempts += 1
    retry_after = conforms(tier, tokens, now)
    if retry_after > 0:
        slot.rate_limited += 1
        return RATE_LIMITED, retry_after
    if tier.free <= 0 and tier.waiting >= tier.queue_limit:
        return TURNED_AWAY, 0
    slot.attempt_limit_ns = UNLIMITED
    if tier.attempt_timeout_ns < UNLIMITED:
        slot.attempt_limit_ns = now + tier.attempt_timeout_ns
    _join_queue(tier, slots, slot, now, at)
    if tier.free <= 0:  # Otherwise it starts at this instant.
        _expect_timeouts(slot, limits, k, np.int64(UNLIMITED))
    return STAYS, 0


@part
def _expect_timeouts(slot, limits, k, until):
    """Let the TIMEOUTs come that are before that time, the end of what goes on."""
    if slot.limit_ns < until:
        push(limits, slot.limit_ns, TIMEOUT << 56 | slot.row << 8 | k)
        slot.limit_ns = UNLIMITED
    if slot.attempt_limit_ns < until:
        code = TIMEOUT << 56 | slot.row << 8 | (slot.attempt + 1) << 4 | k
        push(limits, slot.attempt_limit_ns, code)
        slot.attempt_limit_ns = UNLIMITED


@part
def _retry_or_end(clock, tier, slot, calls, heap, limits, now, k, reason, retry_after):
    """Return how the visit ended with its attempt, or STAYS: there will be another one."""
    following = slot.attempt + 1
    if not tier.retry_on >> reason & 1 or following >= tier.attempts or not may_retry(tier):
        return reason
    slot.phase, slot.since_ns = PAUSING, now
    slot.attempt_limit_ns = UNLIMITED
    _expect_timeouts(slot, limits, k, np.int64(UNLIMITED))
    place = tier.first_call + (following - 1) * tier.width
    pause_ns = retry_after
    if len(calls.pause_ns):
        pause_ns = max(retry_after, calls.pause_ns[place * clock.rows + slot.row])
    push(heap, now + pause_ns, RETRY << 56 | slot.row << 8 | following << 4 | k)
    return STAYS


@pasted
def start_waiting(clock, tier, slots, outages, calls, heap, limits, now, k):
    """Start those at the head of the queue while a server is free."""
    while tier.free > 0 and tier.head > 0:
        slot = slots[tier.head - 1]
        _leave_queue(tier, slots, slot, now)
        slot.phase = SERVED
        _start(clock, tier, slot, outages, calls, heap, limits, now, k, ZERO)


@pasted
def _start(clock, tier, slot, outages, calls, heap, limits, now, k, side):
    """Let the first (0) or second (1) call of the attempt start."""
    tier.free -= 1
    slot.on |= 1 << side
    if slot.start_ns < 0:
        slot.start_ns = now
    place = tier.first_call + slot.attempt * tier.width + side
    at = place * clock.rows + slot.row
    thousandths = pace(tier, outages, now)
    fails = ONE if thousandths == 0 else ZERO
    if len(calls.fails):
        fails |= calls.fails[at]
    lasts = slowed(calls.error_ns[at] if fails else calls.ns[at], thousandths)
    slot.fails = slot.fails & ~(1 << side) | fails << side
    code = slot.row << 8 | (2 * slot.attempt + side) << 4 | k
    push(heap, now + lasts, DONE << 56 | code)
    _expect_timeouts(slot, limits, k, now + lasts)
    if side:
        slot.hedge_begun_ns, slot.hedge_lasts_ns = now, lasts
    else:
        slot.begun_ns, slot.lasts_ns = now, lasts
        if tier.hedge_ns < lasts:
            push(heap, now + tier.hedge_ns, HEDGE << 56 | code)


@pasted
def _drop(tier, slot, now):
    """Drop the calls that are on; return how many."""
    on = slot.on
    dropped = (on & 1) + (on >> 1)
    if tier.cancel:
        tier.free += dropped
    if on & 1:
        slot.busy_ns += now - slot.begun_ns if tier.cancel else slot.lasts_ns
    if on & 2:
        slot.busy_ns += now - slot.hedge_begun_ns if tier.cancel else slot.hedge_lasts_ns
    slot.on = 0
    return dropped


@part
def _join_queue(tier, slots, slot, now, at):
    """Put a visit at the end of its tier's queue."""
    slot.phase, slot.since_ns = WAITING, now
    slot.ahead, slot.behind = tier.tail, 0
    if tier.tail > 0:
        slots[tier.tail - 1].behind = at + 1
    else:
        tier.head = at + 1
    tier.tail = at + 1
    tier.waiting += 1


@part
def _leave_queue(tier, slots, slot, now):
    """Take a visit out of its tier's queue, its phase left as it is."""
    slot.queued_ns += now - slot.since_ns
    if slot.ahead > 0:
        slots[slot.ahead - 1].behind = slot.behind
    else:
        tier.head = slot.behind
    if slot.behind > 0:
        slots[slot.behind - 1].ahead = slot.ahead
    else:
        tier.tail = slot.ahead
    tier.waiting -= 1
