"""Requests block by block: memory for a block and what is under way, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np

from fallwise.engines.compiled import Run, Way, run
from fallwise.engines.layout import OPEN, STATUS, Rows, Visits
from fallwise.engines.plan import Plan
from fallwise.tables import Bools, Decisions, Float32s, Int64s, OutcomeTable, RequestTable

__all__ = ["Settled", "simulate_blocks"]

GONE: Final = -2
"""Status of a request that has been yielded, while a server is still busy with it."""


@dataclass(frozen=True)
class Settled:
    """Requests that have ended; row i of all parts is the same one, in the order of arrival.

    outcomes    `request` and `answer_of` count from the first row of the first block
    grade       (n,) float32 what `grades` said of the shipped answer in the row that it was made
                for, which may be in a block long gone; 0 where nothing was answered
    """

    requests: RequestTable
    decisions: Decisions
    outcomes: OutcomeTable
    grade: Float32s


def simulate_blocks(
    plan: Plan,
    blocks: Iterable[tuple[RequestTable, Decisions]],
    grades: Callable[[RequestTable], Float32s],
    way: Way | None = None,
) -> Iterator[Settled]:
    """Yield every request once, soon after it has ended.

    The blocks are cut from one table, in order. All that is yielded, sorted by `request`, is what
    `simulate` returns of that table, wherever it was cut. grades returns one (n, K) column of a
    table, of which no engine knows what it means.
    """
    going, table = run(plan, way), None
    for requests, decisions in blocks:
        if not len(requests):
            continue
        block = _Table.of(plan, requests, decisions, grades(requests), table)
        table = block if table is None else table.followed_by(block)
        going.advance(Rows.of(plan, table.requests, table.decisions), table.out, final=False)
        yield from table.settled()
        table = table.carried(going)
    if table is not None and len(table.requests):
        going.advance(Rows.of(plan, table.requests, table.decisions), table.out, final=True)
        yield from table.settled()


@dataclass
class _Table:
    """The requests under way, and what the answers are worth that may still be shipped."""

    requests: RequestTable
    decisions: Decisions
    grades: Float32s
    out: Visits
    rents: bool
    seen: int
    """How many requests have come in all."""
    cached: Int64s
    cached_grades: Float32s
    """(m, K) of the requests in `cached`, which ascend."""

    @classmethod
    def of(
        cls,
        plan: Plan,
        requests: RequestTable,
        decisions: Decisions,
        grades: Float32s,
        before: Self | None,
    ) -> Self:
        n, tiers = len(requests), requests.tiers
        seen = 0 if before is None else before.seen
        out = Visits.empty(np.arange(seen, seen + n), requests, plan.rents)
        nothing = np.empty(0, np.int64), np.empty((0, tiers), np.float32)
        return cls(requests, decisions, grades, out, plan.rents, seen + n, *nothing)

    def followed_by(self, block: Self) -> Self:
        requests = RequestTable.concat([self.requests, block.requests])
        request = np.concatenate([self.out.request, block.out.request])
        out = Visits.empty(request, requests, self.rents)
        out.begin_with(self.out)
        parts = zip(_parts(self.decisions), _parts(block.decisions), strict=True)
        decisions = Decisions(*(np.asfortranarray(np.concatenate(pair)) for pair in parts))
        grades = np.concatenate([self.grades, block.grades])
        return replace(
            self, requests=requests, decisions=decisions, grades=grades, out=out, seen=block.seen
        )

    def settled(self) -> Iterator[Settled]:
        """Yield the requests that have ended, if there are any."""
        ended = self.out.marks[STATUS] >= 0
        outcomes = self.out.table(self.requests, self.rents)
        if ended.all():
            grade = self._grade(outcomes, self.grades)
            yield Settled(self.requests, self.decisions, outcomes, grade)
        elif ended.any():
            outcomes = outcomes.take(ended)
            decisions = _taken(self.decisions, ended)
            grade = self._grade(outcomes, self.grades.compress(ended, axis=0))
            yield Settled(self.requests.take(ended), decisions, outcomes, grade)

    def _grade(self, outcomes: OutcomeTable, own: Float32s) -> Float32s:
        """Return (n,) what the shipped answers are worth; own (n, K) is of each request's own."""
        grade, tier = np.zeros(len(outcomes), np.float32), outcomes.answer_tier
        for k in range(outcomes.tiers):
            grade += own[:, k] * (tier == k)
        cached = np.flatnonzero((tier >= 0) & (outcomes.answer_of != outcomes.request))
        if len(cached):
            grades = self._grades_of(outcomes.answer_of[cached])
            grade[cached] = grades[np.arange(len(cached)), tier[cached]]
        return grade

    def _grades_of(self, request: Int64s) -> Float32s:
        """Return (m, K) the grades of requests that are here or were in the cache."""
        grades = np.empty((len(request), self.requests.tiers), np.float32)
        for known, values in ((self.cached, self.cached_grades), (self.out.request, self.grades)):
            if len(known):
                at = np.minimum(np.searchsorted(known, request), len(known) - 1)
                here = known[at] == request
                grades[here] = values[at[here]]
        return grades

    def carried(self, going: Run) -> Self:
        """Return what has to be there for the next block."""
        cached = going.cached()
        cached_grades = self._grades_of(cached)
        kept = going.keep(self.out, self.out.marks[STATUS] == OPEN)
        out = self.out.taken(kept)
        status = out.marks[STATUS]
        status[status != OPEN] = GONE
        return replace(
            self,
            requests=self.requests.take(kept),
            decisions=_taken(self.decisions, kept),
            grades=self.grades[kept],
            out=out,
            cached=cached,
            cached_grades=cached_grades,
        )


def _parts(decisions: Decisions) -> tuple[Any, ...]:
    return tuple(getattr(decisions, field.name) for field in fields(decisions))


def _taken(decisions: Decisions, rows: Bools) -> Decisions:
    return Decisions(*(np.asfortranarray(column[rows]) for column in _parts(decisions)))
