"""`fallwise tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

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

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

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
    str | None, typer.Option("--tier", help="This tier's threshold alone, exactly.")
]
Trials = Annotated[
    int | None, typer.Option(min=1, help="Settings that a search tries.", show_default="600")
]


def tune(
    scenario: ScenarioFile,
    quality_bar: Bar = None,
    budget: Budget = None,
    match: Match = None,
    margin: Margin = "1pt",
    sure: Sure = False,
    tier: TierOption = None,
    trials: Trials = None,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Show quality against cost for all that can be turned, and pick the best for a goal.

    One threshold: every value, exactly. Several, a router's cuts, verifiers: a search. Picked on
    one half of the questions, reported on the other. Without a goal: the scenario's target on
    quality or else at most 1 point below the frontier alone. Ends with status 1 where nothing holds
    the goal, or the pick misses it on the reporting half.
    """
    checked = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, checked, "tune")
    with placing(scenario):
        from fallwise.planning.pick import goal_of, margin_of
        from fallwise.planning.tune import TRIALS
        from fallwise.planning.tune import tune as found_for

        below = margin_of(margin) if match else None
        goal = goal_of(checked, quality_bar, budget, below, sure)
        with counted("settings tried") as progress:
            found = found_for(
                checked, goal, tier, engine=engine, trials=trials or TRIALS, progress=progress
            )
    html = _page(checked, found, engine)
    deliver(about(checked, "tune", engine) | found, folder, as_json, _show, html)
    if found["pick"] is None or not found["pick"]["met"]:
        raise typer.Exit(1)


def _page(scenario: Scenario, found: dict[str, Any], engine: Any) -> str:
    """Return the page of a run with the setting that was picked."""
    from fallwise import report
    from fallwise.analysis.predict import predict
    from fallwise.analysis.summary import summarise
    from fallwise.scenario import override

    if found["pick"] is not None and found["pick"]["policy"] == "cascade":
        values = _turned(found, found["pick"])
        high = {key: report.ABOVE for key in values if not key.endswith(".verifier")}
        values = {key: high.get(key) if x is None else x for key, x in values.items()}
        scenario = override(scenario, values)
    prediction = predict(scenario, engine=engine)
    return report.page(summarise(prediction, "tune"), scenario, prediction, found)


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent, seconds, usd, within

    labels, pick = summary["labels"], summary["pick"]
    console.print(f"Asked for: {summary['goal']['words']}.", markup=False)
    console.print(
        f"Tuned on {labels['tuned_on']:,} questions, reported on {labels['reported_on']:,} others."
    )
    if summary["searched"]:
        console.print(f"Searched: {summary['searched']['trials']:,} settings.")
    if pick is not None:
        what = f"{summary['frontier_only']['tier']} alone"
        if pick["policy"] == "cascade":
            what = "\n          ".join(_settings(summary, pick)) or "as it is"
        console.print(f"\nThe pick: {what}", markup=False)
        console.print(f"  cost of a request   {within(pick['cost_usd_mean'], usd)}")
        console.print(f"  quality             {within(pick['quality'], percent)}")
        console.print(f"  escalated           {within(pick['escalation_rate'], percent)}")
        console.print(f"  saved               {within(pick['saving'], percent)}")
        console.print(f"  95 % are done in    {within(pick['sojourn_s_p95'], seconds)}")
    if summary["searched"]:
        order = ", ".join(k.removeprefix("tiers.") for k in summary["searched"]["keys"])
        console.print(f"\nSettings below are in the order {order}.", markup=False)
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
    curve = summary["curve"]
    if summary["searched"]:  # of settings that are quicker or less risky only the summary tells
        curve = [p for p in curve if not any(_beats(other, p) for other in curve)]
    for point in curve[:: max(1, len(curve) // 10)]:
        rows.append((_short(summary, point), point))
    return rows


def _beats(a: dict[str, Any], b: dict[str, Any]) -> bool:
    first, second = ((p["cost_usd_mean"], -p["quality"]) for p in (a, b))
    return first != second and first[0] <= second[0] and first[1] <= second[1]


def _turned(summary: dict[str, Any], point: dict[str, Any]) -> dict[str, float | None]:
    """Return a setting's values by key: a threshold of None is above every score."""
    if "threshold" in point:
        thresholds = {summary["tier"]: point["threshold"]} if summary["tier"] else {}
    else:
        thresholds = point["thresholds"]
    found = {f"tiers.{name}.threshold": x for name, x in thresholds.items()}
    verifiers = point.get("verifiers", {})
    found |= {f"tiers.{name}.verifier": None for name, on in verifiers.items() if not on}
    return found | {f"router.cuts[{i}]": x for i, x in enumerate(point.get("cuts", ()))}


def _settings(summary: dict[str, Any], point: dict[str, Any]) -> list[str]:
    """Return a setting as --set takes it, one value each."""
    return [
        f"{key} = {'null (off)' if key.endswith('.verifier') else _number(x)}"
        for key, x in _turned(summary, point).items()
    ]


def _number(threshold: float | None) -> str:
    return "above every score" if threshold is None else f"{threshold:.6g}"


def _short(summary: dict[str, Any], point: dict[str, Any]) -> str:
    if "threshold" in point:
        threshold = point["threshold"]
        return "above all" if threshold is None else f"threshold {threshold:.5g}"
    cuts, words = iter(point["cuts"]), []
    for key in summary["searched"]["keys"]:
        part, _, kind = key.removeprefix("tiers.").rpartition(".")
        if kind == "verifier":
            words.append("on" if point["verifiers"][part] else "off")
        else:
            value = point["thresholds"][part] if kind == "threshold" else next(cuts)
            words.append("all" if value is None else f"{value:.3g}")
    return " ".join(words)
