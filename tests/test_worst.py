from __future__ import annotations

from typing import Any

import pytest
from analysis_cascades import hosted, scenario, tier
from fallwise.analysis.baselines import only
from fallwise.analysis.predict import predict
from fallwise.analysis.worst import worst_case
from fallwise.scenario import Scenario
from hypothesis import given, settings
from hypothesis import strategies as st

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
        tier("small", timeout_s=2, service=SLOW, answers=ANSWERS),
        tier("other", timeout_s=3, service=SLOW, answers=ANSWERS, agree_with="small"),
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
        tier("big", timeout_s=2, service=SLOW, on_failure="give_up"),
        tier("people", kind="human", agents=1, timeout_s=10, local=True, service=SLOW),
    ]
    segments = [{"name": "free", "share": 0.5}]
    other = {"name": "bound", "share": 0.5, "residency": "local"}
    arrivals = {"kind": "poisson", "rate_rps": 1}
    free = scenario(tiers, traffic={"arrivals": arrivals})
    assert worst_case(free, {0})["seconds"] == 3
    both = scenario(tiers, traffic={"arrivals": arrivals, "segments": [*segments, other]})
    assert worst_case(both, {0})["seconds"] == 11


def seconds(**keys: Any) -> Any:
    """Return the bound of one hosted model without limit that answers in a second."""
    return worst_case(scenario([tier("big", **keys)]), {0})["seconds"]


def test_a_timeout_that_cannot_strike_sends_nobody_on() -> None:
    last = tier("last", service={"kind": "fixed", "value_s": 16.0})

    def found(**keys: Any) -> Any:
        return worst_case(scenario([tier("big", **keys), last]), {0})["seconds"]

    # big has no queue, answers in a second and is believed: nothing is left to the last one.
    assert found(timeout_s=5) == 1
    assert found(timeout_s=0.5) == 0.5 + 16
    assert found(timeout_s=5, concurrency=1) == 5 + 16
    assert found(timeout_s=5, error_rate=0.1) == 1 + 16


THREE = {"attempts": 3, "backoff_s": 0.4, "factor": 2.0, "jitter": 0.5}


def test_attempts_and_the_pauses_between_them_add_up() -> None:
    # Two calls fail after a second each, with pauses of at most 0.4 s and 0.8 s, the third answers.
    assert seconds(error_rate=0.2, retries=THREE) == pytest.approx(3 + 0.4 + 0.8)
    assert seconds(error_rate=0.2, retries=THREE | {"max_backoff_s": 0.5}) == pytest.approx(3.9)
    assert seconds(
        error_rate=0.2, retries=THREE, error_after={"kind": "fixed", "value_s": 0.1}
    ) == (pytest.approx(0.1 + 0.4 + 0.1 + 0.8 + 1))
    # The limit of an attempt holds for each of them, that of the visit for all.
    assert seconds(error_rate=0.2, retries=THREE, attempt_timeout_s=0.5) == pytest.approx(2.7)
    assert seconds(error_rate=0.2, retries=THREE, timeout_s=2.5) == 2.5
    # Nothing fails, or what fails is not tried again.
    assert seconds(retries=THREE) == 1
    assert seconds(error_rate=0.2, retries=THREE | {"on": ["timeout"]}) == 1
    assert seconds(error_rate=0.2, timeout_s=7) == 1
    slow = [{"from_s": 5, "to_s": 6, "slow": 3}, {"from_s": 9, "to_s": 10, "slow": 2}]
    assert seconds(outages=slow) == 3
    assert seconds(outages=slow, retries=THREE) == 3


def test_an_attempt_has_a_bound_where_its_queue_has_none() -> None:
    keys: dict[str, Any] = {"concurrency": 1, "retries": THREE | {"on": ["timeout"]}}
    assert seconds(**keys) is None
    assert seconds(**keys, attempt_timeout_s=3) == pytest.approx(3 * 3 + 1.2)


def test_a_second_call_may_begin_late_and_then_takes_its_time() -> None:
    assert seconds(hedge={"after_s": 0.7}) == 1
    # The first call fails after a second, the second one, begun at 0.7 s, answers at 1.7 s.
    assert seconds(hedge={"after_s": 0.7}, error_rate=0.1) == pytest.approx(1.7)
    assert seconds(hedge={"after_s": 2}, error_rate=0.1) == 1
    assert seconds(hedge={"after_s": 0.7}, error_rate=0.1, retries=THREE) == pytest.approx(
        3 * 1.7 + 1.2
    )


