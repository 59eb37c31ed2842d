"""Calls that fail, from a scenario to its summary: draw, prices, counts, words, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from analysis_cascades import hosted
from fallwise.analysis.budget import stretches
from fallwise.analysis.predict import predict
from fallwise.analysis.stream import summarise_stream
from fallwise.analysis.summary import summarise
from fallwise.analysis.tally import tally
from fallwise.draw import draw
from fallwise.draw.requests import blocks
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, parse
from fallwise.tables import ACCEPTED, DECLINED, WORKED_OUT, RequestTable
from hypothesis import given, settings
from hypothesis import strategies as st


def case(n: int = 4000, arrivals: Any = None, **keys: Any) -> Scenario:
    """Return one hosted model with these keys, 1 USD a call, 1 s each."""
    tier: dict[str, Any] = {
        "name": "big",
        "kind": "api",
        "service": {"kind": "fixed", "value_s": 1.0},
        "answers": {"accuracy": 0.9},
        "usd_per_request": 1.0,
    }
    return parse(
        {
            "name": "calls",
            "traffic": {"arrivals": arrivals or {"kind": "poisson", "rate_rps": 5}},
            "answers": {"source": "synthetic"},
            "tiers": [tier | keys],
            "run": {"requests": n, "warmup": 0},
        }
    )


RETRIES = {"attempts": 3, "backoff_s": 1.0, "factor": 3.0, "jitter": 0.5}


def test_calls_are_drawn_as_asked_for_and_in_any_blocks() -> None:
    service = {"kind": "lognormal", "p50_s": 1, "p99_s": 9}
    keys: dict[str, Any] = {
        "error_rate": 0.2,
        "retries": RETRIES,
        "hedge": {"after_s": 2.0},
        "service": service,
    }
    scenario = case(**keys)
    whole = draw(scenario)
    parts = RequestTable.concat(list(blocks(scenario, scenario.run.seed, 4000, 700)))
    assert whole.difference(parts) is None
    assert whole.call_ns is not None and whole.call_fails is not None
    assert whole.pause_ns is not None and whole.call_ns.shape == (4000, 6)
    assert (whole.call_ns[:, 0] == whole.service_ns[:, 0]).all()
    assert (whole.call_ns[:, 0] != whole.call_ns[:, 1]).mean() > 0.99
    # Four standard errors and a half of a share of 24,000.
    assert whole.call_fails.mean() == pytest.approx(0.2, abs=4.5 * np.sqrt(0.16 / 24_000))
    for call, longest in ((0, 1.0), (2, 3.0), (4, 9.0)):
        pause_s = whole.pause_ns[:, call] / 1e9
        assert longest / 2 <= pause_s.min() < pause_s.max() <= longest
    plain = draw(case(service=service))
    assert (plain.service_ns == whole.service_ns).all()  # New columns move no old number.
    assert (plain.score == whole.score).all() and plain.call_ns is None


def test_only_calls_that_answer_are_paid() -> None:
    summary = summarise(predict(case(error_rate=0.3, retries=RETRIES)))
    (tier,) = summary["tiers"]
    answered = summary["status"]["answered"]
    assert summary["status"]["failed"] == 4000 - answered > 0
    assert summary["cost_usd_mean"]["value"] == pytest.approx(answered / 4000)
    assert tier["errors"] == tier["retries"] + summary["status"]["failed"]
    # Of three attempts each fails with 0.3.
    assert answered / 4000 == pytest.approx(1 - 0.3**3, abs=4.5 * np.sqrt(0.027 / 4000))


def test_both_calls_of_a_hedge_are_paid() -> None:
    service = {"kind": "empirical", "values_s": [1.0, 10.0]}
    prediction = predict(case(service=service, hedge={"after_s": 2.0}))
    (tier,) = summarise(prediction)["tiers"]
    outcomes = prediction.outcomes
    assert outcomes.cost_usd is not None and outcomes.outrun is not None
    assert tier["hedges"] == int((prediction.requests.service_ns[:, 0] > 2e9).sum())
    assert outcomes.cost_usd.sum() == 4000 + outcomes.outrun.sum() == 4000 + tier["hedges"]
    # The second call answers at 3 s with one half, otherwise the first does at 10 s.
    assert set(np.unique(outcomes.sojourn_s)) == {1.0, 3.0, 10.0}


def test_calls_that_are_cut_off_are_paid_where_timeouts_are() -> None:
    keys: dict[str, Any] = {"attempt_timeout_s": 0.5, "retries": {"attempts": 2, "backoff_s": 0.1}}
    for billed, each in ((True, 2.0), (False, 0.0)):
        summary = summarise(predict(case(bill_timeouts=billed, **keys)))
        assert summary["cost_usd_mean"]["value"] == each
        assert summary["status"]["timed_out"] == 4000


@settings(max_examples=60, deadline=None, derandomize=True)
@given(hosted(), st.integers(0, 2**20))
def test_each_call_is_paid_that_answered_or_was_outrun_or_cut_off_where_that_is_billed(
    world: Scenario, seed: int
) -> None:
    outcomes = predict(world, seed, 150, "reference").outcomes
    counts = outcomes.attempts, outcomes.errors, outcomes.cut_off, outcomes.outrun
    assert outcomes.visit_cost_usd is not None and outcomes.cost_usd is not None
    for k, tier in enumerate(world.tiers):
        paid = np.isin(outcomes.visit[:, k], (ACCEPTED, DECLINED)).astype(np.int64)
        if tier.calls:
            _, _, cut_off, outrun = (x[:, k].astype(np.int64) for x in counts if x is not None)
            paid += outrun + (cut_off if tier.bill_timeouts else 0)
        elif tier.bill_timeouts:
            paid += outcomes.visit[:, k] == WORKED_OUT
        assert (outcomes.visit_cost_usd[:, k] == paid * 2.0**k).all()
    assert (outcomes.cost_usd == outcomes.visit_cost_usd.sum(axis=1)).all()


def test_the_load_is_what_was_held_and_of_those_who_found_no_server_what_they_would_have() -> None:
    def work_s(**keys: Any) -> tuple[float, float]:
        prediction = predict(case(**keys), engine="reference")
        outcomes = prediction.outcomes
        sums = tally(prediction.scenario, prediction.requests, outcomes)
        return sums["tier0.work_s"] / 1e9, outcomes.busy_ns.sum() / 1e9

    # A second call is load, too; when the first one is outrun, it is not served to its end.
    service = {"kind": "empirical", "values_s": [1.0, 10.0]}
    work, busy = work_s(service=service, hedge={"after_s": 2.0})
    assert work == busy
    # Behind a breaker nothing is held, and nothing would be; a few came before it opened.
    breaker = {"failure_share": 1.0, "window_calls": 1, "open_s": 10_000}
    work, busy = work_s(error_rate=1.0, breaker=breaker, concurrency=1)
    assert work == busy < 20
    # Five a second for one server that takes a second: all 4000 would have needed one.
    assert work_s(concurrency=1, queue_limit=0, attempt_timeout_s=9)[0] == 4000


@settings(max_examples=60, deadline=None, derandomize=True)
@given(hosted(), st.integers(0, 2**20))
def test_queue_service_and_pauses_are_the_time_of_every_request(world: Scenario, seed: int) -> None:
    outcomes = predict(world, seed, 150, "reference").outcomes
    total = np.zeros(150, np.int64)
    for part, k, ns in stretches(world, outcomes):
        assert (ns >= 0).all()
        assert part in ("queue", "service", "unused", "retry_pauses")
        assert part != "retry_pauses" or (k is not None and world.tiers[k].retries) or not ns.any()
        total += ns
    assert (total == outcomes.end_ns - outcomes.arrival_ns).all()


def test_a_run_in_blocks_counts_the_same() -> None:
    keys: dict[str, Any] = {
        "error_rate": 0.2,
        "retries": RETRIES,
        "concurrency": 9,
        "requests_per_minute": 400,
    }
    scenario = case(**keys)
    whole = summarise(predict(scenario))
    parts = summarise_stream(scenario, block=512)
    counted = ("retries", "rate_limited", "errors", "hedges", "cut_short")
    for name in counted:
        assert whole["tiers"][0][name] == parts["tiers"][0][name]
    assert whole["status"] == parts["status"]
    assert whole["cost_usd_mean"]["value"] == parts["cost_usd_mean"]["value"]


def said(scenario: Scenario) -> str:
    return " ".join(summarise(predict(scenario))["findings"])


def test_what_happens_to_calls_is_said() -> None:
    assert "Retries make" in said(case(error_rate=0.5, retries=RETRIES))
    assert "rate limit refused" in said(case(requests_per_minute=200))
    breaker = {"failure_share": 0.5, "window_calls": 10, "open_s": 30}
    assert "The breaker of big opened" in said(case(error_rate=0.6, breaker=breaker))
    calm = said(case(error_rate=0.01, retries=RETRIES, requests_per_minute=2000, breaker=breaker))
    assert not any(word in calm for word in ("Retries make", "rate limit", "breaker"))


def test_calls_take_longer_while_their_tier_is_slow() -> None:
    slow = case(outages=[{"from_s": 100, "to_s": 200, "slow": 2.5}])
    found, usual = (
        predict(slow).outcomes,
        predict(case(outages=[{"from_s": 0, "to_s": 1e-9}])).outcomes,
    )
    inside = (found.start_ns[:, 0] >= 100e9) & (found.start_ns[:, 0] < 200e9)
    assert inside.any() and not inside.all()
    assert np.array_equal(found.busy_ns[inside, 0], usual.busy_ns[inside, 0] * 2500 // 1000)
    assert np.array_equal(found.busy_ns[~inside, 0], usual.busy_ns[~inside, 0])


def test_an_outage_is_no_warm_up() -> None:
    scenario = case(outages=[{"from_s": 100, "to_s": 200}])
    automatic = scenario.model_copy(
        update={"run": scenario.run.model_copy(update={"warmup": "auto"})}
    )
    summary = summarise(predict(automatic))
    assert summary["warmup_requests"] == [0]
    assert summary["status"]["failed"] > 300
    assert summary["baselines"]["frontier_only"]["status"] == summary["status"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"error_after": {"kind": "fixed", "value_s": 1}}, "no call of this tier fails"),
        ({"outages": [{"from_s": 9, "to_s": 3}]}, "ends before it begins"),
        ({"outages": [{"from_s": 0, "to_s": 9, "every_s": 5}]}, "begins before this one ends"),
        ({"fallback": True}, "no tier before it"),
        ({"retries": {"attempts": 1, "backoff_s": 1}}, "at least 2"),
        ({"retries": {"attempts": 3}}, "backoff_s"),
        ({"requests_per_minute": 0}, "at least 1"),
        ({"error_rate": 1.5}, "at most 1"),
    ],
)
def test_calls_that_make_no_sense_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        case(**keys)
    assert message in str(error.value)
