"""The general event loop in arrays: docs/engine.md, one event after the other.

`run` handles events until it is through, or until an array is full: its caller makes more room and
calls again. Columns of (n, K) are flat, tier after tier: row i at tier k stands at k * n + i.

Arrivals come from their sorted column, everything else waits in heaps whose nodes have four
children: `limits` are the ends of timeouts and of patience, most of which will do nothing, `rounds`
the steps of batches; `heap` is all else and stays small. Events that would do nothing are left out
where that is known: of a work's end and its timeout only the earlier one is kept, unless the server
stays busy after it.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fallwise.engines import lru as caches
from fallwise.engines.attempts import STAYS, start_waiting
from fallwise.engines.heap import HEAD, HELD, LATE, is_before, pop, push
from fallwise.engines.jit import ZERO, kept, part, pasted
from fallwise.engines.layout import (
    BUSY,
    ENTERED,
    FINISHED,
    OPEN,
    RENTED,
    STARTED,
    STATUS,
    answer,
    asks_cache,
    begin_visits,
    go_on,
    route,
)
from fallwise.engines.plan import CALL, DONE, ENTER, ROUND, STEP, TIMEOUT, UNLIMITED, VERIFIED
from fallwise.engines.queues import NOBODY, called, join, set_timer, wait
from fallwise.engines.rounds import begin_steps, end_steps
from fallwise.engines.scaling import change_replicas, leave_seat, sit
from fallwise.engines.servers import call, change, rent
from fallwise.engines.state import ROWS, TIERS
from fallwise.engines.units import END_OF_TIME
from fallwise.engines.visits import answered, visit_by_calls
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
NOTHING: Final = -1


@kept
def run(rows, out, s, lru, final):
    """Handle events and return THROUGH, FULL or TOO_LATE.

    Unless it is the final call, more requests may come, none before the last arrival: only
    what is sure to come before them is handled.
    """
    n, heap, clock, cache = len(rows.arrival_ns), s.heap, s.clock[0], lru.state[0]
    clock.rows = n
    hand = np.int64(NOTHING)  # An event of this instant that is not among the others.
    i = clock.next
    now: Any = np.int64(0)
    code: Any = now
    while True:
        if hand != NOTHING:
            if _is_preceded(rows, s, now, hand, i, final):
                push(heap, now, hand)
                hand = np.int64(NOTHING)
                continue
            code = hand
        else:
            if _is_full(s) or clock.crowded or cache.crowded:
                return FULL
            if i < n:
                now, code = rows.arrival_ns[i], ENTER << 56 | i << 8
            elif (final or n == 0) and _is_idle(s, heap[HELD] - clock.changes):
                return TOO_LATE if _is_late(s) else THROUGH
            elif final or n == 0:
                now, code = END_OF_TIME, 0
            else:
                now, code = rows.arrival_ns[n - 1], ENTER << 56 | n << 8
            source = NOTHING
            if is_before(heap, now, code):
                now, code, source = heap[HEAD], heap[HEAD + 1], 0
            if is_before(s.limits, now, code):
                now, code, source = s.limits[HEAD], s.limits[HEAD + 1], 1
            if is_before(s.rounds, now, code):
                now, code, source = s.rounds[HEAD], s.rounds[HEAD + 1], 2
            if source == 0:
                pop(heap)
            elif source == 1:
                pop(s.limits)
            elif source == 2:
                pop(s.rounds)
            elif i < n:
                hand = _arrive(rows, out, s, lru, now, i)
                i += 1
                clock.next = i
                continue
            else:
                return TOO_LATE if _is_late(s) else THROUGH
        hand = _handle(rows, out, s, lru, now, code)


@pasted
def _is_preceded(rows, s, now, code, i, final):
    """Return True where something comes before an event of this instant, or may do so."""
    for heap in (s.heap, s.limits, s.rounds):
        if is_before(heap, now, code):
            return True
    if code < STEP << 56:
        return False
    n = len(rows.arrival_ns)
    if i < n:
        return rows.arrival_ns[i] == now
    return not final and n > 0 and rows.arrival_ns[n - 1] == now


@pasted
def _is_full(s):
    for heap in (s.heap, s.limits, s.rounds):
        if heap[HELD] > (len(heap) - HEAD) // 2 - EVENTS_AT_ONCE:
            return True
    return False


@pasted
def _is_late(s):
    return s.heap[LATE] or s.limits[LATE] or s.rounds[LATE]


@part
def _is_idle(s, events):
    """Return True where no event is a request's own and nobody waits."""
    held = events + s.limits[HELD] + s.rounds[HELD]
    for k in range(len(s.tiers)):
        held += s.tiers[k].waiting
    return held == 0


