"""`fallwise run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallwise.cli.answers import counted, print_json, working
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
"""Longer runs are summed up block by block; their folder has no tables, and fewer figures."""

Until = Annotated[
    str | None,
    typer.Option(
        metavar="PERCENT",
        help="Repeat until cost, quality and p95 are known to so much: --until 1%",
    ),
]
Sensitivity = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="What moves it, on the page: from this sensitivity study of it."
    ),
]


def run(
    scenario: ScenarioFile,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    until: Until = None,
    sensitivity: Sensitivity = None,
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
    studied = None if sensitivity is None else _studied(sensitivity, checked)
    with placing(scenario):
        summary = simulated(checked, folder, engine, relative, studied)
    if as_json:
        print_json(summary)
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
    scenario: Scenario,
    folder: Path,
    engine: Any,
    relative: float | None = None,
    moves: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the summary of a run, and write it with its tables and figures to the folder.

    relative asks for as many runs as it takes to know the cost, the quality and p95 to +- that.
    moves is what `sensitivity` found of the scenario; without it every assumption is moved.
    """
    long = scenario.run.requests > IN_MEMORY and scenario.run.replications == 1
    streamed = long and engine == "compiled" and relative is None
    from fallwise import report

    report.refuse(folder)
    prediction = None
    if streamed:
        with counted("requests, baselines too") as progress:
            from fallwise.analysis.stream import summarise_stream

            summary = summarise_stream(scenario, progress=progress)
    else:
        summary, prediction = _in_memory(scenario, engine, relative)
    if moves is None and prediction is not None:
        from fallwise.planning.movers import moved

        with working("what moves it"):
            moves = moved(scenario, engine)
    with counted("thresholds") as progress:
        html = report.page(summary, scenario, prediction, moves=moves, progress=progress)
    with working(f"writing {folder}"):
        drawn = report.figures(summary, prediction, moves)
        report.write(folder, summary, prediction, html, drawn)
    return summary


def _studied(folder: Path, scenario: Scenario) -> dict[str, Any]:
    """Return the summary of a sensitivity study of this scenario; ScenarioError else.

    It may have had other requests: fewer, or of another seed.
    """
    rule = ""
    try:
        found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if found["command"] != "sensitivity":
            rule = f"holds results of {found['command']}"
        elif found["content"] != _drawn_as(scenario, found["seed"], found["requests"]).hash:
            rule = f"is of another scenario, or of other values ({found['scenario']})"
    except (OSError, ValueError, KeyError, TypeError):
        rule = "is no folder of results"
    if rule:
        remedy = "name the folder that `fallwise sensitivity` wrote for this scenario"
        raise ScenarioError(Problem(rule, remedy, value=str(folder), file="--sensitivity"))
    return dict(found)


def _drawn_as(scenario: Scenario, seed: int, requests: int) -> Scenario:
    run = scenario.run.model_copy(update={"seed": seed, "requests": requests})
    return scenario.model_copy(update={"run": run})


def _in_memory(
    scenario: Scenario, engine: Any, relative: float | None
) -> tuple[dict[str, Any], Prediction]:
    known = True
    if relative is None:
        # The compiled engine tells nothing of one run: it would be over sooner than a bar is read.
        told = engine == "reference" or scenario.run.replications > 1
        with counted("requests") if told else working("simulating") as progress:
            from fallwise.analysis.predict import predict

            prediction = predict(scenario, engine=engine, progress=progress)
    else:
        with working("runs, until it is known"):
            from fallwise.analysis.precise import predict_until

            prediction, known = predict_until(scenario, relative, engine=engine)
    with counted("parts of the summary") as progress:
        from fallwise.analysis.summary import summarise

        summary = summarise(prediction, progress=progress)
    if relative is not None and not known:
        count, percent = len(prediction.runs), 100 * relative
        words = f"After {count} runs the numbers are not known to {percent:g} %."
        summary["findings"].insert(0, words)
    return summary, prediction
