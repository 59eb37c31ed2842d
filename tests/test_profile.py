"""What a profile leaves to predict with: times of tiers, and ways between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from analysis_cascades import scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.profile import as_loaded, ways_s
from fallwise.cli.drives import Target, layout
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Empirical
from fallwise.tables import ACCEPTED, DECLINED


def world(**small: Any) -> Scenario:
    law = {"kind": "lognormal", "p50_s": 0.02, "p99_s": 0.2}
    answers = {"accuracy": 0.8, "auroc": 0.85}
    own = {"kind": "pool", "replicas": 2, "service": law, "threshold": 0.7, "answers": answers}
    tiers = [
        tier("small", **own, **small),
        tier("big", service=law, answers={"accuracy": 0.95}),
    ]
    traffic = {"arrivals": {"kind": "poisson", "rate_rps": 50.0}}
    return scenario(tiers, traffic=traffic, run={"requests": 400, "warmup": 0})


def target(case: Scenario) -> Target:
    return Target(
        scenario=case,
        alone={0: "small", 1: "big"},
        deployment=None,
        prompts=None,
        each=3,
        loaded=5,
        drives=1,
        time=0.05,
        profiled=True,
        max_usd=None,
    )


def test_times_under_load_are_those_of_visits_with_an_answer() -> None:
    case = world(timeout_s=0.05)
    found = predict(case).outcomes
    loaded = as_loaded(case, found)
    for k in range(2):
        answered = np.isin(found.visit[:, k], (ACCEPTED, DECLINED))
        law = loaded.tiers[k].service
        assert isinstance(law, Empirical) and 0 < answered.sum() < 400
        np.testing.assert_array_equal(law.values_s, found.busy_ns[answered, k] / 1e9)
    assert loaded.tiers[1].name == "big" and loaded.tiers[0].threshold == 0.7


def test_visits_of_several_calls_do_not_tell_how_long_one_takes() -> None:
    case = world(error_rate=0.3, retries={"attempts": 3, "backoff_s": 0.01})
    found = predict(case).outcomes
    assert found.attempts is not None
    once = np.isin(found.visit[:, 0], (ACCEPTED, DECLINED)) & (found.attempts[:, 0] == 1)
    law = as_loaded(case, found).tiers[0].service
    assert isinstance(law, Empirical) and len(law.values_s) == once.sum() < 320


def test_a_way_is_that_of_a_request_that_the_same_tier_answered() -> None:
    found = predict(world()).outcomes
    away_s: dict[int | None, Any] = {None: np.array([3.0, 4.0]), 0: np.arange(20) / 100}
    ways = ways_s(found, away_s, np.random.default_rng(1))
    first = found.hit_tier == 0
    assert set(np.unique(ways[first])) <= set(away_s[0]) and (ways[first] < 1).all()
    assert set(np.unique(ways[~first])) == {3.0, 4.0}
    away_s[0] = away_s[0][:19]
    assert (ways_s(found, away_s, np.random.default_rng(1)) > 1).all()


def test_requests_under_load_come_between_those_to_tiers_alone_and_those_judged() -> None:
    case = world()
    asked = target(case)
    table = layout(case, asked)
    assert (asked.profile_rows, asked.rows_before, len(table)) == (6, 11, 411)
    alone = layout(case, replace(asked, loaded=0))
    # The judged ones are others than those before, and the first of them all are the same.
    np.testing.assert_array_equal(table.service_ns[:406], alone.service_ns)
    assert (np.diff(table.arrival_ns) >= 0).all() and table.arrival_ns[6] == 0
