"""The gateway against the engine that is the specification: the same requests, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fallwise.analysis.settle import settle
from fallwise.draw import draw
from fallwise.engines.engine import simulate
from fallwise.engines.plan import plan
from fallwise.errors import ScenarioError
from fallwise.gateway.tiers import check_live, with_upstream
from fallwise.policies import decide
from fallwise.scenario import Scenario, parse
from fallwise.tables import (
    CUT_SHORT,
    ERRORED,
    FAILED,
    RATE_LIMITED,
    REFUSED,
    STATUSES,
    VISITS,
    WORKED_OUT,
    RequestTable,
)
from gateway_worlds import columns, replayed

WITHIN_NS = 100
"""The event loop's clock is a float."""

TOKENS = {"kind": "lognormal", "p50_tokens": 100, "p99_tokens": 900}
REPEATS = {"repeat_share": 0.5, "distinct_keys": 20}


def law(mean_s: float) -> dict[str, Any]:
    return {"kind": "exponential", "mean_s": mean_s}


def answers(accuracy: float) -> dict[str, Any]:
    return {"accuracy": accuracy, "auroc": 0.8, "loading": 0.6}


CACHE = {
    **{"name": "cache", "kind": "cache", "capacity": 12, "ttl_s": 60, "lookup_s": 0},
    **{"filled_by": ["small", "big"], "usd_per_request": 0.001, "local": True},
}
SMALL = {
    **{"name": "small", "kind": "pool", "replicas": 2, "service": law(1.5), "threshold": 0.75},
    **{"answers": answers(0.7), "usd_per_request": 0.01, "local": True},
}
TWIN = {
    **{"name": "twin", "kind": "pool", "replicas": 2, "service": law(1.8), "agree_with": "small"},
    **{"answers": answers(0.75), "timeout_s": 4.0, "usd_per_request": 0.02, "local": True},
}
MIDDLE = {
    **{"name": "middle", "kind": "api", "concurrency": 1, "service": law(2.0), "queue_limit": 3},
    **{"answers": answers(0.8), "threshold": 0.7, "prompt_usd_per_mtok": 3.0},
}
BIG = {
    **{"name": "big", "kind": "api", "concurrency": 3, "service": law(3.0), "queue_limit": 6},
    **{"answers": answers(0.9), "prompt_usd_per_mtok": 3.0, "output_usd_per_mtok": 11.0},
}
VERIFIER = {
    **{"catch_rate": 0.8, "false_alarm_rate": 0.1, "service": law(0.5), "usd_per_request": 0.003},
}
HUMAN = {
    **{"name": "human", "kind": "human", "agents": 2, "service": law(5.0), "answers": answers(1)},
    **{"patience": {"kind": "fixed", "value_s": 9.0}, "timeout_s": 12.0, "cancel": False},
}
ROUTER = {
    **{"auroc": 0.7, "about": "small", "cuts": [0.4], "starts": ["middle", "small"]},
    **{"service": law(0.2), "usd_per_request": 0.0005},
}
GIVES_UP = {**MIDDLE, "on_failure": "give_up", "timeout_s": 2.5}
SPARE = {**MIDDLE, "name": "spare", "fallback": True, "concurrency": 2, "local": True}
LAST = {**BIG, "name": "last", "fallback": True}
SHORT = {**BIG, "timeout_s": 2.0, "queue_limit": 1}

WORLDS: dict[str, dict[str, Any]] = {
    "a queue": {"tiers": [{**SMALL, "threshold": None}]},
    "a cascade": {"tiers": [SMALL, MIDDLE, BIG]},
    "cached": {"tiers": [CACHE, SMALL, BIG]},
    "timeouts": {"tiers": [{**SMALL, "timeout_s": 2.0}, {**BIG, "timeout_s": 3.5}]},
    "work goes on": {"tiers": [{**SMALL, "timeout_s": 2.0, "cancel": False}, BIG]},
    "not billed": {"tiers": [{**SMALL, "timeout_s": 2.0, "bill_timeouts": False}, BIG]},
    "verified": {"tiers": [{**SMALL, "verifier": VERIFIER}, {**BIG, "verifier": VERIFIER}]},
    "people": {"tiers": [SMALL, {**BIG, "verifier": VERIFIER}, HUMAN]},
    "routed": {"tiers": [CACHE, SMALL, MIDDLE, BIG], "router": ROUTER},
    "a pair": {"tiers": [SMALL, TWIN, BIG]},
    "a pair, cached": {"tiers": [CACHE, SMALL, {**TWIN, "verifier": VERIFIER}, BIG]},
    "a pair is last": {"tiers": [{**SMALL, "threshold": None}, {**TWIN, "on_failure": "give_up"}]},
    "gives up": {"tiers": [SMALL, GIVES_UP, BIG]},
    "fallbacks": {"tiers": [{**SMALL, "timeout_s": 2.0}, SPARE, LAST, BIG, {**LAST, "name": "no"}]},
    "a fallback is last": {"tiers": [CACHE, SMALL, SHORT, LAST], "local": True},
    "a pair falls back": {"tiers": [SMALL, TWIN, {**SPARE, "timeout_s": 1.0}, SHORT, LAST]},
    "local": {"tiers": [CACHE, SMALL, MIDDLE, BIG], "router": ROUTER, "local": True},
    "cache elsewhere": {"tiers": [{**CACHE, "local": False}, SMALL, BIG], "local": True},
}


