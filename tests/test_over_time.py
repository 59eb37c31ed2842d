"""A check over time: windows of the run on both sides, and the figure that shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.over_time import faults, over_time
from fallwise.analysis.predict import predict
from fallwise.plots import shape_over_time
from fallwise.scenario import Scenario
from fallwise.tables import OutcomeTable


def fails(**outages: Any) -> Scenario:
    tiers = [
        tier("small", threshold=0.6, answers={"accuracy": 0.6, "auroc": 0.8, "loading": 0.6}),
        tier("big", usd_per_request=0.01) | outages,
        tier("spare", usd_per_request=0.02) | {"fallback": True},
    ]
    arrivals = {"kind": "poisson", "rate_rps": 20.0}
    return scenario(tiers, traffic={"arrivals": arrivals}, run={"requests": 2000})


def told(read: Scenario) -> OutcomeTable:
    return predict(read).outcomes


def test_windows_have_every_request_once_and_shares_that_add_up() -> None:
    read = fails()
    out = told(read)
    windows = over_time(read, out, out)
    assert sum(window["requests"] for window in windows) == len(out)
    for window in windows:
        assert sum(window["predicted"]["hit_share"]) == pytest.approx(1)
        for said, (value, low, high) in zip(
            window["predicted"]["hit_share"], window["measured"]["hit_share"], strict=True
        ):
            assert said == value
            assert 0 <= low <= value <= high <= 1
        # No tier makes several calls.
        assert window["predicted"]["retried"] is None
    assert faults(read, 100.0) == []


def test_a_tier_that_is_out_answers_nobody_in_between_and_its_calls_are_made_again() -> None:
    read = fails(outages=[{"from_s": 30, "to_s": 60}], retries={"attempts": 2, "backoff_s": 0.01})
    out = told(read)
    here: dict[str, list[Any]] = {"before": [], "during": [], "after": []}
    for window in over_time(read, out, out):
        if window["to_s"] <= 30:
            here["before"].append(window["predicted"])
        elif window["from_s"] >= 30 and window["to_s"] <= 60:
            here["during"].append(window["predicted"])
        elif window["from_s"] >= 62:
            here["after"].append(window["predicted"])
    assert all(here.values())
    for name, sides in here.items():
        big, spare, again = (
            np.array([side["hit_share"][1] for side in sides]),
            np.array([side["hit_share"][2] for side in sides]),
            np.array([side["retried"] for side in sides]),
        )
        if name == "during":
            assert (big == 0).all() and (spare > 0).all() and (again > 0).all()
        else:
            assert (big > 0).all() and (spare == 0).all() and (again == 0).all()


def test_what_comes_again_is_listed_as_often_as_it_does() -> None:
    read = fails(outages=[{"from_s": 10, "to_s": 20, "every_s": 40}])
    ends = [(fault["from_s"], fault["to_s"]) for fault in faults(read, 95.0)]
    assert ends == [(10, 20), (50, 60), (90, 95)]


def test_the_figure_has_the_numbers_of_the_summary() -> None:
    read = fails(outages=[{"from_s": 30, "to_s": 60}], retries={"attempts": 2, "backoff_s": 0.01})
    out = told(read)
    other = replace(out, hit_tier=np.roll(out.hit_tier, 1))
    summary = {
        "over_time": over_time(read, out, other),
        "faults": faults(read, 100.0),
        "tiers": [{"name": t.name} for t in read.tiers],
        "assumptions": [],
    }
    figure = shape_over_time(summary)
    shares, again, median = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in shares.lines}
    for j, name in enumerate(("small", "big", "spare")):
        said = [100 * window["predicted"]["hit_share"][j] for window in summary["over_time"]]
        assert np.asarray(lines[name]).tolist() == pytest.approx(said)
    dots = [
        np.asarray(line.get_ydata()).tolist() for line in shares.lines if line.get_marker() == "o"
    ]
    assert len(dots) == 3
    assert dots[1] == pytest.approx(
        [100 * window["measured"]["hit_share"][1][0] for window in summary["over_time"]]
    )
    assert "made again" in again.get_ylabel() and "median" in median.get_ylabel()
