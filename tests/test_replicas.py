"""Replicas that fail and pools that are scaled: from the scenario to money, words and blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analysis_cascades import by_hand, run, scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.stream import summarise_stream
from fallwise.analysis.summary import summarise
from fallwise.draw.failures import up_and_down
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, override
from fallwise.tables import ERRORED

SCALE = {
    **{"min_replicas": 0, "max_replicas": 4, "target_utilisation": 0.7},
    **{"interval_s": 10.0, "cold_start_s": 30.0, "scale_down_after_s": 60.0},
}
FAILURES = {"mean_between_s": 200.0, "mean_repair_s": 50.0}


def pool(rate_rps: float = 0.5, **keys: Any) -> Scenario:
    usual = {"kind": "pool", "slots": 2, "replica_usd_per_hour": 3600.0}
    service = {"kind": "exponential", "mean_s": 4.0}
    traffic = {"arrivals": {"kind": "poisson", "rate_rps": rate_rps}}
    return scenario([tier("gpu", service=service, **usual | keys)], traffic=traffic)


def test_what_was_rented_by_hand() -> None:
    requests = by_hand([5.0, 200.0, 205.0], [[20.0], [1.0], [1.0]])
    summary = summarise(run(pool(autoscale=SCALE), requests), baselines=False)
    gpu = summary["tiers"][0]
    # One from the look of 10 on, up at 40, done at 60; none is wanted from 70 on: off at 130.
    # The look of 200 comes before the request of 200, and sees nobody.
    assert gpu["replicas_mean"]["value"] == pytest.approx(120 / 205)
    assert summary["cost_usd_mean"]["value"] == pytest.approx(120 / 3)
    assert gpu["utilisation"]["value"] == pytest.approx(20 / 240)
    assert gpu["wait_s_mean"]["value"] == pytest.approx((35 + 40 + 35) / 3)


def test_both_engines_and_blocks_rent_the_same() -> None:
    case = pool(autoscale=SCALE, failures=FAILURES, timeout_s=60.0)
    one, other = (predict(case, n=2000, engine=e).outcomes for e in ("reference", "compiled"))
    assert one.difference(other) is None
    assert (one.visit == ERRORED).sum() > 20
    assert one.rented_ns is not None
    replicas = one.rented_ns[1:, 0] / np.maximum(np.diff(one.arrival_ns), 1)
    assert (replicas == 4).any() and replicas.max() <= 4 and (replicas < 2).any()
    whole = summarise(predict(case, n=2000), baselines=False)
    parts = summarise_stream(case, n=2000, block=70, baselines=False)
    fresh = case.model_copy(update={"run": case.run.model_copy(update={"warmup": 100})})
    again = summarise(predict(fresh, n=2000), baselines=False)
    parts = summarise_stream(fresh, n=2000, block=70, baselines=False)
    assert parts["cost_usd_mean"]["value"] == pytest.approx(again["cost_usd_mean"]["value"])
    assert whole["tiers"][0]["replicas_mean"]["value"] < 4


def test_failures_take_their_share_of_the_servers() -> None:
    # Alternating renewal: up 200 of 250 s. A server that is always wanted is busy as long as it is
    # up; over 150 cycles the share has a standard error of .8 * .2 * sqrt(2 / 150) = .018.
    case = pool(rate_rps=2.0, slots=1, failures=FAILURES, queue_limit=50)
    out = predict(case, n=75_000).outcomes
    up = out.busy_ns[:, 0].sum() / (out.start_ns[:, 0] + out.busy_ns[:, 0]).max()
    assert up == pytest.approx(0.8, abs=4 * 0.018)


def test_a_replica_more_moves_no_old_failure() -> None:
    tiers = pool(failures=FAILURES).tiers
    few, many = (up_and_down(tiers, [count], 7) for count in (2, 3))
    for old, new in zip(few, many, strict=True):
        assert (old[0] == new[0, :2]).all()
    assert (up_and_down(tiers, [2], 8)[0] != few[0]).any()


def test_failures_that_begin_again_have_the_mean_of_their_law() -> None:
    tiers = pool(failures=FAILURES).tiers
    up, down = up_and_down(tiers, [40], 7)
    for drawn, mean_s in ((up[0], 200.0), (down[0], 50.0)):
        unit = np.sort(drawn / 1e9 / mean_s, axis=1)
        # Each replica by itself: nearly all chance is in the longest part, whose variance is 1.
        assert np.abs(unit.mean(axis=1) - 1).max() < 5 / unit.shape[1]
        # And it is the law: one in each part of equal probability.
        parts = np.floor(-np.expm1(-unit) * unit.shape[1])
        # A nanosecond may round a time into the part beside its own.
        assert np.abs(parts - np.arange(unit.shape[1])).max() <= 1
        # In no order: neighbours of 40 times 255 pairs are as good as uncorrelated.
        apart = (drawn[:, :-1] / mean_s / 1e9 - 1) * (drawn[:, 1:] / mean_s / 1e9 - 1)
        assert abs(apart.mean()) < 5 / np.sqrt(apart.size) + 1 / unit.shape[1]


def test_a_replica_is_down_as_long_as_its_failures_say_in_a_long_run() -> None:
    # Seldom asked, so that who waits waits for the repair alone, on average for as long as all of
    # it: 50 s, for a fifth of the requests.
    case = pool(rate_rps=0.02, slots=50, failures=FAILURES)
    case = override(case, {"tiers.gpu.service": {"kind": "fixed", "value_s": 0.001}})
    for seed in (1, 2, 3):
        waits = predict(case, seed, 40_000).outcomes.wait_s[:, 0]
        # 2,000,000 s are 8,000 failures, each of 256 again 31 times.
        assert (waits > 0).mean() == pytest.approx(0.2, rel=0.04)
        assert waits.mean() == pytest.approx(10.0, rel=0.08)


def test_a_recording_without_what_was_rented_is_charged_for_all_and_says_so() -> None:
    known = predict(pool(autoscale=SCALE), n=2000)
    bare = replace(known, outcomes=replace(known.outcomes, rented_ns=None))
    words = "What the autoscaler of gpu rented was not recorded: all 4 replicas"
    for case, said in ((known, False), (bare, True)):
        summary = summarise(case, baselines=False)
        assert any(x.startswith(words) for x in summary["findings"]) is said
        # A dollar a replica and second, and half a request a second.
        assert (summary["cost_usd_mean"]["value"] > 7.5) is said


def test_findings_in_plain_words() -> None:
    findings = summarise(predict(pool(0.02, autoscale=SCALE), n=2000), baselines=False)["findings"]
    assert any(x.startswith("The autoscaler of gpu is late: cold starts of 30 s") for x in findings)
    findings = summarise(predict(pool(replicas=4, failures=FAILURES), n=2000))["findings"]
    assert any("visits to gpu were lost when a replica failed" in x for x in findings)
    case = pool(rate_rps=0.95, replicas=2, failures=FAILURES)
    findings = summarise(predict(case, n=6000), baselines=False)["findings"]
    assert any("on 3.2 servers on average" in x for x in findings)


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"autoscale": SCALE, "replicas": 2}, "the autoscaler says how many"),
        ({"autoscale": SCALE | {"min_replicas": 5}}, "min_replicas is above max_replicas, 4"),
        ({"autoscale": SCALE, "cancel": False}, "a timeout frees the slot"),
        (
            {"failures": FAILURES, "kind": "api", "slots": None},
            "failures belongs to rules and pool",
        ),
        ({"failures": {"mean_between_s": 0.0, "mean_repair_s": 1.0}}, "mean_between_s"),
    ],
)
def test_bad_replicas_are_refused(keys: dict[str, Any], rule: str) -> None:
    with pytest.raises(ScenarioError, match=rule):
        pool(**keys)
