"""Requests drawn once, and what was decided about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from fallwise.tables.table import (
    LONGEST_NS,
    NEVER_NS,
    Bools,
    Float32s,
    Floats,
    Int8s,
    Int16s,
    Int32s,
    Int64s,
    Provenance,
    Table,
    column,
)

__all__ = ["Decisions", "RequestTable"]


@dataclass(frozen=True, eq=False)
class RequestTable(Table):
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
    patience_ns     (n, K)  int64    optional: time in tier k's queue before giving it up; NEVER_NS
                                     at tiers without patience
    call_usd        (n, K)  float64  optional: recorded price of the call at tier k
    call_ns         (n, C)  int64    optional: how long each call would hold a server. The C calls
                                     are those that visits of several calls may need, tier after
                                     tier, attempt after attempt, each followed by its hedge
    call_fails      (n, C)  bool     optional: the call fails
    error_ns        (n, C)  int64    optional: how long it holds a server if it fails
    pause_ns        (n, C)  int64    optional: how long until the next attempt if this one fails
    """

    arrival_ns: Int64s = column(np.int64, "n", low=0, high=LONGEST_NS)
    segment: Int16s = column(np.int16, "n", low=0)
    key: Int64s = column(np.int64, "n")
    local: Bools = column(np.bool_, "n")
    prompt_tokens: Int32s = column(np.int32, "n", low=0)
    output_tokens: Int32s = column(np.int32, "nK", low=0)
    service_ns: Int64s = column(np.int64, "nK", low=0, high=LONGEST_NS)
    score: Floats = column(np.float64, "nK")
    answer: Int32s = column(np.int32, "nK")
    correct: Float32s = column(np.float32, "nK", low=0, high=1)
    passes: Bools = column(np.bool_, "nK")
    false_hit: Bools = column(np.bool_, "n")
    verifier_ns: Int64s | None = column(np.int64, "nK", low=0, high=LONGEST_NS, optional=True)
    router_ns: Int64s | None = column(np.int64, "n", low=0, high=LONGEST_NS, optional=True)
    router_score: Floats | None = column(np.float64, "n", optional=True)
    patience_ns: Int64s | None = column(np.int64, "nK", low=0, high=NEVER_NS, optional=True)
    call_usd: Floats | None = column(np.float64, "nK", low=0, optional=True)
    call_ns: Int64s | None = column(np.int64, "nC", low=0, high=LONGEST_NS, optional=True)
    call_fails: Bools | None = column(np.bool_, "nC", optional=True)
    error_ns: Int64s | None = column(np.int64, "nC", low=0, high=LONGEST_NS, optional=True)
    pause_ns: Int64s | None = column(np.int64, "nC", low=0, high=LONGEST_NS, optional=True)
    provenance: Provenance = Provenance()

    def check(self) -> Self:
        """Return the table itself; TableError with column, row and value if it breaks a rule."""
        super().check()
        if (self.arrival_ns[1:] < self.arrival_ns[:-1]).any():
            fell = np.diff(self.arrival_ns, prepend=0) < 0
            self.refuse("arrival_ns", fell, "must not be before the row above")
        return self


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
