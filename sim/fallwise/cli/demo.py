"""`fallwise demo`: the bundled scenario, and what there is to see in it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallwise.cli.check import How, bundled_check, ended_by_signals
from fallwise.cli.options import EngineOption, Out, Requests, Seed, folder_for, scenario_of
from fallwise.cli.run import simulated

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

__all__ = ["demo", "story"]

LIVE = [
    "traffic.arrivals.rate_rps=40",
    "tiers.svc.service={kind: table}",
    "tiers.people.service={kind: fixed, value_s: 0.5}",
    "tiers.people.agents=20",
]
"""What the live check changes, so that it is over soon: the rate, and how long people take."""
SHORT = How("real", each=30, drives=1, as_profiled=True)
# Of the repository, or bundled with an installed package.
HOMES = (Path(__file__).parents[3] / "scenarios", Path(__file__).parents[1] / "bundled")


def demo(
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    live: Annotated[bool, typer.Option(help="End with a live check on loopback.")] = True,
    out: Out = None,
) -> None:
    """Show the main job on real measurements: scanned invoices, read by real models.

    Ends with a live check: the same cascade as a gateway on this machine, under Locust.
    """
    from fallwise.cli.show import show

    path = next(home / "invoices.yaml" for home in HOMES if (home / "invoices.yaml").exists())
    scenario = scenario_of(path, None, seed, requests)
    folder = folder_for(out, scenario, "demo")
    summary = simulated(scenario, folder, engine)
    show(summary, scenario, folder)
    typer.echo(f"\n{story(summary, scenario, path)}")
    if live:
        typer.echo(f"\n{_live(path)}")


def _live(path: Path) -> str:
    """Return in plain words what a short check against the real readers finds."""
    import tempfile

    from fallwise.errors import CheckError

    typer.echo("\nNow live, on this machine:", err=True)
    try:
        with ended_by_signals(), tempfile.TemporaryDirectory() as home:
            stated = scenario_of(path, LIVE, None, 400)
            judged = bundled_check(path, stated, LIVE, SHORT, Path(home))
    except CheckError as error:
        return f"The live check could not be made: {error}"
    summary = judged.summary
    rows = {row["measure"]: row for row in summary["rows"]}
    words = [
        f"Live: {summary['requests']} invoices were sent to the same cascade as a real gateway, "
        f"{summary['offered_rps']:.0f} a second, to readers that really read (people were played, "
        "in half a second each)."
    ]
    for name, what in (("quality", "right"), ("escalation_rate", "sent further up")):
        said, so = (100 * rows[name][side]["value"] for side in ("predicted", "measured"))
        words.append(f"Predicted {said:.1f} % {what}, measured {so:.1f} %.")
    said, so = (1e3 * rows["sojourn_s_p50"][side]["value"] for side in ("predicted", "measured"))
    words.append(f"Half done within {said:.1f} ms predicted, {so:.1f} ms measured.")
    verdict = {
        "agree": "Verdict: prediction and deployment agree.",
        "differ": "Verdict: they differ: " + "; ".join(c["said"] for c in summary["culprits"]),
        "inconclusive": "No verdict: "
        + ("; ".join(summary["doubts"]) or "so few requests cannot tell"),
    }
    words.append(verdict[summary["verdict"]] + ".")
    return textwrap.fill(" ".join(words).replace("..", "."), 78)


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
