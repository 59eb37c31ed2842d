"""`fallwise breakeven`."""

from __future__ import annotations

from typing import Annotated, Any

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
    deliver(about(checked, "breakeven", engine) | found, folder, as_json, _show)
    if found["requests_per_month"] is None:
        raise typer.Exit(1)


def _show(console: Any, summary: dict[str, Any]) -> None:
    from fallwise.cli.show import usd

    pays = summary["requests_per_month"]
    if pays is None:
        console.print(f"The cascade never pays: {summary['why']}.", markup=False)
    else:
        low, high = pays["low"], pays["high"]
        span = "not known" if low is None else f"{low:,.0f} to "
        span += "" if low is None else ("without end" if high is None else f"{high:,.0f}")
        console.print(f"The cascade pays from {pays['value']:,.0f} requests a month ({span}).")
    now = summary["requests_per_month_now"]
    console.print(f"This scenario's traffic is {now:,.0f} a month.")
    kept = summary["kept_share"]
    if kept["needed"]:
        console.print(
            f"{100 * kept['simulated']:.1f} % of the requests never reach the frontier; for the "
            f"calls alone to break even {100 * kept['needed']:.1f} % are needed."
        )
    console.print(f"\n{'requests a month':>18}{'cascade':>16}{'frontier only':>16}")
    for point in summary["monthly"][::5]:
        cascade, frontier = usd(point["cascade_usd"]), usd(point["frontier_only_usd"])
        console.print(f"{point['requests_per_month']:>18,.0f}{cascade:>16}{frontier:>16}")
    console.print()
