from contextlib import contextmanager
from typing import Any

import pytest
from fallwise.errors import ScenarioError
from fallwise.planning import runs
from fallwise.planning.sensitivity import sensitivity
from fallwise.scenario import Scenario, parse


def scenario() -> Scenario:
    return parse(
        {
            "name": "swept",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1}},
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "one",
                    "kind": "api",
                    "service": {"kind": "fixed", "value_s": 1},
                    "answers": {"accuracy": 0.8},
                    "usd_per_request": 0.5,
                }
            ],
            "run": {"requests": 400, "warmup": 0},
        }
    )


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def executor(scheduler: str | None, count: int) -> Any:
        class Here:
            map = staticmethod(map)

        yield Here()

    monkeypatch.setattr(runs, "_executor", executor)


def test_the_tornado_has_the_key_that_moves_a_measure_most_first() -> None:
    ranges = {"tiers.one.usd_per_request": (0.4, 0.6), "tiers.one.answers.accuracy": (0.5, 0.9)}
    found = sensitivity(scenario(), ranges)
    cost = found["tornado"]["cost_usd_mean"]
    assert cost[0]["key"] == "tiers.one.usd_per_request"
    assert (cost[0]["at_low"], cost[0]["at_high"]) == (0.4, 0.6)
    assert cost[1]["at_low"] == cost[1]["at_high"] == 0.5
    assert found["tornado"]["quality"][0]["key"] == "tiers.one.answers.accuracy"


def test_sobol_indices_hold_the_closed_form_of_a_sum() -> None:
    # Every request has 1,000,000 prompt tokens, so cost = a + b with independent uniform a and b:
    # the share of each is its variance, width ** 2, in the sum, and nothing interacts.
    base = scenario()
    segment = {"prompt_tokens": {"kind": "fixed", "tokens": 1_000_000}}
    data = base.model_dump(exclude_unset=True)
    data["traffic"]["segments"] = [segment]
    ranges = {
        "tiers.one.usd_per_request": (0.0, 1.0),
        "tiers.one.prompt_usd_per_mtok": (0.0, 2.0),
    }
    found = sensitivity(parse(data), ranges, sobol=64)["sobol"]["cost_usd_mean"]
    assert found[0]["first"] == pytest.approx(1 / 5, abs=0.06)
    assert found[1]["first"] == pytest.approx(4 / 5, abs=0.06)
    assert found[1]["total"] == pytest.approx(found[1]["first"], abs=0.06)


def test_no_range_is_refused() -> None:
    with pytest.raises(ScenarioError, match="no range"):
        sensitivity(scenario(), {})
