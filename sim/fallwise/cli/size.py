"""`fallwise size`."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from fallwise.cli.answers import about, counted, deliver, page_of
from fallwise.cli.options import (
    AsJson,
    EngineOption,
    Out,
    Requests,
    ScenarioFile,
    Scheduler,
    Seed,
    Settings,
    folder_for,
    journal_beside,
    placing,
    scenario_of,
)
from fallwise.errors import Problem, ScenarioError

__all__ = ["size"]

TrafficFactor = Annotated[
    float, typer.Option(min=0.01, help="Size for so many times the scenario's traffic.")
]
PeakFactor = Annotated[
    float | None,
    typer.Option(
        min=1.0,
        help="The busiest rate over the mean; by default the arrivals' own.",
        show_default=False,
    ),
]
Growth = Annotated[
    float | None, typer.Option(min=0.01, help="Plan for so many times the traffic, too.")
]
OfferOption = Annotated[
    list[str] | None,
    typer.Option(
        "--offer",
        metavar="KEY=VALUE@USD,...",
        help="Values to choose from, and their USD a month: tiers.small.slots=4,8@200",
    ),
]


def size(
    scenario: ScenarioFile,
    traffic: TrafficFactor = 1.0,
    peak: PeakFactor = None,
    growth: Growth = None,
    offer: OfferOption = None,
    scheduler: Scheduler = None,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Find the cheapest servers and staff that hold the scenario's targets.

    They hold at the traffic as it is and at its peak. Offers are looked at on all cores, and a run
    that was killed goes on where it was. Ends with status 1 where no plan holds.
    """
    checked = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, checked, "size")
    offers = dict(_offer(text) for text in offer or ())
    journal = journal_beside(folder)
    with placing(scenario), counted("offers") as progress:
        from fallwise.planning.runs import crew, here
        from fallwise.planning.size import size as found_for

        how: dict[str, Any] = {"peak": peak, "growth": growth, "offers": offers}
        how |= {"engine": engine, "progress": progress}
        if offers or scheduler:
            with crew(scheduler, journal) as run:
                found = found_for(checked, traffic, run=run, **how)
        else:
            found = found_for(checked, traffic, run=here, **how)
    summary = about(checked, "size", engine) | found
    deliver(summary, folder, as_json, _show, page_of(summary, checked))
    journal.unlink(missing_ok=True)
    if found["pick"] is None or (found["grown"] or found)["pick"] is None:
        raise typer.Exit(1)


def _offer(text: str) -> tuple[str, list[tuple[Any, float]]]:
    """Return the key and its values, each with its price a month; without @USD it costs nothing."""
    from fallwise.scenario.source import value_of

    key, equals, words = text.partition("=")
    offers = []
    for word in words.split(","):
        value, _, usd = word.partition("@")
        try:
            price = float(usd or 0)
        except ValueError:
            price = math.nan
        if not (key.strip() and equals and value.strip()) or not 0 <= price < math.inf:
            rule, remedy = "is no offer", "write it like tiers.small.slots=4,8@200"
            raise ScenarioError(Problem(rule, remedy, value=text, file="--offer"))
        offers.append((value_of(value.strip(), "--offer"), price))
    return key.strip(), offers


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent, usd, within

    if summary["pick"] is None:
        console.print(f"No plan holds the targets: {summary['why']}.", markup=False)
        return
    at = " at its peak" if summary["peak_factor"] > 1 else ""
    console.print(f"{'tier':<24}{'units':>8}{'busy' + at:>20}")
    for name, units in summary["pick"].items():
        console.print(f"{name:<24}{units:>8}{percent(summary['utilisation'][name]):>20}")
    for key, value in summary["offers"].items():
        console.print(f"{key} = {value}", markup=False)
    console.print(f"\nA month costs {within(summary['cost_usd_per_month'], usd)}.")
    for when, targets in (("", summary["targets"]), (at, summary["targets_at_peak"] or [])):
        for target in targets:
            side = target["side"].replace("_", " ")
            console.print(
                f"• {target['name']} is {target['value']:.4g} ({target['low']:.4g} to "
                f"{target['high']:.4g}){when}, {side} {target['limit']:g}",
                markup=False,
            )
    head = summary["headroom"]
    console.print(f"It holds up to {head['traffic_factor']:g} times this traffic.")
    if head["breaks"]:
        first = head["breaks"][0]
        console.print(f"Then {first}; requests wait at {head['gives_way']}.", markup=False)
    if summary["grown"]:
        times = summary["grown"]["traffic"] / summary["traffic"]
        console.print(f"\nWith {times:g} times this traffic:")
        _show(console, summary["grown"])
