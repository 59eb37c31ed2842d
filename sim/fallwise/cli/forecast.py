"""What a check predicts: the drive's own requests, as the scenario or the profile has the tiers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np

from fallwise.analysis.live import Drive
from fallwise.analysis.profile import drawn_again, ways_s
from fallwise.analysis.settle import settle
from fallwise.cli.drives import Runs, layout, on_own_clock
from fallwise.cli.profiling import Known
from fallwise.draw import stream
from fallwise.engines import plan, simulate
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import Floats, OutcomeTable, RequestTable

__all__ = ["Forecast", "forecast"]

AGAIN: Final = 20
"""So many times is a prediction from a profile made, to see how far another profile moves it."""


@dataclass(frozen=True)
class Forecast:
    """The requests, their predicted outcomes, and those that other profiles would have predicted.

    hops has by tier what its way adds to a call, transport_s is the median time in no tier;
    None where no profile told of any.
    """

    requests: RequestTable
    outcomes: OutcomeTable
    others: list[OutcomeTable]
    hops: dict[str, float]
    transport_s: float | None


def forecast(runs: Runs, known: Known, drive: Drive) -> Forecast:
    """Return what is predicted of a drive's requests."""
    target, scenario = runs.target, runs.target.scenario
    # What a scenario says of a deployment that is not ours is the time that its client sees.
    fold = not target.profiled and target.deployment is None
    hops = {t["name"]: t["hop_s"] for t in known.tiers[0]} if fold else {}

    def made(
        predicts: Scenario, away_s: dict[int | None, Floats]
    ) -> tuple[RequestTable, OutcomeTable, float | None]:
        table = runs.table if predicts is scenario else layout(predicts, target)
        rows = replace(table, arrival_ns=on_own_clock(table, target.rows_before))
        requests = rows.take(slice(target.rows_before, target.rows_before + len(drive.request)))
        outcomes = _outcomes(predicts, requests, hops)
        # How late the client itself sent a request is known, and counts on both sides; each one's
        # way is one of those of the profile.
        way_s = ways_s(outcomes, away_s, stream(scenario.run.seed, "transport"))
        ways_ns = np.rint((way_s + np.maximum(drive.send_lag_s, 0)) * 1e9).astype(np.int64)
        away = replace(outcomes, end_ns=outcomes.end_ns + ways_ns)
        return requests, away, float(np.median(way_s)) if away_s else None

    requests, outcomes, transport_s = made(known.predicts, known.away_s)
    others, chance = [], stream(scenario.run.seed, "profile again")
    for _ in range(AGAIN if known.predicts is not scenario else 0):
        others.append(made(*drawn_again(scenario, known.predicts, known.away_s, chance))[1])
    return Forecast(requests, outcomes, others, hops, transport_s)


def _outcomes(scenario: Scenario, requests: RequestTable, hops: dict[str, float]) -> OutcomeTable:
    """Return the prediction, as the gateway sees it."""
    service_ns = requests.service_ns.copy(order="F")
    call_ns, error_ns = (
        None if column is None else column.copy(order="F")
        for column in (requests.call_ns, requests.error_ns)
    )
    first = [0, *accumulate(tier.calls for tier in scenario.tiers)]
    for name, hop_s in hops.items():
        k = scenario.index(name)
        service_ns[:, k] += round(hop_s * 1e9)
        for column in (call_ns, error_ns):
            if column is not None:
                column[:, first[k] : first[k + 1]] += round(hop_s * 1e9)
    decisions = decide(scenario, requests)
    slowed = replace(requests, service_ns=service_ns, call_ns=call_ns, error_ns=error_ns)
    outcomes = simulate(plan(scenario), slowed, decisions)
    return settle(scenario, requests, decisions, outcomes)
