"""The same requests and decisions once more, under other numbers of servers or other traffic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.predict import Prediction
from fallwise.analysis.settle import settle
from fallwise.engines import plan, simulate
from fallwise.scenario import Scenario, Tier, override
from fallwise.scenario.laws import Batching, Fixed

__all__ = ["MOST", "again", "plenty", "sized", "unlimited"]

MOST: Final = 1_000_000
"""As many servers as nobody ever waits for."""

KEYS: Final = {"rules": "replicas", "pool": "replicas", "human": "agents", "api": "concurrency"}


def again(prediction: Prediction, scenario: Scenario, traffic: float = 1.0) -> Prediction:
    """Return what would happen to the prediction's requests, at so many times their rate.

    The scenario may differ from the prediction's in what the engines and prices know.
    """
    runs = [_again(run, scenario, traffic) for run in prediction.runs]
    return replace(runs[0], further=tuple(runs[1:]))


def _again(run: Prediction, scenario: Scenario, traffic: float) -> Prediction:
    requests = run.requests
    if traffic != 1:
        arrival_ns = np.rint(requests.arrival_ns / traffic).astype(np.int64)
        requests = replace(requests, arrival_ns=arrival_ns)
    outcomes = simulate(plan(scenario, run.seed), requests, run.decisions, run.engine)
    settled = settle(scenario, requests, run.decisions, outcomes)
    return Prediction(scenario, requests, run.decisions, settled, run.seed, run.engine)


def sized(scenario: Scenario) -> dict[str, str]:
    """Return the key of the number of servers of each tier that has one.

    People whose every shift says how many work are as many as that.
    """
    return {
        tier.name: KEYS[tier.kind]
        for tier in scenario.tiers
        if tier.servers is not None
        and tier.autoscale is None
        and (tier.hours is None or any(shift.agents is None for shift in tier.hours))
    }


def plenty(scenario: Scenario) -> dict[str, int]:
    """Return units for everybody, of each tier that is sized.

    Replicas that fail are followed one by one, so there are no more of them than it takes.
    """
    most = {
        tier.name: max(1000, 4 * (tier.replicas or 1)) for tier in scenario.tiers if tier.failures
    }
    return {name: most.get(name, MOST) for name in sized(scenario)}


def unlimited(scenario: Scenario) -> Scenario:
    """Return the scenario with servers for everybody, that never fail and share nothing.

    For requests that are drawn already: a batch's work is then that of a request alone.
    """
    free = override(
        scenario, {f"tiers.{name}.{key}": MOST for name, key in sized(scenario).items()}
    )
    tiers = [_alone(tier) for tier in free.tiers]
    return free.model_copy(update={"tiers": tiers})


def _alone(tier: Tier) -> Tier:
    changes: dict[str, Any] = {"failures": None, "autoscale": None}
    if tier.autoscale is not None:
        changes["replicas"] = MOST
    if isinstance(tier.service, Batching):
        changes["service"] = Fixed(kind="fixed", value_s=0.0)
    return tier.model_copy(update=changes)