def test_a_rate_limit_makes_wait_as_long_as_one_request_takes_to_flow_in() -> None:
    # 20 a minute: 3 s each. What is over the limit fails at once, then pauses 3 s.
    twenty: dict[str, Any] = {"requests_per_minute": 20, "burst_s": 0}
    assert seconds(**twenty) == 1
    assert seconds(**twenty, retries=THREE) == pytest.approx(3 + 3 + 1)
    assert seconds(**twenty, retries=THREE | {"backoff_s": 4}) == pytest.approx(4 + 8 + 1)
    # An error takes longer than a limit where the pauses are long anyway.
    assert seconds(**twenty, error_rate=0.1, retries=THREE | {"backoff_s": 2.5}) == pytest.approx(
        (1 + 2.5) + (1 + 5) + 1
    )


def test_a_limit_of_tokens_has_a_bound_where_tokens_have_one() -> None:
    limited = tier("big", tokens_per_minute=600, burst_s=0, retries=THREE)

    def found(output_tokens: dict[str, Any], **keys: Any) -> dict[str, Any]:
        segment = {
            "prompt_tokens": {"kind": "fixed", "tokens": 30},
            "output_tokens": output_tokens,
        }
        arrivals = {"kind": "poisson", "rate_rps": 1.0}
        traffic = {"arrivals": arrivals, "segments": [segment]}
        return worst_case(scenario([limited | keys], traffic=traffic), {0})

    # 30 + 2 * 10 tokens of 10 a second.
    fixed = {"kind": "fixed", "tokens": 10}
    assert found(fixed, output_token_factor=2)["seconds"] == pytest.approx(5 + 5 + 1)
    short = found(fixed, output_token_factor=2, prompt={"token_factor": 0.5})
    assert short["seconds"] == pytest.approx(3.5 + 3.5 + 1)
    endless = {"kind": "lognormal", "p50_tokens": 10, "p99_tokens": 90}
    assert "Retry-After" in found(endless)["unbounded"][0]
    assert found(endless, timeout_s=9)["seconds"] == 9


def test_fallbacks_are_on_the_way_of_what_failed_and_of_nothing_else() -> None:
    def found(*tiers: dict[str, Any]) -> Any:
        return worst_case(scenario(list(tiers)), {0})["seconds"]

    main = tier("main", error_rate=0.1)
    spare = tier("spare", service={"kind": "fixed", "value_s": 4.0}, fallback=True)
    last = tier("last", service={"kind": "fixed", "value_s": 16.0})
    assert found(main, spare) == 1 + 4
    # The spare one cannot fail and accepts all; without it the last one is next.
    assert found(main, spare, last) == 1 + 4
    assert found(main, spare | {"error_rate": 0.1}, last) == 1 + 4 + 16
    # What is declined passes by the fallback.
    calm = tier("main", threshold=0.5, answers=ANSWERS)
    assert found(calm, spare, last) == 1 + 16
    assert found(calm | {"error_rate": 0.1}, spare | {"threshold": 0.5}, last) == 1 + 4 + 16
    assert found(main | {"on_failure": "give_up"}, spare, last) == 1


@settings(max_examples=150, deadline=None, derandomize=True)
@given(hosted(), st.integers(0, 2**20))
def test_no_request_of_any_world_takes_longer_than_its_bound(case: Scenario, seed: int) -> None:
    bound = worst_case(case, {0})["seconds"]
    longest = predict(case, seed, 150, "reference").outcomes.sojourn_s.max()
    assert bound is None or longest <= bound + 1e-6


@pytest.mark.parametrize(
    "keys",
    [
        {"error_rate": 0.5, "retries": THREE | {"jitter": 0}},
        {"error_rate": 0.5, "hedge": {"after_s": 0.7}},
        {"concurrency": 1, "attempt_timeout_s": 1.5, "retries": THREE | {"jitter": 0}},
        {"error_rate": 0.5, "attempt_timeout_s": 0.5, "retries": THREE, "timeout_s": 1.0},
    ],
)
def test_the_bound_is_reached(keys: dict[str, Any]) -> None:
    case = scenario(
        [tier("big", **keys), tier("spare", fallback=True)],
        traffic={"arrivals": {"kind": "poisson", "rate_rps": 2.0}},
    )
    bound = worst_case(case, {0})["seconds"]
    longest = predict(case, 3, 3000, "reference").outcomes.sojourn_s.max()
    assert longest == pytest.approx(bound, rel=0.01)
