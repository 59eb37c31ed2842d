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
from hypothesis import strategies as st

__all__ = ["by_hand", "hosted", "run", "scenario", "tier"]


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


TIMES = st.sampled_from([0.25, 0.5, 1.0, 2.0])
PERHAPS = st.none() | TIMES
LAWS = st.lists(TIMES, min_size=1, max_size=3).map(lambda x: {"kind": "empirical", "values_s": x})


@st.composite
def hosted(draw: st.DrawFn) -> Scenario:
    """Draw up to four hosted models whose calls last and fail in all ways that have a bound."""
    tiers = []
    for k in range(draw(st.integers(1, 4))):
        queue = {"concurrency": draw(st.integers(1, 3)), "queue_limit": draw(st.integers(0, 3))}
        attempts, backoff_s = draw(st.integers(2, 4)), draw(st.just(0.0) | TIMES)
        keys: dict[str, Any] = {
            "service": draw(LAWS),
            "timeout_s": draw(PERHAPS),
            "attempt_timeout_s": draw(PERHAPS),
            "requests_per_minute": draw(st.sampled_from([None, 30, 90])),
            "tokens_per_minute": draw(st.sampled_from([None, 900])),
            "burst_s": draw(st.sampled_from([0.0, 1.0, 5.0])),
            "error_rate": draw(st.sampled_from([None, 0.3, 0.8])),
            "hedge": draw(PERHAPS.map(lambda s: s and {"after_s": s})),
            "retries": draw(
                st.none() | st.just({"attempts": attempts, "backoff_s": backoff_s, "jitter": 0.2})
            ),
            "cancel": draw(st.booleans()),
            "bill_timeouts": draw(st.booleans()),
            "usd_per_request": 2.0**k,
            "fallback": k > 0 and draw(st.booleans()),
            "on_failure": draw(st.sampled_from(["escalate", "escalate", "give_up"])),
            **(queue if draw(st.booleans()) else {}),
        }
        if keys["error_rate"]:
            keys["error_after"] = draw(st.none() | LAWS)
        tiers.append(tier(f"t{k}", **{name: x for name, x in keys.items() if x is not None}))
        if draw(st.booleans()):
            tiers[-1] |= {
                "threshold": 0.7,
                "answers": {"accuracy": 0.7, "auroc": 0.8, "loading": 0.5},
            }
    tiers[-1].pop("threshold", None)
    segment = {
        "prompt_tokens": {"kind": "fixed", "tokens": 20},
        "output_tokens": {"kind": "fixed", "tokens": 10},
    }
    arrivals = {"kind": "poisson", "rate_rps": draw(st.sampled_from([0.5, 2.0, 8.0]))}
    return scenario(tiers, traffic={"arrivals": arrivals, "segments": [segment]})
