"""What stays when its cause has gone is said, and nothing where it ends or comes by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.aftermath import stayed
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.summary import summarise
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, TIMED_OUT

SURGE = [{"from_s": 100, "to_s": 120, "factor": 3}]
STORM = {
    "kind": "pool",
    "slots": 10,
    "service": {"kind": "lognormal", "p50_s": 0.8, "p99_s": 2.5},
    "attempt_timeout_s": 3,
    "cancel": False,
    "retries": {"attempts": 4, "backoff_s": 1.0, "on": ["timeout"]},
}


def world(own: dict[str, Any] | None = None, rate_rps: float = 1.5, **traffic: Any) -> Scenario:
    traffic = {"arrivals": {"kind": "poisson", "rate_rps": rate_rps}, "surges": SURGE} | traffic
    return scenario([tier("one", **(own or {}))], traffic=traffic, run={"requests": 1500})


def storm(values: dict[str, Any], **traffic: Any) -> Scenario:
    minute = [{"from_s": 100, "to_s": 160, "factor": 3}]
    case = world(STORM | values, 8, **{"surges": minute} | traffic)
    return case.model_copy(update={"run": case.run.model_copy(update={"requests": 8000})})


def ended(case: Scenario, from_s: float, share: float, to_s: float = 1e9) -> Prediction:
    """Return a run of which so many, evenly, are not answered from a moment on."""
    made = predict(case, engine="reference")
    at_s = made.outcomes.arrival_ns / 1e9
    lost = (at_s >= from_s) & (at_s < to_s) & (np.arange(len(at_s)) % 100 < 100 * share)
    status = np.where(lost, TIMED_OUT, ANSWERED).astype(np.int8)
    return replace(made, outcomes=replace(made.outcomes, status=status))


def test_what_stays_is_said_with_its_numbers() -> None:
    made = ended(world(), 100, 0.5)
    out = made.outcomes
    half_s = (120 + float(out.arrival_ns.max()) / 1e9) / 2
    share = float((out.status[out.arrival_ns / 1e9 >= half_s] == ANSWERED).mean())
    (said,) = stayed(made)
    assert said == (
        "What came from 100 to 120 s has gone, and the failure has stayed: "
        f"from {half_s:,.0f} s to the end {100 * share:.3g} % of the requests were answered; "
        "without it, 100 % would have been."
    )


@pytest.mark.parametrize("cause", ["surge", "outage"])
def test_a_retry_storm_is_told_from_its_attempts(cause: str) -> None:
    outage = {"outages": [{"from_s": 100, "to_s": 160, "slow": 5}]}
    case = storm(outage, surges=[]) if cause == "outage" else storm({})
    (said,) = stayed(predict(case))
    shares = [float(number) for number in re.findall(r"([\d.]+) %", said)]
    assert shares[0] < 10
    assert shares[1] == 100
    tried = re.search(r"A visit of one makes (\S+) attempts there, (\S+) without it", said)
    assert tried is not None
    assert float(tried[1]) > 3.5
    assert float(tried[2]) < 1.5
    assert summarise(predict(case))["findings"][0] == said


def test_a_tier_that_is_not_visited_without_the_cause_is_not_said_to_make_one_attempt_there() -> (
    None
):
    """The second one is called, always in vain, by those only whom the storm has left."""
    case = storm({})
    second = tier("two", **STORM | {"service": {"kind": "fixed", "value_s": 5}})
    both = scenario(
        [tier("one", **STORM), second],
        traffic=case.model_dump(exclude_unset=True)["traffic"],
        run={"requests": 8000},
    )
    made = predict(both)
    out = made.outcomes
    assert out.attempts is not None
    assert out.attempts[-1000:, 1].max() == 4
    (said,) = stayed(made)
    assert "A visit of one makes" in said


@pytest.mark.parametrize(
    ("from_s", "to_s", "share"),
    [(100, 200, 1.0), (100, 1e9, 0.05)],
    ids=["it ends", "hardly any"],
)
def test_nothing_is_said_where_nothing_stays(from_s: float, to_s: float, share: float) -> None:
    assert list(stayed(ended(world(), from_s, share, to_s))) == []


OVERLOADED = {"kind": "pool", "slots": 1, "timeout_s": 10}


@pytest.mark.parametrize(
    "case",
    [
        world(OVERLOADED, surges=[{"from_s": 10, "to_s": 20, "factor": 1.01}]),
        world(
            OVERLOADED,
            arrivals={"kind": "profile", "step_s": 500, "rates_rps": [0.3, 4]},
        ),
        # Without the 500 requests of the surge the last rows come when the crowd has gone.
        world(
            OVERLOADED,
            arrivals={"kind": "profile", "step_s": 200, "rates_rps": [0.5, 0.5, 4, 0.5, 0.5, 0.5]},
            surges=[{"from_s": 0, "to_s": 10, "factor": 100}],
        ),
    ],
    ids=["too much by itself", "a load that changes by itself", "a crowd to come"],
)
def test_nothing_is_said_where_it_is_as_bad_without_the_cause(case: Scenario) -> None:
    made = predict(case)
    assert (made.outcomes.status[-300:] == ANSWERED).mean() < 0.8
    assert list(stayed(made)) == []


def test_a_storm_that_a_budget_ends_is_not_said_to_stay() -> None:
    budget = {"retries": {"attempts": 4, "backoff_s": 1.0, "on": ["timeout"], "budget": 0.1}}
    assert list(stayed(predict(storm(budget)))) == []


def test_nothing_is_said_where_the_run_ends_too_soon_or_nothing_came() -> None:
    for case in (
        world(surges=[]),
        world(surges=[{"from_s": 100, "to_s": 600, "factor": 1.1}]),
        world(surges=[{"from_s": 100, "to_s": 120, "factor": 0.5}]),
        world({"outages": [{"from_s": 100, "to_s": 120, "every_s": 500}]}, surges=[]),
    ):
        assert list(stayed(ended(case, 100, 1.0))) == []
