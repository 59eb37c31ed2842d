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


def ends(found: dict[str, Any], measure: str) -> list[float]:
    (row,) = found["tornado"][measure]
    assert row["swing"]["value"] == pytest.approx(row["at_high"] - row["at_low"])
    return [row["at_low"], row["at_high"]]


def test_a_price_moves_the_cost_by_as_much_and_nothing_else() -> None:
    found = moved(case(assumptions=assumed("tiers.one.usd_per_request")))
    assert ends(found, "cost_usd_mean") == pytest.approx([0.003, 0.005])
    assert found["ranges"]["tiers.one.usd_per_request"]["low"] == 0.75
    assert found["tornado"]["quality"] == found["tornado"]["sojourn_s_p95"] == []


def test_of_an_accuracy_the_errors_are_moved() -> None:
    found = moved(case(assumptions=assumed("tiers.one.answers.accuracy")))
    assert ends(found, "quality") == pytest.approx([0.85, 0.75], abs=0.03)
    assert found["base"]["cost_with_wrong_answers_usd_mean"] == found["base"]["cost_usd_mean"]


def test_all_times_of_a_distribution_are_moved_together() -> None:
    found = moved(case(assumptions=assumed("tiers.one.service")))
    assert ends(found, "sojourn_s_p95") == pytest.approx([1.5, 2.5])
    stakes = {
        "arrivals": {"kind": "poisson", "rate_rps": 1.0},
        "segments": [{"name": "s", "wrong_answer_usd": 2.0}],
    }
    key = "traffic.segments.s.wrong_answer_usd"
    found = moved(case(traffic=stakes, assumptions=assumed(key)))
    wrong = 1 - found["base"]["quality"]["value"]
    told = ends(found, "cost_with_wrong_answers_usd_mean")
    assert told == pytest.approx([0.004 + 1.5 * wrong, 0.004 + 2.5 * wrong])


def test_what_moves_a_measure_most_stands_first_and_what_hardly_does_is_left_out() -> None:
    keys = ("tiers.one.answers.accuracy", "tiers.one.service", "tiers.one.usd_per_request")
    found = moved(case(assumptions=assumed(*keys)))
    assert set(found["ranges"]) == set(keys)
    for measure, key in (("cost_usd_mean", 2), ("quality", 0), ("sojourn_s_p95", 1)):
        assert [row["key"] for row in found["tornado"][measure]] == [keys[key]]


def test_what_is_no_number_is_left_and_said() -> None:
    found = moved(case(assumptions=assumed("name", "tiers.one.kind")))
    assert (found["ranges"], found["left"], found["base"]) == ({}, ["name", "tiers.one.kind"], {})
