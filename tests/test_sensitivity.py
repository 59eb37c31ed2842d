from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from fallwise.errors import ScenarioError
from fallwise.planning import runs
from fallwise.planning.sensitivity import (
    Range,
    _indices,
    _samples,
    _together,
    sensitivity,
    values_at,
)
from fallwise.scenario import Scenario, override, parse
from test_runs import Here


def scenario(**changes: Any) -> Scenario:
    base = parse(
        {
            "name": "swept",
            "traffic": {
                "arrivals": {"kind": "gamma", "rate_rps": 1, "cv": 2},
                "segments": [{"prompt_tokens": {"kind": "fixed", "tokens": 1_000_000}}],
            },
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "one",
                    "kind": "api",
                    "service": {"kind": "lognormal", "p50_s": 1, "p99_s": 2},
                    "answers": {"accuracy": 0.8},
                    "usd_per_request": 0.5,
                    "prompt_usd_per_mtok": 0.0,
                }
            ],
            "run": {"requests": 400, "warmup": 0},
        }
    )
    return override(base, changes)


PRICE, TOKEN_PRICE = "tiers.one.usd_per_request", "tiers.one.prompt_usd_per_mtok"
ACCURACY, TOKENS = "tiers.one.answers.accuracy", "traffic.segments[0].prompt_tokens.tokens"


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def executor(scheduler: str | None, count: int) -> Any:
        here: Executor = Here()
        yield here

    monkeypatch.setattr(runs, "_executor", executor)


