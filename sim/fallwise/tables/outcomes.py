"""What happened to the requests: simulated, or recorded live into the same columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np

from fallwise.tables.table import (
    Float32s,
    Floats,
    Int8s,
    Int64s,
    Provenance,
    Table,
    column,
    seconds,
)

__all__ = [
    "ABANDONED",
    "ACCEPTED",
    "ANSWERED",
    "CALL_COUNTS",
    "CALL_TIMES",
    "CUT_SHORT",
    "DECLINED",
    "ERRORED",
    "FAILED",
    "MISSED",
    "NOT_VISITED",
    "RATE_LIMITED",
    "REFUSED",
    "REJECTED",
    "SHED",
    "STATUSES",
    "STATUS_AFTER",
    "TIMED_OUT",
    "TURNED_AWAY",
    "VISITS",
    "WAITED_OUT",
    "WORKED_OUT",
    "OutcomeTable",
]

# How a request ended. Every request ends exactly once.
ANSWERED: Final = 0
REJECTED: Final = 1
TIMED_OUT: Final = 2
SHED: Final = 3
REFUSED: Final = 4
FAILED: Final = 5
STATUSES: Final = ("answered", "rejected", "timed_out", "shed", "refused", "failed")

# How a request's visit to one tier ended.
NOT_VISITED: Final = 0
ACCEPTED: Final = 1
"""It answered, and the answer was accepted (at a cache: a hit)."""
DECLINED: Final = 2
"""It answered, and the answer was not accepted."""
MISSED: Final = 3
"""A cache did not have it."""
WAITED_OUT: Final = 4
"""The timeout struck in the queue."""
WORKED_OUT: Final = 5
"""The timeout struck in service."""
ABANDONED: Final = 6
"""Patience ended in the queue."""
TURNED_AWAY: Final = 7
"""The queue was at its limit."""
ERRORED: Final = 8
"""The call failed: refused, cut off, or answered with an error."""
RATE_LIMITED: Final = 9
"""The call was over a limit of requests or tokens a minute."""
CUT_SHORT: Final = 10
"""A circuit breaker was open: no call was made."""
VISITS: Final = (
    "not_visited",
    "accepted",
    "declined",
    "missed",
    "waited_out",
    "worked_out",
    "abandoned",
    "turned_away",
    "errored",
    "rate_limited",
    "cut_short",
)

STATUS_AFTER: Final = {
    DECLINED: REJECTED,
    WAITED_OUT: TIMED_OUT,
    WORKED_OUT: TIMED_OUT,
    ABANDONED: TIMED_OUT,
    TURNED_AWAY: SHED,
    ERRORED: FAILED,
    RATE_LIMITED: FAILED,
    CUT_SHORT: FAILED,
}
"""How a request ends whose last visit ended so (rule 8 of docs/engine.md)."""

CALL_COUNTS: Final = ("attempts", "errors", "rate_limited", "hedges", "cut_off", "outrun")
"""The columns that count what happened to the calls of a visit."""
CALL_TIMES: Final = ("queued_ns", "paused_ns")
"""The columns that say how long it was between them, present where CALL_COUNTS are."""


@dataclass(frozen=True, eq=False)
class OutcomeTable(Table):
    """What happened to n requests at K tiers; a live run has the same columns.

    request         (n,)    int64    the request's row in its RequestTable
    arrival_ns      (n,)    int64
    end_ns          (n,)    int64    when the request ended, whichever way
    status          (n,)    int8     ANSWERED ... FAILED
    hit_tier        (n,)    int8     the tier whose answer was shipped; -1 unless answered
    answer_of       (n,)    int64    the request whose answer was shipped: its own row or, at a
                                     cache hit, the row that filled it; -1 unless answered
    answer_tier     (n,)    int8     the tier that made that answer; -1 unless answered
    visit           (n, K)  int8     NOT_VISITED ... CUT_SHORT
    enter_ns        (n, K)  int64    -1 where not visited
    start_ns        (n, K)  int64    when a server took it first; -1 where none did
    finish_ns       (n, K)  int64    when the visit ended, before its verifier looked; -1 where
                                     not visited
    busy_ns         (n, K)  int64    how long a server was held, in all
    attempts        (n, K)  int8     optional, as all down to `paused_ns`, and 0 at tiers whose
                                     visits are one call: attempts begun
    errors          (n, K)  int8     calls that failed
    rate_limited    (n, K)  int8     attempts over a limit
    hedges          (n, K)  int8     second calls
    cut_off         (n, K)  int8     calls in service that a timeout ended
    outrun          (n, K)  int8     calls in service when the other one of a hedge answered
    queued_ns       (n, K)  int64    how long it stood in the queue, in all its attempts
    paused_ns       (n, K)  int64    how long it was between two attempts
    visit_cost_usd  (n, K)  float64  optional, filled by the analysis or by a live recorder
    cost_usd        (n,)    float64  optional: all visits, and the router
    correct         (n,)    float32  optional: grade of the shipped answer; 0 where none was
    rented_ns       (n, K)  int64    optional: time of the replicas or agents that tier k rented
                                     since the arrival before, where those come and go; else 0
    """

    request: Int64s = column(np.int64, "n", low=0)
    arrival_ns: Int64s = column(np.int64, "n", low=0)
    end_ns: Int64s = column(np.int64, "n", low=0)
    status: Int8s = column(np.int8, "n", low=0, high=FAILED)
    hit_tier: Int8s = column(np.int8, "n", low=-1)
    answer_of: Int64s = column(np.int64, "n", low=-1)
    answer_tier: Int8s = column(np.int8, "n", low=-1)
    visit: Int8s = column(np.int8, "nK", low=0, high=CUT_SHORT)
    enter_ns: Int64s = column(np.int64, "nK", low=-1)
    start_ns: Int64s = column(np.int64, "nK", low=-1)
    finish_ns: Int64s = column(np.int64, "nK", low=-1)
    busy_ns: Int64s = column(np.int64, "nK", low=0)
    attempts: Int8s | None = column(np.int8, "nK", low=0, optional=True)
    errors: Int8s | None = column(np.int8, "nK", low=0, optional=True)
    rate_limited: Int8s | None = column(np.int8, "nK", low=0, optional=True)
    hedges: Int8s | None = column(np.int8, "nK", low=0, optional=True)
    cut_off: Int8s | None = column(np.int8, "nK", low=0, optional=True)
    outrun: Int8s | None = column(np.int8, "nK", low=0, optional=True)
    queued_ns: Int64s | None = column(np.int64, "nK", low=0, optional=True)
    paused_ns: Int64s | None = column(np.int64, "nK", low=0, optional=True)
    visit_cost_usd: Floats | None = column(np.float64, "nK", low=0, optional=True)
    cost_usd: Floats | None = column(np.float64, "n", low=0, optional=True)
    correct: Float32s | None = column(np.float32, "n", low=0, high=1, optional=True)
    rented_ns: Int64s | None = column(np.int64, "nK", low=0, optional=True)
    provenance: Provenance = Provenance()

    def check(self) -> Self:
        """Return the table itself; TableError with column, row and value if it breaks a rule."""
        super().check()
        answered = self.status == ANSWERED
        for name in ("hit_tier", "answer_of", "answer_tier"):
            known = getattr(self, name) >= 0
            self.refuse(name, known != answered, "must be -1 just where nothing was answered")
        for name in ("hit_tier", "answer_tier"):
            self.refuse(name, getattr(self, name) >= self.tiers, f"must be below {self.tiers}")
        self.refuse("end_ns", self.end_ns < self.arrival_ns, "must not be before arrival_ns")
        away = self.visit == NOT_VISITED
        for name in ("enter_ns", "finish_ns"):
            absent = getattr(self, name) < 0
            self.refuse(name, absent != away, "must be -1 just where the tier was not visited")
        started = self.start_ns >= 0
        self.refuse("start_ns", started & away, "must be -1 where the tier was not visited")
        order = "must be in the order arrival, enter, start, finish"
        self.refuse("enter_ns", ~away & (self.enter_ns < self.arrival_ns[:, None]), order)
        self.refuse("start_ns", started & (self.start_ns < self.enter_ns), order)
        self.refuse("finish_ns", self.finish_ns < np.maximum(self.enter_ns, self.start_ns), order)
        return self

    @cached_property
    def sojourn_s(self) -> Floats:
        """(n,) seconds from arrival to end."""
        return seconds(self.end_ns - self.arrival_ns)

    @cached_property
    def wait_s(self) -> Floats:
        """(n, K) seconds in tier k's queue."""
        return seconds(np.stack([self.waited_ns(k) for k in range(self.tiers)], axis=1))

    def waited_ns(self, k: int) -> Int64s:
        """(n,) time in tier k's queue: to the start, or to the end of a visit without one.

        Where a visit made several attempts, in all of them. 0 where the tier was not visited.
        """
        start, finish = self.start_ns[:, k], self.finish_ns[:, k]
        waited: Int64s = np.where(start >= 0, start, finish) - self.enter_ns[:, k]
        if self.attempts is None or self.queued_ns is None:
            return waited
        return np.where(self.attempts[:, k] > 0, self.queued_ns[:, k], waited)

    @cached_property
    def path(self) -> Int64s:
        """(n,) the tiers visited, bit k set for tier k."""
        path = np.zeros(len(self), np.int64)
        for k in range(self.tiers):
            path += (self.visit[:, k] != NOT_VISITED) * np.int64(1 << k)
        return path
