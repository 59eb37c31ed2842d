"""What stays when its cause has gone is said, and nothing where it ends or comes by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.aftermath import stayed
from fallwise.analysis.predict import predict
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, TIMED_OUT, OutcomeTable

SURGE = [{"from_s": 100, "to_s": 120, "factor": 3}]


def world(**traffic: Any) -> Scenario:
    traffic = {"arrivals": {"kind": "poisson", "rate_rps": 2.0}, "surges": SURGE} | traffic
    return scenario([tier("one")], traffic=traffic, run={"requests": 1000})


def ended(case: Scenario, from_s: float, share: float, to_s: float = 1e9) -> OutcomeTable:
    """Return outcomes of which so many, evenly, are not answered from a moment on."""
    out = predict(case, engine="reference").outcomes
    at_s = out.arrival_ns / 1e9
    lost = (at_s >= from_s) & (at_s < to_s) & (np.arange(len(out)) % 100 < 100 * share)
    return replace(out, status=np.where(lost, TIMED_OUT, ANSWERED).astype(np.int8))


def test_what_stays_is_said_with_its_numbers() -> None:
    case = world()
    out = ended(case, 100, 0.5)
    half_s = (120 + float(out.arrival_ns.max()) / 1e9) / 2
    after = (out.arrival_ns / 1e9 >= half_s) & (out.arrival_ns < out.arrival_ns.max())
    share = float((out.status[after] == ANSWERED).mean())
    (said,) = stayed(case, [out])
    assert said.startswith(
        "What came from 100 to 120 s has gone, and the failure has stayed: 100 %"
    )
    assert f"and {100 * share:.3g} % of those from {half_s:,.0f} s on." in said
    assert "attempts" not in said


@pytest.mark.parametrize(
    ("from_s", "to_s", "share"),
    [(100, 200, 1.0), (100, 1e9, 0.05), (0, 1e9, 0.5)],
    ids=["it ends", "hardly any", "it was so before"],
)
def test_nothing_is_said_where_nothing_stays(from_s: float, to_s: float, share: float) -> None:
    case = world()
    assert list(stayed(case, [ended(case, from_s, share, to_s)])) == []


def test_nothing_is_said_where_the_load_changes_by_itself_or_the_run_ends_too_soon() -> None:
    for case in (
        world(growth_per_month=0.1),
        world(week={"hours": [1.0] * 24}),
        world(surges=[]),
        world(surges=[{"from_s": 100, "to_s": 400, "factor": 1.1}]),
        world(surges=[{"from_s": 100, "to_s": 120, "factor": 0.5}]),
    ):
        assert list(stayed(case, [ended(case, 100, 1.0)])) == []
