"""The commands that answer questions by many runs, as a user calls them."""

import json
from pathlib import Path
from typing import Any

import pytest
from asked import ASKED
from fallwise.cli.app import app
from fallwise.errors import FallwiseError
from typer.testing import CliRunner

COMMANDS = {
    "breakeven": [],
    "size": [],
    "compare": [],
    "sensitivity": ["--range", "tiers.small.threshold=0.6:0.9"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "s.yaml").write_text(ASKED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(*args: str, ends: int = 0) -> Any:
    result = CliRunner().invoke(app, [*args], catch_exceptions=False)
    assert result.exit_code == ends, result.output
    return result


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_the_summary_that_is_written_and_words_fit_80_columns(
    command: str, folder: Path
) -> None:
    told = asked(command, "s.yaml", *COMMANDS[command], "--json").stdout
    written = folder / "results" / f"asked-{command}" / "summary.json"
    assert json.loads(told) == json.loads(written.read_text())
    assert json.loads(told)["command"] == command
    words = asked(command, "s.yaml", *COMMANDS[command]).stdout
    assert max(len(line) for line in words.splitlines()) <= 80
    assert sorted(path.name for path in (folder / "results").iterdir()) == [f"asked-{command}"]


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_values_end_before_anything_is_written(command: str, folder: Path) -> None:
    with pytest.raises(FallwiseError, match="smal"):
        asked(command, "s.yaml", *COMMANDS[command], "--set", "tiers.smal.threshold=1")
    assert not (folder / "results").exists()


def test_a_range_that_is_none_or_breaks_a_rule_is_refused(folder: Path) -> None:
    for text, rule in (
        ("threshold", "is no range"),
        ("tiers.small.threshold=0.9:0.6", "is no range"),
        ("tiers.smal.threshold=0.6:0.9", "smal"),
        ("tiers.small.answers.accuracy=0.6:1.9", "accuracy"),
    ):
        with pytest.raises(FallwiseError, match=rule):
            asked("sensitivity", "s.yaml", "--range", text)
    assert not (folder / "results").exists()


def test_a_range_times_what_is_there_is_written_with_tables_and_figures(folder: Path) -> None:
    args = ("--range", "traffic=x0.5:x2", "--range", "tiers.big.service=x0.5:x2", "--sobol", "2")
    found = json.loads(asked("sensitivity", "s.yaml", *args, "--json").stdout)
    assert found["ranges"]["traffic"] == {"low": 0.5, "high": 2.0, "times": True}
    assert found["tornado"]["sojourn_s_p95"][0]["swing"]["value"] > 0
    written = folder / "results" / "asked-sensitivity"
    assert sorted(path.name for path in written.rglob("*.[cp]*")) == [
        *("shares-of-variance.png", "sobol.csv", "tornado.csv", "tornado.png")
    ]
    for text in ("traffic=x0.5:2", "traffic=x-1:x2", "tiers.big.kind=x1:x2"):
        with pytest.raises(FallwiseError, match=r"is no range|no number"):
            asked("sensitivity", "s.yaml", "--range", text)


def test_offers_are_read_with_their_prices_or_refused(folder: Path) -> None:
    found = asked("size", "s.yaml", "--offer", "tiers.small.slots=1,4@100", "--json")
    assert json.loads(found.stdout)["offers"]["tiers.small.slots"] in (1, 4)
    assert (folder / "results" / "asked-size" / "tried.csv").exists()
    for text in ("tiers.small.slots", "tiers.small.slots=4@x", "tiers.small.slots=4@-1"):
        with pytest.raises(FallwiseError, match="is no offer"):
            asked("size", "s.yaml", "--offer", text)
    with pytest.raises(FallwiseError, match="slotz"):
        asked("size", "s.yaml", "--offer", "tiers.small.slotz=4")


def test_never_pays_ends_with_1() -> None:
    found = asked("breakeven", "s.yaml", "--set", "tiers.small.usd_per_request=1", "--json", ends=1)
    assert json.loads(found.stdout)["requests_per_month"] is None


def test_no_plan_ends_with_1() -> None:
    dear = '--set=targets=[{"measure": "sojourn_s_p95", "at_most": 0.001}]'
    assert json.loads(asked("size", "s.yaml", dear, "--json", ends=1).stdout)["pick"] is None


def test_compare_of_two_scenarios_takes_the_first_as_the_base(folder: Path) -> None:
    (folder / "t.yaml").write_text(ASKED.replace("asked", "other").replace("0.8\n", "0.9\n", 1))
    found = json.loads(asked("compare", "s.yaml", "t.yaml", "--json").stdout)
    assert [one["name"] for one in found["candidates"]] == ["asked", "other"]
    assert (found["differences"][0]["a"], found["differences"][0]["b"]) == ("other", "asked")


def test_each_difference_says_what_the_same_requests_save() -> None:
    row = json.loads(asked("compare", "s.yaml", "--json").stdout)["differences"][0]
    times = row["cost_usd_mean"]["variance_reduction"]
    said = asked("compare", "s.yaml").stdout.partition(f"{row['a']} against ")[2]
    line = next(line for line in said.splitlines() if line.startswith("  cost of a request"))
    assert line.split()[-2:] == ["x", f"{times:.3g}"]


def test_a_router_that_is_only_supposed_is_called_an_assumption() -> None:
    found = json.loads(asked("compare", "s.yaml", "--json").stdout)
    assert "router.auroc" in [item["key"] for item in found["assumptions"]]


def test_paths_are_those_of_one_scenario(folder: Path) -> None:
    with pytest.raises(FallwiseError, match="paths are those of one scenario"):
        asked("compare", "s.yaml", "s.yaml", "--paths")
    assert not (folder / "results").exists()
    words = asked("compare", "s.yaml", "--paths").stdout
    assert "frontier-only: no bound, because big has" in words
    assert "agreement: it needs two tiers before the frontier" in words
    drawn = folder / "results" / "asked-compare" / "figures"
    table = (drawn.parent / "differences.csv").read_text().splitlines()
    assert table[0].startswith("a,b,cost_usd_mean,cost_usd_mean_low,cost_usd_mean_high")
    names = ["sequence with tight timeout", "hedged", "router", "frontier-only"]
    assert [row.partition(",")[0] for row in table[1:]] == names
    assert (drawn / "latency-budget.png").stat().st_size > 10_000


def test_a_way_that_cannot_keep_up_is_told_beside_its_numbers() -> None:
    few = ["--set", "tiers.big.concurrency=1", "--set", "traffic.arrivals.rate_rps=3"]
    words = " ".join(asked("compare", "s.yaml", *few).stdout.split())
    assert "frontier-only: big's queue grows for ever: offered load 1." in words
    assert "Mind:" not in asked("compare", "s.yaml").stdout


def test_a_run_takes_what_moves_it_from_a_sensitivity_study_of_the_same_scenario(
    folder: Path,
) -> None:
    asked("sensitivity", "s.yaml", *COMMANDS["sensitivity"], "--requests", "1500")
    study = "results/asked-sensitivity"
    asked("run", "s.yaml", "--sensitivity", study, "--json")
    page = (folder / "results" / "asked-run" / "report.html").read_text(encoding="utf-8")
    swing = json.loads((folder / study / "summary.json").read_text())["tornado"]["quality"][0]
    assert "What moves it" in page and "0.6 to 0.9" in page
    for end in ("at_low", "at_high"):
        assert f"{100 * swing[end]:.1f}" in page
    for args, rule in (
        (("--sensitivity", study, "--set", "tiers.small.threshold=0.7"), "of another scenario"),
        (("--sensitivity", "results/asked-run"), "holds results of run"),
        (("--sensitivity", "results"), "no folder of results"),
    ):
        with pytest.raises(FallwiseError, match=rule):
            asked("run", "s.yaml", *args, "--out", "results/other")
    assert not (folder / "results" / "other").exists()
