"""What a check predicts: the drive's own requests, as the scenario or the profile has the tiers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

import numpy as np

from fallwise.analysis.live import Drive
from fallwise.analysis.settle import settle
from fallwise.analysis.together import Took, drawn_again, drawn_together
from fallwise.cli.drives import Runs, layout, on_own_clock
from fallwise.cli.profiling import Known
from fallwise.draw import stream
from fallwise.engines import plan, simulate
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Batching
from fallwise.tables import Floats, OutcomeTable, RequestTable

__all__ = ["Forecast", "forecast"]

AGAIN: Final = 20
"""So many times is a prediction from a profile made, to see how far another profile moves it."""


@dataclass(frozen=True)
class Forecast:
    """The requests, their predicted outcomes, and those that other profiles would have predicted.

    hops has by tier what its way adds to a call, transport_s is the median time in no tier,
    None where none was told; looks are those who look at requests or answers in that time.
    """

    requests: RequestTable
    outcomes: OutcomeTable
    others: list[OutcomeTable]
    hops: dict[str, float]
    transport_s: float | None
    looks: list[str]


def forecast(runs: Runs, known: Known, drive: Drive) -> Forecast:
    """Return what is predicted of a drive's requests."""
    target, scenario = runs.target, runs.target.scenario
    hops = _hops(known, scenario) if target.deployment is None else {}

    def made(predicts: Scenario, took: Took | None) -> tuple[RequestTable, OutcomeTable, Floats]:
        table = runs.table if predicts is scenario else layout(predicts, target)
        rows = replace(table, arrival_ns=on_own_clock(table, target.rows_before))
        requests = rows.take(slice(target.rows_before, target.rows_before + len(drive.request)))
        if known.looks:
            requests = _without_looks(requests)
        outcomes = _outcomes(predicts, requests, hops)
        # Who answers is known now, and so which requests of the profile this one may be like.
        drawn = drawn_together(outcomes, took, stream(scenario.run.seed, "transport"))
        if not np.isnan(drawn.tiers_s).all():
            requests = _taking(predicts, requests, drawn.tiers_s)
            outcomes = _outcomes(predicts, requests, hops)
        # How late the client itself sent a request is known, and counts on both sides.
        away_s = drawn.way_s + np.maximum(drive.send_lag_s, 0)
        end_ns = outcomes.end_ns + np.rint(away_s * 1e9).astype(np.int64)
        return requests, replace(outcomes, end_ns=end_ns), drawn.way_s

    requests, outcomes, way_s = made(known.predicts, known.took)
    others, chance = [], stream(scenario.run.seed, "profile again")
    # A way too is known as far only as the profile was long: a p99 hangs on a few of them.
    for _ in range(AGAIN if known.took is not None or known.predicts is not scenario else 0):
        others.append(made(*drawn_again(scenario, known.predicts, known.took, chance))[1])
    told = known.took is not None and target.deployment is None
    transport_s = float(np.median(way_s)) if told else None
    looks = ["the router"] if scenario.router else []
    looks += ["verifiers"] if any(tier.verifier for tier in scenario.tiers) else []
    return Forecast(requests, outcomes, others, hops, transport_s, looks if known.looks else [])


def _hops(known: Known, scenario: Scenario) -> dict[str, float]:
    """Return what the way to each tier adds to a call, where its time is the stated one.

    Measured times have it in them, and what a scenario says of a deployment that is not ours is
    what its client sees.
    """
    hops = {tier["name"]: tier["hop_s"] for tier in known.tiers[0]}
    found = {}
    for tier, other in zip(scenario.tiers, known.predicts.tiers, strict=True):
        # A batch is as long as its steps: nothing is added to one call of it.
        stated = tier.service == other.service and not isinstance(tier.service, Batching)
        if stated and tier.name in hops:
            found[tier.name] = hops[tier.name]
    return found


def _without_looks(requests: RequestTable) -> RequestTable:
    """Return the requests with router and verifiers that take no time: the way has it in it."""
    router_ns, verifier_ns = (
        None if column is None else np.zeros_like(column)
        for column in (requests.router_ns, requests.verifier_ns)
    )
    return replace(requests, router_ns=router_ns, verifier_ns=verifier_ns)


def _taking(scenario: Scenario, requests: RequestTable, took_s: Floats) -> RequestTable:
    """Return the requests whose first calls take (n, K) seconds, and as they did where NaN."""
    took_ns = np.where(np.isnan(took_s), requests.service_ns, np.rint(took_s * 1e9))
    service_ns = np.asfortranarray(took_ns.astype(np.int64))
    if requests.call_ns is None:
        return replace(requests, service_ns=service_ns)
    call_ns = requests.call_ns.copy(order="F")
    error_ns = None if requests.error_ns is None else requests.error_ns.copy(order="F")
    for k, (tier, first) in enumerate(zip(scenario.tiers, _first_calls(scenario), strict=True)):
        if tier.calls:
            call_ns[:, first] = service_ns[:, k]
        if tier.calls and error_ns is not None and tier.error_after is None:
            error_ns[:, first] = service_ns[:, k]
    return replace(requests, service_ns=service_ns, call_ns=call_ns, error_ns=error_ns)


def _first_calls(scenario: Scenario) -> list[int]:
    """Return (K,) which column of the calls is the first of each tier."""
    return list(accumulate((tier.calls for tier in scenario.tiers[:-1]), initial=0))


def _outcomes(scenario: Scenario, requests: RequestTable, hops: dict[str, float]) -> OutcomeTable:
    """Return the prediction, as the gateway sees it."""
    service_ns = requests.service_ns.copy(order="F")
    call_ns, error_ns = (
        None if column is None else column.copy(order="F")
        for column in (requests.call_ns, requests.error_ns)
    )
    first = _first_calls(scenario)
    for name, hop_s in hops.items():
        k = scenario.index(name)
        service_ns[:, k] += round(hop_s * 1e9)
        for column in (call_ns, error_ns):
            if column is not None:
                column[:, first[k] : first[k] + scenario.tiers[k].calls] += round(hop_s * 1e9)
    decisions = decide(scenario, requests)
    slowed = replace(requests, service_ns=service_ns, call_ns=call_ns, error_ns=error_ns)
    outcomes = simulate(plan(scenario), slowed, decisions)
    return settle(scenario, requests, decisions, outcomes)
