"""`fallwise demo`: the bundled scenario, and what there is to see in it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fallwise.cli.options import EngineOption, Out, Requests, Seed, folder_for, scenario_of
from fallwise.cli.run import simulated

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

__all__ = ["demo", "story"]

# Of the repository, or bundled with an installed package.
HOMES = (Path(__file__).parents[3] / "scenarios", Path(__file__).parents[1] / "bundled")


def demo(
    seed: Seed = None, requests: Requests = None, engine: EngineOption = "compiled", out: Out = None
) -> None:
    """Show the main job on real measurements: scanned invoices, read by real models."""
    from fallwise.cli.show import show

    path = next(home / "invoices.yaml" for home in HOMES if (home / "invoices.yaml").exists())
    scenario = scenario_of(path, None, seed, requests)
    folder = folder_for(out, scenario, "demo")
    summary = simulated(scenario, folder, engine)
    show(summary, scenario, folder)
    typer.echo(f"\n{story(summary, scenario, path)}")


def story(summary: dict[str, Any], scenario: Scenario, path: Path) -> str:
    """Return in plain words what the tables say."""
    from fallwise.cli.show import percent, seconds, usd

    cheap, frontier = scenario.tiers[scenario.cheapest].name, scenario.tiers[scenario.frontier].name
    first, alone = summary["tiers"][scenario.cheapest], summary["baselines"]["frontier_only"]
    usual, slow = (seconds(summary[f"sojourn_s_{at}"]) for at in ("p50", "p99"))
    shipped, right = percent(first["hit_share"]), percent(first["quality"])
    ends = percent(summary["quality"]), percent(alone["quality"])
    costs = usd(summary["cost_usd_mean"]), usd(alone["cost_usd_mean"])
    paragraphs = [
        f"What you see: {cheap} is asked first and ships {shipped} of all answers, {right} of them "
        f"right. What it is not sure of, or what its verifier refuses, goes on: "
        f"{percent(summary['escalation_rate'])} of all requests end further up.",
        f"A request costs {costs[0]}; with {frontier} alone it would be {costs[1]}. "
        f"{ends[0]} end with the right answer; with {frontier} alone {ends[1]}. "
        f"Half are done within {usual}, but one in a hundred takes longer than {slow}.",
        f"The {summary['requests']:,} requests were drawn once from what real models answered; the "
        "cascade and both baselines met the same ones.",
    ]
    text = "\n\n".join(textwrap.fill(paragraph, 78) for paragraph in paragraphs)
    again = f"fallwise run {_short(path)} --set tiers.{cheap}.threshold=0.99"
    return f"{text}\n\nWhat to try: {again}"


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
