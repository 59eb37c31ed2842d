"""The general event loop in arrays: docs/engine.md, one event after the other.

`run` handles events until it is through, or until an array is full: its caller makes more room and
calls again. Columns of (n, K) are flat, tier after tier: row i at tier k stands at k * n + i.

Arrivals come from their sorted column; everything else waits in a heap whose nodes have four
children. Events that would do nothing are left out where that is known: of a work's end and its
timeout only the earlier one is kept, unless the server stays busy after it. What waits for a tier
stands in a ring of rows; one that has left it is skipped when its turn comes. Nobody in it has his
timeout before its head, so of their timeouts one is among the events, the tier's timer.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fallwise.engines import lru as cache
from fallwise.engines.attempts import handle_call, start_waiting
from fallwise.engines.heap import is_before, pop, push
from fallwise.engines.jit import kept, part, pasted
from fallwise.engines.layout import OPEN, answer, asks_cache, count_nothing, go_on, route
from fallwise.engines.plan import (
    CALL,
    DONE,
    ENTER,
    GAVE_UP,
    ROUND,
    STEP,
    TIMEOUT,
    UNLIMITED,
    VERIFIED,
)
from fallwise.engines.rounds import begin_steps, end_steps
from fallwise.engines.scaling import change_replicas, leave_seat, sit
from fallwise.engines.servers import call, change, note_rent
from fallwise.engines.state import CHANGES, CROWDED, HEAD, HELD, LATE, NEXT, RING, ROWS, TIERS
from fallwise.tables import (
    ABANDONED,
    ACCEPTED,
    DECLINED,
    ERRORED,
    FAILED,
    MISSED,
    NOT_VISITED,
    REJECTED,
    SHED,
    TIMED_OUT,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
)

__all__ = ["FULL", "THROUGH", "TOO_LATE", "run"]

# What `run` returns.
THROUGH: Final = 0
FULL: Final = 1
TOO_LATE: Final = 2
"""A time does not fit into int64."""

EVENTS_AT_ONCE: Final = 128
"""No event makes as many new ones, on its way through 16 full tiers."""
END_OF_TIME: Final = (1 << 63) - 1
STAYS: Final = -1
"""What happened ended no visit."""
NOBODY: Final = -1
NOTHING: Final = -1


def _entry(source):
    def run(tiers, rows, out, s, lru, final):
        """Handle events and return THROUGH, FULL or TOO_LATE.

        Unless it is the final call, more requests may come, none before the last arrival: only
        what is sure to come before them is handled.
        """
        if source < 0:  # Never; see jit.py.
            return -1
        return _run(tiers, rows, out, s, lru, final)

    return run


@pasted
def _run(tiers, rows, out, s, lru, final):
    n, heap, flags = len(rows.arrival_ns), s.heap, s.flags
    room = (len(heap) - HEAD) // 2 - EVENTS_AT_ONCE
    hand = np.int64(NOTHING)  # An ENTER for this instant that is not among the other events.
    i = flags[NEXT]
    now: Any = np.int64(0)
    code: Any = now
    while True:
        if hand != NOTHING:
            if is_before(heap, now, hand):
                push(heap, now, hand)
                hand = np.int64(NOTHING)
                continue
            code = hand
        else:
            if heap[HELD] > room or flags[CROWDED] or lru.state[cache.CROWDED]:
                return FULL
            if i < n:
                now, code = rows.arrival_ns[i], ENTER << 56 | i << 8
            elif (final or n == 0) and heap[HELD] == flags[CHANGES] and s.waiting.sum() == 0:
                return TOO_LATE if heap[LATE] else THROUGH
            elif final or n == 0:
                now, code = END_OF_TIME, 0
            else:
                now, code = rows.arrival_ns[n - 1], ENTER << 56 | n << 8
            if is_before(heap, now, code):
                now, code = heap[HEAD], heap[HEAD + 1]
                pop(heap)
            elif i < n:
                hand = _arrive(tiers, rows, out, s, lru, now, i)
                i += 1
                flags[NEXT] = i
                continue
            else:
                return TOO_LATE if heap[LATE] else THROUGH
        kind, i_or_step, k = code >> 56, code >> 8 & ROWS, code & TIERS
        if kind < DONE or kind == STEP:
            hand = _change(tiers, rows, out, s, lru, now, kind, i_or_step, k)
        else:
            hand = _handle(tiers, rows, out, s, lru, now, code)


@pasted
def _arrive(tiers, rows, out, s, lru, now, i):
    """Write all cells of a row, let it visit the cache, which happens in one go, and go on."""
    n = len(rows.arrival_ns)
    out.status[i] = OPEN
    out.hit_tier[i] = out.answer_of[i] = out.answer_tier[i] = -1
    if len(out.rented_ns):
        note_rent(out, s, now, i)
    for k in range(len(tiers.role)):
        v = k * n + i
        out.visit[v] = NOT_VISITED
        out.enter_ns[v] = out.start_ns[v] = out.finish_ns[v] = -1
        out.busy_ns[v] = 0
        count_nothing(out, v)
    if asks_cache(tiers, rows, i):
        out.enter_ns[i] = out.start_ns[i] = now
        slot = cache.look_up(lru, rows.key[i], now)
        now += rows.service_ns[i]
        out.finish_ns[i] = now
        if slot >= 0 and lru.request[slot] >= 0:
            out.visit[i] = ACCEPTED
            answer(out, now, i, 0, lru.request[slot], lru.tier[slot])
            return np.int64(NOTHING)
        tier = _filled_by(tiers, rows, i) if slot >= 0 else np.int64(NOBODY)
        if tier >= 0:
            out.visit[i] = ACCEPTED
            answer(out, now, i, 0, out.request[i], tier)
            return np.int64(NOTHING)
        out.visit[i] = MISSED
    tier, at_ns = route(tiers, rows, out, now, i)
    return _entering(tiers, s, at_ns, i, tier, at_ns == rows.arrival_ns[i])


@pasted
def _filled_by(tiers, rows, i):
    """Return the tier that would have filled the cache with the request's own answer."""
    n = len(rows.arrival_ns)
    for k in range(max(rows.start[i], 1), len(tiers.role)):
        if tiers.fills[k] and rows.accept[k * n + i] and (tiers.local[k] or not rows.local[i]):
            return np.int64(k)
    return np.int64(NOBODY)


