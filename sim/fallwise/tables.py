"""The tables that everything shares: requests drawn once, decisions made once, outcomes.

Row i is request i; there are n of them, and K tiers, tier 0 first. Times are int64 nanoseconds,
so that two engines can be equal to the last bit; `*_s` properties give seconds to people.
(n, K) columns are stored tier by tier (Fortran order).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ABANDONED",
    "ACCEPTED",
    "ANSWERED",
    "DECLINED",
    "FAILED",
    "MISSED",
    "NOT_VISITED",
    "REFUSED",
    "REJECTED",
    "SHED",
    "STATUSES",
    "TIMED_OUT",
    "TURNED_AWAY",
    "VISITS",
    "WAITED_OUT",
    "WORKED_OUT",
    "Decisions",
    "OutcomeTable",
    "Provenance",
    "RequestTable",
    "seconds",
]

Bools = NDArray[np.bool_]
Int8s = NDArray[np.int8]
Int16s = NDArray[np.int16]
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Floats = NDArray[np.float64]

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
VISITS: Final = (
    "not_visited",
    "accepted",
    "declined",
    "missed",
    "waited_out",
    "worked_out",
    "abandoned",
    "turned_away",
)


def seconds(ns: Int64s) -> Floats:
    """Return nanoseconds as seconds."""
    return ns / 1e9


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a table comes from."""

    version: str = ""
    scenario: str = ""
    scenario_hash: str = ""
    seed: int = 0


def _column(dtype: Any, shape: str, *, optional: bool = False) -> Any:
    """Declare a column: its dtype, its shape as 'n' or 'nK'; optional ones may be None."""
    metadata = {"dtype": np.dtype(dtype), "shape": shape, "optional": optional}
    if optional:
        return field(default=None, metadata=metadata)
    return field(metadata=metadata)


@dataclass(frozen=True)
class RequestTable:
    """n requests drawn once, and what would happen to each at every one of K tiers.

    arrival_ns      (n,)    int64    from the start of the run; never decreases
    segment         (n,)    int16    position in the scenario's segments
    key             (n,)    int64    equal keys are the same question
    local           (n,)    bool     may visit local tiers only
    prompt_tokens   (n,)    int32
    output_tokens   (n, K)  int32    what tier k would write
    service_ns      (n, K)  int64    how long tier k would hold a server (cache: the look-up), >= 0
    score           (n, K)  float64  what a policy sees of tier k's answer; 1 where a tier has none
    answer          (n, K)  int32    identity of tier k's answer; equal means agreement
    correct         (n, K)  float32  0 wrong, 1 right, between: graded. Seen by analysis only
    passes          (n, K)  bool     tier k's verifier would pass its answer; True where it has none
    false_hit       (n,)    bool     a cache hit would be on a different question
    verifier_ns     (n, K)  int64    optional: how long tier k's verifier would take
    router_ns       (n,)    int64    optional: how long the router would take
    router_score    (n,)    float64  optional: what the router sees
    patience_ns     (n, K)  int64    optional: time in tier k's queue before giving it up
    call_usd        (n, K)  float64  optional: recorded price of the call at tier k
    """

    arrival_ns: Int64s = _column(np.int64, "n")
    segment: Int16s = _column(np.int16, "n")
    key: Int64s = _column(np.int64, "n")
    local: Bools = _column(np.bool_, "n")
    prompt_tokens: Int32s = _column(np.int32, "n")
    output_tokens: Int32s = _column(np.int32, "nK")
    service_ns: Int64s = _column(np.int64, "nK")
    score: Floats = _column(np.float64, "nK")
    answer: Int32s = _column(np.int32, "nK")
    correct: Float32s = _column(np.float32, "nK")
    passes: Bools = _column(np.bool_, "nK")
    false_hit: Bools = _column(np.bool_, "n")
    verifier_ns: Int64s | None = _column(np.int64, "nK", optional=True)
    router_ns: Int64s | None = _column(np.int64, "n", optional=True)
    router_score: Floats | None = _column(np.float64, "n", optional=True)
    patience_ns: Int64s | None = _column(np.int64, "nK", optional=True)
    call_usd: Floats | None = _column(np.float64, "nK", optional=True)
    provenance: Provenance = Provenance()

    def __len__(self) -> int:
        """Return n."""
        return len(self.arrival_ns)

    @property
    def tiers(self) -> int:
        """Return K."""
        return int(self.service_ns.shape[1])


