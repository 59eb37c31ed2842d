"""`fallwise tune`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fallwise.cli.answers import about, counted, deliver
from fallwise.cli.options import (
    AsJson,
    EngineOption,
    Out,
    Requests,
    Scheduler,
    Seed,
    Settings,
    folder_for,
    journal_beside,
    placing,
    values_of,
)
from fallwise.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

__all__ = ["tune"]

File = Annotated[
    Path,
    typer.Argument(
        metavar="SCENARIO|TABLE",
        help="A scenario (YAML), or an evaluation table of graded answers.",
    ),
]

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
P95 = Annotated[
    float | None,
    typer.Option(
        "--p95",
        metavar="SECONDS",
        help="95 % of the requests must be done in so long; by default the scenario's target.",
        show_default=False,
    ),
]
TierOption = Annotated[
    str | None, typer.Option("--tier", help="This tier's threshold alone, exactly.")
]
Trials = Annotated[
    int | None, typer.Option(min=1, help="Settings that a search tries.", show_default="600")
]

Tiers = Annotated[
    str | None,
    typer.Option(help="A table's models, cheapest first: small,big", show_default="all"),
]
Prices = Annotated[
    str | None,
    typer.Option(help="What a call of each tier costs: 0.24,24.7", show_default="cost_usd"),
]
Dataset = Annotated[str | None, typer.Option(help="Only the table's rows of this dataset.")]
Split = Annotated[str | None, typer.Option(help="Only the table's rows of this split.")]
LeaveOut = Annotated[
    str | None, typer.Option(help="Not the table's rows where this column is true.")
]
ScoreColumn = Annotated[str | None, typer.Option(help="The table's column that a policy sees.")]
Splits = Annotated[
    int, typer.Option(min=0, help="Part the questions so often, and say what the picks came to.")
]


def tune(
    scenario: File,
    quality_bar: Bar = None,
    budget: Budget = None,
    match: Match = None,
    margin: Margin = "1pt",
    sure: Sure = False,
    p95: P95 = None,
    tier: TierOption = None,
    trials: Trials = None,
    splits: Splits = 0,
    scheduler: Scheduler = None,
    tiers: Tiers = None,
    prices: Prices = None,
    dataset: Dataset = None,
    split: Split = None,
    leave_out: LeaveOut = None,
    score_column: ScoreColumn = None,
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
    quality or else at most 1 point below the frontier alone. --splits that were killed go on where
    they were. Ends with status 1 where nothing holds the goal, or the pick misses it on the
    reporting half.
    """
    given = {"--tiers": tiers, "--prices": prices, "--dataset": dataset, "--split": split}
    given |= {"--leave-out": leave_out, "--score-column": score_column}
    checked = _scenario(scenario, given, values_of(settings, seed, requests))
    folder = folder_for(out, checked, "tune")
    with placing(scenario):
        from fallwise.planning.pick import goal_of, margin_of
        from fallwise.planning.repeats import repeated
        from fallwise.planning.runs import ALONE, crew
        from fallwise.planning.tune import TRIALS
        from fallwise.planning.tune import tune as found_for

        below = margin_of(margin) if match else None
        goal = goal_of(checked, quality_bar, budget, below, sure, p95)
        how: dict[str, Any] = {"tier": tier, "engine": engine, "trials": trials or TRIALS}
        journal = journal_beside(folder)
        with counted("settings tried") as progress, crew(scheduler, journal, ALONE) as run:
            found = found_for(checked, goal, progress=progress, run=run, **how)
        how |= {"scheduler": scheduler, "journal": journal}
        with counted("splits") as progress:
            found["repeated"] = splits and repeated(checked, goal, splits, progress=progress, **how)
    found["repeated"] = found["repeated"] or None
    summary = about(checked, "tune", engine) | found
    html, drawn = _page(checked, summary, engine)
    deliver(summary, folder, as_json, _show, html, drawn)
    journal.unlink(missing_ok=True)
    if found["pick"] is None or not found["pick"]["met"]:
        raise typer.Exit(1)


