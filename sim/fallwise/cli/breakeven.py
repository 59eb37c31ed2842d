"""`fallwise breakeven`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fallwise.cli.answers import about, deliver, page_of
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

__all__ = ["breakeven"]

Utilisation = Annotated[
    float,
    typer.Option(min=0.05, max=1.0, help="How busy rented replicas and people may be at the peak."),
]


def breakeven(
    scenario: ScenarioFile,
    utilisation: Utilisation = 0.7,
    seed: Seed = None,
    requests: Requests = None,
    engine: EngineOption = "compiled",
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Say from which monthly volume the cascade pays for its upkeep and rented capacity.

    Ends with status 1 where it never does.
    """
    checked = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, checked, "breakeven")
    with placing(scenario):
        from fallwise.analysis.predict import predict
        from fallwise.planning.breakeven import breakeven as found_for

        found = found_for(predict(checked, engine=engine), utilisation)
    summary = about(checked, "breakeven", engine) | found
    deliver(summary, folder, as_json, _show, page_of(summary, checked))
    if found["requests_per_month"] is None:
        raise typer.Exit(1)


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import percent, usd, within
    from fallwise.report.studies.breakeven import pays

    console.print(pays(summary, "The cascade"), markup=False)
    counted = summary["with_wrong_answers"]
    if counted:
        lost = counted["wrong_answers_usd"]
        console.print(
            f"Wrong answers cost {usd(lost['cascade'])} a request here, and "
            f"{usd(lost['frontier_only'])} with {summary['frontier']} alone. "
            + pays(counted, "Counting them, it"),
            markup=False,
        )
    now = summary["requests_per_month_now"]
    gains = any(r["from"] <= now <= (r["to"] or now) for r in summary["pays_in"])
    end = "where it pays" if gains else "where it does not pay"
    console.print(f"This scenario's traffic is {now:,.0f} a month, {end}.")
    ours, theirs = summary["quality"], summary["quality_frontier_only"]
    console.print(
        f"Right answers: {percent(ours)}, with {summary['frontier']} alone {percent(theirs)}."
    )
    kept = summary["kept_share"]
    if kept["needed"]["value"] is not None:
        console.print(
            f"Kept from {summary['frontier']}: {within(kept['simulated'], percent)} of the "
            f"requests; needed, by (cheap + verifier) / frontier: {percent(kept['needed'])}.",
            markup=False,
        )
    console.print(f"\n{'requests a month':>18}{'cascade':>20}{'frontier only':>20}")
    for point in summary["monthly"][::5]:
        cascade, frontier = usd(point["cascade_usd"]), usd(point["frontier_only_usd"])
        console.print(f"{point['requests_per_month']:>18,.0f}{cascade:>20}{frontier:>20}")
    console.print()
