"""Costs and grades against sums worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from analysis_cascades import by_hand, run, scenario, tier
from fallwise.analysis.predict import Prediction
from fallwise.draw import draw
from fallwise.tables import ANSWERED, Floats
from hypothesis import given, settings
from hypothesis import strategies as st

CACHE = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.1, "false_hit_rate": 0.5}


def costs(prediction: Prediction) -> tuple[Floats, Floats]:
    outcomes = prediction.outcomes
    assert outcomes.visit_cost_usd is not None and outcomes.cost_usd is not None
    return outcomes.visit_cost_usd, outcomes.cost_usd


def test_calls_tokens_verifiers_and_the_router_are_paid_as_by_hand() -> None:
    verifier = {"catch_rate": 1, "false_alarm_rate": 0, "usd_per_request": 0.01}
    case = scenario(
        [
            tier("small", usd_per_request=0.1, threshold=0.5, verifier=verifier),
            tier("big", prompt_usd_per_mtok=1000, output_usd_per_mtok=4000),
        ],
        router={"auroc": 0.6, "about": "small", "cuts": [0.5], "starts": ["big", "small"]}
        | {"usd_per_request": 0.001},
    )
    prediction = run(
        case,
        by_hand(
            [0, 1, 2, 3],
            [[1, 1]] * 4,
            router_score=[0.9, 0.9, 0.9, 0.1],
            score=[[0.9, 1], [0.9, 1], [0.1, 1], [0.9, 1]],
            passes=[[True, True], [False, True], [True, True], [True, True]],
            prompt_tokens=[10, 20, 30, 40],
            output_tokens=[[0, 1], [0, 2], [0, 3], [0, 4]],
            correct=[[1, 0], [0, 0.5], [0, 1], [1, 0]],
        ),
    )
    visit, cost = costs(prediction)
    # Kept; refused by its verifier; below the threshold, so never verified; routed past the first.
    expected = [[0.11, 0], [0.11, 0.028], [0.1, 0.042], [0, 0.056]]
    np.testing.assert_allclose(visit, expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(cost, [0.111, 0.139, 0.143, 0.057], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(prediction.outcomes.correct, [1, 0.5, 1, 0])


@pytest.mark.parametrize(("billed", "paid"), [(True, 0.1), (False, 0.0)])
def test_only_a_call_that_timed_out_in_service_may_be_paid(billed: bool, paid: float) -> None:
    one = tier("one", concurrency=1, timeout_s=2.0, usd_per_request=0.1, bill_timeouts=billed)
    visit, _ = costs(run(scenario([one]), by_hand([0, 5], [[9], [1]])))
    np.testing.assert_array_equal(visit, [[paid], [0.1]])


def test_who_waited_in_vain_pays_nothing() -> None:
    one = tier("one", concurrency=1, timeout_s=2.0, cancel=False, usd_per_request=0.1)
    two = tier("two", concurrency=1, queue_limit=0, usd_per_request=7.0)
    visit, _ = costs(run(scenario([one, two]), by_hand([0, 0.5, 0.6], [[9, 9]] * 3)))
    # One works out and two wait out at `one`; `two` serves the first and turns the others away.
    np.testing.assert_array_equal(visit, [[0.1, 7.0], [0, 0], [0, 0]])


def test_a_cache_is_paid_by_look_up_and_a_hit_asks_no_router() -> None:
    case = scenario(
        [{**CACHE, "filled_by": ["big"], "usd_per_request": 0.5}, tier("big", usd_per_request=3)],
        router={"auroc": 0.6, "about": "big", "cuts": [0.5], "starts": ["big", "big"]}
        | {"usd_per_request": 0.25},
    )
    prediction = run(
        case,
        by_hand(
            [0, 5, 10, 15],
            [[0.1, 1]] * 4,
            key=[1, 1, 1, 2],
            router_score=[1.0] * 4,
            false_hit=[True, False, True, False],
            correct=[[0, 1], [0, 0], [0, 0], [0, 0]],
        ),
    )
    visit, cost = costs(prediction)
    np.testing.assert_array_equal(visit, [[0.5, 3], [0.5, 0], [0.5, 0], [0.5, 3]])
    np.testing.assert_array_equal(cost, [3.75, 0.5, 0.5, 3.75])
    # The second has the first one's right answer; the third was a different question.
    np.testing.assert_array_equal(prediction.outcomes.correct, [1, 1, 0, 0])


def test_a_recorded_price_is_the_price_of_the_call() -> None:
    case = scenario([tier("one", usd_per_request=9), tier("two", usd_per_request=9)])
    recorded = case.tiers[0].model_copy(update={"usd_column": "cost_usd", "threshold": 0.5})
    case = case.model_copy(update={"tiers": [recorded, case.tiers[1]]})
    requests = by_hand([0, 5], [[1, 1]] * 2, score=[[1, 1], [0, 1]], call_usd=[[2.0, 0], [4.0, 0]])
    visit, _ = costs(run(case, requests))
    np.testing.assert_array_equal(visit, [[2, 0], [4, 9]])


def test_an_unanswered_request_has_grade_nought() -> None:
    case = scenario([tier("one", concurrency=1, queue_limit=0)])
    outcomes = run(case, by_hand([0, 0.5], [[1], [1]])).outcomes
    assert (outcomes.status == ANSWERED).tolist() == [True, False]
    np.testing.assert_array_equal(outcomes.correct, [1, 0])


prices = st.floats(0, 10)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(0, 1), prices, prices, prices)
def test_where_nobody_waits_cost_is_the_sum_of_the_visits(
    seed: int, threshold: float, small: float, verifier: float, big: float
) -> None:
    answers = {"accuracy": 0.6, "auroc": 0.8}
    checked = {"catch_rate": 0.5, "false_alarm_rate": 0.1, "usd_per_request": verifier}
    case = scenario(
        [
            tier("small", threshold=threshold, answers=answers, usd_per_request=small),
            tier("big", usd_per_request=big, verifier=checked),
        ]
    )
    prediction = run(case, draw(case, seed, 60))
    visit, cost = costs(prediction)
    there = prediction.outcomes.visit != 0
    each = there[:, 0] * small + there[:, 1] * (big + verifier)
    np.testing.assert_allclose(cost, each, rtol=1e-12)
    np.testing.assert_array_equal(visit.sum(axis=1), cost)
    sent_on = prediction.requests.score[:, 0] < threshold
    np.testing.assert_array_equal(there[:, 1], sent_on)