def _page(
    scenario: Scenario, found: dict[str, Any], engine: Any
) -> tuple[str, Iterator[tuple[str, Any]]]:
    """Return the page of a run with the setting that was picked, and the figures of both."""
    from fallwise import plots, report
    from fallwise.analysis.predict import predict
    from fallwise.analysis.summary import summarise
    from fallwise.planning.knobs import without
    from fallwise.planning.movers import moved
    from fallwise.scenario import override

    if found["pick"] is not None and found["pick"]["policy"] == "cascade":
        values = _turned(found, found["pick"])
        high = {key: report.ABOVE for key in values if not key.endswith(".verifier")}
        values = {key: high.get(key) if x is None else x for key, x in values.items()}
        scenario = override(scenario, values)
        scenario = without(scenario, found["pick"].get("left_out", ()))
    prediction = predict(scenario, engine=engine)
    summary, moves = summarise(prediction, "tune"), moved(scenario, engine)
    html = report.page(summary, scenario, prediction, found, moves)
    return html, chain(plots.answer(found), report.figures(summary, prediction, moves))


def _scenario(path: Path, given: dict[str, str | None], values: dict[str, Any]) -> Scenario:
    """Return the scenario of a file, or that of an evaluation table; the values put in."""
    from fallwise.planning.replayed import TABLES, replayed
    from fallwise.scenario import override, read

    if not path.name.lower().endswith(TABLES):
        for name, value in given.items():
            if value is not None:
                rule, remedy = "is for evaluation tables", "say it in the scenario instead"
                raise ScenarioError(Problem(rule, remedy, value=value, file=name))
        return read(path, values)
    models, usd = (
        None if text is None else [part.strip() for part in text.split(",") if part.strip()]
        for text in (given["--tiers"], given["--prices"])
    )
    try:
        costs = None if usd is None else [float(x) for x in usd]
        if costs is not None and not all(0 <= x < float("inf") for x in costs):
            raise ValueError
    except ValueError:
        rule, remedy = "is no list of dollars", "write it like 0.24,24.7"
        raise ScenarioError(
            Problem(rule, remedy, value=given["--prices"], file="--prices")
        ) from None
    found = replayed(
        path,
        models,
        given["--dataset"],
        given["--split"],
        given["--leave-out"],
        given["--score-column"] or "confidence",
        costs,
    )
    return override(found, values) if values else found


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent, seconds, usd, value, within

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
        if pick["saving_with_upkeep"] is not None:
            counted = within(pick["saving_with_upkeep"], percent)
            console.print(f"  saved with upkeep   {counted}")
        console.print(f"  95 % are done in    {within(pick['sojourn_s_p95'], seconds)}")
    if summary["searched"]:
        order = ", ".join(_columns(summary))
        console.print(f"\nSettings below: {order}; – is without the tier.", markup=False)
    console.print(
        f"\n{'':>22}{'$ a request':>14}{'quality':>10}{'escalated':>11}{'p95':>10}{'saved':>9}"
    )
    whole = summary["frontier_only"]["cost_usd_mean"]["value"]
    for name, point in _rows(summary):
        cells = usd(point["cost_usd_mean"]), percent(point["quality"])
        on = percent(point.get("escalation_rate", point.get("frontier_share")))
        p95 = seconds(point.get("sojourn_s_p95"))
        saved = percent(1 - (value(point["cost_usd_mean"]) or 0.0) / whole if whole else None)
        row = f"{name:>22}{cells[0]:>14}{cells[1]:>10}{on:>11}{p95:>10}{saved:>9}"
        console.print(row, markup=False)
    console.print()
    if summary["repeated"]:
        aimed = not summary["goal"]["sure"] and summary["goal"]["usd"] is None
        _show_repeated(console, summary["repeated"], aimed)
    for tier in summary["calibration"]:
        _show_calibration(console, tier)
    for sentence in summary["findings"]:
        console.print(f"• {sentence}", markup=False)


