"""The arrays that the compiled engine works on, and what both its ways do with them.

Columns of (n, K) are flat, tier after tier: row i at tier k stands at k * n + i.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fallwise.engines.calls import Calls, no_calls
from fallwise.engines.capacity import HoursByTier
from fallwise.engines.fleet import FleetByTier
from fallwise.engines.jit import pasted
from fallwise.engines.plan import CACHE, Plan
from fallwise.tables import (
    ANSWERED,
    CALL_COUNTS,
    REFUSED,
    Bools,
    Decisions,
    Int8s,
    Int64s,
    OutcomeTable,
    RequestTable,
)

__all__ = [
    "NONE_LEFT",
    "NONE_LOCAL",
    "OPEN",
    "Rows",
    "Tiers",
    "Visits",
    "answer",
    "asks_cache",
    "count_nothing",
    "following",
    "go_on",
    "route",
]

# Where `following` leads when there is no further tier.
NONE_LEFT: Final = -1
NONE_LOCAL: Final = -2

OPEN: Final = -1
"""Status of a request under way."""

WIDE: Final = (
    *("visit", "enter_ns", "start_ns", "finish_ns", "busy_ns", "rented_ns"),
    *CALL_COUNTS,
)
"""The columns of (n, K); those of CALL_COUNTS are empty where no visit is of several calls."""


class Tiers(NamedTuple):
    """A Plan in arrays, (K,) unless it says otherwise."""

    role: Int8s
    servers: Int64s
    queue_limit: Int64s
    timeout_ns: Int64s
    cancel: Bools
    local: Bools
    give_up: Bools
    fills: Bools
    pair: Int64s
    """First tier of the pair that it belongs to, -1 where it belongs to none."""
    following: Int64s
    """(4 * (K + 1),) the first tier at or after k for a request that may go anywhere, then for one
    that must stay local; NONE_LEFT or NONE_LOCAL. Then both again, where tier k - 1 failed."""
    hours: HoursByTier
    fleet: FleetByTier
    calls: Calls

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return the plan, with its pairs and ways on looked up."""
        tiers = len(plan.role)
        pair = np.where(plan.paired, np.arange(tiers) - 1, -1)
        pair[:-1] = np.where(plan.paired[1:], np.arange(tiers - 1), pair[:-1])
        return cls(
            role=_flat(plan.role, np.int8),
            servers=_flat(plan.servers, np.int64),
            queue_limit=_flat(plan.queue_limit, np.int64),
            timeout_ns=_flat(plan.timeout_ns, np.int64),
            cancel=_flat(plan.cancel, np.bool_),
            local=_flat(plan.local, np.bool_),
            give_up=_flat(plan.give_up, np.bool_),
            fills=_flat(plan.fills, np.bool_),
            pair=_flat(pair, np.int64),
            following=np.array(
                [
                    _following(plan, k, stays, failed)
                    for failed in (False, True)
                    for stays in (False, True)
                    for k in range(tiers + 1)
                ],
                np.int64,
            ),
            hours=HoursByTier.of(plan.hours, tiers),
            fleet=FleetByTier.of(plan.fleet, tiers),
            calls=Calls(
                *(
                    _flat(c, c.dtype)
                    for c in (no_calls(tiers) if plan.calls is None else plan.calls)
                )
            ),
        )


def _following(plan: Plan, k: int, stays: bool, failed: bool) -> int:
    """Return the first tier at or after k that is there for such a request, after such a visit."""
    fallback = np.zeros(len(plan.role), np.bool_) if plan.fallback is None else plan.fallback
    there = ~fallback
    if failed:  # The fallbacks that follow directly are there, too.
        there[k : k + int(np.argmin(np.append(fallback[k:], False)))] = True
    ahead = np.flatnonzero(there[k:])
    mine = np.flatnonzero((there & plan.local)[k:]) if stays else ahead
    if len(mine):
        return k + int(mine[0])
    return NONE_LOCAL if len(ahead) else NONE_LEFT


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
    output_tokens: Int64s
    """No entries where nobody serves by tokens or limits them."""
    call_ns: Int64s
    call_fails: Bools
    error_ns: Int64s
    pause_ns: Int64s

    @classmethod
    def of(cls, plan: Plan, requests: RequestTable, decisions: Decisions) -> Self:
        """Return the columns that an engine reads, copied only where they lie otherwise."""
        by_tokens = plan.calls is not None or (plan.fleet is not None and plan.fleet.is_batching)

        def optional(values: NDArray[Any] | None, dtype: Any = np.int64) -> NDArray[Any]:
            return np.empty(0, dtype) if values is None else _flat(values, dtype)

        return cls(
            arrival_ns=_flat(requests.arrival_ns, np.int64),
            key=_flat(requests.key, np.int64),
            local=_flat(requests.local, np.bool_),
            service_ns=_flat(requests.service_ns, np.int64),
            verifier_ns=optional(requests.verifier_ns),
            router_ns=optional(requests.router_ns),
            patience_ns=optional(requests.patience_ns),
            start=_flat(decisions.start, np.int8),
            accept=_flat(decisions.accept, np.bool_),
            verify=_flat(decisions.verify, np.bool_),
            prompt_tokens=optional(requests.prompt_tokens if by_tokens else None),
            output_tokens=optional(requests.output_tokens if by_tokens else None),
            call_ns=optional(requests.call_ns),
            call_fails=optional(requests.call_fails, np.bool_),
            error_ns=optional(requests.error_ns),
            pause_ns=optional(requests.pause_ns),
        )


