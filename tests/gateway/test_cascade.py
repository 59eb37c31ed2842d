"""The gateway against the engine that is the specification: the same requests, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fallwise.analysis.settle import settle
from fallwise.draw import draw
from fallwise.engines.engine import simulate
from fallwise.engines.plan import plan
from fallwise.policies import decide
from fallwise.scenario import Scenario, parse
from fallwise.tables import CALL_COUNTS, CALL_TIMES, REFUSED, STATUSES, VISITS, RequestTable
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
HASTY = {**SMALL, "timeout_s": 2.0}
SHORT = {**BIG, "timeout_s": 2.0, "queue_limit": 1}

AGAIN = {"attempts": 3, "backoff_s": 0.5, "factor": 3.0, "jitter": 0.5}
RETRIED = {**SMALL, "error_rate": 0.3, "retries": {**AGAIN, "budget": 0.2, "max_backoff_s": 1.2}}
IN_TIME = {**SMALL, "attempt_timeout_s": 2.0, "timeout_s": 6.0, "retries": {**AGAIN, "jitter": 1.0}}
SHED_AGAIN = {"queue_limit": 1, "retries": {**AGAIN, "on": ["shed"], "backoff_s": 2.0}}
HUMAN_AGAIN = {**HUMAN, "attempt_timeout_s": 8.0, "timeout_s": 30.0, "retries": AGAIN}
BREAKER = {"breaker": {"failure_share": 0.3, "window_calls": 8, "open_s": 9.0, "probes": 2}}
OUTAGES = [{"from_s": 20.0, "to_s": 35.0, "every_s": 80.0}]
HEDGE = {"hedge": {"after_s": 1.2}, "error_rate": 0.1}
# A pause is longer than Retry-After: else all who were refused come back at the same instant.
LIMITED = {"requests_per_minute": 50, "burst_s": 4.0, "retries": {**AGAIN, "backoff_s": 9.0}}

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
    "fallbacks": {"tiers": [HASTY, SPARE, LAST, BIG, {**LAST, "name": "no"}]},
    "a fallback is last": {"tiers": [CACHE, HASTY, SHORT, {**LAST, "local": True}], "local": True},
    "a pair falls back": {"tiers": [SMALL, TWIN, {**SPARE, "timeout_s": 1.0}, SHORT, LAST]},
    "tried again": {"tiers": [RETRIED, {**BIG, "error_rate": 0.2, "error_after": law(0.3)}]},
    "tried again in time": {"tiers": [IN_TIME, {**MIDDLE, **SHED_AGAIN}, HUMAN_AGAIN]},
    "attempts go on": {"tiers": [{**IN_TIME, "cancel": False, "bill_timeouts": False}, BIG]},
    "a breaker": {"tiers": [{**RETRIED, **BREAKER}, SPARE, BIG]},
    "an outage": {"tiers": [CACHE, {**SMALL, **BREAKER, "outages": OUTAGES}, {**BIG, **BREAKER}]},
    "hedged": {"tiers": [{**IN_TIME, **HEDGE}, {**BIG, **HEDGE, "queue_limit": 1}]},
    "hedges go on": {
        "tiers": [{**RETRIED, **HEDGE, **BREAKER, "cancel": False, "replicas": 5}, BIG]
    },
    "limited": {"tiers": [{**MIDDLE, **LIMITED}, {**BIG, **LIMITED, **HEDGE}]},
    "a pair, tried again": {"tiers": [SMALL, {**TWIN, **HEDGE, "retries": AGAIN}, HUMAN]},
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
    for k in (k for k, tier in enumerate(scenario.tiers) if tier.calls):
        for column in CALL_COUNTS:
            assert (found[column][:, k] == getattr(expected, column)[:, k]).all(), column
        for column in CALL_TIMES:
            apart = np.abs(found[column][:, k] - getattr(expected, column)[:, k])
            assert apart[told].max() <= WITHIN_NS, column
    known = np.array([all(visit.known_usd for visit in o.visits) for o in outcomes])
    assert (known == ~_unfinished(scenario, found)).all()
    paid = expected.cost_usd
    assert paid is not None
    assert np.allclose(found["cost_usd"][known & told], paid[known & told], rtol=1e-12, atol=0)
    assert (known & told).mean() > 0.5


def _unfinished(scenario: Scenario, found: dict[str, Any]) -> Any:
    """(n,) where a call is paid that did not end, and whose price depends on its tokens."""
    tiers = scenario.tiers
    by_token = np.array([bool(t.prompt_usd_per_mtok or t.output_usd_per_mtok) for t in tiers])
    billed = np.array([tier.bill_timeouts for tier in tiers])
    unfinished = (found["cut_off"] > 0) & billed | (found["outrun"] > 0)
    return (unfinished & by_token).any(axis=1)


def test_the_worlds_hold_all_that_can_happen() -> None:
    """Else the comparison would say less than it seems to."""
    visits, statuses, counted = set(), set(), set()
    for name in WORLDS:
        scenario, requests = world(name)
        outcomes = simulate(plan(scenario), requests, decide(scenario, requests), "reference")
        visits |= set(np.unique(outcomes.visit).tolist())
        statuses |= set(np.unique(outcomes.status).tolist())
        if outcomes.attempts is not None:
            counted |= {name for name in CALL_COUNTS + CALL_TIMES if getattr(outcomes, name).any()}
    assert visits == set(range(len(VISITS)))
    assert statuses == set(range(len(STATUSES)))
    assert counted == set(CALL_COUNTS + CALL_TIMES)
