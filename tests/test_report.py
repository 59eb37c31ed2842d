"""The folder of results: complete or absent, the same bytes every time, nobody's else files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from analysis_cascades import scenario, tier
from fallwise import plots, report
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.summary import summarise
from fallwise.errors import ScenarioError
from fallwise.report import folder as folder_module
from fallwise.tables import OutcomeTable, RequestTable

FIGURES = ["flow", "latency", "quality-cost", "reliability", "tier-hits"]


def made(**run: Any) -> tuple[Prediction, dict[str, Any]]:
    answers = {"accuracy": 0.6, "auroc": 0.8, "loading": 0.6}
    tiers = [
        tier("small", threshold=0.6, answers=answers, usd_per_request=0.1),
        tier("big", usd_per_request=1.0),
    ]
    prediction = predict(scenario(tiers, run=run), seed=5, n=300)
    return prediction, summarise(prediction)


@pytest.fixture(scope="module")
def result() -> tuple[Prediction, dict[str, Any]]:
    return made()


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_folder_holds_summary_tables_and_figures(
    result: tuple[Prediction, dict[str, Any]], tmp_path: Path
) -> None:
    prediction, summary = result
    folder = report.write(tmp_path / "new" / "case-run", summary, prediction)
    found = contents(folder)
    pictures = {f"figures/{name}.{end}" for name in FIGURES for end in ("png", "svg")}
    tables = {"requests.parquet", "outcomes.parquet"}
    assert set(found) == {"summary.json", "README.txt"} | tables | pictures
    assert json.loads(found["summary.json"]) == summary
    assert RequestTable.load(folder / "requests.parquet").equals(prediction.requests)
    assert OutcomeTable.load(folder / "outcomes.parquet").equals(prediction.outcomes)
    about = found["README.txt"].decode()
    assert prediction.scenario.hash in about
    assert f"{prediction.seed}, {prediction.engine}" in about
    assert "all 300 requests" in about
    assert list(folder.parent.iterdir()) == [folder]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        prediction, summary = made()
        report.write(tmp_path / name, summary, prediction)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_number_that_json_has_not_is_refused(
    result: tuple[Prediction, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="JSON"):
        report.write(tmp_path / "x", {**result[1], "broken": float("nan")}, result[0])
    assert list(tmp_path.iterdir()) == []


def test_older_results_go_only_when_the_new_ones_are_complete(
    result: tuple[Prediction, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction, summary = result
    folder = tmp_path / "case-run"
    report.write(folder, summary, prediction)
    before = contents(folder)

    def fails(figure: Any, path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(plots, "save", fails)
        with pytest.raises(KeyboardInterrupt):
            report.write(folder, {**summary, "seed": 6}, prediction)
    assert contents(folder) == before
    assert list(tmp_path.iterdir()) == [folder]
    (folder / "figures" / "older.png").touch()
    report.write(folder, {**summary, "seed": 6}, prediction)
    after = contents(folder)
    assert set(after) == set(before)
    assert json.loads(after["summary.json"])["seed"] == 6
    assert list(tmp_path.iterdir()) == [folder]


def test_an_empty_folder_is_used(result: tuple[Prediction, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    report.write(tmp_path / "x", result[1], result[0])
    assert "summary.json" in contents(tmp_path / "x")


@pytest.mark.parametrize(
    ("there", "rule"),
    [
        (["summary.json", "notes.md"], "holds what fallwise did not write (notes.md)"),
        (["README.txt"], "has no summary.json"),
    ],
)
def test_a_folder_that_is_not_ours_is_left_alone(
    result: tuple[Prediction, dict[str, Any]], tmp_path: Path, there: list[str], rule: str
) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    for name in there:
        (folder / name).write_text("mine")
    with pytest.raises(ScenarioError) as refused:
        report.write(folder, result[1], result[0])
    assert rule in str(refused.value)
    assert str(folder) in str(refused.value)
    assert contents(folder) == dict.fromkeys(there, b"mine")


def test_a_file_the_present_folder_and_a_place_without_rights_are_refused(
    result: tuple[Prediction, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    for path, rule in (
        (tmp_path / "file", "is a file"),
        (Path(), "is the folder that you are in"),
        (tmp_path / "here", "is the folder that you are in, or above it"),
        (tmp_path / "file" / "x", "cannot be written"),
    ):
        with pytest.raises(ScenarioError, match=rule):
            report.write(path, result[1], result[0])
    assert contents(tmp_path) == {"file": b"mine"}


def test_of_long_tables_the_first_rows_are_written(
    result: tuple[Prediction, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction, summary = result
    monkeypatch.setattr(folder_module, "LONGEST", 100)
    folder = report.write(tmp_path / "x", summary, prediction)
    assert len(RequestTable.load(folder / "requests.parquet")) == 100
    first = OutcomeTable.load(folder / "outcomes.parquet")
    assert first.equals(prediction.outcomes.take(slice(100)))
    assert "the first 100 of 300 requests" in (folder / "README.txt").read_text()


def test_a_run_without_thresholds_has_fewer_figures() -> None:
    prediction = predict(scenario([tier("server")], run={"warmup": 0}), seed=5, n=300)
    names = [name for name, _ in report.figures(summarise(prediction), prediction)]
    assert names == ["quality-cost", "flow", "latency", "tier-hits"]


def test_curves_are_of_all_runs_after_their_warmup() -> None:
    prediction, summary = made(warmup=50, replications=3)
    figure = dict(report.figures(summary, prediction))["quality-cost"]
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    x, y = lines["if only small's threshold were moved"].get_xydata().T
    # Everything kept at small is small alone, on the very requests of the baseline.
    small = summary["baselines"]["cheapest_only"]
    assert x[0] == pytest.approx(small["cost_usd_mean"]["value"])
    assert y[0] == pytest.approx(100 * small["quality"]["value"])


def test_an_answer_that_is_drawn_again_makes_nothing_surer(tmp_path: Path) -> None:
    rows = ["query_id,model,correct,confidence,answer_id"]
    for query in range(40):
        right = int(query % 4 > 0)
        rows += [f"{query},small,{right},{0.8 + query / 1000},{query}", f"{query},big,1,1,{query}"]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    case = scenario(
        [tier("small", answers=None, threshold=0.81), tier("big", answers=None)],
        answers={"source": "replay", "table": str(tmp_path / "table.csv")},
    )
    prediction = predict(case, seed=5, n=5000)
    figure = dict(report.figures(summarise(prediction), prediction))["reliability"]
    (bars,) = (c for c in figure.axes[0].containers if len(c) == 3)
    (line,) = bars[2][0].get_segments()
    # Wilson (1927) for 30 of 40, and about so for the 5,000 draws of these 40.
    assert line[:, 1] == pytest.approx([59.8, 85.8], abs=1.5)