class Visits(NamedTuple):
    """The columns of an OutcomeTable that an engine writes."""

    request: Int64s
    end_ns: Int64s
    status: Int8s
    hit_tier: Int8s
    answer_of: Int64s
    answer_tier: Int8s
    visit: Int8s
    enter_ns: Int64s
    start_ns: Int64s
    finish_ns: Int64s
    busy_ns: Int64s
    rented_ns: Int64s
    """No entries where the plan rents nothing that comes and goes."""
    attempts: Int8s
    errors: Int8s
    rate_limited: Int8s
    hedges: Int8s
    cut_off: Int8s
    outrun: Int8s

    @classmethod
    def empty(cls, request: Int64s, requests: RequestTable, rents: bool) -> Self:
        """Return columns for these requests; whatever handles them writes every cell."""
        n, tiers = len(request), requests.tiers
        wide: list[Any] = [np.empty(n * tiers, np.int64) for _ in range(4)]
        one, two = (np.empty(n, np.int64) for _ in range(2))
        status, hit_tier, answer_tier = (np.empty(n, np.int8) for _ in range(3))
        visit = np.empty(n * tiers, np.int8)
        wide.append(np.empty(n * tiers if rents else 0, np.int64))
        cells = 0 if requests.call_ns is None else n * tiers
        counts: list[Any] = [np.empty(cells, np.int8) for _ in CALL_COUNTS]
        return cls(request, one, status, hit_tier, two, answer_tier, visit, *wide, *counts)

    def table(self, requests: RequestTable, rents: bool) -> OutcomeTable:
        """Return the same memory as an OutcomeTable."""
        n = len(self.request)
        tiers = requests.tiers
        columns = {
            name: column.reshape(tiers, n).T if name in WIDE else column
            for name, column in self._asdict().items()
            if (rents or name != "rented_ns")
            and (requests.call_ns is not None or name not in CALL_COUNTS)
        }
        return OutcomeTable(
            arrival_ns=requests.arrival_ns, provenance=requests.provenance, **columns
        )


def _flat(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    # Neither another layout nor a read-only array may make numba compile everything once more.
    return np.require(values, dtype, ["F", "W"]).T.reshape(-1)


@pasted
def count_nothing(out, v):
    """Begin to count the calls of a visit, where they are counted."""
    if len(out.attempts):
        out.attempts[v] = out.errors[v] = out.rate_limited[v] = 0
        out.hedges[v] = out.cut_off[v] = out.outrun[v] = 0


@pasted
def asks_cache(tiers, rows, i):
    """Return True where the request visits the cache, and so may fill it."""
    return tiers.role[0] == CACHE and (tiers.local[0] or not rows.local[i])


@pasted
def following(tiers, rows, i, k, failed):
    """Return the first tier at or after k that the request may visit, or NONE_LEFT, NONE_LOCAL.

    failed: its visit to tier k - 1 did.
    """
    column = (1 if rows.local[i] else 0) + (2 if failed else 0)
    return tiers.following[k + column * (len(tiers.role) + 1)]


@pasted
def route(tiers, rows, out, now, i):
    """Return the first tier that is no cache and when it is entered, or (-1, now) and end it."""
    first = following(tiers, rows, i, max(rows.start[i], 1 if tiers.role[0] == CACHE else 0), False)
    if first < 0:
        out.status[i], out.end_ns[i] = REFUSED, now
        return np.int64(NONE_LEFT), now
    return first, now + (rows.router_ns[i] if len(rows.router_ns) else 0)


@pasted
def go_on(tiers, rows, out, now, i, k, status, failed, gives_up):
    """Return the tier after k; or end the request, and return a tier below 0."""
    tier = following(tiers, rows, i, k + 1, failed)
    if gives_up:
        tier = np.int64(NONE_LEFT)
    if tier < 0:
        out.status[i], out.end_ns[i] = REFUSED if tier == NONE_LOCAL else status, now
    return tier


@pasted
def answer(out, at_ns, i, k, answer_of, answer_tier):
    """End a request with an answer that came from tier k."""
    out.status[i], out.end_ns[i], out.hit_tier[i] = ANSWERED, at_ns, k
    out.answer_of[i], out.answer_tier[i] = answer_of, answer_tier
