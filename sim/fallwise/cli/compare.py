"""`fallwise compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallwise.cli.answers import about, deliver, page_of
from fallwise.cli.options import (
    AsJson,
    EngineOption,
    Out,
    Requests,
    Seed,
    Settings,
    folder_for,
    placing,
    scenario_of,
)
from fallwise.cli.show_compare import show_compared
from fallwise.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from fallwise.engines.engine import Engine
    from fallwise.planning.paths import Way
    from fallwise.scenario import Scenario

__all__ = ["compare"]

Scenarios = Annotated[
    list[Path], typer.Argument(metavar="SCENARIO...", help="One: its paths. Several: each other.")
]
Tight = Annotated[
    float | None, typer.Option(min=1e-6, help="The tight timeout of the cheapest tier, seconds.")
]
Auroc = Annotated[
    float, typer.Option(min=0.5, max=0.999, help="How good the router would be: an assumption.")
]


Paths = Annotated[
    bool,
    typer.Option("--paths", help="One scenario's possible paths; the default where there is one."),
]


def compare(
    scenarios: Scenarios,
    paths: Paths = False,
    tight_timeout_s: Tight = None,
    router_auroc: Auroc = 0.75,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compare scenarios, or one scenario's possible paths, on the same requests, paired.

    The paths: trying in sequence, a tight timeout on the cheap tier, a second call where the
    frontier is slow, a router, agreement of two cheap models, and the frontier alone. For each:
    cost, quality, waiting, the worst case that its limits allow, and where the seconds went.
    """
    checked = [scenario_of(path, settings, seed, requests) for path in scenarios]
    if paths and len(checked) > 1:
        rule, remedy = "paths are those of one scenario", "name one scenario, or leave out --paths"
        raise ScenarioError(Problem(rule, remedy, value=len(checked), file="--paths"))
    folder = folder_for(out, checked[0], "compare")
    with placing(scenarios[0]):
        found = _found(checked, engine, tight_timeout_s, router_auroc)
    summary = about(checked[0], "compare", engine) | found
    if any("(--router-auroc)" in one["how"] for one in found["candidates"]):
        why = f"{router_auroc:g} is assumed for a router that is not there yet (--router-auroc)"
        summary["assumptions"].append({"key": "router.auroc", "why": why})
    deliver(summary, folder, as_json, show_compared, page_of(summary, checked[0]))


def _found(
    scenarios: list[Scenario], engine: Engine, tight_timeout_s: float | None, auroc: float
) -> dict[str, Any]:
    from fallwise.analysis.compare import common_warmup, differences
    from fallwise.analysis.predict import predict
    from fallwise.planning.paths import Way, ways

    impossible: dict[str, str] = {}
    if len(scenarios) == 1:
        found, impossible = ways(scenarios[0], engine, tight_timeout_s, auroc)
    else:
        found = [Way(_name(s, scenarios), predict(s, engine=engine), s.about) for s in scenarios]
    pairs = [(way.name, way.prediction) for way in found]
    cuts = common_warmup(pairs)
    return {
        "candidates": [_candidate(way, cuts) for way in found],
        "not_possible": [{"name": name, "why": why} for name, why in impossible.items()],
        "differences": differences(pairs),
    }


def _name(scenario: Scenario, others: list[Scenario]) -> str:
    """Return the scenario's name, with its position where another has the same."""
    same = [other for other in others if other.name == scenario.name]
    position = next(i for i, other in enumerate(others) if other is scenario)
    return scenario.name if len(same) == 1 else f"{scenario.name}-{position + 1}"


def _candidate(way: Way, cuts: list[int]) -> dict[str, Any]:
    from fallwise.analysis.budget import budget
    from fallwise.analysis.summary import summarise
    from fallwise.analysis.worst import worst_case

    prediction = way.prediction
    scenario = prediction.scenario
    starts = set(prediction.decisions.start.tolist())
    if scenario.router is not None:
        starts |= {scenario.index(name) for name in scenario.router.starts}
    summary = summarise(prediction, "compare", baselines=False, cuts=cuts)
    return {
        "name": way.name,
        "how": way.how,
        "worst_case": worst_case(scenario, starts),
        "budget": budget(prediction, cuts),
    } | {key: value for key, value in summary.items() if key != "assumptions"}
