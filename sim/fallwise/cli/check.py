"""`fallwise check`."""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallwise.cli.options import (
    AsJson,
    Requests,
    ScenarioFile,
    Seed,
    Settings,
    placing,
    scenario_of,
)

if TYPE_CHECKING:
    from fallwise.analysis.live import Drive
    from fallwise.scenario import Scenario
    from fallwise.tables import RequestTable

__all__ = ["check", "checked"]

PROFILED = 200
"""Requests of the profile, at half the scenario's rate."""
HOP_S = 0.005
"""A tier's call may take so much longer than its service: the way to it. More is the tier."""
STATUS = {"agree": 0, "differ": 1, "inconclusive": 3}
Planted = Annotated[
    list[str] | None,
    typer.Option("--plant", metavar="KEY=VALUE", help="Deploy this instead, to see it found."),
]


def check(
    scenario: ScenarioFile,
    seed: Seed = None,
    requests: Requests = 2000,
    settings: Settings = None,
    plant: Planted = None,
    drives: Annotated[int, typer.Option(min=1, max=2, help="2 gives the noise floor.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Compare the prediction with a live deployment: the bundled one, on loopback, under Locust.

    The gateway serves the scenario over stub tiers that take as long and cost as much as the
    requests' table says. Ends with 0 where they agree, 1 where they differ, 3 where the load
    could not be held or the run is too short to tell.
    """
    stated = scenario_of(scenario, settings, seed, requests)
    with placing(scenario):
        real = scenario_of(scenario, [*(settings or ()), *(plant or ())], seed, requests)
        summary = checked(scenario, stated, real, [*(settings or ()), *(plant or ())], drives)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _show(summary)
    if STATUS[summary["verdict"]]:
        raise typer.Exit(STATUS[summary["verdict"]])


def checked(
    path: Path, stated: Scenario, real: Scenario, settings: list[str], drives: int
) -> dict[str, Any]:
    """Return the summary of a check of the stated scenario against the real one, deployed."""
    from dataclasses import replace

    import numpy as np

    from fallwise.analysis.live import outcomes_of, read_drive
    from fallwise.cli import bundled
    from fallwise.draw import draw
    from fallwise.tables import RequestTable

    drawn, truth = draw(stated), draw(real)
    head = truth.take(slice(0, PROFILED))
    profile = replace(head, arrival_ns=head.arrival_ns * 2)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        truth.save(home / "truth.parquet")
        runs = []
        with bundled.deployed(home / "truth.parquet", path, settings) as (gateway, stub):
            for r, table in enumerate([profile, *[truth] * drives]):
                # Every drive meets an empty cache: its keys are its own.
                salt = uuid.uuid4().int >> 66
                file, rows = home / f"requests{r}.parquet", home / f"rows{r}.parquet"
                replace(table, key=table.key ^ np.int64(salt)).save(file)
                bundled.drive(gateway, file, rows)
                runs.append(read_drive(rows))
            ledger = _ledger(stub)
    outcomes = [
        outcomes_of(real, RequestTable.take(truth, slice(0, len(run.request))), run) for run in runs
    ]
    billed = sum(float(o.cost_usd.sum()) for o in outcomes if o.cost_usd is not None)
    return _judged(stated, drawn, runs, outcomes) | {
        "ledger_usd": ledger,
        "billed_usd": billed,
    }


def _ledger(stub: str) -> float:
    from urllib.request import urlopen

    with urlopen(f"{stub}/ledger", timeout=30) as response:
        return float(json.load(response)["usd"])


def _judged(
    stated: Scenario, drawn: RequestTable, runs: list[Drive], outcomes: list[Any]
) -> dict[str, Any]:
    from dataclasses import replace

    import numpy as np

    from fallwise.analysis.judge import culprits, doubts, judge, verdict
    from fallwise.analysis.settle import settle
    from fallwise.draw import stream
    from fallwise.engines import plan, simulate
    from fallwise.policies import decide

    profile, measured = runs[0], runs[1]
    hops = [0.0] * len(stated.tiers)
    service_ns = drawn.service_ns.copy(order="F")
    for k, tier in enumerate(stated.tiers):
        served = outcomes[0].start_ns[:, k] >= 0
        if tier.kind == "cache" or not served.any():
            continue
        took, says = (t[: len(served)][served, k] for t in (outcomes[0].busy_ns, drawn.service_ns))
        hops[k] = float(np.clip(np.median(took) - np.median(says), 0, HOP_S * 1e9)) / 1e9
        service_ns[:, k] += round(hops[k] * 1e9)
    transport_s = float(np.nanmedian(profile.transport_s + profile.send_lag_s))
    decisions = decide(stated, drawn)
    slowed = replace(drawn, service_ns=service_ns)
    predicted = settle(stated, drawn, decisions, simulate(plan(stated), slowed, decisions))
    predicted = replace(predicted, end_ns=predicted.end_ns + round(transport_s * 1e9))
    again = outcomes[2] if len(outcomes) > 2 else None
    rows = judge(stated, predicted, outcomes[1], again, stream(stated.run.seed, "check"))
    lost = sum(int((~run.said).sum()) for run in runs)
    why = [said for run in runs[1:] for said in doubts(run)]
    seconds = (measured.scheduled_ns.max() - measured.scheduled_ns.min()) / 1e9
    sent = (measured.sent_ns.max() - measured.sent_ns.min()) / 1e9
    return {
        "scenario": stated.name,
        "command": "check",
        "seed": stated.run.seed,
        "verdict": verdict(rows, why, lost),
        "doubts": why,
        "culprits": culprits(stated, rows),
        "rows": rows,
        "offered_rps": (len(drawn) - 1) / max(1e-9, float(seconds)),
        "achieved_rps": (len(drawn) - 1) / max(1e-9, float(sent)),
        "send_lag_s_p99": float(np.quantile(measured.send_lag_s, 0.99)),
        "requests": len(drawn),
        "lost": lost,
        "transport_s_p50": transport_s,
        "hop_s": dict(zip([tier.name for tier in stated.tiers], hops, strict=True)),
    }


def _show(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "predicted", "measured", "tolerance", "verdict", box=None)
    words = {True: "agree", False: "DIFFER", None: "undecided"}
    for row in summary["rows"]:
        numbers = row["predicted"]["value"], row["measured"]["value"], row["tolerance"]
        table.add_row(row["measure"], *(f"{x:.4g}" for x in numbers), words[row["agree"]])
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\nVerdict: {summary['verdict']}; {summary['lost']} requests lost")
    for said in summary["doubts"]:
        console.print(f"• not judged: {said}", markup=False)
    # A client or a machine that was too slow makes every tier look slow.
    but = "perhaps only for that: " if summary["doubts"] else ""
    for item in summary["culprits"]:
        console.print(f"• {but}{item['said']}", markup=False)
