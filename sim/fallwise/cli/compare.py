"""`fallwise compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallwise.cli.answers import about, deliver
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

if TYPE_CHECKING:
    from fallwise.analysis.predict import Prediction
    from fallwise.scenario import Scenario

__all__ = ["compare"]

Scenarios = Annotated[
    list[Path], typer.Argument(metavar="SCENARIO...", help="One: its paths. Several: each other.")
]
Tight = Annotated[
    float | None, typer.Option(min=0.001, help="The tight timeout of the cheapest tier, seconds.")
]
Auroc = Annotated[
    float, typer.Option(min=0.5, max=0.999, help="How good the router would be: an assumption.")
]


def compare(
    scenarios: Scenarios,
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

    With one scenario: trying in sequence, a tight timeout on the cheap tier, a router, agreement
    of two cheap models, and the frontier alone, each with its worst case.
    """
    checked = [scenario_of(path, settings, seed, requests) for path in scenarios]
    folder = folder_for(out, checked[0], "compare")
    with placing(scenarios[0]):
        from fallwise.analysis.compare import differences
        from fallwise.analysis.predict import predict
        from fallwise.planning.paths import ways

        if len(checked) == 1:
            candidates = ways(checked[0], None, engine, tight_timeout_s, router_auroc)
        else:
            candidates = [(_name(s, checked), predict(s, engine=engine)) for s in checked]
        found = {
            "candidates": [_candidate(name, prediction) for name, prediction in candidates],
            "differences": differences(candidates),
        }
    summary = about(checked[0], "compare", engine) | found
    if len(checked) == 1 and checked[0].router is None and "router" in dict(candidates):
        why = f"{router_auroc:g} is assumed for a router that is not there yet (--router-auroc)"
        summary["assumptions"].append({"key": "router.auroc", "why": why})
    deliver(summary, folder, as_json, _show)


def _name(scenario: Scenario, others: list[Scenario]) -> str:
    """Return the scenario's name, with its position where another has the same."""
    same = [other for other in others if other.name == scenario.name]
    position = next(i for i, other in enumerate(others) if other is scenario)
    return scenario.name if len(same) == 1 else f"{scenario.name}-{position + 1}"


def _candidate(name: str, prediction: Prediction) -> dict[str, Any]:
    from fallwise.analysis.compare import seconds_by_path, worst_case_s
    from fallwise.analysis.summary import summarise

    summary = summarise(prediction, "compare", baselines=False)
    return {
        "name": name,
        "worst_case_s": worst_case_s(prediction.scenario),
        "seconds_by_path": seconds_by_path(prediction),
    } | {key: value for key, value in summary.items() if key != "assumptions"}


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent, seconds, usd

    head = f"{'':<28}{'$ a request':>13}{'quality':>9}{'p50':>10}{'p99':>10}{'worst':>10}"
    console.print(head)
    for one in summary["candidates"]:
        times = [seconds(one["sojourn_s_p50"]), seconds(one["sojourn_s_p99"])]
        times.append("no bound" if one["worst_case_s"] is None else seconds(one["worst_case_s"]))
        point = f"{usd(one['cost_usd_mean']):>13}{percent(one['quality']):>9}"
        console.print(f"{one['name']:<28}{point}" + "".join(f"{t:>10}" for t in times))
    console.print()
    for row in summary["differences"]:
        console.print(f"{row['a']} against {row['b']}, the same requests:", markup=False)
        for measure, unit in (("cost_usd_mean", "$"), ("quality", ""), ("sojourn_s_p99", "s")):
            d = row[measure]
            ends = "" if d["low"] is None else f"  ({d['low']:+.3g} to {d['high']:+.3g})"
            console.print(f"  {measure:<16}{d['value']:+.3g} {unit}{ends}", markup=False)
    console.print()
