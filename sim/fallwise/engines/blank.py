"""The outcomes of requests before anything has happened: in the engine to be read, or live."""

from __future__ import annotations

from typing import Any

import numpy as np

from fallwise.tables import CALL_COUNTS, CALL_TIMES, NOT_VISITED, OutcomeTable, RequestTable

__all__ = ["blank"]


def blank(requests: RequestTable, tiers: int, rents: bool) -> OutcomeTable:
    """Return the outcomes of requests to which nothing has happened yet."""
    n = len(requests)

    def wide(value: int, dtype: Any = np.int64) -> Any:
        return np.full((n, tiers), value, dtype, order="F")

    return OutcomeTable(
        request=np.arange(n, dtype=np.int64),
        arrival_ns=requests.arrival_ns.copy(),
        end_ns=np.full(n, -1, np.int64),
        status=np.full(n, -1, np.int8),
        hit_tier=np.full(n, -1, np.int8),
        answer_of=np.full(n, -1, np.int64),
        answer_tier=np.full(n, -1, np.int8),
        visit=wide(NOT_VISITED, np.int8),
        enter_ns=wide(-1),
        start_ns=wide(-1),
        finish_ns=wide(-1),
        busy_ns=wide(0),
        rented_ns=wide(0) if rents else None,
        **{name: wide(0) for name in CALL_TIMES if requests.call_ns is not None},
        **{name: wide(0, np.int8) for name in CALL_COUNTS if requests.call_ns is not None},
        provenance=requests.provenance,
    )
