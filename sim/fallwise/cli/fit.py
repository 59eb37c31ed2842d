"""`fallwise fit`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from fallwise.cli.answers import deliver
from fallwise.cli.options import AsJson, Out
from fallwise.errors import Problem, TableError

__all__ = ["fit"]


def fit(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Evaluation table.")],
    tiers: Annotated[str, typer.Option(help="Its models, cheapest first: small,big")],
    dataset: Annotated[str | None, typer.Option(help="Only its rows of this dataset.")] = None,
    split: Annotated[str | None, typer.Option(help="Only its rows of this split.")] = None,
    score_column: Annotated[str, typer.Option(help="What a policy sees.")] = "confidence",
    save: Annotated[Path | None, typer.Option(help="Write the scenario to this file.")] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Fit a scenario to an evaluation table, and say how well it holds.

    Accuracy, a difficulty that all tiers share, scores with their atoms, times and prices.
    """
    from ruamel.yaml import YAML

    from fallwise import __version__
    from fallwise.draw import read_evaluations
    from fallwise.planning.fit import fit as fitted_to
    from fallwise.planning.fit import held
    from fallwise.planning.fitted import assumed, scenario_text
    from fallwise.scenario import parse

    models = [name.strip() for name in tiers.split(",") if name.strip()]
    if save is not None and save.exists():
        rule, remedy = "is there already", "name another file, or take it away"
        raise TableError(Problem(rule, remedy, value=str(save), file="--save"))
    rows = read_evaluations(table, models, dataset, split)
    found = fitted_to(rows, score_column)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(filter(None, (table.stem, dataset))))
    name = "fitted-" + stem.strip("-.")
    source = ", ".join(filter(None, (table.name, dataset, split)))
    text = scenario_text(name, source, len(rows), found)
    scenario = parse(YAML(typ="safe", pure=True).load(text))
    summary: dict[str, Any] = {
        "scenario": name,
        "command": "fit",
        "seed": scenario.run.seed,
        "version": __version__,
        "engine": "compiled",
        "questions": len(rows),
        "tiers": [vars(tier) for tier in found],
        "held": held(rows, found, scenario, score_column),
        "assumptions": [{"key": key, "why": why} for key, why in assumed(found)],
    }
    if save is not None:
        try:
            save.write_text(text, encoding="utf-8")
        except OSError as error:
            rule, remedy = f"cannot be written: {error.strerror}", "name another file"
            raise TableError(Problem(rule, remedy, value=str(save), file="--save")) from None
    deliver(summary, out or Path("results") / f"{name}-fit", as_json, _show)


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent

    console.print(f"Fitted to {summary['questions']:,} questions.\n")
    console.print(f"{'model':<34}{'right':>9}{'loading':>9}{'AUROC':>8}{'KS':>7}")
    ks = summary["held"]["scores_ks"]
    for tier in summary["tiers"]:
        area = "–" if tier["auroc"] is None else f"{tier['auroc']:.3f}"
        gap = f"{ks[tier['model']]:.3f}" if tier["model"] in ks else "–"
        row = f"{tier['model'][:33]:<34}{percent(tier['accuracy']):>9}{tier['loading']:>9.2f}"
        console.print(row + f"{area:>8}{gap:>7}", markup=False)
    if summary["held"]["cascades"]:
        console.print(f"\n{'escalated':>11}{'replayed':>11}{'predicted':>11}")
        for row in summary["held"]["cascades"]:
            cells = [percent(row[name]) for name in ("escalated", "replayed", "predicted")]
            console.print("".join(f"{cell:>11}" for cell in cells))
        mean, most = (100 * summary["held"][name] for name in ("error_mean", "error_max"))
        console.print(f"Predicted quality is {mean:.2f} points off on average, {most:.2f} at most.")
    console.print()
