from __future__ import annotations

import pickle

import pytest
from fallwise.errors import CheckError, FallwiseError, Problem, ScenarioError, TableError


def test_a_problem_says_place_key_value_rule_and_remedy() -> None:
    problem = Problem("must be above 0", "give a rate", ("tiers", 0, "a"), -1)
    assert str(problem) == "tiers[0].a: -1: must be above 0; give a rate"
    assert str(problem.at("s.yaml", 9, 12)).startswith("s.yaml:9:12: tiers[0].a: -1: ")
    assert str(problem.at("s.yaml")).startswith("s.yaml: tiers[0].a: ")


def test_a_key_that_begins_with_a_position_is_readable() -> None:
    assert str(Problem("r", "m", (0, "a"))) == "[0].a: r; m"


def test_values_that_say_something_are_said_even_when_false() -> None:
    assert str(Problem("r", "m", ("a",), 0)) == "a: 0: r; m"
    assert str(Problem("r", "m", ("a",), "")) == "a: '': r; m"


def test_a_long_value_is_cut() -> None:
    assert len(str(Problem("r", "m", ("a",), "x" * 1000))) < 100


@pytest.mark.parametrize("kind", [ScenarioError, TableError, CheckError])
def test_every_error_is_one_a_user_can_put_right(kind: type[FallwiseError]) -> None:
    one, two = Problem("first", "a"), Problem("second", "b")
    assert str(kind([one, two])) == "first; a\nsecond; b"
    assert kind(one).problems == [one]
    with pytest.raises(FallwiseError):
        raise kind(one)


def test_an_error_survives_the_way_back_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(ScenarioError(Problem("r", "m", ("a",), 1))))
    assert str(error) == "a: 1: r; m"
