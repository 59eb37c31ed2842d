"""Wrong answers that passed every check, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
from analysis_cascades import by_hand, run, scenario, tier
from fallwise.analysis.summary import summarise

SEGMENTS = [
    {"name": "cheap", "share": 0.5, "wrong_answer_usd": 1.0},
    {"name": "dear", "share": 0.5, "wrong_answer_usd": 10.0},
]


def shares(row: dict[str, Any]) -> list[float]:
    names = ("wrong_share", "wrong_usd_mean", "confident_wrong_share", "confident_wrong_usd_mean")
    return [row[name]["value"] for name in names]


def test_seven_requests_by_hand() -> None:
    check = {"catch_rate": 0.5, "false_alarm_rate": 0.0}
    case = scenario(
        [
            tier("small", threshold=0.8, verifier=check, usd_per_request=0.5),
            tier("big", usd_per_request=2.0),
        ],
        traffic={"arrivals": {"kind": "poisson", "rate_rps": 1.0}, "segments": SEGMENTS},
    )
    rows = (
        # segment, score, passes, correct at small, at big
        (0, 0.9, 1, 1, 1),  # right
        (0, 0.8, 1, 0, 1),  # confident and wrong: 1 USD
        (1, 0.9, 1, 0, 1),  # confident and wrong: 10 USD
        (1, 0.9, 0, 0, 0),  # the verifier sends it on; big is wrong, but nobody checked: 10 USD
        (0, 0.7, 1, 0, 1),  # a low score sends it on; big is right
        (0, 0.7, 1, 1, 0),  # a low score sends it on; big is wrong: 1 USD
        (1, 1.0, 1, 1, 1),  # right
    )
    segment, score, passes, small, big = zip(*rows, strict=True)
    requests = by_hand(
        range(7),
        [[1, 1]] * 7,
        segment=segment,
        score=[[x, 1] for x in score],
        passes=[[x, 1] for x in passes],
        correct=list(zip(small, big, strict=True)),
    )
    summary = summarise(run(case, requests))
    risk = summary["risk"]
    assert shares(risk) == pytest.approx([4 / 7, 22 / 7, 2 / 7, 11 / 7])
    (only,) = risk["tiers"]
    assert only["name"] == "small"
    assert shares(only) == pytest.approx([2 / 7, 11 / 7, 2 / 7, 11 / 7])
    cheap, dear = risk["segments"]
    assert shares(cheap) == pytest.approx([2 / 4, 2 / 4, 1 / 4, 1 / 4])
    assert shares(dear) == pytest.approx([2 / 3, 20 / 3, 1 / 3, 10 / 3])
    # Stakes are in no cost but the one that says so: 7 small calls, 3 big ones.
    cost = (7 * 0.5 + 3 * 2.0) / 7
    assert summary["cost_usd_mean"]["value"] == pytest.approx(cost)
    assert summary["cost_with_wrong_answers_usd_mean"]["value"] == pytest.approx(cost + 22 / 7)
    alone = summary["baselines"]["frontier_only"]
    assert alone["cost_usd_mean"]["value"] == pytest.approx(2.0)
    # big alone is wrong twice: once for 10, once for 1.
    assert alone["cost_with_wrong_answers_usd_mean"]["value"] == pytest.approx(2.0 + 11 / 7)
    saving = summary["saving_with_wrong_answers"]["value"]
    assert saving == pytest.approx(1 - (cost + 22 / 7) / (2.0 + 11 / 7))


def test_a_cached_mistake_is_its_makers_and_a_false_hit_is_not() -> None:
    cache = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.1}
    case = scenario(
        [
            {**cache, "filled_by": ["small"], "false_hit_rate": 0.5},
            tier("small", threshold=0.5),
            tier("big"),
        ]
    )
    # The first answer is wrong and sure; it is asked for again twice, once by another question.
    requests = by_hand(
        [0, 10, 20, 30],
        [[0.1, 1, 1]] * 4,
        key=[1, 1, 1, 2],
        score=[[1, 0.9, 1]] * 4,
        correct=[[0, 0, 1]] * 3 + [[0, 1, 1]],
        false_hit=[False, False, True, False],
    )
    risk = summarise(run(case, requests))["risk"]
    assert risk["wrong_share"]["value"] == pytest.approx(3 / 4)
    assert risk["confident_wrong_share"]["value"] == pytest.approx(2 / 4)
    assert risk["tiers"][0]["confident_wrong_share"]["value"] == pytest.approx(2 / 4)


def test_an_answer_that_nobody_checks_is_not_confident() -> None:
    case = scenario([tier("one")])
    requests = by_hand(range(4), [[1]] * 4, correct=[[0], [1], [0], [1]])
    risk = summarise(run(case, requests))["risk"]
    assert risk["wrong_share"]["value"] == 0.5
    assert risk["confident_wrong_share"]["value"] == 0
    assert risk["tiers"] == []
