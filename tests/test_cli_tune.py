"""`fallwise tune` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from asked import ASKED
from fallwise.cli.app import app
from fallwise.errors import ScenarioError
from typer.testing import CliRunner

KEYS = {"curve", "bend", "pick", "labels", "frontier_only", "cheapest_only", "random_mix", "oracle"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Without its target, which would be one more goal.
    (tmp_path / "s.yaml").write_text(ASKED.partition("targets:")[0] + "run: {requests: 3000}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(*args: str, ends: int = 0) -> Any:
    result = CliRunner().invoke(app, ["tune", "s.yaml", *args], catch_exceptions=False)
    assert result.exit_code == ends, result.output
    return result


def test_json_is_the_summary_that_is_written_and_has_the_promised_keys(folder: Path) -> None:
    summary = json.loads(asked("--json", "--match", "frontier", "--margin", "5pt").stdout)
    assert json.loads((folder / "results/asked-tune/summary.json").read_text()) == summary
    assert set(summary) >= KEYS
    assert summary["goal"]["margin"] == 0.05
    point = {"threshold", "cost_usd_mean", "quality", "escalation_rate", "sojourn_s_p95"}
    assert all(set(row) == point for row in summary["curve"])
    rates = [row["escalation_rate"] for row in summary["curve"]]
    # Thresholds are scores of the tuning half: the other one may have a few below the lowest.
    assert rates == sorted(rates) and rates[0] < 0.01 and rates[-1] == 1
    assert summary["pick"]["met"]
    figures = {path.name for path in (folder / "results/asked-tune/figures").iterdir()}
    of_tune = {f"{x}.{y}" for x in ("tuned", "calibration") for y in ("png", "svg")}
    assert figures > of_tune | {"quality-cost.svg", "latency.svg"}
    (believed,) = summary["calibration"]
    assert [row["name"] for row in believed["maps"]] == [
        "as_it_is",
        "temperature",
        "platt",
        "isotonic",
    ]


def test_words_fit_80_columns_and_name_the_value_to_set(folder: Path) -> None:
    output = asked("--quality-bar", "0.84").stdout
    assert "tiers.small.threshold = " in output
    lines = [line for line in output.splitlines() if "Written to" not in line]
    assert max(map(len, lines)) <= 80


def test_a_goal_that_nothing_holds_ends_with_status_1(folder: Path) -> None:
    assert "nothing was picked" in asked("--quality-bar", "0.99", ends=1).stdout.replace("\n", " ")


def test_two_goals_or_no_number_are_refused(folder: Path) -> None:
    with pytest.raises(ScenarioError, match="two goals"):
        asked("--quality-bar", "0.9", "--budget", "0.1")
    with pytest.raises(ScenarioError, match="--margin"):
        asked("--match", "frontier", "--margin", "lots")
    with pytest.raises(ScenarioError, match="big"):
        asked("--tier", "big")


def test_a_budget_buys_the_best_quality_that_it_can(folder: Path) -> None:
    summary = json.loads(asked("--json", "--budget", "0.005").stdout)
    tuned = summary["tuned"]
    assert 0.004 < tuned["cost_usd_mean"] <= 0.005
    affordable = [r["quality"] for r in summary["curve"] if r["cost_usd_mean"] < 0.005]
    assert summary["pick"]["quality"]["high"] >= max(affordable) - 0.02