@pasted
def _handle(tiers, rows, out, s, lru, now, code):
    """Handle an event: what it does to the visit, to the request, and to the server."""
    hand = np.int64(NOTHING)
    kind, i, k = code >> 56, code >> 8 & ROWS, code & TIERS
    n = len(rows.arrival_ns)
    v = k * n + i
    over = out.finish_ns[v] >= 0
    visit, starts, frees = STAYS, NOBODY, False
    if tiers.calls.several[k] and kind != VERIFIED:
        visit = handle_call(tiers, rows, out, s, now, kind, i, k, code >> 4 & TIERS)
    elif kind == ENTER:
        visit, starts = _enter(tiers, rows, out, s, now, i, k, v)
    elif kind == DONE:
        frees = not (over and tiers.cancel[k])  # Lost with its replica otherwise.
        if not over:
            out.finish_ns[v], out.busy_ns[v] = now, now - out.start_ns[v]
            if rows.verify[v]:
                looking = rows.verifier_ns[v] if len(rows.verifier_ns) else 0
                push(s.heap, now + looking, VERIFIED << 56 | i << 8 | k)
            else:
                visit = ACCEPTED if rows.accept[v] else DECLINED
    elif kind == VERIFIED:
        visit = ACCEPTED if rows.accept[v] else DECLINED
    elif not over and out.start_ns[v] < 0:  # TIMEOUT or GAVE_UP in the queue.
        visit = WAITED_OUT if kind == TIMEOUT else ABANDONED
        out.finish_ns[v] = now
        s.waiting[k] -= 1
    elif not over and kind == TIMEOUT:
        visit = WORKED_OUT
        out.finish_ns[v] = now
        frees = tiers.cancel[k]
        out.busy_ns[v] = now - out.start_ns[v] if frees else rows.service_ns[v]
    if visit != STAYS:
        out.visit[v] = visit
        hand = _leave(tiers, rows, out, s, lru, now, i, k)
    if frees:
        starts = _free_server(tiers, out, s, now, n, i, k)
    if starts != NOBODY:
        _start(tiers, rows, out, s, now, starts, k, k * n + starts)
    if kind == TIMEOUT and s.timer[k] == i:
        _set_timer(tiers, out, s, n, k)
    return hand


@part
def _change(tiers, rows, out, s, lru, now, kind, step, k):
    """Let servers come or go, and then start those who wait, one by one.

    Return the ENTER that is to be handled at this instant, or NOTHING.
    """
    n = len(rows.arrival_ns)
    if kind == ROUND:
        end_steps(tiers, s, now, step, k)
        return np.int64(NOTHING)
    if kind == STEP:
        begin_steps(tiers, rows, s, now, step, k)
        return np.int64(NOTHING)
    s.flags[CHANGES] -= 1
    if kind == CALL and tiers.calls.several[k]:
        start_waiting(tiers, rows, out, s, now, k)
    elif kind == CALL:
        head = _called(out, s, n, k)
        if head != NOBODY:
            call(s, now, k)
            _start(tiers, rows, out, s, now, head, k, k * n + head)
    elif tiers.fleet.has[k]:
        i = change_replicas(tiers, s, now, step, k)
        if i != NOBODY:
            v = k * n + i
            out.visit[v], out.finish_ns[v], out.busy_ns[v] = ERRORED, now, now - out.start_ns[v]
            return _leave(tiers, rows, out, s, lru, now, i, k)
    else:
        change(tiers, s, now, step, k)
    return np.int64(NOTHING)