@dataclass(frozen=True)
class Decisions:
    """What the policies decided for every request, all that an engine knows of them.

    start   (n,)    int8   the tier after the cache where the request begins
    accept  (n, K)  bool   tier k's answer would be accepted; two tiers that run side by side have
                           the same entry, the pair's
    verify  (n, K)  bool   tier k's verifier would be asked: only about answers whose score passed
    """

    start: Int8s
    accept: Bools
    verify: Bools


@dataclass(frozen=True)
class OutcomeTable:
    """What happened to n requests at K tiers; a live run has the same columns.

    request         (n,)    int64    the request's row in its RequestTable
    arrival_ns      (n,)    int64
    end_ns          (n,)    int64    when the request ended, whichever way
    status          (n,)    int8     ANSWERED ... FAILED
    hit_tier        (n,)    int8     the tier whose answer was shipped; -1 unless answered
    answer_of       (n,)    int64    the request whose answer was shipped: its own row, or, at a cache
                                     hit, the row that filled the cache; -1 unless answered
    answer_tier     (n,)    int8     the tier that made that answer; -1 unless answered
    visit           (n, K)  int8     NOT_VISITED ... TURNED_AWAY
    enter_ns        (n, K)  int64    -1 where not visited
    start_ns        (n, K)  int64    when a server took it; -1 where none did
    finish_ns       (n, K)  int64    when the visit ended, before its verifier looked; -1 not visited
    busy_ns         (n, K)  int64    how long a server was held
    visit_cost_usd  (n, K)  float64  optional, filled by the analysis or by a live recorder
    cost_usd        (n,)    float64  optional: all visits, and the router
    correct         (n,)    float32  optional: grade of the shipped answer; 0 where none was
    """

    request: Int64s = _column(np.int64, "n")
    arrival_ns: Int64s = _column(np.int64, "n")
    end_ns: Int64s = _column(np.int64, "n")
    status: Int8s = _column(np.int8, "n")
    hit_tier: Int8s = _column(np.int8, "n")
    answer_of: Int64s = _column(np.int64, "n")
    answer_tier: Int8s = _column(np.int8, "n")
    visit: Int8s = _column(np.int8, "nK")
    enter_ns: Int64s = _column(np.int64, "nK")
    start_ns: Int64s = _column(np.int64, "nK")
    finish_ns: Int64s = _column(np.int64, "nK")
    busy_ns: Int64s = _column(np.int64, "nK")
    visit_cost_usd: Floats | None = _column(np.float64, "nK", optional=True)
    cost_usd: Floats | None = _column(np.float64, "n", optional=True)
    correct: Float32s | None = _column(np.float32, "n", optional=True)
    provenance: Provenance = Provenance()

    def __len__(self) -> int:
        """Return n."""
        return len(self.arrival_ns)

    @property
    def tiers(self) -> int:
        """Return K."""
        return int(self.visit.shape[1])

    @cached_property
    def sojourn_s(self) -> Floats:
        """(n,) seconds from arrival to end."""
        return seconds(self.end_ns - self.arrival_ns)

    @cached_property
    def wait_s(self) -> Floats:
        """(n, K) seconds in tier k's queue: to the start, or to the end of a visit never started."""
        until = np.where(self.start_ns >= 0, self.start_ns, self.finish_ns)
        return seconds(until - self.enter_ns)

    @cached_property
    def path(self) -> Int64s:
        """(n,) the tiers visited, bit k set for tier k."""
        bits = np.left_shift(np.int64(1), np.arange(self.tiers, dtype=np.int64))
        return (self.visit != NOT_VISITED) @ bits
