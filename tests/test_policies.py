from __future__ import annotations

from dataclasses import replace

import numpy as np
from engines_worlds import blank_requests
from fallwise.policies import accepts, agrees, decide, passes, starts_at
from fallwise.scenario import Scenario, parse
from fallwise.tables import RequestTable
from hypothesis import given
from hypothesis import strategies as st

SERVICE = {"kind": "fixed", "value_s": 1}
ANSWERS = {"accuracy": 0.9}
RATES = {"catch_rate": 0.5, "false_alarm_rate": 0.1}


def cascade(*tiers: dict[str, object], **more: object) -> Scenario:
    names = ("a", "b", "c")[: len(tiers)]
    own = {"kind": "pool", "service": SERVICE, "answers": ANSWERS}
    return parse(
        {
            "name": "x",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1}},
            "answers": {"source": "synthetic"},
            "tiers": [own | {"name": n} | tier for n, tier in zip(names, tiers, strict=True)],
        }
        | more
    )


def requests(score: list[list[float]], **columns: object) -> RequestTable:
    shown = np.asfortranarray(score)
    blank = blank_requests(np.arange(len(score)), np.ones(shown.shape, np.int64))
    return replace(blank, score=shown, **columns)  # type: ignore[arg-type]


def test_an_answer_at_the_threshold_is_accepted() -> None:
    assert accepts(0.8, 0.8)
    assert not accepts(np.nextafter(0.8, 0), 0.8)


scores = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@given(scores, st.floats(0, 1), st.floats(0, 1))
def test_raising_a_threshold_escalates_more(score: list[float], one: float, two: float) -> None:
    low, high = sorted((one, two))
    shown = np.array(score)
    assert (accepts(shown, low) >= accepts(shown, high)).all()


@given(scores, st.floats(0, 1))
def test_one_request_is_decided_as_many_are(score: list[float], cut: float) -> None:
    shown = np.array(score)
    cuts, starts = [cut / 2, cut], [0, 1, 2]
    for x, above, start in zip(
        score, accepts(shown, cut), starts_at(shown, cuts, starts), strict=True
    ):
        assert accepts(x, cut) == above
        assert starts_at(x, cuts, starts) == start
        assert passes(accepts(x, cut), True) == above
        assert not passes(accepts(x, cut), False)
        assert agrees(x, x)


def test_a_router_starts_at_or_above_a_cut_in_the_next_tier() -> None:
    assert starts_at(np.array([0.1, 0.3, 0.5, 0.9]), [0.3, 0.9], [0, 1, 2]).tolist() == [0, 1, 1, 2]


def test_a_verifier_is_asked_only_about_answers_whose_score_passed() -> None:
    scenario = cascade({"threshold": 0.5, "verifier": RATES}, {"verifier": RATES})
    verdict = np.array([[True, True], [False, False], [True, False]])
    decided = decide(scenario, requests([[0.9, 0], [0.9, 0], [0.1, 0]], passes=verdict))
    assert decided.verify.tolist() == [[True, True], [True, True], [False, True]]
    assert decided.accept.tolist() == [[True, True], [False, False], [False, False]]


def test_two_tiers_side_by_side_decide_as_one() -> None:
    scenario = cascade({"threshold": 0.5}, {"agree_with": "a"}, {})
    table = requests(
        [[0.9, 0, 0], [0.9, 0, 0], [0.1, 0, 0]], answer=np.array([[1, 1, 0], [1, 2, 0], [1, 1, 0]])
    )
    assert decide(scenario, table).accept.tolist() == [
        [True, True, True],
        [False, False, True],
        [False, False, True],
    ]


def test_the_start_is_the_first_tier_that_is_no_cache_or_what_the_router_says() -> None:
    table = requests([[1.0, 1.0]] * 2, router_score=np.array([0.2, 0.7]))
    assert decide(cascade({}, {}), table).start.tolist() == [0, 0]
    router = {"cuts": [0.5], "starts": ["b", "a"], "auroc": 0.7, "about": "a"}
    assert decide(cascade({}, {}, router=router), table).start.tolist() == [1, 0]
    cache = {"kind": "cache", "capacity": 1, "lookup_s": 0, "filled_by": ["b"]}
    cached = cascade(cache | {"service": None, "answers": None}, {})
    assert decide(cached, table).start.tolist() == [1, 1]


def test_decisions_do_not_see_the_truth() -> None:
    scenario = cascade({"threshold": 0.5, "verifier": RATES}, {})
    table = requests([[0.9, 0], [0.1, 0]])
    other = replace(table, correct=1 - table.correct)
    assert (decide(scenario, table).accept == decide(scenario, other).accept).all()
