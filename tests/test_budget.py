from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analysis_cascades import by_hand, run, scenario, tier
from fallwise.analysis.budget import PARTS, budget, stretches
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.summary import summarise
from fallwise.analysis.tally import tally

FIXED = {"kind": "fixed", "value_s": 0.25}
RETRIED: dict[str, Any] = {"error_rate": 0.3, "retries": {"attempts": 3, "backoff_s": 0.4}}
TWICE = {"attempts": 2, "backoff_s": 2.0}
SECOND = 1_000_000_000
CACHE = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.1, "filled_by": ["small"]}


def everything() -> Prediction:
    """A cache, a router, a pair, verifiers, timeouts and full queues, all at once."""
    answers = {"accuracy": 0.7, "auroc": 0.8, "loading": 0.5}
    check = {"catch_rate": 0.8, "false_alarm_rate": 0.1, "service": FIXED}
    slow = {"kind": "exponential", "mean_s": 1.0}
    case = scenario(
        [
            CACHE,
            tier("small", service=slow, concurrency=2, timeout_s=2, answers=answers),
            tier("other", service=slow, concurrency=2, answers=answers, agree_with="small"),
            tier("third", service=slow, concurrency=1, queue_limit=1, verifier=check, **RETRIED),
            tier("big", service=slow, verifier=check),
        ],
        router={
            "auroc": 0.7,
            "about": "small",
            "cuts": [0.2],
            "starts": ["third", "small"],
            "service": FIXED,
        },
        traffic={
            "arrivals": {"kind": "poisson", "rate_rps": 1.5},
            "segments": [{"repeats": {"repeat_share": 0.4, "distinct_keys": 5}}],
        },
    )
    return predict(case, 5, 4000, "reference")


def test_the_parts_of_every_request_are_its_time_to_the_nanosecond() -> None:
    prediction = everything()
    outcomes, total, seen = prediction.outcomes, np.zeros(4000, np.int64), set()
    for part, _, ns in stretches(prediction.scenario, outcomes):
        assert (ns >= 0).all()
        total += ns
        seen.add(part)
    assert seen == set(PARTS)
    assert (total == outcomes.end_ns - outcomes.arrival_ns).all()


def test_the_means_add_up_to_the_mean_time_in_every_row() -> None:
    prediction = everything()
    found = budget(prediction, [100])
    assert [row["of"] for row in found[:3]] == ["all", "sojourn_s_p95", "sojourn_s_p99"]
    assert found[0]["sojourn_s_mean"]["value"] == pytest.approx(
        prediction.outcomes.sojourn_s[100:].mean(), rel=1e-12
    )
    for row in found:
        parts = sum(row[f"{part}_s_mean"]["value"] for part in PARTS)
        assert parts == pytest.approx(row["sojourn_s_mean"]["value"], rel=1e-12)
        for part in ("queue", "unused", "service", "retry_pauses", "verifier", "cache"):
            own = sum(t.get(f"{part}_s_mean", {"value": 0.0})["value"] for t in row["tiers"])
            assert own == pytest.approx(row[f"{part}_s_mean"]["value"], rel=1e-12)
    slow = np.sort(prediction.outcomes.sojourn_s[100:])[-40:]
    assert found[2]["sojourn_s_mean"]["value"] >= slow.mean() * 0.95
    assert found[1]["requests"] == pytest.approx(195, abs=1)


def test_two_requests_by_hand() -> None:
    check = {"catch_rate": 0.0, "false_alarm_rate": 0.0, "service": FIXED}
    case = scenario([tier("small", concurrency=1, threshold=0.5, verifier=check), tier("big")])
    # The second waits a second; it is declined after the verifier, and big takes three.
    requests = by_hand(
        [0, 1],
        [[2, 3], [2, 3]],
        score=[[1, 1], [0, 1]],
        correct=[[1, 1], [1, 1]],
        verifier_ns=[[500_000_000, 0], [500_000_000, 0]],
    )
    first, second = (row for row in budget(run(case, requests), [0]) if row["of"] == "path")

    def parts(row: dict[str, Any]) -> list[float]:
        names = ("queue", "unused", "service", "verifier", "sojourn")
        return [row[f"{name}_s_mean"]["value"] for name in names]

    assert parts(first) == [0, 0, 2, 0.5, 2.5]
    assert second["path"] == ["small", "big"]
    # A score below the threshold needs no verifier.
    assert parts(second) == [1, 2, 3, 0, 6]


def test_several_runs_are_one_budget() -> None:
    case = scenario([tier("one", service={"kind": "exponential", "mean_s": 1.0})])
    case = case.model_copy(update={"run": case.run.model_copy(update={"replications": 3})})
    prediction = predict(case, 5, 300, "reference")
    row = budget(prediction, [0, 10, 20])[0]
    assert row["requests"] == 870
    one = replace(prediction, further=())
    assert budget(one, [0])[0]["requests"] == 300


def test_a_visit_of_several_calls_by_hand() -> None:
    """One server, two calls of a second each; both requests come at 0, and their first calls fail.

    The first is served until 1 s, pauses for 2 s until 3 s, and is served until 4 s. The second one
    waits until 1 s, is served until 2 s, pauses until 4 s and is served, without a wait, until 5 s.
    """
    case = scenario([tier("one", concurrency=1, error_rate=0.5, retries=TWICE)])
    requests = by_hand(
        [0, 0],
        [[1], [1]],
        call_ns=SECOND * np.ones((2, 2), np.int64),
        call_fails=[[True, False], [True, False]],
        pause_ns=2 * SECOND * np.ones((2, 2), np.int64),
    )
    prediction = run(case, requests)
    parts = {part: ns.tolist() for part, _, ns in stretches(case, prediction.outcomes)}
    assert parts.pop("queue") == [0, SECOND]
    assert parts.pop("retry_pauses") == [2 * SECOND, 2 * SECOND]
    assert parts.pop("service") == [2 * SECOND, 2 * SECOND]
    assert not any(any(ns) for ns in parts.values())
    assert prediction.outcomes.wait_s.tolist() == [[0.0], [1.0]]
    (row,) = summarise(prediction, baselines=False)["tiers"]
    assert row["wait_s_mean"]["value"] == 0.5
    assert row["service_s_mean"]["value"] == 2.0
    # Four seconds of work; the rate is counted until the last arrival, at 0.
    assert tally(case, prediction.requests, prediction.outcomes)["tier0.work_s"] == 4 * SECOND
