"""Rent that follows the load, in `tune`: three replicas or one, by hand, where six may be had."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fallwise.analysis.money import rent_usd as paid
from fallwise.analysis.predict import predict
from fallwise.planning.halves import APART, whole
from fallwise.planning.pairs import best_pair
from fallwise.planning.pick import Goal
from fallwise.planning.rent import follows, rents_of
from fallwise.planning.side import side_of
from fallwise.planning.tune import tune
from fallwise.scenario import Scenario, override, parse

# A request a second, 2.5 s of work each: two or three in service, so three replicas of one slot.
POOL: dict[str, Any] = {
    "kind": "pool",
    "slots": 1,
    "replica_usd_per_hour": 3600.0,
    "service": {"kind": "fixed", "value_s": 2.5},
    "autoscale": {
        "min_replicas": 1,
        "max_replicas": 6,
        "target_utilisation": 1.0,
        "interval_s": 0.3,
        "cold_start_s": 0.0,
        "scale_down_after_s": 20.0,
    },
}
CHEAP = {"kind": "api", "service": {"kind": "fixed", "value_s": 0.1}, "usd_per_request": 0.25}


def cascade(*middle: dict[str, Any], first: Any = CHEAP, last: Any = POOL) -> Scenario:
    small = {"name": "small", "threshold": 0.5, "answers": {"accuracy": 0.6, "auroc": 0.8}}
    big = {"name": "big", "answers": {"accuracy": 0.95}}
    return parse(
        {
            "name": "rent",
            "traffic": {"arrivals": {"kind": "gamma", "rate_rps": 1.0, "cv": 0.001}},
            "answers": {"source": "synthetic"},
            "tiers": [small | first, *middle, big | last],
            "run": {"requests": 5000},
        }
    )


def test_the_frontier_alone_rents_three_replicas_and_a_cascade_that_keeps_all_the_least() -> None:
    case = cascade()
    side = side_of(case, whole(case, 1), 0, "compiled")
    # A dollar a replica and second, a request a second.
    assert side.frontier[1].mean() == pytest.approx(3.0, rel=0.02)
    assert side.cheapest[1].mean() == pytest.approx(0.25)
    for threshold, usd in ((-math.inf, 0.25 + 1.0), (math.inf, 0.25 + 3.0)):
        assert side.at(threshold)[1].mean() == pytest.approx(usd, rel=0.02)
    among = side.candidates(Goal(usd=2.0))
    assert among.cost_usd_mean[[0, -2, -1]] == pytest.approx([1.25, 3.25, 3.0], rel=0.02)
    # The room below a budget is what the cost leaves of it.
    assert among.room == pytest.approx(2.0 - among.cost_usd_mean, abs=1e-9)


def test_between_the_thresholds_that_are_simulated_rent_is_that_of_a_run_of_its_own() -> None:
    case = cascade()
    rents = rents_of(case, 0, whole(case, 1), "compiled")
    for threshold in (0.3, 0.55, 0.8, 0.9):
        run = predict(override(case, {"tiers.small.threshold": threshold}), 1)
        own = float(paid(run.scenario, run.outcomes).mean())
        assert rents.at(threshold) == pytest.approx(own, rel=0.02)
    assert rents.usd[0] < 1.05 and rents.usd[-1] > 2.95


def test_the_pick_pays_for_what_was_rented() -> None:
    chosen = tune(cascade(), Goal(quality=0.75), seed=1)["pick"]
    case = override(cascade(), {"tiers.small.threshold": chosen["threshold"]})
    # The requests of the half that it is reported on.
    run = predict(case, 1 + APART)
    assert run.outcomes.cost_usd is not None
    usd = float((run.outcomes.cost_usd + paid(run.scenario, run.outcomes)).mean())
    assert chosen["cost_usd_mean"]["value"] == pytest.approx(usd, rel=0.02)
    assert usd < 0.25 + 3.0


def test_a_search_pays_for_what_was_rented_with_a_tier_left_out_too() -> None:
    middle = {"name": "middle", "threshold": 0.5, "answers": {"accuracy": 0.8, "auroc": 0.8}}
    found = tune(cascade(middle | CHEAP), Goal(margin=0.0), trials=20)
    assert found["frontier_only"]["cost_usd_mean"]["value"] == pytest.approx(3.0, rel=0.02)
    for point in found["curve"]:
        kept = 2 - len(point["left_out"])
        assert point["cost_usd_mean"] <= 0.25 * kept + 3.0 * 1.02
        assert point["cost_usd_mean"] >= 1.0


def test_a_pair_rents_for_what_its_own_tiers_are_asked() -> None:
    # The pool comes first and answers everything itself: three replicas, where the tier after it
    # never helps. At most six could be rented.
    middle = {"name": "middle", "threshold": 0.5, "answers": {"accuracy": 0.99, "auroc": 0.9}}
    useless: dict[str, Any] = CHEAP | {"answers": {"accuracy": 0.1}, "usd_per_request": 9.0}
    dear = CHEAP | {"answers": {"accuracy": 0.1, "auroc": 0.6}, "usd_per_request": 9.0}
    case = cascade(middle | POOL, first=dear, last=useless)
    side = side_of(case, whole(case, 1), 1, "compiled")
    pair = best_pair(case, Goal(quality=0.98), side, side, "compiled")
    assert pair is not None and pair["tiers"][0] == "middle"
    assert pair["cost_usd_mean"] == pytest.approx(3.0, rel=0.02)


def test_rent_by_the_clock_is_that_of_every_replica_and_asks_for_no_run() -> None:
    always = cascade(last={k: v for k, v in POOL.items() if k != "autoscale"} | {"replicas": 6})
    assert follows(cascade()) and not follows(always)
    side = side_of(always, whole(always, 1), 0, "compiled")
    for threshold in (-math.inf, 0.5, math.inf):
        assert side.at(threshold)[1].mean() == pytest.approx(0.25 + 6.0, rel=0.01)
