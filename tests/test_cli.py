from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from fallwise.cli import main
from fallwise.cli.app import app
from fallwise.cli.options import EngineOption
from fallwise.engines.engine import Engine
from fallwise.errors import FallwiseError
from typer.main import get_command
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
SCENARIO = """\
name: two-tiers
about: A pool in front of an api.
traffic:
  arrivals: {kind: poisson, rate_rps: 5}
answers: {source: synthetic}
tiers:
  - name: small
    kind: pool
    replicas: 2
    threshold: 0.8
    service: {kind: exponential, mean_s: 0.1}
    answers: {accuracy: 0.8, auroc: 0.75, loading: 0.6}
  - name: big
    kind: api
    service: {kind: exponential, mean_s: 0.5}
    answers: {accuracy: 0.9, loading: 0.6}
    usd_per_request: 0.002
targets:
  - {measure: quality, at_least: 0.5}
assumptions:
  - {key: tiers.big.usd_per_request, why: a price list}
run: {requests: 2000}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fallwise(*args: str, ends: int = 0) -> str:
    result = CliRunner().invoke(app, args, catch_exceptions=False)
    assert result.exit_code == ends, result.output
    return str(result.stdout)


def summary(*args: str, ends: int = 0) -> dict[str, Any]:
    return dict(json.loads(fallwise("run", "s.yaml", "--json", *args, ends=ends)))


def test_run_with_json_prints_the_summary_and_nothing_else(folder: Path) -> None:
    said = summary()
    assert said["scenario"] == "two-tiers"
    assert said["requests"] == 2000
    written = json.loads((folder / "results/two-tiers-run/summary.json").read_text())
    assert written == said


def test_both_engines_and_the_same_seed_give_the_same_summary(folder: Path) -> None:
    few = "--requests", "4000"
    compiled = summary("--seed", "7", *few)
    reference = summary("--seed", "7", *few, "--engine", "reference")
    other = summary("--seed", "8", *few)
    assert compiled.pop("engine") == "compiled"
    assert reference.pop("engine") == "reference"
    assert compiled == reference
    assert other["cost_usd_mean"] != compiled["cost_usd_mean"]


def test_options_reach_the_run(folder: Path) -> None:
    said = summary("--requests", "1000", "--set", "tiers.small.threshold=0", "--out", "here")
    assert said["requests"] == 1000
    assert said["escalation_rate"]["value"] == 0
    assert (folder / "here" / "summary.json").exists()
    assert not (folder / "results").exists()


def test_a_target_that_is_not_met_ends_with_1(folder: Path) -> None:
    said = summary("--set", "targets[0].at_least=0.99", ends=1)
    assert said["targets"][0]["met"] is False


def test_the_tables_fit_80_columns_and_say_what_is_assumed(folder: Path) -> None:
    said = fallwise("run", "s.yaml")
    assert max(len(line) for line in said.splitlines()) <= 80
    assert "tiers.big.usd_per_request = 0.002: a price list" in said
    assert "big right on the escalated" in said
    assert "\x1b" not in said


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(fallwise("schema")))


def test_each_command_has_help_and_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert {"run", "demo", "schema"} <= set(commands)
    for name, command in commands.items():
        assert command.help, name
        assert re.search(rf"`fallwise {name}\b", readme), name
        for option in command.params:
            assert getattr(option, "help", None), (name, option.name)


def test_the_scenario_of_the_readme_runs(folder: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (folder / "s.yaml").write_text(text)
    said = summary("--requests", "3000", "--set", "targets=[]")
    assert [tier["name"] for tier in said["tiers"]] == ["small", "big"]


def test_the_engines_that_can_be_named_are_those_there_are() -> None:
    assert set(get_args(get_args(EngineOption)[0])) == set(get_args(Engine))


def test_help_loads_nothing_that_is_slow() -> None:
    code = (
        "import sys; sys.argv = ['fallwise', '--help']\n"
        "from fallwise.cli import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Predict what an LLM cascade costs" in run.stdout
    slow = {"numpy", "pydantic", "ruamel.yaml", "rich.console", "pandas", "numba", "simpy"}
    assert not slow & set(run.stderr.split())


def test_the_version_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fallwise", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert re.fullmatch(r"fallwise \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_until_repeats_the_run_until_it_is_known_well_enough(folder: Path) -> None:
    found = summary("--until", "5%")
    assert found["replications"] >= 10
    half = (found["sojourn_s_p95"]["high"] - found["sojourn_s_p95"]["low"]) / 2
    assert half <= 0.05 * found["sojourn_s_p95"]["value"]


@pytest.mark.parametrize("text", ["x", "0%", "-1%", "200%"])
def test_until_takes_a_percentage(folder: Path, text: str) -> None:
    with pytest.raises(FallwiseError, match="is no precision"):
        fallwise("run", "s.yaml", f"--until={text}")
    assert not (folder / "results").exists()


def test_a_long_run_is_summed_up_in_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summary()
    monkeypatch.setattr("fallwise.cli.run.IN_MEMORY", 1000)
    blocks = summary("--set", f"run.warmup={whole['warmup_requests'][0]}")
    assert blocks["quality"]["value"] == pytest.approx(whole["quality"]["value"])
    assert blocks["cost_usd_mean"]["value"] == pytest.approx(whole["cost_usd_mean"]["value"])
    written = {path.name for path in (folder / "results" / "two-tiers-run").iterdir()}
    assert written == {"summary.json", "README.txt", "report.html", "figures"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_has_no_room_is_said_without_a_traceback() -> None:
    code = "import sys; sys.argv = ['fallwise', 'schema']; from fallwise.cli import main; main()"
    command = [sys.executable, "-c", code]
    with open("/dev/full", "w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "output: No space left on device; make room for it\n"
