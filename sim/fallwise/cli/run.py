"""`fallwise run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallwise.cli.options import (
    AsJson,
    EngineOption,
    Out,
    Requests,
    ScenarioFile,
    Seed,
    Settings,
    folder_for,
    placing,
    scenario_of,
)
from fallwise.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from fallwise.analysis.predict import Prediction
    from fallwise.scenario import Scenario

__all__ = ["run", "simulated"]

IN_MEMORY = 5_000_000
"""Longer runs are summed up block by block; their folder has no tables and no figures."""

Until = Annotated[
    str | None,
    typer.Option(
        metavar="PERCENT",
        help="Repeat until cost, quality and p95 are known to so much: --until 1%",
    ),
]


def run(
    scenario: ScenarioFile,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    until: Until = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Predict cost, quality, tier hits and waiting of a cascade.

    Writes the summary, the tables, the figures and a page (report.html) to a folder. Ends with
    status 1 where a target of the scenario is not met.
    """
    checked = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, checked, "run")
    relative = None if until is None else _relative(until)
    with placing(scenario):
        summary = simulated(checked, folder, engine, relative)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        from fallwise.cli.show import show

        show(summary, checked, folder)
    if not all(target["met"] for target in summary["targets"]):
        raise typer.Exit(1)


def _relative(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        rule, remedy = "is no precision", "write it like 1% or 0.01"
        raise ScenarioError(Problem(rule, remedy, value=text, file="--until"))
    return share


def simulated(
    scenario: Scenario, folder: Path, engine: Any, relative: float | None = None
) -> dict[str, Any]:
    """Return the summary of a run, and write it with its tables and figures to the folder.

    relative asks for as many runs as it takes to know the cost, the quality and p95 to +- that.
    """
    from rich.console import Console

    with Console(stderr=True).status("loading") as status:
        from fallwise import report

        report.refuse(folder)
        status.update(f"running {scenario.run.requests:,} requests")
        long = scenario.run.requests > IN_MEMORY and scenario.run.replications == 1
        if long and engine == "compiled" and relative is None:
            from fallwise.analysis.stream import summarise_stream

            summary, prediction = summarise_stream(scenario), None
        else:
            summary, prediction = _in_memory(scenario, engine, relative)
        status.update("drawing the report")
        html = report.page(summary, scenario, prediction)
        status.update(f"writing {folder}")
        report.write(folder, summary, prediction, html)
    return summary


def _in_memory(
    scenario: Scenario, engine: Any, relative: float | None
) -> tuple[dict[str, Any], Prediction]:
    from fallwise.analysis.predict import predict
    from fallwise.analysis.summary import summarise

    if relative is None:
        prediction = predict(scenario, engine=engine)
        return summarise(prediction), prediction
    from fallwise.analysis.precise import predict_until

    prediction, known = predict_until(scenario, relative, engine=engine)
    summary = summarise(prediction)
    if not known:
        count, percent = len(prediction.runs), 100 * relative
        words = f"After {count} runs the numbers are not known to {percent:g} %."
        summary["findings"].insert(0, words)
    return summary, prediction
