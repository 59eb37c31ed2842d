"""`fallwise run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

__all__ = ["run", "simulated"]


def run(
    scenario: ScenarioFile,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Predict cost, quality, tier hits and waiting of a cascade.

    Writes the summary, the tables and the figures of the run to a folder. Ends with status 1
    where a target of the scenario is not met.
    """
    checked = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, checked, "run")
    with placing(scenario):
        summary = simulated(checked, folder, engine)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        from fallwise.cli.show import show

        show(summary, checked, folder)
    if not all(target["met"] for target in summary["targets"]):
        raise typer.Exit(1)


def simulated(scenario: Scenario, folder: Path, engine: Any) -> dict[str, Any]:
    """Return the summary of a run, and write it with its tables and figures to the folder."""
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        status.update("loading")
        from fallwise import report
        from fallwise.analysis.predict import predict
        from fallwise.analysis.summary import summarise

        status.update(f"running {scenario.run.requests:,} requests")
        prediction = predict(scenario, engine=engine)
        status.update("summing up")
        summary = summarise(prediction)
        status.update(f"writing {folder}")
        report.write(folder, summary, prediction)
    return summary
