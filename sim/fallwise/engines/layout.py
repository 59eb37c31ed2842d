"""The arrays that the compiled engine works on, and what both its ways do with them.

Columns of (n, K) are flat, tier after tier: row i at tier k stands at k * n + i.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fallwise.engines.capacity import HoursByTier
from fallwise.engines.fleet import FleetByTier
from fallwise.engines.jit import pasted
from fallwise.engines.plan import CACHE, Plan
from fallwise.tables import (
    ANSWERED,
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
    "following",
    "go_on",
    "route",
]

# Where `following` leads when there is no further tier.
NONE_LEFT: Final = -1
NONE_LOCAL: Final = -2

OPEN: Final = -1
"""Status of a request under way."""

WIDE: Final = ("visit", "enter_ns", "start_ns", "finish_ns", "busy_ns", "rented_ns")
"""The columns of (n, K)."""


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
    """(2 * (K + 1),) the first tier at or after k for a request that may go anywhere, then for one
    that must stay local; NONE_LEFT or NONE_LOCAL."""
    hours: HoursByTier
    fleet: FleetByTier

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return the plan, with its pairs and ways on looked up."""
        tiers = len(plan.role)
        pair = np.where(plan.paired, np.arange(tiers) - 1, -1)
        pair[:-1] = np.where(plan.paired[1:], np.arange(tiers - 1), pair[:-1])
        local = [np.flatnonzero(plan.local[k:]) for k in range(tiers)]
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
                [*range(tiers), NONE_LEFT]
                + [k + int(to[0]) if len(to) else NONE_LOCAL for k, to in enumerate(local)]
                + [NONE_LEFT],
                np.int64,
            ),
            hours=HoursByTier.of(plan.hours, tiers),
            fleet=FleetByTier.of(plan.fleet, tiers),
        )


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
    """No entries where nobody serves by tokens."""

    @classmethod
    def of(cls, plan: Plan, requests: RequestTable, decisions: Decisions) -> Self:
        """Return the columns that an engine reads, copied only where they lie otherwise."""
        none = np.empty(0, np.int64)
        by_tokens = plan.fleet is not None and plan.fleet.is_batching

        def optional(values: Int64s | None) -> NDArray[Any]:
            return none if values is None else _flat(values, np.int64)

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
            prompt_tokens=_flat(requests.prompt_tokens, np.int64) if by_tokens else none,
            output_tokens=_flat(requests.output_tokens, np.int64) if by_tokens else none,
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

    @classmethod
    def empty(cls, request: Int64s, tiers: int, rents: bool) -> Self:
        """Return columns for these requests; whatever handles them writes every cell."""
        n = len(request)
        wide = [np.empty(n * tiers, np.int64) for _ in range(4)]
        one, two = (np.empty(n, np.int64) for _ in range(2))
        status, hit_tier, answer_tier = (np.empty(n, np.int8) for _ in range(3))
        visit = np.empty(n * tiers, np.int8)
        wide.append(np.empty(n * tiers if rents else 0, np.int64))
        return cls(request, one, status, hit_tier, two, answer_tier, visit, *wide)

    def table(self, requests: RequestTable, rents: bool) -> OutcomeTable:
        """Return the same memory as an OutcomeTable."""
        n = len(self.request)
        tiers = requests.tiers
        columns = {
            name: column.reshape(tiers, n).T if name in WIDE else column
            for name, column in self._asdict().items()
            if rents or name != "rented_ns"
        }
        return OutcomeTable(
            arrival_ns=requests.arrival_ns, provenance=requests.provenance, **columns
        )


def _flat(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    # Neither another layout nor a read-only array may make numba compile everything once more.
    return np.require(values, dtype, ["F", "W"]).T.reshape(-1)


@pasted
def asks_cache(tiers, rows, i):
    """Return True where the request visits the cache, and so may fill it."""
    return tiers.role[0] == CACHE and (tiers.local[0] or not rows.local[i])


@pasted
def following(tiers, rows, i, k):
    """Return the first tier at or after k that the request may visit, or NONE_LEFT, NONE_LOCAL."""
    return tiers.following[k + (len(tiers.role) + 1 if rows.local[i] else 0)]


@pasted
def route(tiers, rows, out, now, i):
    """Return the first tier that is no cache and when it is entered, or (-1, now) and end it."""
    first = following(tiers, rows, i, max(rows.start[i], 1 if tiers.role[0] == CACHE else 0))
    if first < 0:
        out.status[i], out.end_ns[i] = REFUSED, now
        return np.int64(NONE_LEFT), now
    return first, now + (rows.router_ns[i] if len(rows.router_ns) else 0)


@pasted
def go_on(tiers, rows, out, now, i, k, status, gives_up):
    """Return the tier after k; or end the request, and return a tier below 0."""
    tier = following(tiers, rows, i, k + 1)
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
