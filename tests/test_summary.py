"""The summary against sums worked out by hand, closed forms and conservation laws."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from analysis_cascades import by_hand, run, scenario, tier
from fallwise.analysis.intervals import mser5
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.sample import collect, warmup
from fallwise.analysis.summary import summarise
from fallwise.scenario import parse
from fallwise.tables import STATUSES

CACHE = {"name": "cache", "kind": "cache", "capacity": 50, "lookup_s": 0.01, "filled_by": ["big"]}
POOL = {"kind": "pool", "service": {"kind": "exponential", "mean_s": 1.0}}


def everything() -> list[dict[str, Any]]:
    verifier = {"catch_rate": 0.5, "false_alarm_rate": 0.1, "usd_per_request": 0.02}
    answers = {"accuracy": 0.6, "auroc": 0.8, "loading": 0.6}
    small = tier("small", threshold=0.6, answers=answers, verifier=verifier, timeout_s=4.0, **POOL)
    people = {"kind": "human", "agents": 1, "agent_usd_per_hour": 36.0, "timeout_s": 1.5}
    return [
        {**CACHE, "usd_per_request": 0.001, "false_hit_rate": 0.1},
        small | {"replicas": 2, "usd_per_request": 0.1, "replica_usd_per_hour": 7.2},
        tier("big", usd_per_request=1.0, verifier=verifier, concurrency=2, queue_limit=1),
        tier("people", **people),
    ]


REPEATS = {"repeat_share": 0.3, "distinct_keys": 20}
TRAFFIC = {
    "arrivals": {"kind": "poisson", "rate_rps": 1.0},
    "segments": [
        {"name": "a", "share": 0.8, "repeats": REPEATS, "wrong_answer_usd": 5.0},
        {"name": "b", "share": 0.2, "residency": "local"},
    ],
}


@pytest.fixture(scope="module")
def busy() -> tuple[Prediction, dict[str, Any]]:
    tiers = everything()
    tiers[1]["local"] = True
    router = {"auroc": 0.7, "about": "small", "cuts": [0.3], "starts": ["big", "small"]}
    case = scenario(tiers, traffic=TRAFFIC, router={**router, "usd_per_request": 0.003})
    prediction = predict(case, seed=5, n=6000, engine="reference")
    return prediction, summarise(prediction)


def value(estimate: dict[str, float]) -> float:
    return estimate["value"]


def test_every_number_of_five_requests_by_hand() -> None:
    case = scenario(
        [
            tier("small", threshold=0.5, usd_per_request=1.0),
            tier("big", usd_per_request=10.0, kind="pool", replica_usd_per_hour=3600.0),
        ],
        traffic={
            "arrivals": {"kind": "poisson", "rate_rps": 0.1},
            "segments": [{"wrong_answer_usd": 4.0}],
        },
        money={"upkeep_usd_per_month": 100.0},
    )
    requests = by_hand(
        [10, 20, 30, 40, 50],
        [[1, 3]] * 5,
        score=[[0.9, 1], [0.9, 1], [0.9, 1], [0.1, 1], [0.1, 1]],
        correct=[[1, 1], [1, 1], [0, 1], [0, 1], [0, 0]],
    )
    summary = summarise(run(case, requests))
    # 5 small calls, 2 big ones; 50 s of a replica that costs a dollar a second.
    assert value(summary["cost_usd_mean"]) == pytest.approx((5 + 20 + 50) / 5)
    assert value(summary["cost_usd_per_month"]) == pytest.approx(75 / 50 * 2_629_800 + 100)
    assert value(summary["quality"]) == pytest.approx(0.6)
    assert value(summary["escalation_rate"]) == pytest.approx(0.4)
    assert value(summary["wrong_answers_usd_mean"]) == pytest.approx(2 * 4 / 5)
    assert value(summary["rate_rps"]) == pytest.approx(0.1)
    assert value(summary["sojourn_s_p50"]) == pytest.approx(1.0)
    assert summary["sojourn_s_p95"] is None
    assert summary["status"] == dict.fromkeys(STATUSES, 0) | {"answered": 5}
    frontier = summary["frontier"]
    assert value(frontier["quality_overall"]) == pytest.approx(0.8)
    assert value(frontier["quality_escalated"]) == pytest.approx(0.5)
    small, big = summary["tiers"]
    assert [value(t["hit_share"]) for t in (small, big)] == pytest.approx([0.6, 0.4])
    assert [value(t["visit_share"]) for t in (small, big)] == pytest.approx([1.0, 0.4])
    assert [value(t["cost_usd_mean"]) for t in (small, big)] == pytest.approx([1.0, 14.0])
    assert [value(t["quality"]) for t in (small, big)] == pytest.approx([2 / 3, 0.5])
    # The last answer comes at 54 s, after the last arrival: 3 s of 50 are seen, of 6 s held.
    assert value(big["utilisation"]) == pytest.approx(3 / 50)
    assert value(big["offered_load"]) == pytest.approx(6 / 50)
    assert [path["path"] for path in summary["paths"]] == [["small"], ["small", "big"]]
    assert value(summary["paths"][1]["sojourn_s_p50"]) == pytest.approx(4.0)
    alone = summary["baselines"]["frontier_only"]
    assert value(alone["cost_usd_mean"]) == pytest.approx(10 + 10)
    assert value(alone["cost_usd_per_month"]) == pytest.approx(100 / 50 * 2_629_800)
    assert value(alone["quality"]) == pytest.approx(0.8)
    assert value(alone["sojourn_s_p50"]) == pytest.approx(3.0)
    assert value(summary["baselines"]["cheapest_only"]["cost_usd_mean"]) == pytest.approx(1.0)
    assert value(summary["saving"]) == pytest.approx(1 - 15 / 20)
    # $100 of upkeep a month are $100 x 50 s of it for all five.
    each = 100 * 50 / 2_629_800 / 5
    assert value(summary["saving_with_upkeep"]) == pytest.approx(1 - (15 + each) / 20, rel=1e-12)


def test_it_is_json_with_the_promised_keys(busy: tuple[Prediction, dict[str, Any]]) -> None:
    summary = busy[1]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    run_keys = "scenario command seed version engine requests seconds_simulated cost_usd_mean"
    run_keys += " cost_usd_per_month quality escalation_rate sojourn_s_p50 sojourn_s_p95"
    run_keys += " sojourn_s_p99 sojourn_s_p999 findings status tiers paths baselines targets"
    assert set(run_keys.split()) <= set(summary)
    tier_keys = "name kind visit_share hit_share utilisation wait_s_mean wait_s_p99 service_s_mean"
    tier_keys += " cost_usd_mean quality timeouts retries rate_limited"
    assert all(set(tier_keys.split()) <= set(t) for t in summary["tiers"])
    path_keys = "path share cost_usd_mean quality sojourn_s_p50 sojourn_s_p95 sojourn_s_p99"
    assert all(set(path_keys.split()) <= set(p) for p in summary["paths"])
    assert set(summary["baselines"]) == {"cheapest_only", "frontier_only"}


def test_shares_and_costs_add_up(busy: tuple[Prediction, dict[str, Any]]) -> None:
    prediction, summary = busy
    outcomes = prediction.outcomes
    n = summary["requests_measured"]
    assert sum(summary["status"].values()) == n == len(outcomes)
    assert len({status for status, count in summary["status"].items() if count}) >= 3
    hits = sum(value(t["hit_share"]) for t in summary["tiers"])
    assert hits == pytest.approx(summary["status"]["answered"] / n)
    assert sum(value(p["share"]) for p in summary["paths"]) == pytest.approx(1)
    parts = sum(value(t["cost_usd_mean"]) for t in summary["tiers"])
    total = value(summary["cost_usd_mean"])
    assert parts + value(summary["router_usd_mean"]) == pytest.approx(total, rel=1e-9)
    by_path = sum(value(p["share"]) * value(p["quality"]) for p in summary["paths"])
    assert by_path == pytest.approx(value(summary["quality"]), rel=1e-6)
    by_tier = sum(value(t["hit_share"]) * value(t["quality"]) for t in summary["tiers"])
    assert by_tier == pytest.approx(value(summary["quality"]), rel=1e-6)
    assert outcomes.visit_cost_usd is not None and outcomes.cost_usd is not None
    routed = (outcomes.visit[:, 1:] != 0).any(axis=1) * 0.003
    np.testing.assert_allclose(outcomes.visit_cost_usd.sum(axis=1) + routed, outcomes.cost_usd)


def test_a_mean_is_the_mean_of_the_column(busy: tuple[Prediction, dict[str, Any]]) -> None:
    prediction, summary = busy
    outcomes = prediction.outcomes
    assert outcomes.cost_usd is not None and outcomes.correct is not None
    rent = (2 * 7.2 + 36.0) / 3600 * outcomes.arrival_ns[-1] / 1e9 / len(outcomes)
    assert value(summary["cost_usd_mean"]) == pytest.approx(outcomes.cost_usd.mean() + rent)
    assert value(summary["quality"]) == pytest.approx(outcomes.correct.mean(dtype=float))
    for k, found in enumerate(summary["tiers"]):
        there = outcomes.visit[:, k] != 0
        assert value(found["wait_s_mean"]) == pytest.approx(outcomes.wait_s[there, k].mean())
        assert value(found["visit_share"]) == pytest.approx(there.mean())


def test_every_estimate_lies_in_its_interval(busy: tuple[Prediction, dict[str, Any]]) -> None:
    def estimates(part: Any) -> Any:
        if isinstance(part, dict) and set(part) == {"value", "low", "high"}:
            yield part
        elif isinstance(part, dict | list):
            for below in part.values() if isinstance(part, dict) else part:
                yield from estimates(below)

    found = list(estimates(busy[1]))
    assert len(found) > 60
    assert all(e["low"] <= e["value"] <= e["high"] for e in found)


def test_utilisation_of_a_queue_that_grows_for_ever_is_one() -> None:
    case = scenario([tier("one", replicas=1, **POOL)], traffic={"arrivals": poisson(3.0)})
    (one,) = summarise(predict(case, seed=1, n=3000, engine="reference"))["tiers"]
    assert value(one["utilisation"]) == pytest.approx(1.0, abs=0.01)
    assert value(one["offered_load"]) == pytest.approx(3.0, rel=0.1)


def poisson(rate_rps: float) -> dict[str, Any]:
    return {"kind": "poisson", "rate_rps": rate_rps}


def test_waiting_of_mmc_holds_erlang_c() -> None:
    # M/M/2 at 1.4 erlangs, mean service 1 s: C = .576471, E[W] = C / (2 - 1.4) = .960784.
    case = scenario(
        [tier("one", replicas=2, **POOL)],
        traffic={"arrivals": poisson(1.4)},
        run={"requests": 10_000, "replications": 8},
    )
    summary = summarise(predict(case, seed=11, engine="reference"))
    (one,) = summary["tiers"]
    # Twice the 95 % half-width with 7 degrees of freedom: missed less than once in 1,000.
    half = one["wait_s_mean"]["high"] - one["wait_s_mean"]["value"]
    assert abs(value(one["wait_s_mean"]) - 0.960784) < 2 * half < 0.3
    assert summary["replications"] == 8
    assert value(one["utilisation"]) == pytest.approx(0.7, abs=0.03)


def test_a_replication_is_the_run_of_the_next_seed() -> None:
    case = scenario([tier("one")], run={"requests": 50, "replications": 3})
    runs = predict(case, seed=4, engine="reference").runs
    assert [r.seed for r in runs] == [4, 5, 6]
    single = scenario([tier("one")], run={"requests": 50})
    again = predict(single, seed=6, engine="reference")
    assert runs[2].outcomes.equals(again.outcomes)


@pytest.mark.parametrize(("runs", "batches"), [(1, 20), (2, 20), (3, 21), (10, 10)])
def test_few_runs_are_parted_and_many_are_a_batch_each(runs: int, batches: int) -> None:
    case = scenario([tier("one")], run={"requests": 50, "replications": runs})
    prediction = predict(case, seed=4, engine="reference")
    sample = collect(prediction, warmup(prediction))
    assert len(sample.batches) == batches
    assert sample.column("n").sum() == 50 * runs


def test_two_runs_know_a_mean_about_as_well_as_one_of_their_length() -> None:
    """As one batch each, two means would tell nothing: Student's t is 12.7 for them."""
    run = {"requests": 20_000, "replications": 2, "warmup": 500}
    traffic = {"arrivals": poisson(0.7)}
    half = []
    for count in (1, 2):
        run |= {"requests": 40_000 // count, "replications": count}
        case = scenario([tier("one", replicas=1, **POOL)], traffic=traffic, run=run)
        (one,) = summarise(predict(case, seed=5))["tiers"]
        half.append(one["wait_s_mean"]["high"] - one["wait_s_mean"]["value"])
    # 2.09 standard errors from 20 batches each: within 2.5 of one another in 999 of 1,000.
    assert 1 / 2.5 < half[1] / half[0] < 2.5


def test_the_given_warmup_is_cut() -> None:
    case = scenario([tier("one")], run={"warmup": 40, "requests": 100})
    summary = summarise(predict(case, engine="reference"))
    assert (summary["requests_measured"], summary["warmup_requests"]) == (60, [40])


def test_a_target_is_met_or_missed_at_its_limit() -> None:
    case = scenario(
        [tier("one")],
        targets=[
            {"measure": "sojourn_s_p50", "at_most": 1.0},
            {"measure": "quality", "at_least": 1.01},
            {"measure": "sojourn_s_p999", "at_most": 9.0},
        ],
    )
    summary = summarise(predict(case, n=500, engine="reference"))
    assert [t["met"] for t in summary["targets"]] == [True, False, False]
    assert summary["targets"][2]["value"] is None


def test_one_request_makes_a_summary() -> None:
    case = scenario([tier("small", threshold=0.5), tier("big")])
    summary = summarise(run(case, by_hand([0], [[1, 1]])))
    json.dumps(summary, allow_nan=False)
    assert summary["quality"] == {"value": 1.0, "low": None, "high": None}
    assert summary["cost_usd_per_month"] is None


def test_a_crowd_at_the_beginning_is_no_warm_up() -> None:
    # Half a minute at ten times the rate: MSER-5 would cut what the run is about.
    crowd = {"from_s": 0, "to_s": 30, "factor": 10}
    case = parse(
        {
            "name": "crowd",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1}, "surges": [crowd]},
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "only",
                    "kind": "pool",
                    "slots": 2,
                    "service": {"kind": "fixed", "value_s": 0.5},
                    "answers": {"accuracy": 0.9},
                }
            ],
            "run": {"requests": 3000},
        }
    )
    prediction = predict(case)
    summary = summarise(prediction)
    assert summary["warmup_requests"] == [0]
    assert summary["sojourn_s_p50"]["value"] == np.median(prediction.outcomes.sojourn_s)
    assert mser5(prediction.outcomes.sojourn_s) > 200