def world(name: str) -> tuple[Scenario, RequestTable]:
    parts = dict(WORLDS[name])
    segment: dict[str, Any] = {
        "name": "all",
        "prompt_tokens": TOKENS,
        "output_tokens": TOKENS,
        "repeats": REPEATS,
    }
    segments = [segment]
    if parts.pop("local", False):
        here = {**segment, "name": "here", "residency": "local", "share": 0.5}
        segments = [{**segment, "share": 0.5}, here]
    traffic = {"arrivals": {"kind": "poisson", "rate_rps": 1.6}, "segments": segments}
    run = {"requests": 500, "seed": 5}
    basis = {"name": "world", "answers": {"source": "synthetic"}, "traffic": traffic, "run": run}
    scenario = parse({**basis, **parts})
    return scenario, draw(scenario)


@pytest.mark.parametrize("name", WORLDS)
def test_the_gateway_does_what_the_reference_engine_does(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, requests = world(name)
    decisions = decide(scenario, requests)
    expected = simulate(plan(scenario), requests, decisions, "reference")
    expected = settle(scenario, requests, decisions, expected)
    outcomes = replayed(scenario, requests, monkeypatch)
    found = columns(outcomes, len(scenario.tiers))
    for column in ("status", "visit", "hit_tier", "answer_of", "answer_tier"):
        assert (found[column] == getattr(expected, column)).all(), column
    # A live router has to be asked before it is known that it sends a request nowhere; the
    # engines, which know beforehand, count neither its time nor its price.
    told = expected.status != REFUSED if scenario.router else np.ones(len(requests), np.bool_)
    for column in ("end_ns", "enter_ns", "start_ns", "finish_ns"):
        apart = np.abs(found[column] - getattr(expected, column))
        assert apart[told].max() <= WITHIN_NS, column
    known = np.array([all(visit.known_usd for visit in o.visits) for o in outcomes])
    assert (known == ~_cut_off(scenario, found["visit"])).all()
    paid = expected.cost_usd
    assert paid is not None
    assert np.allclose(found["cost_usd"][known & told], paid[known & told], rtol=1e-12, atol=0)
    assert (known & told).mean() > 0.5


def _cut_off(scenario: Scenario, visit: Any) -> Any:
    """(n,) where a call was cut off whose price depends on its tokens."""
    by_token = [
        tier.bill_timeouts and bool(tier.prompt_usd_per_mtok or tier.output_usd_per_mtok)
        for tier in scenario.tiers
    ]
    return ((visit == WORKED_OUT) & np.array(by_token)).any(axis=1)


def test_the_worlds_hold_all_that_can_happen() -> None:
    """Else the comparison would say less than it seems to."""
    visits, statuses = set(), set()
    for name in WORLDS:
        scenario, requests = world(name)
        outcomes = simulate(plan(scenario), requests, decide(scenario, requests), "reference")
        visits |= set(np.unique(outcomes.visit).tolist())
        statuses |= set(np.unique(outcomes.status).tolist())
    # A live visit is one call; the keys of all others are refused (below).
    assert visits == set(range(len(VISITS))) - {ERRORED, RATE_LIMITED, CUT_SHORT}
    assert statuses == set(range(len(STATUSES))) - {FAILED}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("error_rate", 0.1),
        ("outages", [{"from_s": 1, "to_s": 2}]),
        ("retries", {"attempts": 2, "backoff_s": 1}),
        ("attempt_timeout_s", 1.0),
        ("requests_per_minute", 9),
        ("tokens_per_minute", 9),
        ("breaker", {"failure_share": 0.5, "window_calls": 9, "open_s": 1}),
        ("hedge", {"after_s": 1}),
    ],
)
def test_a_gateway_that_makes_one_call_a_visit_refuses_what_needs_more(
    key: str, value: Any
) -> None:
    def checked(**keys: Any) -> None:
        scenario = parse(
            {
                "name": "world",
                "answers": {"source": "synthetic"},
                "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1.6}},
                "tiers": [SMALL, {**BIG, **keys}],
            }
        )
        check_live(with_upstream(scenario, "http://127.0.0.1:8001"))

    checked()
    with pytest.raises(ScenarioError, match=key):
        checked(**{key: value})
