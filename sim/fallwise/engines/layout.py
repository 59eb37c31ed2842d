"""The columns that the compiled engine reads and writes, and what both its ways do with them.

Columns of (n, K) are flat, tier after tier: row i at tier k stands at k * n + i.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fallwise.engines.jit import pasted
from fallwise.engines.plan import CACHE, Plan
from fallwise.engines.tiers import NONE_LEFT, NONE_LOCAL, prompts_of
from fallwise.tables import (
    ANSWERED,
    CALL_COUNTS,
    CALL_TIMES,
    REFUSED,
    Bools,
    Decisions,
    Int8s,
    Int64s,
    OutcomeTable,
    RequestTable,
)

__all__ = [
    "ATTEMPTS",
    "BUSY",
    "CUT_OFF",
    "ENTERED",
    "ERRORS",
    "FINISHED",
    "HEDGES",
    "LIMITED",
    "OPEN",
    "OUTRUN",
    "PAUSED",
    "QUEUED",
    "RENTED",
    "STARTED",
    "STATUS",
    "CallRows",
    "Rows",
    "Visits",
    "answer",
    "asks_cache",
    "begin_visits",
    "end",
    "following",
    "go_on",
    "route",
]

OPEN: Final = -1
"""Status of a request under way."""

# Rows of Visits.ends, Visits.marks, Visits.times and Visits.counts.
END: Final = 0
ANSWER_OF: Final = 1
STATUS: Final = 0
HIT_TIER: Final = 1
ANSWER_TIER: Final = 2
ENTERED: Final = 0
STARTED: Final = 1
FINISHED: Final = 2
BUSY: Final = 3
RENTED: Final = 4
QUEUED: Final = 5
PAUSED: Final = 6
ATTEMPTS: Final = 0
ERRORS: Final = 1
LIMITED: Final = 2
HEDGES: Final = 3
CUT_OFF: Final = 4
OUTRUN: Final = 5


class CallRows(NamedTuple):
    """The C calls that a request may make one after the other: call c of row i at c * n + i.

    pause_ns and fails have no entries where nobody pauses or fails.
    """

    ns: Int64s
    error_ns: Int64s
    pause_ns: Int64s
    fails: Bools

    @classmethod
    def of(cls, requests: RequestTable) -> Self:
        """Return the columns, copied only where they lie otherwise."""
        ns = _optional(requests.call_ns)
        error_ns = ns if requests.error_ns is None else _optional(requests.error_ns)
        fails = _optional(requests.call_fails, np.bool_)
        return cls(ns, error_ns, _optional(requests.pause_ns), fails)


class Rows(NamedTuple):
    """Requests and decisions; optional columns have no entries where they are absent."""

    arrival_ns: Int64s
    key: Int64s
    local: Bools
    service_ns: Int64s
    verifier_ns: Int64s
    router_ns: Int64s
    patience_ns: Int64s
    start: Int8s
    accept: Bools
    verify: Bools
    prompt_tokens: Int64s
    """(P * n,): a tier's own stand from its `prompt` * n on."""
    output_tokens: Int64s
    """No entries of both where nobody serves by tokens or limits them."""
    calls: CallRows

    @classmethod
    def of(cls, plan: Plan, requests: RequestTable, decisions: Decisions) -> Self:
        """Return the columns that an engine reads, copied only where they lie otherwise."""
        by_tokens = plan.calls is not None or (plan.fleet is not None and plan.fleet.is_batching)

        return cls(
            arrival_ns=_flat(requests.arrival_ns, np.int64),
            key=_flat(requests.key, np.int64),
            local=_flat(requests.local, np.bool_),
            service_ns=_flat(requests.service_ns, np.int64),
            verifier_ns=_optional(requests.verifier_ns),
            router_ns=_optional(requests.router_ns),
            patience_ns=_optional(requests.patience_ns),
            start=_flat(decisions.start, np.int8),
            accept=_flat(decisions.accept, np.bool_),
            verify=_flat(decisions.verify, np.bool_),
            prompt_tokens=_optional(_prompts(plan, requests) if by_tokens else None),
            output_tokens=_optional(requests.output_tokens if by_tokens else None),
            calls=CallRows.of(requests),
        )


def _prompts(plan: Plan, requests: RequestTable) -> Int64s:
    return np.concatenate([plan.prompt_tokens(requests, k) for k in prompts_of(plan)])