@pasted
def _arrive(rows, out, s, lru, now, i):
    """Write all cells of a row, let it visit the cache, which happens in one go, and go on."""
    n, tiers = len(rows.arrival_ns), s.tiers
    out.marks[STATUS, i] = OPEN
    begin_visits(tiers, out, i, n, np.int64(NOBODY))
    if s.clock[0].rents:
        for k in range(len(tiers)):
            if tiers[k].steps or tiers[k].replicas:
                rent(tiers[k], now, ZERO)
                out.times[RENTED, k * n + i] = tiers[k].rented_ns
                tiers[k].rented_ns = 0
    if asks_cache(tiers, rows, i):
        out.times[ENTERED, i] = out.times[STARTED, i] = now
        slot = caches.look_up(lru.state[0], lru.table, lru.slots, lru.away, rows.key[i], now)
        now += rows.service_ns[i]
        out.times[FINISHED, i] = now
        of, tier = np.int64(NOBODY), np.int64(NOBODY)
        if slot >= 0:
            of, tier = lru.slots[slot].request, lru.slots[slot].tier
            if of < 0:
                of, tier = out.request[i], _filled_by(tiers, rows, i)
        if tier >= 0:
            out.visit[i] = ACCEPTED
            answer(out, now, i, ZERO, of, tier)
            return np.int64(NOTHING)
        out.visit[i] = MISSED
    tier, at_ns = route(tiers, s.ways_on, rows, out, now, i)
    return _entering(tiers, s.heap, at_ns, i, tier, at_ns == rows.arrival_ns[i])


@pasted
def _filled_by(tiers, rows, i):
    """Return the tier that would have filled the cache with the request's own answer."""
    n, by = len(rows.arrival_ns), np.int64(NOBODY)
    for k in range(len(tiers) - 1, max(rows.start[i], 1) - 1, -1):
        if tiers[k].fills and rows.accept[k * n + i] and (tiers[k].local or not rows.local[i]):
            by = np.int64(k)
    return by


@pasted
def _handle(rows, out, s, lru, now, code):
    """Handle an event: what it does to the visit, to the request, and to the server.

    Return an event that is to be handled at this instant, or NOTHING.
    """
    n, clock, heap = len(rows.arrival_ns), s.clock[0], s.heap
    kind, i, k = code >> 56, code >> 8 & ROWS, code & TIERS
    tier = s.tiers[k]
    visit, starts, frees, judged = STAYS, np.int64(NOBODY), False, False
    hand = np.int64(NOTHING)
    if kind < DONE or kind == STEP:
        i = _change(clock, tier, s, rows.prompt_tokens, now, kind, i, k)
        if kind == ROUND:
            hand = i
        elif i != NOBODY:
            visit = ERRORED
            _end_visit(out, now, k * n + i)
        elif kind == CALL and not tier.several:
            starts = called(out, tier, s.ring, clock.ring, n, k)
            if starts != NOBODY:
                call(clock, heap, now, k)
    elif kind == VERIFIED:
        judged = True
    elif tier.several:
        visit, judged = visit_by_calls(rows, out, s, tier, now, code, i, k, k * n + i)
    else:
        visit, starts, frees, judged = _visit(rows, out, s, tier, now, kind, i, k, k * n + i)
    v = k * n + i
    if judged:
        visit = ACCEPTED if rows.accept[v] else DECLINED
    if visit != STAYS:
        out.visit[v] = visit
        hand = _leave(rows, out, s, lru, now, i, k)
    if frees:
        if tier.replicas:
            leave_seat(tier, s.replicas, s.seats, s.rounds, now, i, k)
        else:
            tier.free += 1
        starts = called(out, tier, s.ring, clock.ring, n, k)
    if starts != NOBODY:
        _start(rows, out, s, tier, now, starts, k, k * n + starts)
    if tier.several:
        start_waiting(clock, tier, s.slots, s.outages, rows.calls, heap, s.limits, now, k)
    elif kind == TIMEOUT and tier.timer == i:
        set_timer(out, tier, s.ring, clock.ring, s.limits, n, k)
    return hand


@pasted
def _end_visit(out, now, v):
    out.times[FINISHED, v], out.times[BUSY, v] = now, now - out.times[STARTED, v]


@pasted
def _change(clock, tier, s, prompt_tokens, now, kind, step, k):
    """Let servers come or go, or a batch go on.

    Return the row that is lost by it, or NOBODY; of a ROUND the event that comes of it, or NOTHING.
    """
    lost = np.int64(NOBODY)
    if kind == ROUND:
        lost = end_steps(tier, s.replicas, s.seats, s.rounds, now, step, k)
    elif kind == STEP:
        begin_steps(clock, tier, s.replicas, s.seats, s.rounds, prompt_tokens, now, step, k)
    else:
        clock.changes -= 1
        if kind != CALL and tier.replicas:
            lost = change_replicas(
                clock, tier, s.replicas, s.seats, s.failures, s.heap, now, step, k
            )
        elif kind != CALL:
            change(clock, tier, s.steps, s.heap, now, step, k)
    return lost


