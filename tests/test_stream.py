"""A run in blocks against the same run in memory."""

from __future__ import annotations

from typing import Any

import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.stream import RELATIVE_ERROR, summarise_stream
from fallwise.analysis.summary import summarise
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario

N = 30_000


@pytest.fixture(scope="module")
def case() -> Scenario:
    exponential = {"kind": "exponential", "mean_s": 1.0}
    answers = {"accuracy": 0.6, "auroc": 0.8, "loading": 0.6}
    cache = {"name": "cache", "kind": "cache", "capacity": 50, "lookup_s": 0.01}
    return scenario(
        [
            {**cache, "filled_by": ["small", "big"], "usd_per_request": 0.001},
            tier("small", threshold=0.6, answers=answers, service=exponential, concurrency=2)
            | {"usd_per_request": 0.1},
            tier("big", service=exponential, kind="pool", replicas=2, replica_usd_per_hour=3600.0),
        ],
        traffic={
            "arrivals": {"kind": "poisson", "rate_rps": 1.2},
            "segments": [
                {"repeats": {"repeat_share": 0.3, "distinct_keys": 90}, "wrong_answer_usd": 2.0}
            ],
        },
        run={"warmup": N // 20},
    )


@pytest.fixture(scope="module")
def streamed(case: Scenario) -> dict[str, Any]:
    return summarise_stream(case, seed=8, n=N, block=4_000)


def leaves(part: Any, key: str = "") -> Any:
    if isinstance(part, dict | list):
        pairs = part.items() if isinstance(part, dict) else enumerate(part)
        for name, below in pairs:
            yield from leaves(below, f"{key}/{name}")
    else:
        yield key, part


def test_it_is_the_summary_of_the_run_in_memory(case: Scenario, streamed: dict[str, Any]) -> None:
    # What is close in two intervals may be found in one summary only.
    whole = dict(leaves(summarise(predict(case, 8, N)) | {"findings": []}))
    found = dict(leaves(streamed | {"findings": []}))
    del found["/quantile_relative_error"]
    assert set(found) == set(whole)
    compared = 0
    for key, value in found.items():
        time = any(f"_s_{q}/" in key for q in ("p50", "p95", "p99", "p999"))
        if "/utilisation/" in key:  # by the clock in memory, by the batches' own work here
            assert value == pytest.approx(whole[key], rel=0.02)
        elif not time or key.endswith("/value"):
            # Far out the values of two neighbouring ranks differ by more than a bin.
            spacing = 0.01 if "_p99" in key else 2e-3
            if key.startswith("/paths") and "_p999" in key:  # of a dozen values beyond
                spacing = 0.1
            tolerance = RELATIVE_ERROR + spacing if time else 1e-12
            expected = whole[key]
            if isinstance(expected, float):
                expected = pytest.approx(expected, rel=tolerance)
            assert value == expected, key
            compared += time
    assert compared >= 15


def test_intervals_of_quantiles_are_about_those_in_memory(
    case: Scenario, streamed: dict[str, Any]
) -> None:
    whole = summarise(predict(case, 8, N), baselines=False)["sojourn_s_p95"]
    found = streamed["sojourn_s_p95"]
    assert found["low"] < found["value"] < found["high"]
    width = (found["high"] - found["low"]) / (whole["high"] - whole["low"])
    assert 0.5 < width < 2


def test_it_does_not_depend_on_the_blocks(case: Scenario, streamed: dict[str, Any]) -> None:
    assert summarise_stream(case, seed=8, n=N, block=777) == streamed


def test_several_runs_are_refused(case: Scenario) -> None:
    several = case.model_copy(update={"run": case.run.model_copy(update={"replications": 2})})
    with pytest.raises(ScenarioError, match="one long run"):
        summarise_stream(several, n=100)


def test_progress_goes_up_to_all_that_is_drawn_for_the_run_and_its_baselines(
    case: Scenario,
) -> None:
    told: list[tuple[int, int]] = []
    summarise_stream(case, seed=8, n=3000, block=1000, progress=lambda *pair: told.append(pair))
    assert told == [(1000 * i, 9000) for i in range(1, 10)]
    told.clear()
    several = case.model_copy(update={"run": case.run.model_copy(update={"replications": 3})})
    predict(several, 8, 500, progress=lambda *pair: told.append(pair))
    assert told == [(500, 1500), (1000, 1500), (1500, 1500)]
