from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fallwise.analysis.money import SECONDS_PER_MONTH
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.planning.breakeven import breakeven
from fallwise.planning.thresholds import Thresholds, thresholds_at
from fallwise.scenario import Scenario, read
from report_pages import made

ROOT = Path(__file__).parent.parent


def shorter(name: str, **run: Any) -> Scenario:
    scenario = read(ROOT / "scenarios" / f"{name}.yaml")
    return scenario.model_copy(update={"run": scenario.run.model_copy(update=run)})


def approximately(found: Any, other: Any) -> None:
    if isinstance(found, dict):
        for name in found:
            approximately(found[name], other[name])
    else:
        assert found == (other if other is None else pytest.approx(other, rel=1e-9, abs=1e-12))


@pytest.mark.parametrize("case", ["synthetic", "invoices", "replications"])
def test_the_scenarios_own_threshold_gives_what_the_summary_says(case: str) -> None:
    if case == "synthetic":
        scenario, prediction, summary = made(stakes=True)
    else:
        run = {"requests": 2000} if case == "invoices" else {"requests": 900, "replications": 3}
        scenario = shorter("invoices", **run)
        prediction = predict(scenario)
        summary = summarise(prediction)
    found = Thresholds(prediction, summary["warmup_requests"])
    threshold = scenario.tiers[0].threshold
    assert threshold is not None
    names = ("cost_usd_mean", "quality", "escalation_rate", "saving", "wrong_answers_usd_mean")
    for point in (found.point(0, threshold), found.own()):
        for name in (
            *names,
            "saving_with_upkeep",
            "sojourn_s_p50",
            "sojourn_s_p95",
            "sojourn_s_p99",
        ):
            approximately(point[name], summary[name])
        for tier, said in zip(point["tiers"], summary["tiers"], strict=True):
            for name in ("visit_share", "hit_share", "utilisation"):
                approximately(tier[name], said[name] and said[name]["value"])
            if tier["hit_share"]:
                approximately(tier["right_share"] / tier["hit_share"], said["quality"]["value"])
        for path, said in zip(point["paths"], summary["paths"], strict=True):
            approximately(path["share"], said["share"]["value"])
            approximately(path["p95"], said["sojourn_s_p95"] and said["sojourn_s_p95"]["value"])
        pays = breakeven(prediction)["requests_per_month"]
        if pays is None:
            assert point["pays_from"]["value"] is None
        else:
            approximately(point["pays_from"], pays)


def test_points_run_from_nothing_to_everything_escalated_and_hold_the_scenarios_own() -> None:
    scenario, prediction, summary = made()
    found = Thresholds(prediction, summary["warmup_requests"])
    points = [found.point(0, at) for at in thresholds_at(found, 0)]
    thresholds = [point["threshold"] for point in points]
    assert 20 <= len(points) <= 35
    assert thresholds[:-1] == sorted(thresholds[:-1])
    assert scenario.tiers[0].threshold in thresholds
    on = [point["escalation_rate"]["value"] for point in points]
    assert on == sorted(on)
    # The lowest score of all keeps every answer, and above every score none is kept.
    assert on[0] == 0
    assert (thresholds[-1], on[-1]) == (None, 1)
    assert max(b - a for a, b in pairwise(on)) < 0.1


def test_with_wrong_answers_paid_for_the_saving_is_of_both() -> None:
    scenario, prediction, summary = made(stakes=True)
    found = Thresholds(prediction, summary["warmup_requests"])
    point = found.own()
    ours = point["cost_usd_mean"]["value"] + 0.5 * (1 - point["quality"]["value"])
    alone = summary["baselines"]["frontier_only"]
    theirs = alone["cost_usd_mean"]["value"] + 0.5 * (1 - alone["quality"]["value"])
    assert found.alone_usd == pytest.approx(theirs)
    a_month = summary["rate_rps"]["value"] * SECONDS_PER_MONTH
    upkeep = scenario.money.upkeep_usd_per_month / a_month
    assert point["upkeep_usd_mean"] == pytest.approx(upkeep) and upkeep > 0
    assert point["saving_at_stake"]["value"] == pytest.approx(1 - (ours + upkeep) / theirs)
    difference = summary["quality"]["value"] - alone["quality"]["value"]
    assert point["quality_difference"]["value"] == pytest.approx(difference)
