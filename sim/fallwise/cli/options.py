"""The options that commands share, and what they mean for a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fallwise.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

__all__ = [
    "AsJson",
    "EngineOption",
    "Out",
    "Requests",
    "ScenarioFile",
    "Scheduler",
    "Seed",
    "Settings",
    "folder_for",
    "journal_beside",
    "placing",
    "scenario_of",
    "values_of",
]

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario file (YAML).")]
Seed = Annotated[int | None, typer.Option(min=0, help="Draw other requests.")]
Requests = Annotated[int | None, typer.Option(min=1, help="How many requests to draw.")]
EngineOption = Annotated[
    Literal["compiled", "reference"],
    typer.Option("--engine", help="Both give the same result; the reference is slow."),
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on this Dask cluster, not here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder to write to.", show_default="results/SCENARIO-COMMAND"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a value: --set tiers.small.threshold=0.8"),
]


@contextmanager
def placing(path: Path) -> Iterator[None]:
    """Give errors that name a key of the scenario, but no place, its place in the file."""
    try:
        yield
    except ScenarioError as error:
        from fallwise.scenario.source import load

        source = load(path)
        raise ScenarioError([p if p.file else source.placed(p) for p in error.problems]) from None


def scenario_of(
    path: Path, settings: list[str] | None, seed: int | None, requests: int | None
) -> Scenario:
    """Return the file's scenario with the values of --set, --seed and --requests put in."""
    from fallwise.scenario import read

    return read(path, values_of(settings, seed, requests))


def values_of(settings: list[str] | None, seed: int | None, requests: int | None) -> dict[str, Any]:
    """Return the values of --set, --seed and --requests, by key."""
    from fallwise.scenario.source import value_of

    values: dict[str, Any] = {}
    for setting in settings or ():
        name, equals, text = setting.partition("=")
        if not equals:
            rule, remedy = "this sets nothing", "write it like tiers.small.threshold=0.8"
            raise ScenarioError(Problem(rule, remedy, value=setting, file="--set"))
        values[name.strip()] = value_of(text, "--set")
    for name, number in (("run.seed", seed), ("run.requests", requests)):
        if number is not None:
            values[name] = number
    return values


def journal_beside(folder: Path) -> Path:
    """Return the file in which runs that are done stand until the folder is written."""
    return folder.with_name(f"{folder.name}.journal.jsonl")


def folder_for(out: Path | None, scenario: Scenario, command: str) -> Path:
    """Return the folder that a command's results go to; ScenarioError where they may not."""
    from fallwise import report

    folder = out or Path("results") / f"{scenario.name}-{command}"
    report.refuse(folder)
    return folder
