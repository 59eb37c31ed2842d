"""The tables that everything shares: requests drawn once, decisions made once, outcomes.

Row i is request i; there are n of them, and K tiers, tier 0 first. Times are int64 nanoseconds,
so that two engines can be equal to the last bit; `*_s` properties give seconds to people.
(n, K) columns are stored tier by tier (Fortran order).
"""

from fallwise.tables.outcomes import (
    ABANDONED,
    ACCEPTED,
    ANSWERED,
    DECLINED,
    FAILED,
    MISSED,
    NOT_VISITED,
    REFUSED,
    REJECTED,
    SHED,
    STATUSES,
    TIMED_OUT,
    TURNED_AWAY,
    VISITS,
    WAITED_OUT,
    WORKED_OUT,
    OutcomeTable,
)
from fallwise.tables.requests import Decisions, RequestTable
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
    seconds,
)

__all__ = [
    "ABANDONED",
    "ACCEPTED",
    "ANSWERED",
    "DECLINED",
    "FAILED",
    "LONGEST_NS",
    "MISSED",
    "NEVER_NS",
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
    "Bools",
    "Decisions",
    "Float32s",
    "Floats",
    "Int8s",
    "Int16s",
    "Int32s",
    "Int64s",
    "OutcomeTable",
    "Provenance",
    "RequestTable",
    "seconds",
]