@pasted
def _visit(rows, out, s, tier, now, kind, i, k, v):
    """Return how a visit of one call ended, if it did, and who starts.

    Also if the row frees its server, and if its answer is judged now.
    """
    visit, starts, frees, judged = STAYS, np.int64(NOBODY), False, False
    over = out.times[FINISHED, v] >= 0
    if kind == ENTER:
        out.times[ENTERED, v] = now
        if tier.free > 0:
            starts = i
            if tier.watched:
                join(s.clock[0], tier, s.ring, s.limits, now, i, k)
                tier.first = tier.last  # Nobody waits.
        elif tier.waiting >= tier.queue_limit:
            visit = TURNED_AWAY
            out.times[FINISHED, v] = now
        else:
            wait(rows, s, tier, now, i, k, v)
    elif kind == DONE:
        frees = not (over and tier.cancel)  # Lost with its replica otherwise.
        if not over:
            _end_visit(out, now, v)
            judged = answered(rows, s.heap, now, i, k, v)
    elif not over and out.times[STARTED, v] < 0:  # TIMEOUT or GAVE_UP in the queue.
        visit = WAITED_OUT if kind == TIMEOUT else ABANDONED
        out.times[FINISHED, v] = now
        tier.waiting -= 1
    elif not over and kind == TIMEOUT:
        visit, frees = WORKED_OUT, tier.cancel != 0
        _end_visit(out, now, v)
        if not frees:
            out.times[BUSY, v] = rows.service_ns[v]
    return visit, starts, frees, judged


@pasted
def _start(rows, out, s, tier, now, i, k, v):
    tier.free -= 1
    if tier.replicas:
        tokens = rows.output_tokens[v] if tier.step_ns else 0
        sit(tier, s.replicas, s.seats, s.rounds, tokens, now, i, k)
    out.times[STARTED, v] = now
    if tier.step_ns:
        return
    done, late = now + rows.service_ns[v], False
    if tier.timeout_ns < UNLIMITED:
        deadline = out.times[ENTERED, v] + tier.timeout_ns
        late = deadline < done
        if late and tier.timer != i:
            push(s.limits, deadline, TIMEOUT << 56 | i << 8 | k)
    if not (late and tier.cancel):
        push(s.heap, done, DONE << 56 | i << 8 | k)


@pasted
def _leave(rows, out, s, lru, now, i, k):
    """Answer, go on or end, once the visits to all tiers side by side have ended.

    Return the ENTER that is to be handled at this instant, or NOTHING.
    """
    n, tiers = len(rows.arrival_ns), s.tiers
    first = last = k
    if tiers[k].pair >= 0:
        first = tiers[k].pair
        last = first + 1
    one, other = out.visit[first * n + i], out.visit[last * n + i]
    if one == NOT_VISITED or other == NOT_VISITED:
        return np.int64(NOTHING)
    if one == ACCEPTED and other == ACCEPTED:
        answer(out, now, i, first, out.request[i], first)
        if tiers[first].fills and asks_cache(tiers, rows, i):
            key, request = rows.key[i], out.request[i]
            cache, table, slots = lru.state[0], lru.table, lru.slots
            caches.store(cache, table, slots, lru.away, key, request, first, now)
        return np.int64(NOTHING)
    status: Any = REJECTED + ZERO
    failed: Any = np.bool_(False)
    gives_up: Any = failed
    for tier in range(last, first - 1, -1):  # The first one that failed says how it ends.
        visit = out.visit[tier * n + i]
        if visit == ACCEPTED:
            out.visit[tier * n + i] = DECLINED
        elif visit > MISSED:
            status = SHED if visit == TURNED_AWAY else FAILED if visit >= ERRORED else TIMED_OUT
            failed = True
            gives_up |= tiers[tier].give_up != 0
    tier = go_on(s.ways_on, rows, out, now, i, last, status, failed, gives_up)
    return _entering(tiers, s.heap, now, i, tier, np.bool_(True))


@pasted
def _entering(tiers, heap, at_ns, i, k, at_once):
    """Let a request enter a tier, or both of a pair; return the first ENTER if that is at once."""
    hand = np.int64(NOTHING)
    if k >= 0:
        if tiers[k].pair >= 0:
            push(heap, at_ns, ENTER << 56 | i << 8 | (k + 1))
        if at_once:
            hand = ENTER << 56 | i << 8 | k
        else:
            push(heap, at_ns, ENTER << 56 | i << 8 | k)
    return hand
