"""What comes of believing scores, against cascades whose calibration is known."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.draw import stream
from fallwise.planning.halves import halves, query_ids
from fallwise.planning.pick import Goal
from fallwise.planning.replayed import replayed
from fallwise.planning.trust import trust
from fallwise.scenario import Scenario


def cascade(**calibration: Any) -> Scenario:
    """Return independent tiers: then a calibrated score keeps what it promises."""
    small = {"accuracy": 0.7, "auroc": 0.85, "calibration": calibration}
    return scenario(
        [
            tier("small", threshold=0.5, usd_per_request=0.1, answers=small),
            tier("big", usd_per_request=1.0, answers={"accuracy": 0.9}),
        ],
        run={"requests": 20_000, "seed": 3},
    )


def believed(case: Scenario, goal: Goal) -> dict[str, Any]:
    (found,) = trust(case, goal, halves(case), 1, "compiled")
    return found


def test_a_calibrated_score_keeps_its_promise_and_an_over_confident_one_is_put_right() -> None:
    goal = Goal(quality=0.85)
    honest = believed(cascade(), goal)
    by_name = {row["name"]: row for row in honest["believed"]}
    # Five standard errors of a mean of 20,000 grades, twice.
    assert abs(by_name["as_it_is"]["points"]) < 1.8
    assert honest["maps"][0]["ece"]["low"] < 0.015

    boastful = believed(cascade(temperature=0.3), goal)
    rows = {row["name"]: row for row in boastful["believed"]}
    assert rows["as_it_is"]["points"] < -2.5 and rows["as_it_is"]["quality"] < 0.84
    assert rows["as_it_is"]["usd_per_month"] < 0  # cheaper, because it keeps too much
    for name in ("temperature", "platt", "isotonic"):
        assert abs(rows[name]["points"]) < 1.8
        assert rows[name]["cost_usd_mean"] == pytest.approx(
            boastful["labelled"]["cost_usd_mean"], rel=0.12
        )
    maps = {row["name"]: row for row in boastful["maps"]}
    assert maps["temperature"]["temperature"] == pytest.approx(1 / 0.3, rel=0.1)
    assert maps["as_it_is"]["ece"]["low"] > 0.05 > maps["isotonic"]["ece"]["value"]

    modest = {row["name"]: row for row in believed(cascade(temperature=3.0), goal)["believed"]}
    assert modest["as_it_is"]["usd_per_month"] > 0 and modest["as_it_is"]["points"] > 0


def test_who_is_confident_and_wrong_is_named(tmp_path: Path) -> None:
    path, chance = tmp_path / "t.csv", stream(2, "named")
    wrong = set()
    with open(path, "w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["query_id", "model", "correct", "confidence", "cost_usd"])
        for i in range(400):
            score, right = round(float(chance.random()), 4), int(chance.random() < 0.7)
            if score > 0.9 and not right:
                wrong.add(str(1000 + i))
            write.writerow([1000 + i, "small", right, score, 0.1])
            write.writerow([1000 + i, "big", i % 2, 1.0, 1.0])
    case = replayed(path, ["small", "big"])
    found = believed(case, Goal(margin=0.05))["confident_and_wrong"]
    assert 5 < len(wrong) <= 20
    assert {row["query_id"] for row in found["queries"]} == wrong
    assert found["count"] == len(wrong) and found["share"] == len(wrong) / 400
    assert all(r["frontier_right"] == bool(int(r["query_id"]) % 2) for r in found["queries"])
    scores = [row["score"] for row in found["queries"]]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0.9
    assert query_ids(halves(cascade())[0], np.arange(2)) == [None, None]
