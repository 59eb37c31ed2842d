"""The pass: tier by tier, where nothing that happens at a tier feeds back to an earlier one.

Requests enter a tier in the order of (time, row), whatever happens at other tiers; of a tier with c
servers one has to know only when each of them is free next (Kiefer and Wolfowitz, On the theory
of queues with many servers, 1955). A request that would start after its timeout or the end of its
patience leaves without having touched a server. So each tier is one loop over those who enter it,
and who goes on from it is sorted by time for the next one. A visit to come is marked DUE, its
enter_ns written.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

from fallwise.engines.jit import kept, part
from fallwise.engines.layout import OPEN, answer, count_nothing, go_on, route
from fallwise.engines.plan import CACHE, UNLIMITED, Plan
from fallwise.tables import (
    ABANDONED,
    ACCEPTED,
    DECLINED,
    MISSED,
    NOT_VISITED,
    REJECTED,
    TIMED_OUT,
    WAITED_OUT,
    WORKED_OUT,
)

__all__ = ["DUE", "TOO_LATE", "admit", "is_exact", "serve"]

DUE: Final = 127
"""Visit that is to come."""
TOO_LATE: Final = -2
"""A time does not fit into int64."""
END_OF_TIME: Final = (1 << 63) - 1


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


def _admit_entry(source):
    def admit(tiers, rows, out, begin):
        """Write all cells of the rows from `begin` on, and make their first visits DUE."""
        if source < 0:  # Never; see jit.py.
            return -1
        n = len(rows.arrival_ns)
        for i in range(begin, n):
            out.status[i] = OPEN
            out.hit_tier[i] = out.answer_of[i] = out.answer_tier[i] = -1
            if tiers.role[0] == CACHE and (tiers.local[0] or not rows.local[i]):
                first, enter_ns = 0, rows.arrival_ns[i]
            else:
                first, enter_ns = route(tiers, rows, out, rows.arrival_ns[i], i)
            for k in range(len(tiers.role)):
                v = k * n + i
                count_nothing(out, v)
                if k == first:
                    out.visit[v], out.enter_ns[v] = DUE, enter_ns
                else:
                    out.visit[v] = NOT_VISITED
                    out.enter_ns[v] = out.start_ns[v] = out.finish_ns[v] = -1
                    out.busy_ns[v] = 0
        return 0

    return admit


def _serve_entry(source):
    def serve(tiers, rows, out, order, begin, k, free_ns, held):
        """Let rows order[begin:] visit tier k; return how many of order were done, or TOO_LATE.

        free_ns is a heap of the times when the servers in use are free next, held[k] how many
        those are. When it is full before all servers are in use, `serve` returns early: double it.
        """
        if source < 0:  # Never; see jit.py.
            return -1
        if tiers.role[k] == CACHE:
            return _miss(tiers, rows, out, order)
        return _serve(tiers, rows, out, order, begin, k, free_ns, held)

    return serve


@part
def _miss(tiers, rows, out, order):
    """Let rows visit a cache that nothing fills."""
    for i in order:
        finish = out.enter_ns[i] + rows.service_ns[i]
        out.start_ns[i], out.finish_ns[i], out.busy_ns[i] = out.enter_ns[i], finish, 0
        out.visit[i] = MISSED
        k, enter_ns = route(tiers, rows, out, finish, i)
        if finish < 0 or enter_ns < 0:
            return TOO_LATE
        if k >= 0:
            v = k * len(rows.arrival_ns) + i
            out.visit[v], out.enter_ns[v] = DUE, enter_ns
    return len(order)


@part
def _serve(tiers, rows, out, order, begin, k, free_ns, held):
    n, servers = len(rows.arrival_ns), tiers.servers[k]
    limit, cancel, gives_up = tiers.timeout_ns[k], tiers.cancel[k], tiers.give_up[k]
    patient = len(rows.patience_ns) == 0
    in_use = held[k]
    for j in range(begin, len(order)):
        i = order[j]
        v = k * n + i
        enter = start = out.enter_ns[v]
        if servers < UNLIMITED and (in_use == 0 or free_ns[0] > enter):
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
            out.start_ns[v], out.finish_ns[v], out.busy_ns[v] = -1, leave, 0
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
            out.start_ns[v], out.finish_ns[v], out.busy_ns[v] = start, finish, free - start
            if servers < UNLIMITED:
                in_use = _occupy(free_ns, in_use, enter, servers, free)
        if done < 0 or judged < 0:
            return TOO_LATE
        out.visit[v] = visit
        if visit == ACCEPTED:
            answer(out, judged, i, k, out.request[i], k)
        else:
            failed = visit != DECLINED
            status = TIMED_OUT if failed else REJECTED
            tier = go_on(tiers, rows, out, judged, i, k, status, failed, gives_up and failed)
            if tier >= 0:
                out.visit[tier * n + i], out.enter_ns[tier * n + i] = DUE, judged
    held[k] = in_use
    return len(order)


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


admit = kept(_admit_entry)
serve = kept(_serve_entry)
