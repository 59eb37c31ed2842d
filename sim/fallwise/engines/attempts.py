"""Visits of several calls in the compiled engine: docs/engine.md, 10.

While such a visit is under way it has a slot, SLOT numbers of State.slots, named below. Those that
wait for a tier are chained by their slots, the first and the last of them known to its gate.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.engines.gates import conforms, credit, in_outage, lets_through, may_retry, tell
from fallwise.engines.heap import push
from fallwise.engines.jit import part, pasted
from fallwise.engines.plan import DONE, ENTER, GAVE_UP, HEDGE, RETRY, TIMEOUT, UNLIMITED, VERIFIED
from fallwise.engines.state import CROWDED, FREE, GATE, ROW, SLOT, UNUSED
from fallwise.tables import (
    ABANDONED,
    ACCEPTED,
    CUT_SHORT,
    DECLINED,
    ERRORED,
    RATE_LIMITED,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
)

__all__ = ["handle_call", "start_waiting"]

STAYS: Final = -1
"""What happened ended no visit, or no attempt."""
NOWHERE: Final = -1

# Places in a slot, after ROW.
ATTEMPT: Final = 1
PHASE: Final = 2
ON: Final = 3
"""Bit 0: the first call of the attempt is on; bit 1: its hedge is."""
FAILS: Final = 4
"""The same bits: the call will fail."""
BEGUN: Final = 5
"""When the two calls started: BEGUN and BEGUN + 1."""
LASTS: Final = 7
"""How long they hold a server, if nothing stops them: LASTS and LASTS + 1."""
AHEAD: Final = 9
BEHIND: Final = 10
"""1 + the place of a slot; 0 where there is nobody."""
ERRORS: Final = 11
LIMITED: Final = 12
HEDGES: Final = 13
CUT: Final = 14
OUTRUN: Final = 15

# Phases of a visit.
PAUSING: Final = 0
WAITING: Final = 1
SERVED: Final = 2

# Places in a gate, after those of gates.py.
HEAD: Final = 10
TAIL: Final = 11
"""1 + the place of a slot; 0 where nobody waits."""


@pasted
def handle_call(tiers, rows, out, s, now, kind, i, k, call):
    """Handle an event of a visit of several calls; return how the visit ended, or STAYS."""
    n, calls, slots = len(rows.arrival_ns), tiers.calls, s.slots
    v = k * n + i
    over = out.finish_ns[v] >= 0
    reason, visit, drops = STAYS, STAYS, NOWHERE
    begins, ended, told = False, False, False
    if kind == ENTER:
        _take_slot(tiers, rows, out, s, now, i, k, v)
        begins = True
    at = -2 - out.finish_ns[v]
    if kind == DONE:
        side = call & 1
        if over or slots[at + ATTEMPT] != call >> 1 or not slots[at + ON] >> side & 1:
            s.free[k] += 0 if tiers.cancel[k] else 1
        else:
            slots[at + ON] ^= 1 << side
            s.free[k] += 1
            begun = slots[at + BEGUN + side]
            out.busy_ns[v] += now - begun
            if slots[at + FAILS] >> side & 1:
                slots[at + ERRORS] += 1
                if slots[at + ON] == 0:
                    reason = ERRORED
            else:
                drops, ended = OUTRUN, True
    elif kind == RETRY and not over:
        slots[at + ATTEMPT] = call
        begins = True
    elif kind == HEDGE and not over:
        if slots[at + ATTEMPT] == call >> 1 and slots[at + ON] == 1:
            _hedge(tiers, rows, out, s, now, i, k, v, at)
    elif kind == TIMEOUT and not over:
        phase = slots[at + PHASE]
        if call == 0 or (slots[at + ATTEMPT] == call - 1 and phase != PAUSING):
            late = WORKED_OUT if phase == SERVED else WAITED_OUT
            drops = CUT
            if call == 0:
                visit, told = late, phase != PAUSING
            else:
                reason = late
    elif kind == GAVE_UP and not over and slots[at + PHASE] == WAITING:
        visit, told = ABANDONED, True
    if (visit != STAYS or reason != STAYS) and slots[at + PHASE] == WAITING:
        _unlink(slots, s.gates, s.waiting, k, at)
    if drops != NOWHERE:
        slots[at + drops] += _drop(tiers, out, s, now, k, v, at)
    retry_after = np.int64(0)
    if begins:
        reason, visit, retry_after = _begin(tiers, rows, s, now, i, k, v, at)
    if told or ended or reason != STAYS:
        tell(calls, s.gates, s.ends, k, now, not ended)
    if reason != STAYS:
        visit = _retry_or_end(calls, rows, s, n, now, i, k, at, reason, retry_after)
    if ended or visit != STAYS:
        _close(out, s, now, v, at, visit != CUT_SHORT)
    if ended:
        visit = _judge(rows, s, now, i, k, v)
    start_waiting(tiers, rows, out, s, now, k)
    return visit


@pasted
def _judge(rows, s, now, i, k, v):
    """Return how a visit ends whose answer has come, or STAYS while the verifier looks at it."""
    if rows.verify[v]:
        looking = rows.verifier_ns[v] if len(rows.verifier_ns) else 0
        push(s.heap, now + looking, VERIFIED << 56 | i << 8 | k)
        return STAYS
    return ACCEPTED if rows.accept[v] else DECLINED


@pasted
def _take_slot(tiers, rows, out, s, now, i, k, v):
    """Begin a visit."""
    slots, flags = s.slots, s.flags
    at = flags[FREE]
    if at >= 0:
        flags[FREE] = slots[at + ROW]
    else:
        at = flags[UNUSED] * SLOT
        flags[UNUSED] += 1
    if flags[FREE] < 0 and flags[UNUSED] * SLOT >= len(slots):
        flags[CROWDED] = 1
    for place in range(at, at + SLOT):
        slots[place] = 0
    slots[at + ROW] = i
    out.enter_ns[v], out.finish_ns[v] = now, -2 - at
    if tiers.timeout_ns[k] < UNLIMITED:
        push(s.heap, now + tiers.timeout_ns[k], TIMEOUT << 56 | i << 8 | k)
    if len(rows.patience_ns) and rows.patience_ns[v] < UNLIMITED:
        push(s.heap, now + rows.patience_ns[v], GAVE_UP << 56 | i << 8 | k)
    credit(tiers.calls, s.gates, k)


@pasted
def _begin(tiers, rows, s, now, i, k, v, at):
    """Begin an attempt: return why it failed, how the visit ended, and the Retry-After."""
    calls, slots = tiers.calls, s.slots
    reason, visit, retry_after = STAYS, STAYS, np.int64(0)
    if not lets_through(calls, s.gates, k, now):
        visit = CUT_SHORT
    else:
        retry_after = conforms(calls, rows, s.gates, k, i, v, now)
        if retry_after > 0:
            slots[at + LIMITED] += 1
            reason = RATE_LIMITED
        elif s.free[k] <= 0 and s.waiting[k] >= tiers.queue_limit[k]:
            reason = TURNED_AWAY
        else:
            if calls.attempt_timeout_ns[k] < UNLIMITED:
                limit = now + calls.attempt_timeout_ns[k]
                push(s.heap, limit, TIMEOUT << 56 | i << 8 | (slots[at + ATTEMPT] + 1) << 4 | k)
            _link(slots, s.gates, s.waiting, k, at)
    return reason, visit, retry_after


@pasted
def _retry_or_end(calls, rows, s, n, now, i, k, at, reason, retry_after):
    """Return how the visit ended with its attempt, or STAYS: there will be another one."""
    following = s.slots[at + ATTEMPT] + 1
    if (
        not calls.retry_on[k] >> reason & 1
        or following >= calls.attempts[k]
        or not may_retry(calls, s.gates, k)
    ):
        return reason
    s.slots[at + PHASE] = PAUSING
    pause = retry_after
    if len(rows.pause_ns):
        place = calls.first[k] + (following - 1) * calls.width[k]
        pause = max(pause, rows.pause_ns[place * n + i])
    push(s.heap, now + pause, RETRY << 56 | i << 8 | following << 4 | k)
    return STAYS


@pasted
def _hedge(tiers, rows, out, s, now, i, k, v, at):
    """Make a second call where a server is free and no limit is exceeded."""
    free = s.free[k] > 0
    if free and conforms(tiers.calls, rows, s.gates, k, i, v, now) == 0:
        s.slots[at + HEDGES] += 1
        _start(tiers.calls, rows, out, s, now, i, k, v, at, 1)


@pasted
def start_waiting(tiers, rows, out, s, now, k):
    """Start those at the head of the queue while a server is free."""
    while s.free[k] > 0 and s.gates[k * GATE + HEAD] > 0:
        at = s.gates[k * GATE + HEAD] - 1
        _unlink(s.slots, s.gates, s.waiting, k, at)
        i = s.slots[at + ROW]
        s.slots[at + PHASE] = SERVED
        _start(tiers.calls, rows, out, s, now, i, k, k * len(rows.arrival_ns) + i, at, 0)


@pasted
def _start(calls, rows, out, s, now, i, k, v, at, side):
    """Let the first (0) or second (1) call of the attempt start."""
    slots = s.slots
    s.free[k] -= 1
    slots[at + ON] |= 1 << side
    slots[at + BEGUN + side] = now
    if out.start_ns[v] < 0:
        out.start_ns[v] = now
    attempt = slots[at + ATTEMPT]
    place = (calls.first[k] + attempt * calls.width[k] + side) * len(rows.arrival_ns) + i
    fails = (len(rows.call_fails) > 0 and rows.call_fails[place]) or in_outage(calls, k, now)
    lasts = rows.error_ns[place] if fails and len(rows.error_ns) else rows.call_ns[place]
    slots[at + FAILS] = slots[at + FAILS] & ~(1 << side) | fails << side
    slots[at + LASTS + side] = lasts
    code = i << 8 | (2 * attempt + side) << 4 | k
    push(s.heap, now + lasts, DONE << 56 | code)
    if side == 0 and calls.hedge_ns[k] < UNLIMITED:
        push(s.heap, now + calls.hedge_ns[k], HEDGE << 56 | code)


@pasted
def _drop(tiers, out, s, now, k, v, at):
    """Drop the calls that are on; return how many."""
    slots = s.slots
    on = slots[at + ON]
    for side in range(2):
        if on >> side & 1:
            if tiers.cancel[k]:
                out.busy_ns[v] += now - slots[at + BEGUN + side]
                s.free[k] += 1
            else:
                out.busy_ns[v] += slots[at + LASTS + side]
    slots[at + ON] = 0
    return (on & 1) + (on >> 1)


@pasted
def _close(out, s, now, v, at, counts):
    """End a visit: write its columns, give its slot back. counts: its last attempt does."""
    slots = s.slots
    out.finish_ns[v] = now
    out.attempts[v] = slots[at + ATTEMPT] + counts
    out.errors[v] = slots[at + ERRORS]
    out.rate_limited[v] = slots[at + LIMITED]
    out.hedges[v] = slots[at + HEDGES]
    out.cut_off[v] = slots[at + CUT]
    out.outrun[v] = slots[at + OUTRUN]
    slots[at + ROW] = s.flags[FREE]
    s.flags[FREE] = at


@part
def _link(slots, gates, waiting, k, at):
    """Put a visit at the end of its tier's queue."""
    gate = k * GATE
    tail = gates[gate + TAIL]
    slots[at + PHASE], slots[at + AHEAD], slots[at + BEHIND] = WAITING, tail, 0
    if tail > 0:
        slots[tail - 1 + BEHIND] = at + 1
    else:
        gates[gate + HEAD] = at + 1
    gates[gate + TAIL] = at + 1
    waiting[k] += 1


@part
def _unlink(slots, gates, waiting, k, at):
    """Take a visit out of its tier's queue, its phase left as it is."""
    gate = k * GATE
    ahead, behind = slots[at + AHEAD], slots[at + BEHIND]
    if ahead > 0:
        slots[ahead - 1 + BEHIND] = behind
    else:
        gates[gate + HEAD] = behind
    if behind > 0:
        slots[behind - 1 + AHEAD] = ahead
    else:
        gates[gate + TAIL] = ahead
    waiting[k] -= 1
