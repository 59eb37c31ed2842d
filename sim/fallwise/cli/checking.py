"""The phases of a check: lay out the requests, profile, predict, drive, judge."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fallwise import __version__
from fallwise.analysis.judge import (
    culprits,
    culprits_from_outside,
    doubts,
    judge,
    rate_rps,
    verdict,
)
from fallwise.analysis.live import Drive
from fallwise.analysis.measures import (
    TTFT,
    Measure,
    first_tokens,
    from_inside,
    from_outside,
    unseen,
)
from fallwise.analysis.outside import nameable, seen_of
from fallwise.analysis.over_time import faults, over_time
from fallwise.cli.drives import Runs, Target, layout
from fallwise.cli.forecast import Forecast, forecast
from fallwise.cli.profiling import Known, profiled_by, statuses
from fallwise.draw import stream
from fallwise.errors import CheckError, Problem
from fallwise.tables import OutcomeTable, RequestTable

__all__ = ["Judged", "judged"]

TOLD = 0.01
"""Share of stolen time from which on it is worth a word."""
CENT = 0.01
"""USD: the gateway's bill and the stub's ledger may not be so far apart."""


@dataclass(frozen=True)
class Judged:
    """The summary of a check, and the tables that it is made of; rows are the same requests."""

    summary: dict[str, Any]
    requests: RequestTable
    predicted: OutcomeTable
    measured: OutcomeTable


def judged(
    target: Target,
    host: str,
    stub: str | None,
    home: Path,
    tell: Callable[[str], None],
    *,
    stubbed: bool = False,
) -> Judged:
    """Profile and drive a deployment, and return what was found. Files go to the folder home.

    stub is where the bundled stub keeps its ledger; stubbed where it plays every tier.
    """
    table = layout(target.scenario, target)
    runs = Runs(target, host, home, table)
    known = profiled_by(runs, tell)
    drives = []
    for r in range(target.drives):
        tell(f"drive {r + 1} of {target.drives}")
        drives.append(runs.run(f"drive{r}", target.rows_before, len(table), runs.kept(r)))
    sent = min(len(drive.request) for drive in drives)
    if sent < 2:
        raise CheckError(Problem("no request could be paid", "give a higher --max-usd"))
    drives = [_head(drive, sent) for drive in drives]
    tell("predict and judge")
    made = forecast(runs, known, drives[0])
    found = _found(runs, made, drives, known)
    found.summary["findings"] += known.findings + _findings(target, drives, made)
    summary = found.summary | {"transport_s_p50": made.transport_s, "hop_s": made.hops}
    summary |= _money(target, runs, stub, stubbed)
    if summary["verdict"] != "differ" and summary["billing_differs"]:
        summary["verdict"] = "differ"
    return replace(found, summary=summary)


def _head(drive: Drive, n: int) -> Drive:
    columns = ("request", "scheduled_ns", "sent_ns", "first_byte_ns", "end_ns", "http_status")
    return replace(
        drive, **{name: getattr(drive, name)[:n] for name in (*columns, "headers", "replies")}
    )


def _found(runs: Runs, made: Forecast, drives: list[Drive], profile: Known) -> Judged:
    target, scenario, deployment = runs.target, runs.target.scenario, runs.target.deployment
    requests, predicted, others = made.requests, made.outcomes, made.others
    tables, known = [], False
    for drive in drives:
        outcomes, known = runs.outcomes(requests, drive, target.rows_before)
        tables.append(outcomes)
    not_judged: list[dict[str, str]] = [] if target.stream else [TTFT]
    if deployment is None:
        measures = from_inside(scenario, predicted, target.time)
    else:
        costed = deployment.cost_header is not None
        predicted, *others = (
            seen_of(scenario, deployment, requests, outcomes) for outcomes in (predicted, *others)
        )
        measures = from_outside(scenario, predicted, known, costed, target.time)
        not_judged = unseen(scenario, nameable(scenario, deployment), known, costed)
    chance = stream(scenario.run.seed, "check")

    def judged_by(measures: Iterable[Measure], measured: list[OutcomeTable]) -> list[Any]:
        again = measured[1] if len(measured) > 1 else None
        return judge(measures, predicted, measured[0], again, chance, others)

    rows = judged_by(measures, tables)
    if target.stream:
        begun = [_first_tokens(*pair) for pair in zip(tables, drives, strict=True)]
        rows += judged_by(first_tokens(predicted, target.time), begun)
    tiers, alone = profile.tiers
    blamed = culprits(scenario, rows)
    if deployment is not None:
        blamed = culprits_from_outside(scenario, rows, alone)
    lost = [int((d.http_status == 0 if deployment else ~d.said).sum()) for d in drives]
    why = [said for drive in drives for said in doubts(drive)]
    why = list(dict.fromkeys([*profile.doubts, *why]))
    summary = {
        "scenario": scenario.name,
        "command": "check",
        "seed": scenario.run.seed,
        "version": __version__,
        "engine": "compiled",
        "host": runs.host,
        "verdict": verdict(rows, why, sum(lost)),
        "doubts": why,
        "culprits": blamed,
        "findings": [],
        "rows": rows,
        "not_judged": not_judged,
        "profile": {"tiers": tiers, "rows": alone, "predicted_from_it": target.profiled},
        **_pace(drives[0]),
        "lost": sum(lost),
        "over_time": over_time(scenario, predicted, tables[0]),
        "faults": faults(scenario, float(predicted.arrival_ns.max() / 1e9)),
        "tiers": [{"name": tier.name, "kind": tier.kind} for tier in scenario.tiers],
        "assumptions": [item.model_dump() for item in scenario.assumptions],
    }
    return Judged(summary, requests, predicted, tables[0])


def _first_tokens(outcomes: OutcomeTable, drive: Drive) -> OutcomeTable:
    """Return a drive's outcomes as if each had ended with the first words of its answer."""
    return replace(outcomes, end_ns=drive.first_byte_ns - int(drive.facts["t0_ns"]))


