"""Estimates and targets of one segment of the traffic."""

from typing import Any

import numpy as np
import pytest
from fallwise.analysis.predict import predict
from fallwise.analysis.stream import RELATIVE_ERROR, summarise_stream
from fallwise.analysis.summary import summarise
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, parse
from fallwise.tables import ANSWERED, SHED


def mixed(**target: Any) -> Scenario:
    """Easy and hard requests; the second tier is far away and its queue short."""
    small = {
        "name": "small",
        "kind": "api",
        "threshold": 0.7,
        "service": {"kind": "exponential", "mean_s": 0.2},
        "answers": {"accuracy": 0.8, "auroc": 0.8, "loading": 0.8},
    }
    big = {
        "name": "big",
        "kind": "pool",
        "queue_limit": 1,
        "service": {"kind": "exponential", "mean_s": 0.8},
        "answers": {"accuracy": 0.9, "loading": 0.8},
    }
    segments = [
        {"name": "easy", "share": 0.7, "difficulty": -0.5},
        {"name": "hard", "share": 0.3, "difficulty": 1.0},
    ]
    return parse(
        {
            "name": "mixed",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 2}, "segments": segments},
            "answers": {"source": "synthetic"},
            "tiers": [small, big],
            "targets": [{"measure": "sojourn_s_p95", "at_most": 2} | target],
            "run": {"requests": 20_000, "warmup": 1000},
        }
    )


def test_a_segment_is_measured_on_its_own_requests() -> None:
    prediction = predict(mixed())
    summary = summarise(prediction, baselines=False)
    outcomes = prediction.outcomes.take(slice(1000, None))
    assert outcomes.correct is not None
    for j, found in enumerate(summary["segments"]):
        mine = prediction.requests.segment[1000:] == j
        status, sojourn = outcomes.status[mine], outcomes.sojourn_s[mine]
        assert found["name"] == ("easy", "hard")[j]
        assert found["share"]["value"] == pytest.approx(mine.mean())
        assert found["quality"]["value"] == pytest.approx(outcomes.correct[mine].mean())
        assert found["shed_share"]["value"] == pytest.approx(np.mean(status == SHED))
        assert found["answered_share"]["value"] == pytest.approx(np.mean(status == ANSWERED))
        assert found["sojourn_s_p95"]["value"] == pytest.approx(
            np.quantile(sojourn, 0.95), rel=0.01
        )
    easy, hard = summary["segments"]
    assert easy["escalation_rate"]["high"] < hard["escalation_rate"]["low"]
    overall = sum(x["share"]["value"] * x["quality"]["value"] for x in (easy, hard))
    assert overall == pytest.approx(summary["quality"]["value"])


def test_block_by_block_a_segment_is_the_same() -> None:
    whole = summarise(predict(mixed()), baselines=False)["segments"]
    parts = summarise_stream(mixed(), block=3000, baselines=False)["segments"]
    for a, b in zip(whole, parts, strict=True):
        assert a["quality"] == pytest.approx(b["quality"])
        p95 = a["sojourn_s_p95"]["value"]
        assert b["sojourn_s_p95"]["value"] == pytest.approx(p95, rel=RELATIVE_ERROR + 1e-3)


def test_a_target_of_a_segment_is_held_against_that_segment() -> None:
    hard = summarise(predict(mixed()), baselines=False)["segments"][1]["sojourn_s_p95"]
    for limit, met in ((hard["value"] * 1.01, True), (hard["value"] * 0.99, False)):
        scenario = mixed(segment="hard", at_most=limit)
        (target,) = summarise(predict(scenario), baselines=False)["targets"]
        assert (target["name"], target["met"]) == ("sojourn_s_p95 of hard", met)
        assert (target["low"], target["high"]) == (hard["low"], hard["high"])


def test_a_target_of_no_segment_or_on_what_a_segment_has_not_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"targets\[0\].segment.*hrad.*no segment.*hard"):
        mixed(segment="hrad")
    with pytest.raises(ScenarioError, match="is no measure of a segment"):
        mixed(segment="hard", measure="cost_usd_mean")


def test_one_segment_is_not_listed_but_can_be_named() -> None:
    data = mixed().model_dump(exclude_unset=True)
    data["traffic"]["segments"] = [{"name": "easy"}]
    data["targets"][0]["segment"] = "easy"
    summary = summarise(predict(parse(data)), baselines=False)
    assert summary["segments"] == []
    assert summary["targets"][0]["value"] == summary["sojourn_s_p95"]["value"]
