"""The judge of a live check, on tables where it is known who is to blame."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.judge import culprits, doubts, judge, verdict
from fallwise.analysis.live import outcomes_of
from fallwise.analysis.measures import from_inside
from fallwise.analysis.predict import predict
from fallwise.draw import stream
from fallwise.errors import TableError
from fallwise.scenario import override
from fallwise.tables import OutcomeTable
from live_drives import said_of

CASE = scenario(
    [
        tier(
            "small",
            kind="pool",
            replicas=2,
            threshold=0.5,
            usd_per_request=0.001,
            answers={"accuracy": 0.8, "auroc": 0.85},
            service={"kind": "lognormal", "p50_s": 0.3, "p99_s": 1.0},
        ),
        tier("big", usd_per_request=0.01, service={"kind": "lognormal", "p50_s": 1, "p99_s": 3}),
    ],
    run={"requests": 3000, "warmup": 0},
)


PREDICTED = predict(CASE)


RETRIED = {
    **{"tiers.big.retries": {"attempts": 8, "backoff_s": 0.1, "jitter": 1.0}},
    **{"tiers.big.error_rate": 0.1, "tiers.big.hedge": {"after_s": 1.0}},
}


@pytest.mark.parametrize("values", [{}, RETRIED])
def test_a_live_run_comes_back_as_the_outcomes_that_it_had(values: dict[str, Any]) -> None:
    predicted = predict(override(CASE, values))
    assert (predicted.outcomes.status == 0).all() and bool(values) == (
        predicted.outcomes.attempts is not None
    )
    found = outcomes_of(predicted.scenario, predicted.requests, said_of(predicted))
    for name, column in predicted.outcomes.columns().items():
        if name in ("end_ns", "visit_cost_usd"):
            continue
        shift = 2_000_000 * (name in ("enter_ns", "start_ns", "finish_ns")) * (column >= 0)
        assert np.array_equal(getattr(found, name), column + shift), name
    assert (found.end_ns - predicted.outcomes.end_ns == 4_000_000).all()


def test_a_request_without_a_word_has_failed_and_one_missing_is_refused() -> None:
    drive = said_of(PREDICTED)
    silent = replace(drive, headers=[{}, *drive.headers[1:]])
    assert outcomes_of(CASE, PREDICTED.requests, silent).status[0] == 5
    assert silent.said.sum() == len(PREDICTED.requests) - 1
    twice = replace(drive, request=np.maximum(drive.request, 1))
    with pytest.raises(TableError, match="different requests"):
        outcomes_of(CASE, PREDICTED.requests, twice)


def rows_of(measured: OutcomeTable) -> list[dict[str, Any]]:
    measures = from_inside(CASE, PREDICTED.outcomes)
    return judge(measures, PREDICTED.outcomes, measured, None, stream(1, "judge"))


def test_a_deployment_that_does_as_predicted_agrees() -> None:
    rows = rows_of(outcomes_of(CASE, PREDICTED.requests, said_of(PREDICTED)))
    assert {row["measure"] for row in rows} >= {
        "cost_usd_mean",
        "quality",
        "tiers.small.hit_share",
        "tiers.big.wait_s_mean",
        "paths.small.sojourn_s_p95",
    }
    assert verdict(rows, [], 0) == "agree"
    assert culprits(CASE, rows) == []
    assert json.dumps(rows, allow_nan=False)


def test_a_prediction_that_another_profile_would_move_has_wider_intervals() -> None:
    other = predict(override(CASE, {"tiers.big.service.p50_s": 2, "tiers.big.service.p99_s": 6}))
    measured, name = other.outcomes, "tiers.big.service_s_mean"
    measures = [m for m in from_inside(CASE, PREDICTED.outcomes) if m.name == name]

    def row(*others: OutcomeTable) -> dict[str, Any]:
        chance = stream(1, "judge")
        (row,) = judge(measures, PREDICTED.outcomes, measured, None, chance, others)
        return row

    sure, same, unsure = row(), row(measured, measured), row(measured, PREDICTED.outcomes)
    assert same == sure and sure["agree"] is False and unsure["agree"] is None
    moves = sure["difference"]["value"] / np.sqrt(2)
    for key, z in (("difference", 2.5758), ("predicted", 1.96)):
        for end in ("low", "high"):
            far, was = (r[key][end] - r[key]["value"] for r in (unsure, sure))
            expected = np.copysign(np.hypot(was, z * moves), was)
            if key == "predicted":  # No time is below 0.
                expected = max(expected, -unsure[key]["value"])
            assert far == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "tier_name", "cause"),
    [
        ({"tiers.small.threshold": 0.6}, "small", "routing"),
        ({"tiers.big.service.p50_s": 2, "tiers.big.service.p99_s": 6}, "big", "service"),
        ({"tiers.small.replicas": 1}, "small", "queueing"),
        ({"tiers.big.usd_per_request": 0.02}, "", "prices"),
    ],
)
def test_a_planted_fault_is_found_and_named(
    values: dict[str, Any], tier_name: str, cause: str
) -> None:
    other = predict(override(CASE, values))
    rows = rows_of(outcomes_of(other.scenario, other.requests, said_of(other)))
    assert verdict(rows, [], 0) == "differ"
    first = culprits(CASE, rows)[0]
    assert (first["tier"], first["cause"]) == (tier_name, cause)


@pytest.mark.parametrize(
    ("failed", "cause"),
    [(0.3, "failures"), (0.26, "failures"), (0.25, "routing"), (-0.3, "routing")],
)
def test_who_accepts_less_by_what_fails_is_blamed_for_that(failed: float, cause: str) -> None:
    rows = rows_of(PREDICTED.outcomes)
    for row in rows:
        moved = {"tiers.big.accept_share": -0.32, "tiers.big.failed_share": failed}
        row["difference"]["value"] = moved.get(row["measure"], 0.0)
        row["agree"] = None if row["measure"] in moved else True
        row["agree"] = False if row["measure"] == "tiers.big.accept_share" else row["agree"]
    assert [found["cause"] for found in culprits(CASE, rows)] == [cause]


def test_a_lost_request_is_a_difference_and_a_slow_client_is_a_doubt() -> None:
    drive = said_of(PREDICTED)
    assert doubts(drive) == []
    late = replace(drive, sent_ns=drive.sent_ns + 6_000_000)
    full = replace(drive, facts=drive.facts | {"in_flight_max": 4096, "cpu_share_max": 0.95})
    slow = replace(drive, sent_ns=drive.sent_ns + (drive.sent_ns - drive.sent_ns[0]) // 10)
    others = replace(drive, facts=drive.facts | {"cpu_wait_share": 0.36})
    assert "wait for a processor during 36 %" in doubts(others)[0]
    host = replace(drive, facts=drive.facts | {"stolen_share": 0.12})
    assert "gave 12 % of this machine's time to others" in doubts(host)[0]
    assert doubts(replace(drive, facts=drive.facts | {"stolen_share": 0.02})) == []
    assert "send lag" in doubts(late)[0]
    assert len(doubts(full)) == 2
    assert any("requests a second" in said for said in doubts(slow))
    assert verdict([], doubts(late), 0) == "inconclusive"
    assert verdict([], doubts(late), 1) == "differ"
