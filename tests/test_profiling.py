"""Profile and forecast of a check, against deployments that are runs of a scenario themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_cascades import run, scenario, tier
from fallwise.analysis.live import Drive
from fallwise.analysis.predict import predict
from fallwise.cli.drives import Runs, Target, layout, on_own_clock
from fallwise.cli.forecast import forecast
from fallwise.cli.profiling import profiled_by
from fallwise.scenario import Scenario, override
from fallwise.tables import OutcomeTable
from live_drives import said_of, target_of

CASE = scenario(
    [
        tier(
            "small",
            kind="pool",
            replicas=2,
            threshold=0.7,
            answers={"accuracy": 0.8, "auroc": 0.85},
            service={"kind": "lognormal", "p50_s": 0.02, "p99_s": 0.1},
        ),
        tier("big", concurrency=9, service={"kind": "lognormal", "p50_s": 0.1, "p99_s": 0.4}),
    ],
    traffic={"arrivals": {"kind": "poisson", "rate_rps": 40.0}},
    run={"requests": 1500, "warmup": 0},
)
SLOW = {"tiers.big.service.p50_s": 0.2, "tiers.big.service.p99_s": 0.8}


def target(each: int, loaded: int, *, profiled: bool = True) -> Target:
    return target_of(CASE, each, loaded, profiled=profiled)


class Simulated(Runs):
    """A deployment that does what a scenario says; the way there and back takes 4 ms."""

    def __init__(self, target: Target, truth: Scenario) -> None:
        super().__init__(target, "nowhere", Path(), layout(target.scenario, target))
        self.truth = truth

    def run(self, name: str, first: int, last: int, options: list[str]) -> Drive:
        table = layout(self.truth, self.target)
        rows = replace(table, arrival_ns=on_own_clock(table, first)).take(slice(first, last))
        drive = said_of(run(self.truth, rows))
        headers = [
            found | {"x-fallwise-answer-of": str(int(found["x-fallwise-answer-of"]) + first)}
            for found in drive.headers
        ]
        if name == "profile":
            took_ns = [int(rows.service_ns[i, i % 2]) for i in range(last)]
            headers = [alone(i, ns) for i, ns in enumerate(took_ns)]
            drive = replace(drive, end_ns=drive.sent_ns + took_ns + 4_000_000)
        return replace(drive, request=drive.request + first, headers=headers)


def alone(i: int, took_ns: int) -> dict[str, str]:
    """The headers of request i of a profile, which two tiers answer in turn."""
    name = ("small", "big")[i % 2]
    found = {"status": "answered", "tier": name, "answer-tier": name, "answer-of": str(i)}
    found |= {"cost-usd": "0", "visits": f"{name}:accepted:0:0:{took_ns}:{took_ns}"}
    found |= {"received": "0", "ended": str(took_ns)}
    return {f"x-fallwise-{key}": value for key, value in found.items()}


def measured_of(runs: Simulated, drive: Drive) -> OutcomeTable:
    first = runs.target.rows_before
    judged = runs.table.take(slice(first, first + len(drive.request)))
    outcomes: OutcomeTable = runs.outcomes(judged, drive, first)[0]
    return outcomes


def found_of(target: Target, truth: Scenario, sent: int = 1500) -> tuple[Any, Any, Any, Simulated]:
    runs = Simulated(target, truth)
    known = profiled_by(runs, lambda _: None)
    drive = runs.run("drive0", target.rows_before, target.rows_before + sent, [])
    return known, forecast(runs, known, drive), drive, runs


def test_without_a_profile_the_prediction_is_the_scenarios_at_the_same_times() -> None:
    known, made, drive, _ = found_of(target(0, 0, profiled=False), CASE, sent=900)
    whole = predict(CASE)
    assert (known.predicts, known.took, known.findings, made.others) == (CASE, None, [], [])
    assert made.transport_s is None and len(made.outcomes) == len(drive.request) == 900
    np.testing.assert_array_equal(made.requests.arrival_ns, whole.requests.arrival_ns[:900])
    np.testing.assert_array_equal(made.outcomes.hit_tier, whole.outcomes.hit_tier[:900])


def test_stated_times_are_predicted_with_the_way_that_was_measured() -> None:
    known, made, _, runs = found_of(target(50, 0, profiled=False), CASE)
    assert known.predicts is CASE and known.findings == []
    assert made.transport_s == pytest.approx(0.004)
    own = run(CASE, made.requests).outcomes.end_ns
    np.testing.assert_allclose(made.outcomes.end_ns - own, 4_000_000, atol=1)
    assert runs.target.rows_before == 100


def test_a_tier_that_alone_tells_nothing_is_named() -> None:
    asked = target(50, 0, profiled=False)
    runs = Simulated(asked, CASE)
    drive = runs.run

    def half(name: str, first: int, last: int, options: list[str]) -> Drive:
        found = drive(name, first, last, options)
        lost = [h if i < 40 else {} for i, h in enumerate(found.headers)]
        return replace(found, headers=lost)

    runs.run = half  # type: ignore[method-assign]
    said = profiled_by(runs, lambda _: None).findings
    assert said[1].startswith("How long big takes alone is not told: of 50 visits 30 were cut")


def test_one_long_way_in_a_short_profile_makes_the_tail_less_sure() -> None:
    _, made, _, runs = found_of(target(50, 0, profiled=False), CASE)
    assert len({other.end_ns.tobytes() for other in made.others}) == 1
    known = profiled_by(runs, lambda _: None)
    assert known.took is not None
    known.took.way_s[7] = 0.5
    made = forecast(runs, known, runs.run("drive0", 100, 1600, []))
    tails = [
        np.quantile(o.end_ns - o.arrival_ns, 0.99) / 1e9 for o in (made.outcomes, *made.others)
    ]
    assert np.std(tails[1:]) > 0.05


@pytest.mark.parametrize(
    ("each", "loaded", "said"),
    [
        (400, 0, "The prediction takes the time of small, big as it was alone."),
        (0, 1500, "The prediction takes the time of small, big as it was in 1500 other requests"),
        (30, 1500, "The prediction takes the time of small, big as it was in 1500 other requests"),
        (0, 40, "The prediction takes the time of small as it was in 40 other requests"),
        (50, 40, " Not that of big: only 9 visits told it; it is as it was alone."),
    ],
)
def test_times_of_a_profile_are_those_of_the_deployment(each: int, loaded: int, said: str) -> None:
    asked, truth = target(each, loaded), override(CASE, SLOW)
    known, made, drive, runs = found_of(asked, truth, sent=1200)
    assert said in known.findings[0]
    assert len(known.findings) == 1 and known.doubts == []
    assert made.transport_s == pytest.approx(0.004) and made.hops == {}
    np.testing.assert_array_equal(
        made.requests.arrival_ns, predict(CASE).requests.arrival_ns[:1200]
    )
    measured = measured_of(runs, drive)
    np.testing.assert_array_equal(made.outcomes.hit_tier, measured.hit_tier)

    def mean_s(out: Any) -> float:
        return float(np.mean(out.end_ns - out.arrival_ns) / 1e9)

    moved = np.std([mean_s(other) for other in made.others], ddof=1)
    own = (made.outcomes.end_ns - made.outcomes.arrival_ns).std() / 1e9 / np.sqrt(1200)
    assert len(made.others) == 20 and moved > 0
    if (each, loaded) != (0, 40):  # There the tier that is slow kept the time that is stated.
        assert mean_s(made.outcomes) == pytest.approx(
            mean_s(measured), abs=5 * np.hypot(moved, own)
        )
        assert mean_s(made.outcomes) > 1.2 * mean_s(predict(CASE).outcomes)
    else:
        assert mean_s(made.outcomes) < 0.8 * mean_s(measured)


def test_what_a_request_takes_in_two_tiers_is_drawn_together() -> None:
    """It took five times as long in the second tier as in the first one."""
    runs = Simulated(target(0, 1500), CASE)
    known = profiled_by(runs, lambda _: None)
    assert known.took is not None
    first_s = known.took.tiers_s[:, 0]
    took = replace(known.took, tiers_s=np.column_stack([first_s, 5 * first_s]))
    drive = runs.run("drive0", 1500, 3000, [])
    out = forecast(runs, replace(known, took=took), drive).outcomes
    mine = out.hit_tier == 1
    np.testing.assert_allclose(out.busy_ns[mine, 1], 5 * out.busy_ns[mine, 0], atol=5)


LOOK = {"catch_rate": 0.9, "false_alarm_rate": 0.1, "service": {"kind": "fixed", "value_s": 0.2}}
ROUTER = {
    **{"cuts": [0.3], "starts": ["small", "big"], "auroc": 0.8, "about": "small"},
    **{"service": {"kind": "fixed", "value_s": 0.1}},
}


@pytest.mark.parametrize(
    "values",
    [
        {"tiers.small.verifier": LOOK},
        {"router": ROUTER},
        {"router": ROUTER, "tiers.small.verifier": LOOK},
        {"tiers.big.agree_with": "small", "tiers.small.threshold": None},
    ],
    ids=["verifier", "router", "both", "pair"],
)
def test_what_looks_and_pairs_take_is_counted_once(values: dict[str, Any]) -> None:
    case = override(CASE, values)
    asked = replace(target(30, 1500), scenario=case)
    _, made, drive, runs = found_of(asked, case)
    measured = measured_of(runs, drive)
    path = measured.path
    np.testing.assert_array_equal(path, made.outcomes.path)
    for kind in np.unique(path):
        took = [(o.end_ns - o.arrival_ns)[path == kind] / 1e9 for o in (made.outcomes, measured)]
        far = 5 * np.hypot(took[0].std(), took[1].std()) / np.sqrt((path == kind).sum())
        assert took[0].mean() == pytest.approx(took[1].mean(), abs=far), kind
    assert made.transport_s is not None and made.transport_s >= 0.004