@pasted
def _enter(tiers, rows, out, s, now, i, k, v):
    """Return how the visit ended if it ended at once, and i if it starts at once."""
    out.enter_ns[v] = now
    if s.free[k] > 0:
        return STAYS, i
    if s.waiting[k] >= tiers.queue_limit[k]:
        out.finish_ns[v] = now
        return TURNED_AWAY, NOBODY
    if s.timer[k] == NOBODY and tiers.timeout_ns[k] < UNLIMITED:
        s.timer[k] = i
        push(s.heap, now + tiers.timeout_ns[k], TIMEOUT << 56 | i << 8 | k)
    if len(rows.patience_ns) and rows.patience_ns[v] < UNLIMITED:
        push(s.heap, now + rows.patience_ns[v], GAVE_UP << 56 | i << 8 | k)
    size = s.flags[RING]
    s.ring[k * size + (s.last[k] & (size - 1))] = i
    s.last[k] += 1
    s.waiting[k] += 1
    if s.last[k] - s.first[k] == size:
        s.flags[CROWDED] = 1
    return STAYS, NOBODY


@pasted
def _free_server(tiers, out, s, now, n, i, k):
    """Return the head of the queue if it may start, or NOBODY."""
    s.free[k] += leave_seat(tiers, s, now, i, k) if tiers.fleet.has[k] else 1
    return _called(out, s, n, k)


@pasted
def _called(out, s, n, k):
    """Return the head of the queue, which leaves it, or NOBODY where nobody may start."""
    if s.free[k] <= 0:
        return np.int64(NOBODY)
    head = _head(out.finish_ns, s.ring, s.flags[RING], s.first, s.last, n, k)
    if head != NOBODY:
        s.first[k] += 1
        s.waiting[k] -= 1
    return head


@pasted
def _set_timer(tiers, out, s, n, k):
    """Set the timer for the head of the queue."""
    head = _head(out.finish_ns, s.ring, s.flags[RING], s.first, s.last, n, k)
    s.timer[k] = head
    if head != NOBODY:
        push(
            s.heap, out.enter_ns[k * n + head] + tiers.timeout_ns[k], TIMEOUT << 56 | head << 8 | k
        )


@part
def _head(finish_ns, ring, size, first, last, n, k):
    """Return the first that waits, or NOBODY; those before it have left and are forgotten."""
    at = first[k]
    while at < last[k]:
        i = ring[k * size + (at & (size - 1))]
        if finish_ns[k * n + i] < 0:
            first[k] = at
            return i
        at += 1
    first[k] = at
    return np.int64(NOBODY)


@pasted
def _start(tiers, rows, out, s, now, i, k, v):
    s.free[k] -= 1
    in_steps = tiers.fleet.step_ns[k] > 0
    if tiers.fleet.has[k]:
        sit(tiers, rows, s, now, i, k)
    out.start_ns[v] = now
    done, late = now + rows.service_ns[v], False
    if tiers.timeout_ns[k] < UNLIMITED:
        deadline = out.enter_ns[v] + tiers.timeout_ns[k]
        late = deadline < done or in_steps
        if late and s.timer[k] != i:
            push(s.heap, deadline, TIMEOUT << 56 | i << 8 | k)
    if not in_steps and (not late or not tiers.cancel[k]):
        push(s.heap, done, DONE << 56 | i << 8 | k)


@pasted
def _leave(tiers, rows, out, s, lru, now, i, k):
    """Answer, go on or end, once the visits to all tiers side by side have ended.

    Return the ENTER that is to be handled at this instant, or NOTHING.
    """
    n = len(rows.arrival_ns)
    first = last = k
    if tiers.pair[k] >= 0:
        first = tiers.pair[k]
        last = first + 1
    one, other = out.visit[first * n + i], out.visit[last * n + i]
    if one == NOT_VISITED or other == NOT_VISITED:
        return np.int64(NOTHING)
    if one == ACCEPTED and other == ACCEPTED:
        answer(out, now, i, first, out.request[i], first)
        if tiers.fills[first] and asks_cache(tiers, rows, i):
            cache.store(lru, rows.key[i], out.request[i], first, now)
        return np.int64(NOTHING)
    status, failed, gives_up = REJECTED, False, False
    for tier in range(last, first - 1, -1):  # The first one that failed says how it ends.
        visit = out.visit[tier * n + i]
        if visit == ACCEPTED:
            out.visit[tier * n + i] = DECLINED
        elif visit > MISSED:
            status = SHED if visit == TURNED_AWAY else FAILED if visit >= ERRORED else TIMED_OUT
            failed = True
            gives_up |= tiers.give_up[tier]
    tier = go_on(tiers, rows, out, now, i, last, status, failed, gives_up)
    return _entering(tiers, s, now, i, tier, True)


@pasted
def _entering(tiers, s, at_ns, i, k, at_once):
    """Let a request enter a tier, or both of a pair; return the first ENTER if that is at once."""
    hand = np.int64(NOTHING)
    if k >= 0:
        if tiers.pair[k] >= 0:
            push(s.heap, at_ns, ENTER << 56 | i << 8 | (k + 1))
        if at_once:
            hand = ENTER << 56 | i << 8 | k
        else:
            push(s.heap, at_ns, ENTER << 56 | i << 8 | k)
    return hand


run = kept(_entry)
