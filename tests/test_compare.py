from typing import Any

import numpy as np
import pytest
from fallwise.analysis.compare import differences, seconds_by_path, worst_case_s
from fallwise.analysis.predict import predict
from fallwise.errors import ScenarioError
from fallwise.planning.paths import ways
from fallwise.scenario import Scenario, override, parse


def cascade(**values: Any) -> Scenario:
    tiers = [
        {"name": name, "kind": "pool", "replicas": 9, "usd_per_request": usd}
        | {"service": {"kind": "fixed", "value_s": time_s}, "timeout_s": 5 * time_s}
        | {"answers": {"accuracy": accuracy, "auroc": 0.8, "loading": 0.5}}
        | ({"threshold": 0.7} if name != "big" else {})
        for name, usd, time_s, accuracy in (
            ("small", 0.001, 0.5, 0.7),
            ("other", 0.002, 0.7, 0.75),
            ("big", 0.02, 1.0, 0.9),
        )
    ]
    base = {
        "name": "paths",
        "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1}},
        "answers": {"source": "synthetic"},
        "tiers": tiers,
        "run": {"requests": 20_000, "warmup": 0},
    }
    return override(parse(base), values)


def test_the_difference_of_two_prices_is_exact_and_certain() -> None:
    dearer = override(cascade(), {"tiers.small.usd_per_request": 0.004})
    found = differences([("a", predict(cascade())), ("b", predict(dearer))])[0]
    assert found["cost_usd_mean"]["value"] == pytest.approx(0.003)
    assert found["cost_usd_mean"]["low"] == pytest.approx(0.003)
    assert found["quality"]["value"] == 0


def test_pairing_holds_the_difference_that_independent_runs_give() -> None:
    a, b = cascade(), override(cascade(), {"tiers.small.threshold": 0.9})
    found = differences([("a", predict(a)), ("b", predict(b))])[0]
    apart = []
    for scenario, seed in ((b, 101), (a, 202)):
        outcomes = predict(scenario, seed, 200_000).outcomes
        assert outcomes.correct is not None
        apart.append(outcomes.correct.mean(dtype=np.float64))
    estimate = found["quality"]
    # Three times the half-width of the paired interval, and three standard errors of the other.
    room = 1.5 * (estimate["high"] - estimate["low"]) + 3 * np.sqrt(2 * 0.25 / 200_000)
    assert estimate["value"] == pytest.approx(apart[0] - apart[1], abs=room)
    assert estimate["variance_reduction"] > 2


def test_other_requests_cannot_be_compared() -> None:
    other = override(cascade(), {"traffic.arrivals.rate_rps": 2})
    with pytest.raises(ScenarioError, match="same requests"):
        differences([("a", predict(cascade())), ("b", predict(other))])


def test_the_seconds_of_a_path_add_up() -> None:
    for row in seconds_by_path(predict(cascade())):
        parts = sum(part["queue_s"] + part["service_s"] for part in row["tiers"])
        assert parts + row["other_s"] == pytest.approx(row["sojourn_s_mean"])
    alone = next(r for r in seconds_by_path(predict(cascade())) if r["path"] == ["small"])
    assert alone["tiers"][0]["service_s"] == pytest.approx(0.5)


def test_no_request_takes_longer_than_the_worst_case() -> None:
    busy = cascade(**{"traffic.arrivals.rate_rps": 16})
    worst = worst_case_s(busy)
    assert worst == pytest.approx(2.5 + 3.5 + 5)
    assert predict(busy).outcomes.sojourn_s.max() <= worst
    assert worst_case_s(override(busy, {"tiers.big.timeout_s": None})) is None


def test_the_ways_are_those_that_the_tiers_allow() -> None:
    found = dict(ways(cascade()))
    names = ["sequence", "sequence with tight timeout", "router", "agreement", "frontier-only"]
    assert list(found) == names
    sequence, routed = found["sequence"].outcomes, found["router"].outcomes
    share = (sequence.visit[:, 2] != 0).mean()
    # A binomial share of 20,000 requests, beside its expectation: four standard errors.
    assert (routed.visit[:, 2] != 0).mean() == pytest.approx(share, abs=0.02)
    assert (routed.visit[:, 1] == 0).all()
    both = found["agreement"].outcomes.visit
    assert ((both[:, 0] != 0) == (both[:, 1] != 0)).all()
    assert set(found["frontier-only"].outcomes.path.tolist()) == {4}


def test_two_tiers_have_no_agreement_to_try() -> None:
    data = cascade().model_dump(exclude_unset=True)
    del data["tiers"][1]
    assert "agreement" not in dict(ways(parse(data)))
