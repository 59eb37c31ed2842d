"""The fast engine: what docs/engine.md says, in arrays, by one of two ways with the same result.

The loop handles event after event and can do everything. The pass goes tier by tier and can do what
`sweep.is_exact` says; it is taken where it can be.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from fallwise.engines import loop, lru, state, sweep
from fallwise.engines.layout import ENTERED, Rows, Visits
from fallwise.engines.plan import Plan
from fallwise.engines.tiers import following_of, tiers_of
from fallwise.engines.units import END_OF_TIME
from fallwise.errors import Problem, TableError
from fallwise.tables import Bools, Decisions, Int64s, OutcomeTable, RequestTable

__all__ = ["Run", "Way", "run", "simulate"]

Way = Literal["loop", "pass"]


def simulate(
    plan: Plan, requests: RequestTable, decisions: Decisions, way: Way | None = None
) -> OutcomeTable:
    """Return what happens to the requests; cost and correctness are left to the analysis.

    The result does not depend on the way. TableError if a time does not fit into int64.
    """
    out = Visits.empty(np.arange(len(requests)), requests, plan.rents)
    run(plan, way).advance(Rows.of(plan, requests, decisions), out, final=True)
    return out.table(requests, plan.rents)


class Run(Protocol):
    """A run between two blocks of requests."""

    def advance(self, rows: Rows, out: Visits, *, final: bool) -> None:
        """Handle what is sure, given that further requests come no earlier than the last row.

        The first rows are those that were kept, then come new ones.
        """

    def keep(self, out: Visits, under_way: Bools) -> Bools:
        """Return which rows must be there at the next call, and count on it that they are."""

    def cached(self) -> Int64s:
        """Return the requests whose answers a later hit may ship, and perhaps some more."""


def run(plan: Plan, way: Way | None = None) -> Run:
    """Return a run before its first request."""
    if way == "loop" or not sweep.is_exact(plan):
        assert way != "pass", "the pass cannot do this plan"
        return _Loop(plan)
    return _Pass(plan)


class _Loop:
    def __init__(self, plan: Plan):
        self.state = state.fresh(plan)
        self.lru = lru.fresh(plan.capacity, plan.ttl_ns, plan.warm, plan.away)

    def advance(self, rows: Rows, out: Visits, *, final: bool) -> None:
        while True:
            said = loop.run(rows, out, self.state, self.lru, final)
            if said == loop.THROUGH:
                return
            if said == loop.TOO_LATE:
                raise _too_late()
            if self.lru.state["crowded"][0]:
                self.lru = lru.grown(self.lru)
            else:
                self.state = state.with_more_room(self.state, out)

    def keep(self, out: Visits, under_way: Bools) -> Bools:
        kept = under_way | state.rows_in_use(self.state, out)
        self.state = state.carried(self.state, out, kept)
        return kept

    def cached(self) -> Int64s:
        held = np.unique(self.lru.slots["request"][: self.lru.state["unused"][0]])
        return held[held >= 0]


class _Pass:
    def __init__(self, plan: Plan):
        self.tiers, self.ways_on = tiers_of(plan), following_of(plan)
        self.held = np.zeros(len(plan.role), np.int64)
        self.free_ns = [np.full(sweep.FEW, -1) for _ in plan.role]
        self.admitted = 0

    def advance(self, rows: Rows, out: Visits, *, final: bool) -> None:
        told = self.tiers, self.ways_on, rows, out
        sweep.admit(*told, self.admitted)
        room = np.empty(len(rows.arrival_ns), np.int64)
        for k in range(len(self.held)):
            order = self._order(rows, out, k, final, room)
            done = 0
            while done < len(order):
                free_ns = self.free_ns[k]
                done = sweep.serve(*told, order, done, k, free_ns, self.held)
                if done == sweep.TOO_LATE:
                    raise _too_late()
                if done < len(order):
                    self.free_ns[k] = np.concatenate([free_ns, np.empty_like(free_ns)])

    def _order(self, rows: Rows, out: Visits, k: int, final: bool, order: Int64s) -> Int64s:
        """Return the rows that enter tier k now, in their order."""
        n = len(rows.arrival_ns)
        until = END_OF_TIME if final else int(rows.arrival_ns[-1])
        count = sweep.due(out, n, k, until, order)
        if count >= 0:
            return order[:count]
        order = order[: -1 - count]
        # Rows of one time stay in order.
        return order[np.argsort(out.times[ENTERED, k * n + order], kind="stable")]

    def keep(self, out: Visits, under_way: Bools) -> Bools:
        self.admitted = int(under_way.sum())
        return under_way

    def cached(self) -> Int64s:
        return np.empty(0, np.int64)


def _too_late() -> TableError:
    rule = "the run goes past 292 years, where int64 nanoseconds end"
    return TableError(Problem(rule, "draw fewer or shorter requests, or add servers"))
