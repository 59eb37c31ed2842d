"""Other ways through the same tiers: in sequence, with a tight timeout, routed, in agreement."""

from __future__ import annotations

import numpy as np

from fallwise.analysis.baselines import alone
from fallwise.analysis.predict import Prediction, predict
from fallwise.engines.engine import Engine
from fallwise.scenario import Scenario, override
from fallwise.tables import NOT_VISITED

__all__ = ["ways"]

TIGHT = 0.9
"""A tight timeout lets this share of the cheap tier's unhindered answers through."""


def ways(
    scenario: Scenario,
    seed: int | None = None,
    engine: Engine = "compiled",
    tight_timeout_s: float | None = None,
    router_auroc: float = 0.75,
) -> list[tuple[str, Prediction]]:
    """Return the scenario's own way first, then the others that its tiers allow, each predicted.

    sequence                     as the scenario says
    sequence with tight timeout  the cheapest tier may take tight_timeout_s, by default the time in
                                 which 90 % of its answers come when nobody waits
    router                       instead of the thresholds: a router with router_auroc sends as
                                 large a share straight to the frontier as the sequence escalates
    agreement                    two cheap models side by side, accepted where they agree
    frontier-only                the frontier alone
    """
    base = predict(scenario, seed, None, engine)
    found = [("sequence", base)]
    first, frontier = scenario.cheapest, scenario.frontier
    name = scenario.tiers[first].name
    if first < frontier:
        tight = tight_timeout_s or float(
            np.quantile(base.requests.service_ns[:, first], TIGHT) / 1e9
        )
        changed = override(scenario, {f"tiers.{name}.timeout_s": tight})
        found.append(("sequence with tight timeout", predict(changed, seed, None, engine)))
        routed = _routed(scenario, base, router_auroc)
        found.append(("router", predict(routed, seed, None, engine)))
    if (agreeing := _agreeing(scenario)) is not None:
        found.append(("agreement", predict(agreeing, seed, None, engine)))
    found.append(("frontier-only", alone(base, frontier)))
    return found


def _routed(scenario: Scenario, base: Prediction, auroc: float) -> Scenario:
    """Return the scenario with a router in place of the cheap tiers' thresholds."""
    if scenario.router is not None:
        return scenario
    first, frontier = scenario.cheapest, scenario.frontier
    visited = base.outcomes.visit[:, first:] != NOT_VISITED
    asked = visited.any(axis=1)
    share = float(visited[asked, frontier - first].mean()) if asked.any() else 0.0
    values: dict[str, object] = {
        "router": {
            "auroc": auroc,
            "about": scenario.tiers[first].name,
            "cuts": [share],
            "starts": [scenario.tiers[frontier].name, scenario.tiers[first].name],
        }
    }
    for tier in scenario.tiers[first:frontier]:
        if tier.threshold is not None:
            values[f"tiers.{tier.name}.threshold"] = None
    return override(scenario, values)


def _agreeing(scenario: Scenario) -> Scenario | None:
    """Return the scenario with its two cheapest models side by side; None if there are not two."""
    first, frontier = scenario.cheapest, scenario.frontier
    tiers = scenario.tiers
    if frontier - first < 2 or any(tier.agree_with for tier in tiers):
        return None
    a, b = tiers[first], tiers[first + 1]
    if a.local != b.local or (a.answers is None) != (b.answers is None):
        return None
    values: dict[str, object] = {f"tiers.{b.name}.agree_with": a.name}
    for tier in (a, b):
        if tier.threshold is not None:
            values[f"tiers.{tier.name}.threshold"] = None
    return override(scenario, values)
