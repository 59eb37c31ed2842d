"""Cascades for testing the analysis, made by hand and scheduled by the reference engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from engines_worlds import blank_requests
from fallwise.analysis.predict import Prediction
from fallwise.analysis.settle import settle
from fallwise.engines import plan, simulate
from fallwise.policies import decide
from fallwise.scenario import Scenario, parse
from fallwise.tables import RequestTable

__all__ = ["by_hand", "run", "scenario", "tier"]


def tier(name: str, **keys: Any) -> dict[str, Any]:
    """Return an API tier without limit that answers in a second, with these keys instead."""
    usual = {"kind": "api", "service": {"kind": "fixed", "value_s": 1.0}}
    return {"name": name, "answers": {"accuracy": 0.8}} | usual | keys


def scenario(tiers: list[dict[str, Any]], **keys: Any) -> Scenario:
    """Return a scenario of these tiers at one request a second, with these keys instead."""
    usual: dict[str, Any] = {
        "name": "case",
        "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1.0}},
        "answers": {"source": "synthetic"},
        "run": {"warmup": 0},
    }
    return parse({**usual, "tiers": tiers, **keys})


def by_hand(arrival_s: Any, service_s: Any, **columns: Any) -> RequestTable:
    """Return requests with these times in seconds, and any other columns as nested lists."""
    table = blank_requests(
        np.rint(np.asarray(arrival_s, float) * 1e9).astype(np.int64),
        np.rint(np.asarray(service_s, float) * 1e9).astype(np.int64),
    )
    given: dict[str, Any] = {
        name: np.asfortranarray(np.array(cells, getattr(table, name).dtype))
        for name, cells in columns.items()
        if getattr(table, name) is not None
    }
    given |= {name: np.array(x) for name, x in columns.items() if getattr(table, name) is None}
    return replace(table, **given).check()


def run(case: Scenario, requests: RequestTable) -> Prediction:
    """Return the settled outcomes of requests that were made by hand."""
    decisions = decide(case, requests)
    outcomes = simulate(plan(case), requests, decisions, "reference")
    settled = settle(case, requests, decisions, outcomes).check()
    return Prediction(case, requests, decisions, settled, 0, "reference")
