"""The one way into an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fallwise.engines.plan import Plan
from fallwise.tables import Decisions, OutcomeTable, RequestTable

__all__ = ["Engine", "simulate"]

Engine = Literal["reference", "compiled"]


def simulate(
    plan: Plan,
    requests: RequestTable,
    decisions: Decisions,
    engine: Engine = "compiled",
    progress: Callable[[int], None] = lambda arrived: None,
) -> OutcomeTable:
    """Return what happens to the requests; both engines return the same table.

    What an outcome costs and whether it is correct is left to the analysis. progress is told how
    many requests have come, by the engine that takes its time.
    """
    if engine == "reference":
        from fallwise.engines import reference

        return reference.simulate(plan, requests, decisions, progress)
    from fallwise.engines import compiled

    return compiled.simulate(plan, requests, decisions)
