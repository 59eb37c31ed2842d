from __future__ import annotations

from typing import Any

import pytest
from analysis_cascades import scenario, tier
from fallwise.planning.movers import moved


def case(**keys: Any) -> Any:
    answers = {"accuracy": 0.8, "wrong_choices": 2}
    service = {
        "kind": "mixture",
        "parts": [{"weight": 1.0, "law": {"kind": "fixed", "value_s": 2.0}}],
    }
    tiers = [
        tier("one", usd_per_request=0.004, answers=answers, service=service, concurrency=1000),
    ]
    return scenario(tiers, run={"requests": 4000}, **keys)


def assumed(*keys: str) -> list[dict[str, str]]:
    return [{"key": key, "why": "so"} for key in keys]


def test_a_price_moves_the_cost_by_as_much_and_nothing_else() -> None:
    found = moved(case(assumptions=assumed("tiers.one.usd_per_request")))
    (row,) = found["rows"]
    assert row["low"] == {"tiers.one.usd_per_request": pytest.approx(0.003)}
    assert row["cost_usd_mean"] == [pytest.approx(0.003), pytest.approx(0.005)]
    assert row["quality"] == [found["base"]["quality"]] * 2
    assert row["sojourn_s_p95"] == [found["base"]["sojourn_s_p95"]] * 2


def test_of_an_accuracy_the_errors_are_moved() -> None:
    found = moved(case(assumptions=assumed("tiers.one.answers.accuracy")))
    (row,) = found["rows"]
    assert list(row["low"].values()) == [pytest.approx(0.85)]
    assert row["quality"] == [pytest.approx(0.85, abs=0.03), pytest.approx(0.75, abs=0.03)]
    assert found["base"]["cost_at_stake_usd_mean"] == found["base"]["cost_usd_mean"]


def test_all_times_of_a_distribution_are_moved_together() -> None:
    found = moved(case(assumptions=assumed("tiers.one.service")))
    (row,) = found["rows"]
    assert row["sojourn_s_p95"] == [pytest.approx(1.5), pytest.approx(2.5)]
    stakes = {
        "arrivals": {"kind": "poisson", "rate_rps": 1.0},
        "segments": [{"name": "s", "wrong_answer_usd": 2.0}],
    }
    key = "traffic.segments.s.wrong_answer_usd"
    found = moved(case(traffic=stakes, assumptions=assumed(key)))
    (row,) = found["rows"]
    wrong = 1 - found["base"]["quality"]
    assert row["cost_at_stake_usd_mean"] == [
        pytest.approx(0.004 + 1.5 * wrong),
        pytest.approx(0.004 + 2.5 * wrong),
    ]


def test_what_is_no_number_is_left_and_said() -> None:
    found = moved(case(assumptions=assumed("name", "tiers.one.kind")))
    assert (found["rows"], found["left"], found["base"]) == ([], ["name", "tiers.one.kind"], None)