class Visits(NamedTuple):
    """The columns of an OutcomeTable that an engine writes; what stands where is named above."""

    request: Int64s
    ends: Int64s
    """(2, n)"""
    marks: Int8s
    """(3, n)"""
    visit: Int8s
    """(K * n,)"""
    times: Int64s
    """(4 to 7, K * n): up to RENTED where something comes and goes, all where calls are made."""
    counts: Int8s
    """(6, K * n), or (6, 0) where no calls are made."""

    @classmethod
    def empty(cls, request: Int64s, requests: RequestTable, rents: bool) -> Self:
        """Return columns for these requests, nothing begun: see `begin`."""
        n, tiers = len(request), requests.tiers
        calls = requests.call_ns is not None
        return cls(
            request,
            np.empty((2, n), np.int64),
            np.empty((3, n), np.int8),
            np.zeros(tiers * n, np.int8),
            np.zeros((PAUSED + 1 if calls else BUSY + 1 + rents, tiers * n), np.int64),
            np.zeros((len(CALL_COUNTS), tiers * n if calls else 0), np.int8),
        )

    def table(self, requests: RequestTable, rents: bool) -> OutcomeTable:
        """Return the same memory as an OutcomeTable."""
        n, tiers = len(self.request), requests.tiers

        def wide(column: NDArray[Any]) -> NDArray[Any]:
            return column.reshape(tiers, n).T

        columns = dict(
            zip(("enter_ns", "start_ns", "finish_ns", "busy_ns"), self.times, strict=False)
        )
        if rents:
            columns["rented_ns"] = self.times[RENTED]
        if requests.call_ns is not None:
            columns |= zip(CALL_TIMES, self.times[QUEUED:], strict=True)
            columns |= zip(CALL_COUNTS, self.counts, strict=True)
        return OutcomeTable(
            request=self.request,
            arrival_ns=requests.arrival_ns,
            end_ns=self.ends[END],
            answer_of=self.ends[ANSWER_OF],
            status=self.marks[STATUS],
            hit_tier=self.marks[HIT_TIER],
            answer_tier=self.marks[ANSWER_TIER],
            visit=wide(self.visit),
            **{name: wide(column) for name, column in columns.items()},
            provenance=requests.provenance,
        )

    def taken(self, rows: Bools) -> Self:
        """Return a copy of these rows."""

        def part(columns: NDArray[Any]) -> NDArray[Any]:
            if not columns.size:
                return columns.copy()
            kept = columns.reshape(-1, len(self.request))[:, rows]
            return kept.reshape(*columns.shape[:-1], -1)

        columns: tuple[NDArray[Any], ...] = self
        return type(self)(*map(part, columns))

    def begin_with(self, rows: Self) -> None:
        """Copy these rows over the first ones."""
        n, first = len(self.request), len(rows.request)
        pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(self, rows, strict=True)
        for mine, columns in pairs:
            if columns.size:
                mine.reshape(-1, n)[:, :first] = columns.reshape(-1, first)


def _optional(values: NDArray[Any] | None, dtype: Any = np.int64) -> NDArray[Any]:
    return np.empty(0, dtype) if values is None else _flat(values, dtype)


def _flat(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    # Neither another layout nor a read-only array may make numba compile everything once more.
    return np.require(values, dtype, ["F", "W"]).T.reshape(-1)


@pasted
def asks_cache(tiers, rows, i):
    """Return True where the request visits the cache, and so may fill it."""
    return tiers[0].role == CACHE and (tiers[0].local or not rows.local[i])


@pasted
def following(ways_on, rows, i, k, failed):
    """Return the first tier at or after k that the request may visit, or NONE_LEFT, NONE_LOCAL.

    failed: its visit to tier k - 1 did.
    """
    column = (1 if rows.local[i] else 0) + (2 if failed else 0)
    return ways_on[k + column * (len(ways_on) // 4)]


@pasted
def route(tiers, ways_on, rows, out, now, i):
    """Return the first tier that is no cache and when it is entered, or (-1, now) and end it."""
    earliest = max(rows.start[i], 1 if tiers[0].role == CACHE else 0)
    first = following(ways_on, rows, i, earliest, np.bool_(False))
    if first < 0:
        end(out, now, i, np.int64(REFUSED))
        return np.int64(NONE_LEFT), now
    return first, now + (rows.router_ns[i] if len(rows.router_ns) else 0)


@pasted
def go_on(ways_on, rows, out, now, i, k, status, failed, gives_up):
    """Return the tier after k; or end the request, and return a tier below 0."""
    tier = following(ways_on, rows, i, k + 1, failed)
    if gives_up:
        tier = np.int64(NONE_LEFT)
    if tier < 0:
        end(out, now, i, REFUSED if tier == NONE_LOCAL else status)
    return tier


@pasted
def end(out, now, i, status):
    """End a request without an answer."""
    out.marks[STATUS, i], out.ends[END, i] = status, now
    out.marks[HIT_TIER, i] = out.marks[ANSWER_TIER, i] = out.ends[ANSWER_OF, i] = -1


@pasted
def answer(out, at_ns, i, k, answer_of, answer_tier):
    """End a request with an answer that came from tier k."""
    out.marks[STATUS, i], out.ends[END, i], out.marks[HIT_TIER, i] = ANSWERED, at_ns, k
    out.ends[ANSWER_OF, i], out.marks[ANSWER_TIER, i] = answer_of, answer_tier


@pasted
def begin_visits(tiers, out, i, n, but_for):
    """Write what of a row's visits is not 0 before them, at all tiers but for one, or -1."""
    for k in range(len(tiers)):
        if k != but_for:
            v = k * n + i
            out.times[ENTERED, v] = out.times[STARTED, v] = out.times[FINISHED, v] = -1
