"""Arrivals against what is known of their processes; traces against themselves and their README.

Intervals are 4.5 standard errors wide on each side: one false alarm in 150,000, and fixed seeds.
"""

from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fallwise.draw import draw
from fallwise.errors import ScenarioError, TableError
from fallwise.scenario import Scenario, parse

TRACES = Path(__file__).parents[1].parent / "shared/data/traces"
Z = 4.5


def world(arrivals: Any, folder: Path = Path(), **segment: Any) -> Scenario:
    tier = {"name": "a", "kind": "api", "service": {"kind": "fixed", "value_s": 1.0}}
    return parse(
        {
            "name": "w",
            "traffic": {"arrivals": arrivals, "segments": [segment]},
            "answers": {"source": "synthetic"},
            "tiers": [{**tier, "answers": {"accuracy": 1.0}}],
        },
        folder,
    )


def arrival_s(arrivals: Any, n: int, seed: int = 1, folder: Path = Path()) -> Any:
    return draw(world(arrivals, folder), seed, n).arrival_ns / 1e9


def test_poisson_gaps_have_the_rate_and_the_cv_of_exponentials() -> None:
    n, rate = 200_000, 7.0
    gaps = np.diff(arrival_s({"kind": "poisson", "rate_rps": rate}, n), prepend=0)
    assert abs(gaps.mean() * rate - 1) < Z / sqrt(n)
    # The variance of a sample variance of exponentials is (9 - 1) / n.
    assert abs(gaps.var() * rate**2 - 1) < Z * sqrt(8 / n)
    counts = np.bincount((np.cumsum(gaps) // 10).astype(int))[:-1]
    dispersion = counts.var() / counts.mean()
    assert abs(dispersion - 1) < Z * sqrt(2 / len(counts))


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.5])
def test_gamma_gaps_have_the_rate_and_the_cv(cv: float) -> None:
    n, rate = 400_000, 7.0
    gaps = np.diff(arrival_s({"kind": "gamma", "rate_rps": rate, "cv": cv}, n), prepend=0)
    assert abs(gaps.mean() * rate - 1) < Z * cv / sqrt(n)
    # A gamma's excess kurtosis is 6 cv**2; the variance of a sample variance is (kurtosis + 2) / n.
    assert abs(gaps.var() * rate**2 / cv**2 - 1) < Z * sqrt((6 * cv**2 + 2) / n)


def test_a_profile_has_poisson_counts_in_every_step_and_none_at_rate_zero() -> None:
    rates = [0.0, 20.0, 0.0, 5.0, 100.0, 0.0]
    law = {"kind": "profile", "step_s": 10.0, "rates_rps": rates}
    times = arrival_s(law, 150_000)
    laps = int(times[-1] // 60)
    step = (times[times < laps * 60] // 10).astype(int)
    counts = np.bincount(step, minlength=laps * 6).reshape(laps, 6)
    assert laps > 100
    for j, rate in enumerate(rates):
        mean = 10 * rate
        assert abs(counts[:, j].sum() - laps * mean) <= Z * sqrt(laps * mean), j
        if rate:
            assert abs(counts[:, j].var() / mean - 1) < Z * sqrt((2 + 1 / mean) / laps), j
    within = (times % 10)[(times % 60 >= 10) & (times % 60 < 20)]
    assert abs(within.mean() - 5) < Z * 10 / sqrt(12 * len(within))


def test_a_constant_profile_is_the_poisson_process_of_that_rate() -> None:
    flat = arrival_s({"kind": "profile", "step_s": 3.0, "rates_rps": [4.0, 4.0, 4.0]}, 1000)
    poisson = arrival_s({"kind": "poisson", "rate_rps": 4.0}, 1000)
    assert np.abs(flat - poisson).max() < 1e-6


def test_arrivals_that_take_too_long_are_refused() -> None:
    for law in (
        {"kind": "poisson", "rate_rps": 1e-8},
        {"kind": "profile", "step_s": 9e8, "rates_rps": [1e-9, 0.0]},
    ):
        with pytest.raises(ScenarioError, match="36 years"):
            arrival_s(law, 1000)


def write_trace(folder: Path, columns: Any, name: str = "t.parquet") -> Any:
    pq.write_table(pa.table(columns), folder / name)
    return {"kind": "trace", "file": name}


def test_a_trace_is_replayed_exactly_and_begins_again_after_one_more_gap(tmp_path: Path) -> None:
    law = write_trace(
        tmp_path,
        {
            "arrival_s": [0.5, 1.0, 1.25, 2.5],
            "prompt_tokens": [1, 2, 3, 4],
            "output_tokens": [10, 20, 30, 40],
            "key": ["x", "y", "x", "z"],
        },
    )
    recorded = {"kind": "trace"}
    scenario = world(law, tmp_path, prompt_tokens=recorded, output_tokens=recorded)
    table = draw(scenario, 1, 9)
    gap = 2.0 / 3
    laps = [t + lap * (2.0 + gap) for lap in range(3) for t in (0.5, 1.0, 1.25, 2.5)]
    np.testing.assert_allclose(table.arrival_ns / 1e9, laps[:9], rtol=0, atol=3e-9)
    assert table.arrival_ns[:4].tolist() == [500_000_000, 10**9, 1_250_000_000, 2_500_000_000]
    assert table.prompt_tokens.tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert table.output_tokens[:, 0].tolist() == [10, 20, 30, 40, 10, 20, 30, 40, 10]
    # A question comes again within a lap, never in the next one.
    assert table.key.tolist() == [0, 1, 0, 2, 3, 4, 3, 5, 6]
    fast = draw(world({**law, "rate_factor": 2.0}, tmp_path), 1, 4)
    assert (fast.arrival_ns * 2).tolist() == table.arrival_ns[:4].tolist()


def test_dither_moves_each_request_with_its_tokens_by_less_than_its_width(tmp_path: Path) -> None:
    law = write_trace(
        tmp_path, {"arrival_s": np.repeat([0.0, 3.0], 500), "prompt_tokens": range(1000)}
    )
    scenario = world({**law, "dither_s": 3.0}, tmp_path, prompt_tokens={"kind": "trace"})
    table = draw(scenario, 1, 1000)
    moved = table.arrival_ns / 1e9 - np.where(table.prompt_tokens < 500, 0.0, 3.0)
    assert moved.min() >= 0 and moved.max() < 3
    assert abs(moved.mean() - 1.5) < Z * 3 / sqrt(12 * 1000)
    assert sorted(table.prompt_tokens) == list(range(1000))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"time": [1.0]}, "arrival_s: column is missing"),
        ({"arrivals_s": [1.0]}, "did you mean arrivals_s"),
        ({"arrival_s": [1.0, 0.5]}, "arrival_s.row 1: 0.5: must not be before the row above"),
        ({"arrival_s": [-1.0, 0.5]}, "arrival_s.row 0: -1.0: must not be negative"),
        ({"arrival_s": [1.0, None]}, "arrival_s.row 1: nan: must be a number"),
        ({"arrival_s": [1.0, np.inf]}, "arrival_s.row 1: inf"),
        ({"arrival_s": [1.0, 1e300]}, r"row 1: 1e\+300"),
        ({"arrival_s": ["a"]}, "must be numbers"),
        ({"arrival_s": [1.0], "prompt_tokens": [-1]}, "prompt_tokens.row 0: -1.0: must be a whole"),
        ({"arrival_s": [1.0], "output_tokens": [2.5]}, "output_tokens.row 0: 2.5: must be a whole"),
        ({"arrival_s": [1.0], "output_tokens": [2**31]}, "must be a whole"),
        ({"arrival_s": [1.0, 2.0], "key": ["a", None]}, "key.row 1: is empty"),
        ({"arrival_s": [3.0, 3.0]}, "cannot begin again"),
    ],
)
def test_bad_traces_are_refused(columns: Any, words: str, tmp_path: Path) -> None:
    law = write_trace(tmp_path, columns)
    with pytest.raises(TableError, match=words) as error:
        draw(world(law, tmp_path), 1, 5)
    assert str(tmp_path / "t.parquet") in str(error.value)


