from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fallwise.analysis.predict import predict
from fallwise.analysis.questions import widened
from fallwise.analysis.summary import summarise
from fallwise.scenario import Scenario, parse

RIGHT = {"small": 0.7, "big": 0.9}


def scenario(folder: Path, **answers: Any) -> Scenario:
    tier = {"kind": "api", "service": {"kind": "fixed", "value_s": 1}}
    return parse(
        {
            "name": "replayed",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1}},
            "answers": {"source": "replay", "table": "t.parquet"} | answers,
            "tiers": [
                tier | {"name": "small", "threshold": 0.5, "usd_per_request": 0.1},
                tier | {"name": "big", "usd_per_request": 1},
            ],
            "run": {"requests": 20_000, "warmup": 0},
        },
        folder,
    )


def write_table(folder: Path, queries: int, seed: int) -> None:
    """Write a table whose scores are fair coins, apart from whether the answers are right."""
    chance = np.random.default_rng(seed)
    rows = {
        "query_id": np.repeat(np.arange(queries), 2),
        "model": ["small", "big"] * queries,
        "correct": (chance.random((queries, 2)) < list(RIGHT.values())).ravel().astype(int),
        "confidence": chance.random(2 * queries),
    }
    pd.DataFrame(rows).to_parquet(folder / "t.parquet")


def test_the_interval_holds_what_other_labels_would_have_given(tmp_path: Path) -> None:
    # Whoever has 150 labels wants to know about the queries that they were drawn from.
    held, tables = {"quality": 0, "cost_usd_mean": 0, "escalation_rate": 0}, 60
    truth = {"quality": 0.8, "cost_usd_mean": 0.6, "escalation_rate": 0.5}
    for seed in range(tables):
        write_table(tmp_path, 150, seed)
        summary = summarise(predict(scenario(tmp_path)), baselines=False)
        for name, value in truth.items():
            held[name] += summary[name]["low"] <= value <= summary[name]["high"]
    # Of 60 intervals at 95 % fewer than 49 hold the truth once in 100,000 times; those that know
    # nothing of the table hold it in about a sixth.
    assert min(held.values()) >= 49, held


def test_a_query_asked_once_has_nothing_to_be_grouped_by(tmp_path: Path) -> None:
    write_table(tmp_path, 3000, 1)
    once = summarise(predict(scenario(tmp_path, sample="each_once")), baselines=False)
    error = np.sqrt(0.8 * 0.2 / 3000)
    half = (once["quality"]["high"] - once["quality"]["low"]) / 2
    assert half == pytest.approx(1.96 * error, rel=0.6)


def test_baselines_and_the_saving_are_widened_too(tmp_path: Path) -> None:
    write_table(tmp_path, 150, 7)
    summary = summarise(predict(scenario(tmp_path)))
    for estimate in (summary["saving"], summary["baselines"]["frontier_only"]["quality"]):
        assert estimate["high"] - estimate["low"] > 0.05


def test_widened_takes_the_outer_ends_and_leaves_all_else() -> None:
    found = {"a": {"value": 2, "low": 1, "high": 3}, "b": [{"value": 5, "low": None, "high": 6}]}
    other = {"a": {"value": 2, "low": 1.5, "high": 4}, "b": [{"value": 5, "low": 4, "high": 5.5}]}
    assert widened(found | {"c": 1}, other | {"c": 2}) == {
        "a": {"value": 2, "low": 1, "high": 4},
        "b": [{"value": 5, "low": None, "high": 6}],
        "c": 1,
    }
