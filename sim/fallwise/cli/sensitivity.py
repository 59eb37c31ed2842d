"""`fallwise sensitivity`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from fallwise.planning.sensitivity import Range
    from fallwise.scenario import Scenario

__all__ = ["sensitivity"]

RangeOption = Annotated[
    list[str],
    typer.Option(
        "--range",
        metavar="KEY=LOW:HIGH",
        help="A range: tiers.small.threshold=.6:.9; with x, times what is there: traffic=x.5:x2",
    ),
]
SobolOption = Annotated[
    int, typer.Option(min=0, help="Base samples for Sobol indices (a power of 2); 0: none.")
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
    for key, within in parsed.items():
        _check(checked, key, within)
    with placing(scenario), counted("runs") as progress:
        from fallwise.planning.sensitivity import sensitivity as found_for

        journal = journal_beside(folder)
        found = found_for(checked, parsed, sobol, None, engine, scheduler, journal, progress)
    summary = about(checked, "sensitivity", engine) | found
    deliver(summary, folder, as_json, _show, page_of(summary, checked))
    journal.unlink(missing_ok=True)


def _check(scenario: Scenario, key: str, within: Range) -> None:
    """Raise ScenarioError for a range that the scenario would refuse, before anything is run."""
    from dataclasses import replace

    from fallwise.planning.sensitivity import values_at
    from fallwise.scenario import override

    for end in (within.low, within.high):
        try:
            override(scenario, dict(values_at(scenario, key, within, end)))
        except ScenarioError as error:
            raise ScenarioError([replace(p, file="--range") for p in error.problems]) from None


def _range(text: str) -> tuple[str, Range]:
    """Return a key and its range; both ends with x are what the key's value is multiplied by."""
    from fallwise.planning.sensitivity import Range

    key, equals, ends = text.partition("=")
    low, colon, high = (part.strip() for part in ends.partition(":"))
    times = low.startswith("x") and high.startswith("x")
    try:
        pair = float(low.removeprefix("x")), float(high.removeprefix("x"))
    except ValueError:
        pair = (0.0, 0.0)
    mixed = low.startswith("x") != high.startswith("x")
    if (
        not (key.strip() and equals and colon and pair[0] < pair[1])
        or mixed
        or (times and pair[0] <= 0)
    ):
        rule = "is no range"
        remedy = "write it like tiers.small.threshold=0.6:0.9 or traffic=x0.5:x2, low end first"
        raise ScenarioError(Problem(rule, remedy, value=text, file="--range"))
    return key.strip(), Range(*pair, times)


def _show(console: Any, summary: dict[str, Any]) -> None:
    for measure in ("cost_usd_mean", "quality", "sojourn_s_p95"):
        if summary["base"][measure] is None:
            continue
        base = summary["base"][measure]["value"]
        console.print(f"[bold]{measure}[/bold]: {base:.4g} as the scenario is")
        for row in summary["tornado"][measure]:
            console.print(f"  {_key(summary, row['key'])}", markup=False, soft_wrap=True)
            ends = (row["at_low"], row["at_high"])
            low, high = ("–" if x is None else f"{x:.4g}" for x in ends)
            swing = row["swing"] or {"low": None, "value": None}
            by = "" if swing["value"] is None else f", {swing['value']:+.3g}"
            if swing["low"] is not None:
                by += f" ({swing['low']:+.3g} to {swing['high']:+.3g})"
            console.print(f"      {low} to {high}{by}", markup=False)
        if summary["sobol"] and summary["sobol"][measure]:
            _show_sobol(console, summary["sobol"][measure])
        console.print()


def _key(summary: dict[str, Any], key: str) -> str:
    within = summary["ranges"][key]
    x = "x" if within["times"] else ""
    return f"{key} from {x}{within['low']:g} to {x}{within['high']:g}"


def _show_sobol(console: Any, found: dict[str, Any]) -> None:
    console.print("  shares of the variance, all keys moved at once:")
    for row in found["indices"]:
        alone, total = row["first"], row["total"]
        words = f"{alone['value']:.2f} alone, {total['value']:.2f} with others"
        interval = f" ({total['low']:.2f} to {total['high']:.2f})"
        console.print(f"    {row['key']}", markup=False, soft_wrap=True)
        console.print(f"      {words}{interval}", markup=False)
    for pair in found["together"]:
        both = " and ".join(pair["keys"])
        console.print(f"    {pair['share']:.2f} by {both} together", markup=False)
