"""The scenarios of traffic laws: numbers measured again, and waits that Poisson does not have."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fallwise import theory
from fallwise.analysis.predict import predict
from fallwise.draw import draw
from fallwise.scenario import Scenario, read
from fallwise.scenario.traffic import Clients, Cox, Mmpp

SCENARIOS = Path(__file__).parents[1] / "scenarios"
TRACE = Path(__file__).parents[2] / "shared/data/traces/azure2023_conv.csv.gz"
with_trace = pytest.mark.skipif(not TRACE.exists(), reason="../shared/data/traces is not there")


def traffic(name: str) -> Scenario:
    return read(SCENARIOS / f"traffic/{name}.yaml")


@pytest.fixture
def minutes() -> Any:
    """Return how many requests came in each whole minute."""
    counts = np.bincount((pd.read_csv(TRACE).arrival_s // 60).astype(int))
    return counts[:-1]  # The last one is not whole.


@with_trace
def test_states_rates_and_what_follows_them_are_those_of_the_trace(minutes: Any) -> None:
    state = np.digitize(minutes, [290, 400])
    starts = np.flatnonzero(np.diff(state, prepend=-1))
    lengths = np.diff(np.append(starts, len(state)))
    visited = state[starts]
    law = traffic("bursts").traffic.arrivals
    assert isinstance(law, Mmpp)
    for k, known in enumerate(law.states):
        assert known.rate_rps == pytest.approx(minutes[state == k].mean() / 60, abs=0.005)
        assert known.mean_s == pytest.approx(60 * lengths[visited == k].mean())
        then = visited[1:][visited[:-1] == k]
        assert law.follows[k] == [(then == j).mean() for j in range(3)]


@with_trace
def test_the_rates_by_chance_have_the_variance_of_the_traces_minutes(minutes: Any) -> None:
    law = traffic("rates-by-chance").traffic.arrivals
    assert isinstance(law, Cox)
    assert law.rate_rps == pytest.approx(minutes.mean() / 60, abs=0.005)
    dispersion = minutes.var(ddof=1) / minutes.mean()
    assert 1 + minutes.mean() * law.rate_cv**2 == pytest.approx(dispersion, rel=0.01)


def test_ten_clients_are_as_much_of_the_rate_as_was_measured() -> None:
    law = traffic("clients").traffic.arrivals
    assert isinstance(law, Clients)
    assert law.rate_rps == pytest.approx(5.53, abs=0.01)
    assert 1 - law.background_rps / law.rate_rps == pytest.approx(0.63, abs=0.005)


@with_trace
def test_a_replay_is_the_trace_row_by_row_and_waits_longer_than_erlang_says() -> None:
    changes = {
        "traffic.arrivals": {"kind": "trace", "file": str(TRACE)},
        "traffic.segments": [
            {"prompt_tokens": {"kind": "trace"}, "output_tokens": {"kind": "trace"}}
        ],
        "run.requests": 19_366,
    }
    scenario = read(SCENARIOS / "traffic/bursts.yaml", changes)
    requests, rows = draw(scenario, 1), pd.read_csv(TRACE)
    np.testing.assert_allclose(requests.arrival_ns / 1e9, rows.arrival_s, atol=1e-6)
    assert (requests.prompt_tokens == rows.prompt_tokens).all()
    assert (requests.output_tokens[:, 0] == rows.output_tokens).all()
    assert predict(scenario).outcomes.wait_s[:, 0].mean() > 3 * theory.mmc_wait_s(5.53, 1.0, 7)


@pytest.mark.parametrize("name", ["bursts", "rates-by-chance", "clients"])
def test_bursts_wait_longer_than_erlang_says(name: str) -> None:
    run = predict(traffic(name))
    wait_s = run.outcomes.wait_s[:, 0].mean()
    erlang_s = theory.mmc_wait_s(5.53, 1.0, 7)
    assert erlang_s == pytest.approx(0.32, abs=0.005)
    assert wait_s > 3 * erlang_s


def test_a_launch_grows_by_the_hour_of_the_week_and_has_its_crowd() -> None:
    hour = (draw(traffic("launch"), 1).arrival_ns // (3600 * 10**9)).astype(int)
    count: Any = np.bincount(hour, minlength=21 * 24)[: 21 * 24]
    crowd = 1_512_000 // 3600
    before = count[crowd - 1]
    assert count[crowd] > 15 * 0.04 * 3600 * 0.97 and count[crowd] > 10 * before
    count[crowd] = before
    weeks = count.reshape(3, -1).sum(axis=1)
    # A month is 30.4 days: a week is 1.3 ** (7 / 30.4) times the one before.
    for one, other in pairwise(weeks):
        ratio = 1.3 ** (7 / 30.44)
        assert other / one == pytest.approx(ratio, abs=5 * ratio * np.sqrt(2 / one))
    days = count.reshape(3, 7, 24)[0].sum(axis=1)
    assert days.argmax() == 0 and days.argmin() in (3, 5)
