from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fallwise.analysis.compare import differences
from fallwise.analysis.predict import predict
from fallwise.errors import ScenarioError
from fallwise.planning.paths import ways
from fallwise.scenario import Scenario, override, parse, read
from fallwise.tables import WORKED_OUT


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


def test_the_ways_are_those_that_the_tiers_allow() -> None:
    found, impossible = ways(cascade())
    by_name = {way.name: way.prediction for way in found}
    names = ["sequence", "sequence with tight timeout", "router", "agreement", "frontier-only"]
    assert list(by_name) == names
    assert impossible == {"hedged": "no answer of big takes longer than the others"}
    sequence, routed = by_name["sequence"].outcomes, by_name["router"].outcomes
    share = (sequence.visit[:, 2] != 0).mean()
    # A binomial share of 20,000 requests, beside its expectation: four standard errors.
    assert (routed.visit[:, 2] != 0).mean() == pytest.approx(share, abs=0.02)
    assert (routed.visit[:, 1] == 0).all()
    both = by_name["agreement"].outcomes.visit
    assert ((both[:, 0] != 0) == (both[:, 1] != 0)).all()
    assert set(by_name["frontier-only"].outcomes.path.tolist()) == {4}


def test_a_tight_timeout_lets_nineteen_of_twenty_answers_through() -> None:
    wide = override(
        cascade(),
        {"tiers.small.service": {"kind": "exponential", "mean_s": 0.5}, "tiers.small.replicas": 90},
    )
    found, _ = ways(wide)
    tight = next(way for way in found if way.name == "sequence with tight timeout")
    # -ln(0.05) / 2 s, from 20,000 draws: five standard errors of a p95 (Var = q(1 - q) / n f^2).
    limit = tight.prediction.scenario.tiers[0].timeout_s
    assert limit == pytest.approx(-np.log(0.05) / 2, abs=5 * 0.5 * np.sqrt(0.95 / 0.05 / 20_000))
    assert f"small.timeout_s = {limit:.3g}" in tight.how


def test_a_tight_timeout_that_would_strike_nobody_is_no_way_of_its_own() -> None:
    tight = "sequence with tight timeout"
    law = {"kind": "empirical", "values_s": [1.0, 5.0]}
    values = {"tiers.small.service": law, "tiers.small.timeout_s": None}
    # Who waits for a server can be struck, and so can who is hosted with a longer answer.
    assert tight in {way.name for way in ways(override(cascade(), values))[0]}
    hosted = cascade().model_dump(exclude_unset=True)
    del hosted["tiers"][0]["replicas"], hosted["tiers"][0]["timeout_s"]
    hosted["tiers"][0] |= {"kind": "api", "service": law}
    assert ways(parse(hosted))[1][tight] == "no answer of small takes longer than 5"
    found, _ = ways(parse(hosted), tight_timeout_s=2.0)
    (way,) = [way for way in found if way.name == tight]
    struck = way.prediction.outcomes.visit[:, 0] == WORKED_OUT
    np.testing.assert_array_equal(struck, way.prediction.requests.service_ns[:, 0] > 2e9)


def test_a_hedge_makes_no_answer_of_an_endless_frontier_later() -> None:
    found, _ = ways(
        override(cascade(), {"tiers.big.service": {"kind": "exponential", "mean_s": 1}})
    )
    by_name = {way.name: way.prediction.outcomes for way in found}
    hedged, plain = by_name["hedged"], by_name["sequence"]
    assert hedged.hedges is not None and hedged.hedges.sum() > 0
    assert (hedged.wait_s[:, 2] == 0).all()
    assert (hedged.end_ns <= plain.end_ns).all() and (hedged.end_ns < plain.end_ns).any()


def test_ways_that_are_not_possible_say_why() -> None:
    data = cascade().model_dump(exclude_unset=True)
    del data["tiers"][1]
    data["tiers"][0]["timeout_s"] = 0.4
    _, impossible = ways(parse(data))
    assert impossible["agreement"] == "it needs two tiers before the frontier"
    assert "small's own timeout_s, 0.4" in impossible["sequence with tight timeout"]
    del data["tiers"][0]
    found, impossible = ways(parse(data))
    assert {way.name for way in found} == {"sequence", "frontier-only"}
    assert impossible.keys() - {"hedged"} == {"sequence with tight timeout", "router", "agreement"}


def test_a_scenario_with_a_router_is_compared_with_its_sequence() -> None:
    router = {"auroc": 0.8, "about": "small", "cuts": [0.3], "starts": ["big", "small"]}
    found, _ = ways(override(cascade(), {"router": router}))
    by_name = {way.name: way.prediction for way in found}
    assert list(by_name)[:2] == ["as written", "sequence"]
    assert by_name["sequence"].scenario.router is None
    assert by_name["router"].scenario.tiers[0].threshold is None
    assert by_name["router"].scenario.router == by_name["as written"].scenario.router


def test_a_scenario_that_is_one_of_the_ways_is_called_so() -> None:
    plain: dict[str, Any] = {f"tiers.{name}.threshold": None for name in ("small", "other")}
    router = {"auroc": 0.8, "about": "small", "cuts": [0.3], "starts": ["big", "small"]}
    found, impossible = ways(override(cascade(), plain | {"router": router}))
    assert [way.name for way in found] == ["router", "agreement", "frontier-only"]
    assert "has a threshold or a verifier" in impossible["sequence"]
    found, impossible = ways(override(cascade(), plain | {"tiers.other.agree_with": "small"}))
    assert [way.name for way in found] == ["agreement", "router", "frontier-only"]
    assert impossible.keys() == {"sequence", "sequence with tight timeout", "hedged"}


def test_a_table_that_is_asked_again_widens_the_difference() -> None:
    path = Path(__file__).parents[1] / "scenarios" / "invoices.yaml"
    found = []
    for name in ("rule_check_digit", "rule_sum"):
        changes = {"tiers.naive-bayes.verifier.column": name, "run.requests": 40_000}
        found.append((name, predict(read(path, changes))))
    quality = differences(found)[0]["quality"]
    # 2,000 invoices of the split: no surer than a share of them that changed, as a binomial.
    changed = abs(quality["value"])
    least = 1.96 * np.sqrt(changed * (1 - changed) / 4_000)
    assert quality["high"] - quality["low"] > 1.2 * least


def test_wrong_answers_enter_the_difference_at_their_stakes() -> None:
    staked = cascade(**{"traffic.segments": [{"name": "all", "wrong_answer_usd": 2.0}]})
    surer = override(staked, {"tiers.small.threshold": 0.9})
    found = differences([("a", predict(staked)), ("b", predict(surer))])[0]
    # Nobody times out here, so every wrong answer is shipped.
    expected = found["cost_usd_mean"]["value"] - 2.0 * found["quality"]["value"]
    assert found["cost_with_wrong_answers_usd_mean"]["value"] == pytest.approx(expected)