def test_missing_and_empty_traces_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "head.csv").write_text("arrival_s\n")
    (tmp_path / "words.csv").write_text("arrival_s\none\ntwo\n")
    for name, words in {
        "gone.csv": "does not exist",
        "empty.csv": "is empty",
        "head.csv": "has no rows",
        "words.csv": "must be numbers",
    }.items():
        with pytest.raises(TableError, match=words):
            draw(world({"kind": "trace", "file": name}, tmp_path), 1, 5)


def test_tokens_and_keys_that_the_trace_cannot_give_are_refused(tmp_path: Path) -> None:
    law = write_trace(tmp_path, {"arrival_s": [0.0, 1.0], "key": [1, 2]})
    with pytest.raises(TableError, match="prompt_tokens: column is missing"):
        draw(world(law, tmp_path, prompt_tokens={"kind": "trace"}), 1, 2)
    repeats = {"repeat_share": 0.5, "distinct_keys": 10}
    with pytest.raises(ScenarioError, match="the trace has keys of its own"):
        draw(world(law, tmp_path, repeats=repeats), 1, 2)


@pytest.mark.skipif(not TRACES.exists(), reason="needs ../shared/data/traces")
@pytest.mark.parametrize(
    ("name", "dither_s", "rows", "rate", "cv", "dispersion"),
    [
        ("azure2023_conv", 0.0, 19366, 5.53, 1.09, {1: 1.39, 10: 4.0, 60: 20.6, 300: 94}),
        ("mooncake_conversation", 3.0, 12031, 3.40, 1.01, {1: 1.05, 10: 1.5, 60: 2.8, 300: 8.1}),
    ],
)
def test_real_traces_have_the_statistics_of_their_readme(
    name: str, dither_s: float, rows: int, rate: float, cv: float, dispersion: dict[int, float]
) -> None:
    law = {"kind": "trace", "file": f"{name}.csv.gz", "dither_s": dither_s}
    recorded = {"kind": "trace"}
    scenario = world(law, TRACES, prompt_tokens=recorded, output_tokens=recorded)
    table = draw(scenario, 1, rows)
    times = table.arrival_ns / 1e9
    gaps = np.diff(times)
    assert abs(1 / gaps.mean() / rate - 1) < 0.01
    assert abs(gaps.std() / gaps.mean() - cv) < 0.02
    for width, index in dispersion.items():
        counts = np.bincount((times // width).astype(int))  # the last window is a part, as there
        # The README's is of one dither, ours of another.
        assert abs(counts.var() / counts.mean() / index - 1) < 0.1, width
    prompt = {"azure2023_conv": (1020, 2734, 4142), "mooncake_conversation": (6909, 27367, 85400)}
    quantiles = np.quantile(table.prompt_tokens, [0.5, 0.9, 0.99])
    np.testing.assert_allclose(quantiles, prompt[name], rtol=0.002)
    longer = draw(scenario, 1, 2 * rows)
    assert longer.take(slice(rows)).difference(table) is None
    assert all(a <= b for a, b in pairwise(longer.arrival_ns[rows - 2 : rows + 2]))
