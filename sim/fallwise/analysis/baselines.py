"""One tier alone on the same requests: what there was before the cascade, or instead of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fallwise.analysis.predict import Prediction
from fallwise.analysis.settle import settle
from fallwise.engines import plan, simulate
from fallwise.scenario import Scenario
from fallwise.tables import Decisions, RequestTable

__all__ = ["accept_all", "alone", "only"]


def only(scenario: Scenario, k: int) -> Scenario:
    """Return the scenario with tier k alone: no cache, router or verifier; all answers are shipped.

    Tier k keeps its servers, limits and prices, and its fallbacks, which are the same model from
    somebody else. The other tiers stay in the list, since the columns of the tables are counted by
    it, but are never visited and rented by nobody. A request that must stay local is refused where
    tier k is not local. There is no upkeep.
    """
    unused = {
        "kind": "pool",
        "local": False,
        "agree_with": None,
        "replica_usd_per_hour": 0.0,
        "agent_usd_per_hour": 0.0,
        "hours": None,
        "failures": None,
        "autoscale": None,
    }
    used = dict.fromkeys(("threshold", "verifier", "agree_with"))
    last = k
    while last + 1 < len(scenario.tiers) and scenario.tiers[last + 1].fallback:
        last += 1
    tiers = [
        tier.model_copy(update=used if k <= j <= last else unused)
        for j, tier in enumerate(scenario.tiers)
    ]
    tiers[k] = tiers[k].model_copy(update={"fallback": False})
    tiers[last] = tiers[last].model_copy(update={"on_failure": "give_up"})
    money = scenario.money.model_copy(update={"upkeep_usd_per_month": 0.0})
    return scenario.model_copy(update={"tiers": tiers, "router": None, "money": money})


def alone(prediction: Prediction, k: int) -> Prediction:
    """Return what tier k alone would have made of the prediction's own requests."""
    scenario = only(prediction.scenario, k)
    runs = [_alone(scenario, run, k) for run in prediction.runs]
    return replace(runs[0], further=tuple(runs[1:]))


def accept_all(requests: RequestTable, k: int) -> Decisions:
    """Return decisions that begin at tier k and ship whatever it answers."""
    shape = requests.score.shape
    return Decisions(
        start=np.full(shape[0], k, np.int8),
        accept=np.ones(shape, np.bool_, order="F"),
        verify=np.zeros(shape, np.bool_, order="F"),
    )


def _alone(scenario: Scenario, run: Prediction, k: int) -> Prediction:
    # The router is gone, and so is its time.
    requests = replace(run.requests, router_ns=None)
    decisions = accept_all(requests, k)
    outcomes = simulate(plan(scenario, run.seed), requests, decisions, run.engine)
    settled = settle(scenario, requests, decisions, outcomes)
    return Prediction(scenario, requests, decisions, settled, run.seed, run.engine)
