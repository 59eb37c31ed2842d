"""`fallwise sensitivity`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallwise.cli.answers import about, counted, deliver
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
    from fallwise.scenario import Scenario

__all__ = ["sensitivity"]

RangeOption = Annotated[
    list[str],
    typer.Option("--range", metavar="KEY=LOW:HIGH", help="A range: tiers.small.threshold=.6:.9"),
]
SobolOption = Annotated[
    int, typer.Option(min=0, help="Base samples for Sobol indices (a power of 2); 0: none.")
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on this Dask cluster, not here.")
]


def sensitivity(
    scenario: ScenarioFile,
    ranges: RangeOption,
    sobol: SobolOption = 0,
    scheduler: Scheduler = None,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Say which assumption moves the answer most.

    A run that was killed goes on where it was: what is done stands beside the folder in a journal.
    """
    checked = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, checked, "sensitivity")
    parsed = dict(_range(text) for text in ranges)
    for key, pair in parsed.items():
        _check(checked, key, pair)
    with placing(scenario), counted("runs") as progress:
        from fallwise.planning.sensitivity import sensitivity as found_for

        journal = folder.with_name(f"{folder.name}.journal.jsonl")
        found = found_for(checked, parsed, sobol, None, engine, scheduler, journal, progress)
    deliver(about(checked, "sensitivity", engine) | found, folder, as_json, _show)
    journal.unlink(missing_ok=True)


def _check(scenario: Scenario, key: str, pair: tuple[float, float]) -> None:
    """Raise ScenarioError for a range that the scenario would refuse, before anything is run."""
    from fallwise.scenario import override

    for end in pair:
        try:
            override(scenario, {key: end})
        except ScenarioError as error:
            raise ScenarioError([replace(p, file="--range") for p in error.problems]) from None


def _range(text: str) -> tuple[str, tuple[float, float]]:
    key, equals, ends = text.partition("=")
    low, colon, high = ends.partition(":")
    try:
        pair = float(low), float(high)
    except ValueError:
        pair = (0.0, 0.0)
    if not (key.strip() and equals and colon and pair[0] < pair[1]):
        rule, remedy = "is no range", "write it like tiers.small.threshold=0.6:0.9, low end first"
        raise ScenarioError(Problem(rule, remedy, value=text, file="--range"))
    return key.strip(), pair


def _show(console: Any, summary: dict[str, Any]) -> None:
    for measure in ("cost_usd_mean", "quality", "sojourn_s_p95"):
        base = summary["base"][measure]
        if base is None:
            continue
        console.print(f"[bold]{measure}[/bold]: {base:.4g} as the scenario is")
        for row in summary["tornado"][measure]:
            ends = (row["at_low"], row["at_high"])
            low, high = ("–" if x is None else f"{x:.4g}" for x in ends)
            console.print(f"  {row['key']:<46}{low:>12} to {high}", markup=False)
        if summary["sobol"]:
            for row in summary["sobol"][measure]:
                shares = (row["first"], row["total"])
                first, total = ("–" if x is None else f"{x:.2f}" for x in shares)
                line = f"  {row['key']:<46} alone {first}, with others {total}"
                console.print(line, markup=False)
        console.print()
