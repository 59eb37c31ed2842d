"""What is printed fits a terminal of 80 columns, and has colours on a terminal only."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.cli.app import app
from test_cli import SCENARIO
from typer.main import get_command
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
COMMANDS = {  # those that plan: tests/test_cli_planning.py
    "run": ["run", "s.yaml"],
    "tune": ["tune", "s.yaml", "--quality-bar", "0.5"],
    "fit": ["fit", "answers.csv", "--tiers", "cheap,good"],
    "long names": ["run", "long.yaml"],
}
LONG = SCENARIO.replace("small", "a-small-model-with-a-long-name").replace(
    "big", "the-biggest-model-there-is-2026"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    (tmp_path / "long.yaml").write_text(LONG)
    (tmp_path / "answers.csv").symlink_to(ROOT / "docs" / "examples" / "answers.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("fallwise.report.figures", lambda *_: iter(()))
    return tmp_path


def too_wide(text: str) -> list[str]:
    return [x for x in text.splitlines() if len(x) > 80 and not x.startswith("Written to")]


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_prints_fits_80_columns_and_has_no_colour_in_a_pipe(
    folder: Path, name: str
) -> None:
    result = CliRunner().invoke(app, COMMANDS[name], catch_exceptions=False)
    assert result.exit_code in (0, 1)
    assert len(result.stdout.splitlines()) > 5
    assert too_wide(result.stdout) == []
    assert "\x1b" not in result.output


def test_the_help_of_every_command_fits_80_columns(folder: Path) -> None:
    for name in getattr(get_command(app), "commands"):  # noqa: B009
        assert too_wide(CliRunner().invoke(app, [name, "--help"]).stdout) == []


@pytest.mark.parametrize(("variable", "coloured"), [("TERM", True), ("NO_COLOR", False)])
def test_a_terminal_has_colours_but_with_no_color(
    folder: Path, variable: str, coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    environment = {name: x for name, x in os.environ.items() if name not in ("NO_COLOR", "CI")}
    environment |= {"TERM": "xterm-256color", variable: "xterm-256color"}
    code = "from fallwise.cli.show import terminal; terminal().print('[green]met[/green]')"
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    said = os.read(ours, 1000).decode()
    os.close(ours)
    assert ("\x1b[32m" in said) == coloured
    assert "met" in said


@pytest.mark.parametrize("watched", [True, False])
def test_a_bar_with_the_time_left_is_shown_to_a_terminal_only(watched: bool) -> None:
    ours, theirs = pty.openpty()
    code = (
        "from fallwise.cli.answers import counted\n"
        "import time\n"
        "with counted('requests', after_s=0.1) as progress:\n"
        "    progress(1, 4); time.sleep(0.3); progress(3, 4)"
    )
    environment = {name: x for name, x in os.environ.items() if name not in ("NO_COLOR", "CI")}
    environment |= {"TERM": "xterm-256color"}
    to = theirs if watched else subprocess.PIPE
    done = subprocess.run([sys.executable, "-c", code], stderr=to, env=environment, check=True)
    os.close(theirs)
    said = os.read(ours, 10_000).decode() if watched else done.stderr.decode()
    os.close(ours)
    assert ("requests" in said and "3/4" in said and "0:00 left" in said) if watched else not said


def test_what_is_over_soon_has_no_bar() -> None:
    ours, theirs = pty.openpty()
    code = (
        "from fallwise.cli.answers import counted\n"
        "with counted('requests', after_s=60) as progress: progress(1, 4)\n"
        "import sys; sys.stderr.write('done')"
    )
    environment = {name: x for name, x in os.environ.items() if name not in ("NO_COLOR", "CI")}
    environment |= {"TERM": "xterm-256color"}
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment, check=True)
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert said == "done"


@pytest.mark.parametrize(("engine", "least"), [("compiled", 2), ("reference", 8)])
def test_a_run_tells_how_many_requests_are_done(engine: Any, least: int) -> None:
    told: list[tuple[int, int]] = []
    case = scenario([tier("one")], run={"requests": 4000, "replications": 2})
    prediction = predict(case, engine=engine, progress=lambda *done: told.append(done))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (8000, 8000) and len(told) >= least
    assert {total for _, total in told} == {8000}
    parts: list[tuple[int, int]] = []
    summarise(prediction, progress=lambda *done: parts.append(done))
    assert parts == [(i, len(parts) - 1) for i in range(len(parts))] and len(parts) >= 4


def test_the_price_of_a_path_is_that_of_its_calls_where_something_is_rented(folder: Path) -> None:
    said = CliRunner().invoke(app, ["run", "s.yaml"], catch_exceptions=False).stdout
    assert "$ of calls" not in said
    rent = ["--set", "tiers.small.replica_usd_per_hour=1"]
    said = CliRunner().invoke(app, ["run", "s.yaml", *rent], catch_exceptions=False).stdout
    assert said.count("$ of calls") == 1
