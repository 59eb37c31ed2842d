"""The threshold curve against one evaluation a threshold, by brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from analysis_cascades import run, scenario, tier
from fallwise.analysis.quality import random_mix, sweep, threshold_curve
from fallwise.draw import draw, stream
from fallwise.scenario import Scenario

QUANTILES = [0.1, 0.5, 0.5, 0.6, 0.9, 1.0, 1.0]
SMALL: dict[str, Any] = {
    "usd_per_request": 0.1,
    "threshold": 0.5,
    "answers": {"accuracy": 0.6, "auroc": 0.8, "score_quantiles": QUANTILES},
}
VERIFIER = {"catch_rate": 0.5, "false_alarm_rate": 0.1, "usd_per_request": 0.02}


def test_every_threshold_of_two_tiers_equals_brute_force() -> None:
    chance = stream(7, "curve")
    n = 200
    score = chance.integers(0, 12, n) / 10  # atoms: 12 values among 200 rows
    right = chance.random((2, n))
    cost = chance.random((2, n))
    curve = threshold_curve(score, (right[0], right[1]), (cost[0], cost[0] + cost[1]))
    assert curve.threshold.tolist() == [*np.unique(score).tolist(), math.inf]
    for t, usd, quality, rate in zip(
        curve.threshold, curve.cost_usd_mean, curve.quality, curve.escalation_rate, strict=True
    ):
        kept = score >= t
        assert quality == pytest.approx(np.where(kept, right[0], right[1]).mean(), abs=1e-12)
        assert usd == pytest.approx((cost[0] + ~kept * cost[1]).mean(), abs=1e-12)
        assert rate == pytest.approx((~kept).mean(), abs=1e-15)


def test_the_lowest_threshold_keeps_all_and_infinity_nothing() -> None:
    curve = threshold_curve(np.array([0.2, 0.8]), ([1, 0], [0, 1]), (1.0, 3.0))
    assert curve.escalation_rate.tolist() == [0, 0.5, 1]
    assert curve.cost_usd_mean.tolist() == [1, 2, 3]
    assert curve.quality.tolist() == [0.5, 0, 0.5]


CASES = {
    "verified": [
        tier("small", **SMALL, verifier=VERIFIER),
        tier("middle", threshold=0.8, answers={"accuracy": 0.7, "auroc": 0.7}, usd_per_request=1),
        tier("big", usd_per_request=5),
    ],
    "paired": [
        tier("small", **SMALL),
        tier("other", usd_per_request=1, agree_with="small"),
        tier("big", usd_per_request=5, verifier=VERIFIER),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_a_sweep_equals_a_run_for_each_threshold(name: str) -> None:
    case = scenario(CASES[name])
    requests = draw(case, 3, 300)
    curve = sweep(case, requests, 0, "reference")
    assert len(curve.threshold) > 10
    for at in range(0, len(curve.threshold) - 1, 7):
        outcomes = run(_with_threshold(case, curve.threshold[at]), requests).outcomes
        assert outcomes.cost_usd is not None and outcomes.correct is not None
        assert curve.cost_usd_mean[at] == pytest.approx(outcomes.cost_usd.mean(), rel=1e-12)
        assert curve.quality[at] == pytest.approx(outcomes.correct.mean(dtype=float), rel=1e-6)


def _with_threshold(case: Scenario, threshold: float) -> Scenario:
    first = case.tiers[0].model_copy(update={"threshold": float(threshold)})
    return case.model_copy(update={"tiers": [first, *case.tiers[1:]]})


def test_requests_routed_past_the_tier_do_not_move() -> None:
    curve = threshold_curve(
        np.array([0.5, 0.1]), ([1, 1], [0, 0]), (1.0, 2.0), asked=np.array([True, False])
    )
    assert curve.threshold.tolist() == [0.5, math.inf]
    assert curve.escalation_rate.tolist() == [0, 0.5]
    # The second is worth what it is when sent on, whatever the threshold.
    assert curve.quality.tolist() == [0.5, 0]


def test_a_random_mix_is_the_line_between_the_two() -> None:
    assert random_mix(1.0, 5.0, [0, 0.25, 1]).tolist() == [1, 2, 5]