def _show_calibration(console: Any, tier: dict[str, Any]) -> None:
    """Print what a tier's score is worth, and what came of believing it."""
    from fallwise.cli.show import percent, usd

    said, so = percent(tier["score_mean"]), percent(tier["quality"])
    console.print(f"Believing {tier['tier']}'s score: mean {said}, right {so}", end="")
    console.print("." if tier["auroc"] is None else f", AUROC {tier['auroc']['value']:.3f}.")
    console.print(
        f"{'':>16}{'ECE':>8}{'Brier':>8}{'threshold':>11}{'promised':>10}{'came':>9}"
        f"{'$ a request':>14}"
    )
    rows = [
        (one["name"], one, other) for one, other in zip(tier["maps"], tier["believed"], strict=True)
    ]
    for name, one, other in [*rows, ("from labels", None, tier["labelled"])]:
        gaps = ["–", "–"] if one is None else [f"{one[x]['value']:.3f}" for x in ("ece", "brier")]
        at = "frontier" if other.get("frontier_only") else _brief(other["threshold"])
        cells = percent(other.get("promised")), percent(other["quality"])
        console.print(
            f"{name.replace('_', ' '):>16}{gaps[0]:>8}{gaps[1]:>8}{at:>11}{cells[0]:>10}"
            f"{cells[1]:>9}{usd(other['cost_usd_mean']):>14}",
            markup=False,
        )
    wrong = tier["confident_and_wrong"]
    ids = ", ".join(row["query_id"] for row in wrong["queries"][:8])
    which = f", first the queries {ids}" if ids else ""
    console.print(
        f"Wrong with a score above {wrong['above']:g}: {wrong['count']:,} answers "
        f"({percent(wrong['share'])}){which}.\n",
        markup=False,
    )


def _brief(threshold: float | None) -> str:
    return "above all" if threshold is None else f"{threshold:.4g}"


def _show_repeated(console: Any, found: dict[str, Any], aimed: bool) -> None:
    from fallwise.cli.show import percent, within

    console.print(f"Over {found['splits']} splits, mean and middle 95 % of them:")
    for name in ("pick", "best_pair"):
        if found[name]:
            console.print(f"  {name.replace('_', ' ')}")
            row = {key: within(found[name][key], percent) for key in ("saving", "quality")}
            points = {k: 100 * v for k, v in found[name]["quality_difference"].items()}
            console.print(f"    saved               {row['saving']}")
            console.print(f"    quality             {row['quality']}")
            console.print(
                f"    against frontier    {points['value']:+.2f} points"
                f"  ({points['low']:+.2f} to {points['high']:+.2f})"
            )
            console.print(f"    met the goal        {percent(found[name]['met'])}")
    if aimed:
        console.print(
            "  A pick aims at the goal exactly, with no room for other questions: about half of "
            "the splits meet it. --sure leaves room."
        )
    console.print()


def _rows(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the yardsticks, and a part of the curve, by what they are called."""
    names = ("cheapest_only", "frontier_only", "random_mix", "oracle", "best_pair", "bend")
    rows = [(name.replace("_", " "), summary[name]) for name in names if summary[name]]
    for name, words in (("random_mix", "by lot, for the goal"), ("oracle", "oracle, for the goal")):
        if summary["at_goal"] and summary["at_goal"][name]:
            rows.append((words, summary["at_goal"][name]))
    curve = summary["curve"]
    if summary["searched"]:  # of settings that are quicker or less risky only the summary tells
        curve = [p for p in curve if not any(_beats(other, p) for other in curve)]
        curve = list({(p["cost_usd_mean"], p["quality"]): p for p in curve}.values())
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
    return [f"without the tier {name}" for name in point.get("left_out", ())] + [
        f"{key} = {'null (off)' if key.endswith('.verifier') else _number(x)}"
        for key, x in _turned(summary, point).items()
    ]


def _number(threshold: float | None) -> str:
    return "above every score" if threshold is None else f"{threshold:.6g}"


def _columns(summary: dict[str, Any]) -> list[str]:
    """Return what a short setting consists of, in its order."""
    keys = [key.removeprefix("tiers.") for key in summary["searched"]["keys"]]
    return [key for key in keys if "." in key]


def _short(summary: dict[str, Any], point: dict[str, Any]) -> str:
    if "threshold" in point:
        threshold = point["threshold"]
        return "above all" if threshold is None else f"threshold {threshold:.5g}"
    cuts, words = iter(point["cuts"]), []
    for key in _columns(summary):
        name, _, kind = key.rpartition(".")
        if kind == "verifier":
            on = point["verifiers"].get(name)
            words.append("–" if on is None else "on" if on else "off")
        elif name in point["left_out"]:
            words.append("–")
        else:
            value = point["thresholds"][name] if kind == "threshold" else next(cuts)
            words.append("all" if value is None else f"{value:.3g}")
    return " ".join(words)
