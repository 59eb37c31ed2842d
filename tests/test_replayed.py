"""An evaluation table tuned on directly: which tiers, prices and rows become of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from fallwise.cli.app import app
from fallwise.draw import stream
from fallwise.errors import FallwiseError, ScenarioError, TableError
from fallwise.planning.pick import Goal
from fallwise.planning.repeats import repeated
from fallwise.planning.replayed import named, replayed
from typer.testing import CliRunner

USD = {"org/dear": 3.0, "org/good": 2.0, "cheap": 0.1}


def table(path: Path, *extra: str, n: int = 300) -> Path:
    chance = stream(8, "table")
    with open(path, "w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["query_id", "model", "correct", "confidence", "bad", *extra])
        for i in range(n):
            for model, usd in USD.items():
                score = round(chance.random(), 3)
                right = int(chance.random() < {"org/good": 0.9, "cheap": score}.get(model, 0.5))
                write.writerow(
                    [i, model, right, score, str(i % 3 == 0).lower(), usd][: 5 + len(extra)]
                )
    return path


def test_models_become_tiers_cheapest_first_and_the_best_one_last(tmp_path: Path) -> None:
    case = replayed(table(tmp_path / "t.csv", "cost_usd"))
    assert [tier.name for tier in case.tiers] == ["cheap", "dear", "good"]
    assert [tier.threshold is None for tier in case.tiers] == [False, False, True]
    assert {tier.usd_column for tier in case.tiers} == {"cost_usd"}
    some = replayed(table(tmp_path / "u.csv"), ["org/good", "cheap"], prices=[2.0, 0.5])
    assert [tier.usd_per_request for tier in some.tiers] == [2.0, 0.5]
    assert named(["a/b", "c/b", "7"]) == ["b", "b-1", "tier-7"]


def test_scores_of_the_last_model_are_not_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "cost_usd")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    gaps = [[*row[:3], "", *row[4:]] if row[:2] == ["7", "org/good"] else row for row in rows]
    path.write_text("\n".join(",".join(row) for row in gaps))
    assert [tier.threshold is None for tier in replayed(path).tiers] == [False, False, True]
    with pytest.raises(TableError, match="query_id 7: nan: is no number for 1 of 300"):
        replayed(path, ["org/good", "cheap"])


def test_one_command_leaves_rows_out_and_tunes_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "t.csv")
    call = ["tune", "t.csv", "--tiers", "cheap,org/good", "--prices", "0.1,2", "--json"]
    call += ["--leave-out", "bad", "--match", "frontier", "--margin", "5pt", "--splits", "4"]
    result = CliRunner().invoke(app, call, catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
    summary = json.loads(result.stdout)
    labels = summary["labels"]
    assert labels["tuned_on"] + labels["reported_on"] == 200
    assert (
        summary["pick"]["policy"] == "cascade" and 0.05 < summary["pick"]["saving"]["value"] < 0.6
    )
    assert summary["repeated"]["splits"] == 4 and summary["repeated"]["best_pair"] is None
    saved = summary["repeated"]["pick"]["saving"]
    assert saved["low"] <= saved["value"] <= saved["high"]


def test_a_tier_that_is_left_out_is_left_out_of_the_page_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "t.csv", "cost_usd")
    call = ["tune", "t.csv", "--margin", "5pt", "--match", "frontier", "--trials", "80", "--json"]
    result = CliRunner().invoke(app, call, catch_exceptions=False)
    summary = json.loads(result.stdout)
    assert summary["pick"]["left_out"] == ["dear"]
    assert summary["best_pair"]["tiers"] == ["cheap", "good"]
    assert (tmp_path / "results/replayed-t-tune/report.html").exists()


def test_what_a_table_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = table(tmp_path / "t.csv")
    with pytest.raises(TableError, match="--prices"):
        replayed(path)
    with pytest.raises(TableError, match="one price for each"):
        replayed(path, ["cheap", "org/good"], prices=[1.0])
    with pytest.raises(TableError, match="missing"):
        replayed(path, leave_out="worse", prices=[1.0])
    for args, words in (
        (["t.csv", "--tiers", "cheap,org/good", "--prices", "1,x"], "list of dollars"),
        (["s.yaml", "--dataset", "a"], "for evaluation tables"),
    ):
        with pytest.raises(FallwiseError, match=words):
            CliRunner().invoke(app, ["tune", *args], catch_exceptions=False)


def test_what_one_model_lacks_is_said_of_this_model(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "query_id,model,correct,cost_usd,seconds\n"
        "0,cheap,1,,\n1,cheap,0,,\n0,good,1,1,2\n1,good,1,1,2\n"
    )
    with pytest.raises(TableError, match="cost_usd: the table has no cost_usd of cheap; say"):
        replayed(path)
    case = replayed(path, ["cheap", "good"], prices=[1.0, 2.0])
    assert case.assumptions[1].why == "the table has no seconds of cheap"
    assert len(case.assumptions) == 2


def test_a_tables_own_splits_are_not_parted_again_and_again(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv")
    text = path.read_text().replace(",true", ",test").replace(",false", ",train")
    path.write_text(text.replace(",bad", ",split"))
    case = replayed(path, ["cheap", "org/good"], prices=[0.1, 2.0])
    with pytest.raises(ScenarioError, match="--splits"):
        repeated(case, Goal(margin=0.01), 3)
    assert replayed(path, ["cheap"], split="test", prices=[1.0]).answers.split == "test"