def _findings(target: Target, drives: list[Drive], made: Forecast) -> list[str]:
    found = []
    hops = {name: hop_s for name, hop_s in made.hops.items() if hop_s > 0}
    if hops and target.deployment is None:
        said = ", ".join(f"{name} {1e3 * hop_s:.1f} ms" for name, hop_s in hops.items())
        found.append(
            f"The way to each tier was measured and is part of the prediction ({said}): a fault "
            "that adds no more than 2 ms to a call is not seen."
        )
    if made.others:
        found.append(
            "How far another profile as long would have moved the prediction is part of its "
            "intervals: a longer one tells more."
        )
    if target.deployment is None:
        way = "How far client and tiers are apart was not measured, and counts as nothing in the "
        way += "prediction. How late the client sent each request is part of it."
        if made.transport_s is not None:
            apart = f"{1e3 * made.transport_s:.1f} ms apart, there and back"
            between = " and ".join(["the gateway", *made.looks])
            way = f"Client and tiers are {apart}, {between} included. That, as it was in the "
            way += (
                "profile, and how late the client sent each request, is part of the prediction too."
            )
        found.append(way)
    stolen = max(drive.facts.get("stolen_share") or 0.0 for drive in drives)
    if stolen > TOLD:
        found.append(
            f"This is a virtual machine whose host gave {100 * stolen:.1f} % of its busy time to "
            "others: p95 and p99 are longer for that alone, by milliseconds."
        )
    if any((drive.http_status != 200).any() for drive in drives):
        found.append(f"Not everything was answered: {statuses(drives)}.")
    if any(drive.facts["stopped"] for drive in drives):
        found.append(
            f"Stopped after {len(drives[0].request)} requests, so as not to spend more than "
            f"{target.max_usd:g} USD; those are judged."
        )
    return found


def _pace(drive: Drive) -> dict[str, Any]:
    return {
        "offered_rps": rate_rps(drive.scheduled_ns),
        "achieved_rps": rate_rps(drive.sent_ns),
        "stolen_share": drive.facts.get("stolen_share"),
        "send_lag_s_p99": float(np.quantile(drive.send_lag_s, 0.99)),
        "requests": len(drive.request),
    }


def _money(target: Target, runs: Runs, stub: str | None, stubbed: bool) -> dict[str, Any]:
    """Return what was spent; with the stub, its ledger and the gateway's bill side by side."""
    found: dict[str, Any] = {"billing_differs": False}
    if target.deployment is not None:
        return found | {"spent_usd": runs.spent_usd if target.max_usd is not None else None}
    told = [h for drive in runs.driven for h in drive.headers if "x-fallwise-cost-usd" in h]
    found["billed_usd"] = math.fsum(float(h["x-fallwise-cost-usd"]) for h in told)
    if stub is None:
        return found
    from urllib.request import urlopen

    with urlopen(f"{stub}/ledger", timeout=60) as response:
        ledger = json.load(response)
    found |= {"ledger_usd": float(ledger["usd"]), "ledger_calls": len(ledger["calls"])}
    # What judges, router and cache cost is the gateway's own, and stands in no ledger of a stub.
    tiers, router = target.scenario.tiers, target.scenario.router
    own = [tier.usd_per_request for tier in tiers if tier.kind == "cache"]
    own += [tier.verifier.usd_per_request for tier in tiers if tier.verifier]
    own += [router.usd_per_request] if router else []
    partial = any("x-fallwise-cost-partial" in h for h in told)
    if stubbed and not any(own) and not partial:
        found["billing_differs"] = abs(found["billed_usd"] - found["ledger_usd"]) >= CENT
    return found
