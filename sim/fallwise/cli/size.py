"""`fallwise size`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fallwise.cli.answers import about, deliver
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

__all__ = ["size"]

TrafficFactor = Annotated[
    float, typer.Option(min=0.01, help="Size for so many times the traffic: a peak, or growth.")
]


def size(
    scenario: ScenarioFile,
    traffic: TrafficFactor = 1.0,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Find the cheapest servers and staff that hold the scenario's targets.

    Ends with status 1 where no plan does.
    """
    checked = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, checked, "size")
    with placing(scenario):
        from rich.console import Console

        from fallwise.planning.size import size as found_for

        with Console(stderr=True).status("trying plans"):
            found = found_for(checked, traffic, None, engine)
    deliver(about(checked, "size", engine) | found, folder, as_json, _show)
    if found["pick"] is None:
        raise typer.Exit(1)


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent, usd, within

    if summary["pick"] is None:
        console.print(f"No plan holds the targets: {summary['why']}.", markup=False)
        return
    console.print(f"{'tier':<24}{'units':>8}{'busy':>10}")
    for name, units in summary["pick"].items():
        console.print(f"{name:<24}{units:>8}{percent(summary['utilisation'][name]):>10}")
    console.print(f"\nA month costs {within(summary['cost_usd_per_month'], usd)}.")
    for target in summary["targets"]:
        side = target["side"].replace("_", " ")
        console.print(f"• {target['name']} is {target['value']:.4g}, {side} {target['limit']:g}")
    head = summary["headroom"]
    console.print(f"It holds up to {head['traffic_factor']:g} times this traffic.")
    if head["breaks"]:
        console.print(f"Then {head['breaks'][0]}; {head['busiest']} is the busiest.", markup=False)
