"""`fallwise tune`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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

__all__ = ["tune"]

Bar = Annotated[
    float | None,
    typer.Option("--quality-bar", help="The least cost at this quality, from 0 to 1."),
]
Budget = Annotated[
    float | None,
    typer.Option(help="The best quality for at most so many dollars a request."),
]
Match = Annotated[
    Literal["frontier"] | None,
    typer.Option(help="The least cost at the frontier's own quality, less --margin."),
]
Margin = Annotated[str, typer.Option(help="How far below the frontier: 1pt, or 0.01.")]
Sure = Annotated[
    bool,
    typer.Option("--sure", help="The goal must hold at the worse end of a 95 % interval."),
]
TierOption = Annotated[
    str | None, typer.Option("--tier", help="Whose threshold, where several tiers have one.")
]


def tune(
    scenario: ScenarioFile,
    quality_bar: Bar = None,
    budget: Budget = None,
    match: Match = None,
    margin: Margin = "1pt",
    sure: Sure = False,
    tier: TierOption = None,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Show quality against cost for every threshold of a tier, and pick one for a goal.

    Picked on one half of the questions, reported on the other. Without a goal: the scenario's
    target on quality or else at most 1 point below the frontier alone. Ends with status 1 where
    nothing holds the goal, or the pick misses it on the reporting half.
    """
    checked = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, checked, "tune")
    with placing(scenario):
        from fallwise.planning.pick import goal_of, margin_of
        from fallwise.planning.tune import tune as found_for

        below = margin_of(margin) if match else None
        goal = goal_of(checked, quality_bar, budget, below, sure)
        found = found_for(checked, goal, tier, engine=engine)
    deliver(about(checked, "tune", engine) | found, folder, as_json, _show)
    if found["pick"] is None or not found["pick"]["met"]:
        raise typer.Exit(1)


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent, seconds, usd, within

    labels, pick = summary["labels"], summary["pick"]
    console.print(f"Asked for: {summary['goal']['words']}.", markup=False)
    console.print(
        f"Tuned on {labels['tuned_on']:,} questions, reported on {labels['reported_on']:,} others."
    )
    if pick is not None:
        what = f"{summary['frontier_only']['tier']} alone"
        if pick["policy"] == "cascade" and summary["tier"] is not None:
            threshold = pick["threshold"]
            what = f"tiers.{summary['tier']}.threshold = "
            what += "above every score" if threshold is None else f"{threshold:.6g}"
        console.print(f"\nThe pick: {what}")
        console.print(f"  cost of a request   {within(pick['cost_usd_mean'], usd)}")
        console.print(f"  quality             {within(pick['quality'], percent)}")
        console.print(f"  escalated           {within(pick['escalation_rate'], percent)}")
        console.print(f"  saved               {within(pick['saving'], percent)}")
        console.print(f"  95 % are done in    {within(pick['sojourn_s_p95'], seconds)}")
    console.print(f"\n{'':>22}{'$ a request':>14}{'quality':>10}{'escalated':>11}{'p95':>10}")
    for name, point in _rows(summary):
        cells = usd(point["cost_usd_mean"]), percent(point["quality"])
        on = percent(point.get("escalation_rate", point.get("frontier_share")))
        p95 = seconds(point.get("sojourn_s_p95"))
        row = f"{name:>22}{cells[0]:>14}{cells[1]:>10}{on:>11}{p95:>10}"
        console.print(row, markup=False)
    console.print()
    for sentence in summary["findings"]:
        console.print(f"• {sentence}", markup=False)


def _rows(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the yardsticks, and a part of the curve, by what they are called."""
    names = ("cheapest_only", "frontier_only", "random_mix", "oracle", "best_pair", "bend")
    rows = [(name.replace("_", " "), summary[name]) for name in names if summary[name]]
    for point in summary["curve"][:: max(1, len(summary["curve"]) // 10)]:
        threshold = point["threshold"]
        name = "above all" if threshold is None else f"threshold {threshold:.5g}"
        rows.append((name, point))
    return rows
