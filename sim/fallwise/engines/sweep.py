"""The pass: tier by tier, where nothing that happens at a tier feeds back to an earlier one.

Requests enter a tier in the order of (time, row), whatever happens at other tiers; of a tier with c
servers one has to know only when each of them is free next (Kiefer and Wolfowitz, On the theory
of queues with many servers, 1955). A request that would start after its timeout or the end of its
patience leaves without having touched a server. So each tier is one loop over those who enter it,
and who goes on from it is sorted by time for the next one. A visit to come is marked DUE, the
time of entering written.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.engines.jit import ZERO, kept, part, pasted
from fallwise.engines.layout import (
    BUSY,
    ENTERED,
    FINISHED,
    OPEN,
    STARTED,
    STATUS,
    answer,
    asks_cache,
    begin_visits,
    go_on,
    route,
)
from fallwise.engines.plan import CACHE, UNLIMITED, Plan
from fallwise.engines.units import END_OF_TIME
from fallwise.tables import (
    ABANDONED,
    ACCEPTED,
    DECLINED,
    MISSED,
    REJECTED,
    TIMED_OUT,
    WAITED_OUT,
    WORKED_OUT,
)

__all__ = ["FEW", "TOO_LATE", "admit", "due", "is_exact", "serve"]

DUE: Final = 127
"""Visit that is to come."""
FEW: Final = 64
"""Servers that are sooner put in order than kept as a heap."""
MOVES: Final = 4
"""So many places a row, and times are put in order by insertion; who goes on is nearly in order."""
TOO_LATE: Final = -2
"""A time does not fit into int64."""


def is_exact(plan: Plan) -> bool:
    """Return True where the pass gives what the event loop gives, whatever the requests."""
    waits = plan.servers < UNLIMITED
    return not (
        plan.paired.any()
        or plan.calls is not None
        or plan.fallback is not None
        or (plan.role[0] == CACHE and plan.fills.any())
        or (waits & (plan.queue_limit < UNLIMITED)).any()
        or plan.rents
        or plan.fleet is not None
    )


@kept
def admit(tiers, ways_on, rows, out, first_row):
    """Write all cells of the rows from first_row on, and make their first visits DUE."""
    n = len(rows.arrival_ns)
    for i in range(first_row, n):
        out.marks[STATUS, i] = OPEN
        k, enter_ns = np.int64(0), rows.arrival_ns[i]
        if not asks_cache(tiers, rows, i):
            k, enter_ns = route(tiers, ways_on, rows, out, enter_ns, i)
        begin_visits(tiers, out, i, n, k)
        _make_due(out, n, i, k, enter_ns)
    return 0


@pasted
def _make_due(out, n, i, k, enter_ns):
    """Let a row enter tier k then, where there is one."""
    if k >= 0:
        out.visit[k * n + i], out.times[ENTERED, k * n + i] = DUE, enter_ns


@kept
def due(out, n, k, until, order):
    """Write the rows that enter tier k until then into order; return how many they are.

    Below 0 where their times are too far from ascending to be put so here: -1 - how many; the
    rows of one time are in order even then.
    """
    count, last, moves = 0, np.int64(0), MOVES * n
    for i in range(n):
        enter = out.times[ENTERED, k * n + i]
        enters = (out.visit[k * n + i] == DUE) & (enter <= until)
        at = count
        if enters & (enter < last):
            while at > 0 and moves > 0 and out.times[ENTERED, k * n + order[at - 1]] > enter:
                order[at] = order[at - 1]
                at, moves = at - 1, moves - 1
        order[at] = i
        count += enters
        last = max(last, enter if enters else last)
    return count if moves > 0 else -1 - count


@kept
def serve(tiers, ways_on, rows, out, order, begin, k, free_ns, held):
    """Let rows order[begin:] visit tier k; return how many of order were done, or TOO_LATE.

    free_ns has the times when servers are free next: of up to FEW all, ascending. Of more it is
    a heap of those in use, held[k] how many they are; when it is full before all servers are in
    use, `serve` returns early: double it.
    """
    if tiers[k].role == CACHE:
        return _miss(tiers, ways_on, rows, out, order)
    return _serve(tiers[k], ways_on, rows, out, order, begin, k, free_ns, held)


@pasted
def _miss(tiers, ways_on, rows, out, order):
    """Let rows visit a cache that nothing fills."""
    for i in order:
        finish = out.times[ENTERED, i] + rows.service_ns[i]
        out.times[STARTED, i], out.times[FINISHED, i] = out.times[ENTERED, i], finish
        out.visit[i] = MISSED
        k, enter_ns = route(tiers, ways_on, rows, out, finish, i)
        if finish < 0 or enter_ns < 0:
            return TOO_LATE
        _make_due(out, len(rows.arrival_ns), i, k, enter_ns)
    return len(order)


@pasted
def _serve(tier, ways_on, rows, out, order, begin, k, free_ns, held):
    n, servers, times = len(rows.arrival_ns), tier.servers, out.times
    limit, cancel, gives_up = tier.timeout_ns, tier.cancel, tier.give_up != 0
    patient = len(rows.patience_ns) == 0
    in_use, few = held[k], servers <= FEW
    for j in range(begin, len(order)):
        i = order[j]
        v = k * n + i
        enter = start = times[ENTERED, v]
        if few:
            start = max(enter, free_ns[0])
        elif servers < UNLIMITED and (in_use == 0 or free_ns[0] > enter):
            if in_use == servers:
                start = free_ns[0]
            elif in_use == len(free_ns):
                held[k] = in_use
                return j
        deadline = enter + limit if limit < UNLIMITED else END_OF_TIME
        patience = UNLIMITED if patient else rows.patience_ns[v]
        leave = min(deadline, enter + patience if patience < UNLIMITED else END_OF_TIME)
        done, judged = start + rows.service_ns[v], leave
        if start > leave:
            visit = WAITED_OUT if leave == deadline else ABANDONED
            times[STARTED, v], times[FINISHED, v], times[BUSY, v] = -1, leave, 0
        else:
            finish, free = min(done, deadline), done
            if done <= deadline:
                visit = ACCEPTED if rows.accept[v] else DECLINED
                judged = done
                if rows.verify[v] and len(rows.verifier_ns):
                    judged += rows.verifier_ns[v]
            else:
                visit, judged = WORKED_OUT, deadline
                if cancel:
                    free = deadline
            times[STARTED, v], times[FINISHED, v], times[BUSY, v] = start, finish, free - start
            if few:
                _put(free_ns, servers, free)
            elif servers < UNLIMITED:
                in_use = _occupy(free_ns, in_use, enter, servers, free)
        if done < 0 or judged < 0:
            return TOO_LATE
        out.visit[v] = visit
        if visit == ACCEPTED:
            answer(out, judged, i, k, out.request[i], k)
        else:
            failed = visit != DECLINED
            status = (TIMED_OUT if failed else REJECTED) + ZERO
            to = go_on(ways_on, rows, out, judged, i, k, status, failed, gives_up and failed)
            _make_due(out, n, i, to, judged)
    held[k] = in_use
    return len(order)


@pasted
def _put(free_ns, servers, free):
    """Hold the first of few servers until `free`: no branch, so none is foretold wrongly."""
    last = free_ns[servers - 1]
    for j in range(servers - 1):
        free_ns[j] = min(max(free_ns[j], free), free_ns[j + 1])
    free_ns[servers - 1] = max(last, free)


@part
def _occupy(free_ns, in_use, enter, servers, free):
    """Hold the first server, or a fresh one, until `free`; return how many are in use."""
    if in_use < servers and (in_use == 0 or free_ns[0] > enter):
        at = in_use
        while at > 0 and free_ns[(at - 1) >> 2] > free:
            free_ns[at] = free_ns[(at - 1) >> 2]
            at = (at - 1) >> 2
        free_ns[at] = free
        return in_use + 1
    at = 0
    while 4 * at + 1 < in_use:
        least = 4 * at + 1
        first_ns = free_ns[least]
        for child in range(least + 1, min(least + 4, in_use)):
            child_ns = free_ns[child]
            least = child if child_ns < first_ns else least
            first_ns = min(child_ns, first_ns)
        if free <= first_ns:
            break
        free_ns[at] = first_ns
        at = least
    free_ns[at] = free
    return in_use
