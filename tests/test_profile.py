"""What a profile leaves to predict with: times of tiers, and ways between them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.profile import FEWEST, as_loaded, as_profiled, profile
from fallwise.cli.drives import layout, on_own_clock
from fallwise.draw import draw
from fallwise.scenario import Scenario, override
from fallwise.scenario.laws import Batching, Empirical
from fallwise.tables import ACCEPTED, DECLINED, NOT_VISITED, REFUSED, WORKED_OUT, OutcomeTable
from live_drives import target_of


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


CUT = r"of \d+ visits \d+ were cut by a time limit, hedged or lost"


def test_times_under_load_are_those_of_visits_with_an_answer() -> None:
    case = world()
    found = predict(case).outcomes
    told = as_loaded(case, found, case)
    assert told.kept == {} and told.took_s.shape == (400, 2)
    for k in range(2):
        answered = np.isin(found.visit[:, k], (ACCEPTED, DECLINED))
        law = told.predicts.tiers[k].service
        assert isinstance(law, Empirical) and FEWEST <= answered.sum() <= 400
        np.testing.assert_array_equal(law.values_s, found.busy_ns[answered, k] / 1e9)
        np.testing.assert_array_equal(told.took_s[answered, k], law.values_s)
        assert np.isnan(told.took_s[~answered, k]).all()
    assert told.predicts.tiers[1].name == "big" and told.predicts.tiers[0].threshold == 0.7


def test_a_tier_keeps_its_time_where_limits_cut_some_or_few_told_it() -> None:
    case = world(timeout_s=0.05)
    found = predict(case).outcomes
    alone = case.with_tier(0, service=Empirical(kind="empirical", values_s=[0.5]))
    told = as_loaded(case, found, alone)
    assert told.kept.keys() == {"small"} and re.fullmatch(CUT, told.kept["small"])
    assert told.predicts.tiers[0].service == alone.tiers[0].service
    assert isinstance(told.predicts.tiers[1].service, Empirical)
    assert np.isnan(told.took_s[:, 0]).all()
    few = found.take(slice(0, FEWEST - 1))
    again = as_loaded(world(), few, alone)
    visits = (found.visit[: FEWEST - 1, 1] != NOT_VISITED).sum()
    assert again.predicts == alone and again.kept["big"] == f"only {visits} visits told it"


def test_calls_in_a_slow_time_are_not_told_twice() -> None:
    case = world(outages=[{"from_s": 2, "to_s": 4, "slow": 3}])
    found = predict(case).outcomes
    law = as_loaded(case, found, case).predicts.tiers[0].service
    at_s = found.start_ns[:, 0] / 1e9
    outside = (at_s < 2) | (at_s >= 4)
    assert isinstance(law, Empirical) and 50 < outside.sum() < 390
    np.testing.assert_array_equal(law.values_s, found.busy_ns[outside, 0] / 1e9)


def test_visits_of_several_calls_do_not_tell_how_long_one_takes() -> None:
    case = world(error_rate=0.3, retries={"attempts": 3, "backoff_s": 0.01})
    found = predict(case).outcomes
    assert found.attempts is not None
    once = np.isin(found.visit[:, 0], (ACCEPTED, DECLINED)) & (found.attempts[:, 0] == 1)
    law = as_loaded(case, found, case).predicts.tiers[0].service
    assert isinstance(law, Empirical) and len(law.values_s) == once.sum() < 320


def test_hedges_cut_the_slow_visits_and_a_hedged_one_is_not_of_one_call() -> None:
    often = world(hedge={"after_s": 0.05})
    assert as_loaded(often, predict(often).outcomes, often).kept.keys() == {"small"}
    rare = world(hedge={"after_s": 0.15}, slots=50)
    found = predict(rare, n=4000).outcomes
    assert found.hedges is not None
    hedged = found.hedges[:, 0] > 0
    few = found.take(np.flatnonzero(~hedged | (hedged.cumsum() <= 3)))
    law = as_loaded(rare, few, rare).predicts.tiers[0].service
    assert isinstance(law, Empirical) and hedged.sum() > 3
    np.testing.assert_array_equal(law.values_s, found.busy_ns[~hedged, 0] / 1e9)


def test_what_an_outage_cuts_is_not_held_against_the_time_outside_it() -> None:
    case = world(timeout_s=1, slots=50, outages=[{"from_s": 2, "to_s": 4, "slow": 40}])
    found = predict(case).outcomes
    assert (found.visit[:, 0] == WORKED_OUT).sum() > 20
    told = as_loaded(case, found, case)
    assert told.kept == {} and isinstance(told.predicts.tiers[0].service, Empirical)


def asked_alone(**own: Any) -> tuple[Scenario, OutcomeTable]:
    """One tier, and what becomes of 400 requests to it alone."""
    law = {"kind": "lognormal", "p50_s": 0.02, "p99_s": 0.2}
    case = scenario([tier("one", service=law, **own)], run={"requests": 400, "warmup": 0})
    return case, predict(case).outcomes


@pytest.mark.parametrize("own", [{"timeout_s": 0.05}, {"hedge": {"after_s": 0.05}}])
def test_times_of_which_some_were_cut_are_not_taken_alone_either(own: dict[str, Any]) -> None:
    case, found = asked_alone(**own)
    told = as_profiled(case, [0], found)
    assert told.predicts == case and np.isnan(told.took_s).all()
    assert told.kept.keys() == {"one"} and re.fullmatch(CUT, told.kept["one"])
    ((tier_found,), rows) = profiled(case, found)
    assert (tier_found["service_s_mean"], tier_found["not_told"]) == (None, told.kept["one"])
    assert [row["measure"] for row in rows] == ["profile.one.accuracy"]


def test_requests_to_one_tier_of_which_nothing_is_known_may_have_been_the_slow_ones() -> None:
    case, found = asked_alone()
    visit = np.where(np.arange(400)[:, None] % 50 == 0, np.int8(NOT_VISITED), found.visit)
    told = as_profiled(case, [0], replace(found, visit=visit))
    assert told.predicts == case and told.kept == {
        "one": "of 400 visits 8 were cut by a time limit, hedged or lost"
    }


def test_who_may_not_be_asked_is_not_lost_and_nobody_is_out_alone() -> None:
    case, found = asked_alone(outages=[{"from_s": 0, "to_s": 60}])
    plain = asked_alone()[1]
    refused = np.arange(400) % 10 == 0
    visit = np.where(refused[:, None], np.int8(NOT_VISITED), plain.visit)
    status = np.where(refused, np.int8(REFUSED), plain.status)
    some = replace(plain, visit=visit, status=status)
    told = as_profiled(case, [0], some)
    law = told.predicts.tiers[0].service
    assert told.kept == {} and isinstance(law, Empirical) and len(law.values_s) == 360
    assert found.status.any()
    assert profiled(case, some)[0][0]["not_told"] is None
    assert as_loaded(case, plain.take(slice(0, 20)), case).kept.keys() == {"one"}


def test_a_batching_tier_keeps_its_batches() -> None:
    case = asked_alone()[0]
    batches = Batching(kind="batching", step_s=0.01)
    case = case.with_tier(0, service=batches)
    told = as_profiled(case, [0], asked_alone()[1])
    assert told.predicts == case
    assert told.kept == {"one": "its batches take longer the more is in them"}


def profiled(case: Scenario, found: OutcomeTable) -> tuple[list[Any], list[Any]]:
    scores = np.full(len(found), np.nan)
    chance = np.random.default_rng(1)
    says = draw(case).take(slice(0, len(found)))
    return profile(case, [0], says, found, scores, chance, graded=True)


def test_alone_too_what_was_tried_again_does_not_tell() -> None:
    case, found = asked_alone(error_rate=0.3, retries={"attempts": 4, "backoff_s": 0.01})
    assert found.attempts is not None
    once = found.attempts[:, 0] == 1
    told = as_profiled(case, [0], found)
    law = told.predicts.tiers[0].service
    assert told.kept == {} and isinstance(law, Empirical) and 200 < once.sum() < 340
    np.testing.assert_array_equal(law.values_s, found.busy_ns[once, 0] / 1e9)
    ((tier_found,), rows) = profiled(case, found)
    assert tier_found["service_s_mean"] == pytest.approx(np.mean(law.values_s))
    assert [row["agree"] for row in rows] == [True, True]


def test_a_tier_that_is_not_asked_alone_or_hardly_answers_keeps_its_time() -> None:
    case, found = asked_alone()
    few = found.take(slice(0, FEWEST - 1))
    for alone, out, why in (
        ([], found, "it cannot be asked alone"),
        ([0], few, "only 19 visits told it"),
    ):
        told = as_profiled(case, alone, out)
        assert told.predicts == case and told.kept == {"one": why}
    assert profiled(case, few)[1] == []


def test_a_tier_that_was_not_asked_before_the_money_ended_is_told_nothing_of() -> None:
    case, found = asked_alone()
    ((told,), rows) = profiled(case, found.take(slice(0, 0)))
    assert rows == [] and told["requests"] == told["failed"] == 0
    assert {told[name] for name in ("service_s_mean", "accuracy", "stated_accuracy")} == {None}


def test_the_judged_requests_are_those_of_the_scenario_whatever_comes_before() -> None:
    surge = [{"from_s": 2, "to_s": 4, "factor": 3}]
    traffic = {"arrivals": {"kind": "poisson", "rate_rps": 50.0}, "surges": surge}
    case = override(world(), {"traffic": traffic})
    asked = target_of(case, 3, 5)
    table = layout(case, asked)
    assert (asked.profile_rows, asked.rows_before, len(table)) == (6, 11, 411)
    drawn = draw(case, n=408)
    clocks = replace(table, arrival_ns=on_own_clock(table, 11)).columns()
    for name, column in clocks.items():
        own = getattr(drawn, name)
        np.testing.assert_array_equal(column[11:], own[:400], err_msg=name)
        if name != "arrival_ns":
            np.testing.assert_array_equal(column[:6:2], own[400:403], err_msg=name)
            np.testing.assert_array_equal(column[1:6:2], own[400:403], err_msg=name)
            np.testing.assert_array_equal(column[6:11], own[403:], err_msg=name)
    assert not table.check().arrival_ns[:6].any()
    np.testing.assert_array_equal(on_own_clock(table, 6)[6:11], drawn.arrival_ns[:5])