def test_the_tornado_has_the_key_that_moves_a_measure_most_first() -> None:
    found = sensitivity(scenario(), {PRICE: Range(0.4, 0.6), ACCURACY: Range(0.5, 0.9)})
    first, second = found["tornado"]["cost_usd_mean"]
    assert first["key"] == PRICE
    assert (first["at_low"], first["at_high"]) == pytest.approx((0.4, 0.6))
    # Every request costs the same, so the difference has no noise at all.
    assert first["swing"] == pytest.approx({"value": 0.2, "low": 0.2, "high": 0.2})
    assert second["swing"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["tornado"]["quality"][0]["key"] == ACCURACY
    assert found["base"]["cost_usd_mean"]["value"] == 0.5


def test_the_swing_is_known_better_than_two_runs_apart_would_tell() -> None:
    base = scenario(**{"run.requests": 20_000})
    found = sensitivity(base, {ACCURACY: Range(0.8, 0.82)})
    swing = found["tornado"]["quality"][0]["swing"]
    assert swing["low"] <= 0.02 <= swing["high"]
    # Of independent runs the half-width would be 1.96 sqrt(2 p (1 - p) / n) = .0077.
    assert (swing["high"] - swing["low"]) / 2 < 0.0077 / 2


def test_indices_hold_the_closed_form_of_a_sum() -> None:
    # Every request has 1,000,000 prompt tokens, so cost = a + b with independent uniform a and b:
    # the share of each is its variance, width ** 2, in the sum, and nothing interacts.
    found = sensitivity(scenario(), {PRICE: Range(0, 1), TOKEN_PRICE: Range(0, 2)}, sobol=64)
    cost = found["sobol"]["cost_usd_mean"]
    first, second = cost["indices"]
    assert (first["key"], second["key"]) == (TOKEN_PRICE, PRICE)
    for row, share in ((first, 4 / 5), (second, 1 / 5)):
        for name in ("first", "total"):
            assert row[name]["value"] == pytest.approx(share, abs=0.08)
            assert row[name]["low"] <= share <= row[name]["high"]
    assert cost["together"] == []
    # What does not move has no shares, and is no error.
    assert found["sobol"]["quality"]["indices"][0]["total"]["value"] == 0


def test_keys_that_multiply_each_other_are_named_together() -> None:
    # cost = tokens / 1e6 * price, u in [.1, 2] and v in [0, 1]: V(u) V(v) of it is by both.
    ranges = {TOKENS: Range(1e5, 2e6), TOKEN_PRICE: Range(0, 1)}
    cost = sensitivity(scenario(**{PRICE: 0.0}), ranges, sobol=16)["sobol"]["cost_usd_mean"]
    u, v, mean_u, mean_v = 1.9**2 / 12, 1 / 12, 1.05, 0.5
    (pair,) = cost["together"]
    assert pair["keys"] == [TOKENS, TOKEN_PRICE]
    by_both = u * v / (u * mean_v**2 + v * mean_u**2 + u * v)
    assert pair["share"] == pytest.approx(by_both, abs=0.03)


def test_indices_of_a_function_with_known_ones() -> None:
    # Ishigami and Homma (1990), a = 7, b = .1: the third key acts together with the first only.
    cube = _samples(3, 1024, seed=1)
    x = np.pi * (2 * cube - 1)
    y = np.sin(x[..., 0]) + 7 * np.sin(x[..., 1]) ** 2 + 0.1 * x[..., 2] ** 4 * np.sin(x[..., 0])
    rows = {row["key"]: row for row in _indices(["a", "b", "c"], y, np.random.default_rng(1))}
    exact = {"a": (0.3139, 0.5576), "b": (0.4424, 0.4424), "c": (0.0, 0.2437)}
    for key, pair in exact.items():
        for name, share in zip(("first", "total"), pair, strict=True):
            assert rows[key][name]["value"] == pytest.approx(share, abs=0.04)
            assert rows[key][name]["low"] - 0.02 <= share <= rows[key][name]["high"] + 0.02
    assert _together(["a", "b", "c"], cube, y)[0]["keys"] == ["a", "c"]


def test_the_same_seed_gives_the_same_answer() -> None:
    ranges = {PRICE: Range(0, 1), TOKEN_PRICE: Range(0, 2)}
    one, other = (sensitivity(scenario(), ranges, sobol=16) for _ in range(2))
    assert one == other


def test_a_range_of_times_multiplies_every_number_of_a_law_and_only_the_rates_of_traffic() -> None:
    base = scenario()
    law = dict(values_at(base, "tiers.one.service", Range(0.5, 2, times=True), 2.0))
    assert law == {"tiers.one.service.p50_s": 2.0, "tiers.one.service.p99_s": 4.0}
    traffic = dict(values_at(base, "traffic", Range(0.5, 2, times=True), 2.0))
    assert traffic == {"traffic.arrivals": {"kind": "gamma", "rate_rps": 2.0, "cv": 2.0}}


def test_a_range_of_a_whole_number_takes_whole_numbers() -> None:
    assert values_at(scenario(), TOKENS, Range(1, 9), 3.7) == ((TOKENS, 4),)


def test_ranges_that_are_none_are_refused() -> None:
    with pytest.raises(ScenarioError, match="no range"):
        sensitivity(scenario(), {})
    with pytest.raises(ScenarioError, match="power of 2"):
        sensitivity(scenario(), {PRICE: Range(0, 1)}, sobol=10)
    with pytest.raises(ScenarioError, match="no number to multiply"):
        values_at(scenario(), "answers.source", Range(1, 2, times=True), 1.0)
    with pytest.raises(ScenarioError, match=r"no such value: two.*one"):
        values_at(scenario(), "tiers.two.threshold", Range(1, 2), 1.0)
    with pytest.raises(ScenarioError, match=r"no single number; multiply.*traffic=x0.5:x2"):
        values_at(scenario(), "traffic", Range(1, 2), 1.0)
    with pytest.raises(ScenarioError, match="nothing that was assumed"):
        values_at(scenario(), "run.requests", Range(1, 2), 1.0)


def test_a_quantile_that_cannot_be_measured_is_none_everywhere() -> None:
    found = sensitivity(scenario(**{"run.requests": 100}), {PRICE: Range(0, 1)}, sobol=4)
    row = found["tornado"]["sojourn_s_p99"][0]
    assert (row["at_low"], row["at_high"], row["swing"]) == (None, None, None)
    assert found["sobol"]["sojourn_s_p99"] is None
