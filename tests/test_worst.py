from __future__ import annotations

from typing import Any

import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.baselines import only
from fallwise.analysis.predict import predict
from fallwise.analysis.worst import worst_case
from fallwise.scenario import Scenario

FIXED = {"kind": "fixed", "value_s": 0.5}
CHECK = {"catch_rate": 0.5, "false_alarm_rate": 0.1, "service": FIXED}
SLOW = {"kind": "exponential", "mean_s": 1.0}
ANSWERS = {"accuracy": 0.7, "auroc": 0.8, "loading": 0.5}


def cascade(**big: Any) -> Scenario:
    limited = {"concurrency": 2, "service": SLOW, "threshold": 0.7, "answers": ANSWERS}
    return scenario(
        [
            {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.1, "filled_by": []},
            tier("small", timeout_s=2, verifier=CHECK, **limited),
            tier("big", **{"concurrency": 2, "service": SLOW, "timeout_s": 5} | big),
        ],
        traffic={"arrivals": {"kind": "poisson", "rate_rps": 3}},
    )


def test_no_request_takes_longer_than_the_sum_of_the_limits() -> None:
    case = cascade()
    found = worst_case(case, {0})
    assert found["seconds"] == pytest.approx(0.1 + 2 + 0.5 + 5)
    longest = predict(case, 3, 20_000).outcomes.sojourn_s.max()
    # Overloaded, so that the bound is nearly reached.
    assert 0.95 * found["seconds"] < longest <= found["seconds"]


def test_where_there_is_no_bound_the_reason_is_said() -> None:
    found = worst_case(cascade(timeout_s=None), {0})
    assert found["seconds"] is None
    assert found["unbounded"] == ["big has no timeout_s"]
    endless = worst_case(cascade(verifier={**CHECK, "service": SLOW}), {0})
    assert "big's verifier" in endless["unbounded"][0]
    assert "exponential" in endless["unbounded"][0]


def test_a_tier_alone_is_bounded_by_its_own_limits_only() -> None:
    case = cascade()
    assert worst_case(only(case, 2), {2})["seconds"] == 5
    assert worst_case(only(case, 1), {1})["seconds"] == 2


def test_of_two_side_by_side_the_longer_one_counts() -> None:
    pair = [
        tier("small", timeout_s=2, answers=ANSWERS),
        tier("other", timeout_s=3, answers=ANSWERS, agree_with="small"),
    ]
    case = scenario([*pair, tier("big", service=FIXED)])
    # big has no queue, and its time is always the same: no timeout is needed for a bound.
    assert worst_case(case, {0})["seconds"] == pytest.approx(3 + 0.5)
    assert predict(case, 3, 5000).outcomes.sojourn_s.max() <= 3.5


def test_a_request_that_must_stay_local_can_have_the_longer_way() -> None:
    tiers = [
        tier(
            "small", timeout_s=1, local=True, on_failure="give_up", threshold=0.5, answers=ANSWERS
        ),
        tier("big", timeout_s=2, on_failure="give_up"),
        tier("people", kind="human", agents=1, timeout_s=10, local=True, service=SLOW),
    ]
    segments = [{"name": "free", "share": 0.5}]
    other = {"name": "bound", "share": 0.5, "residency": "local"}
    arrivals = {"kind": "poisson", "rate_rps": 1}
    free = scenario(tiers, traffic={"arrivals": arrivals})
    assert worst_case(free, {0})["seconds"] == 3
    both = scenario(tiers, traffic={"arrivals": arrivals, "segments": [*segments, other]})
    assert worst_case(both, {0})["seconds"] == 11
