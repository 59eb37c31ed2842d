"""A check's requests in the order of their coming: who answered, and how long it took, both sides.

Before, during and after a fault, prediction and deployment should have the same shape.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from fallwise.analysis.intervals import wilson
from fallwise.scenario import Scenario
from fallwise.tables import Bools, Floats, OutcomeTable

__all__ = ["faults", "over_time"]

MOST, FEWEST = 24, 25
"""So many windows at most, and so many requests in each, on average."""


def over_time(
    scenario: Scenario, predicted: OutcomeTable, measured: OutcomeTable
) -> list[dict[str, Any]]:
    """Return what became of those who came in each window of time; row i is the same request.

    A window has from_s, to_s, requests and, for `predicted` and `measured`, the share that each
    tier answered (`hit_share`, the last one is of those without an answer), how many calls a
    request had made again (`retried`, None where no tier makes several) and the median time
    (`sojourn_s_p50`). A measured share is [value, low, high]: Wilson's 95 % interval, which says
    how much so few requests can tell.
    """
    at_s = predicted.arrival_ns / 1e9
    windows = max(1, min(MOST, len(at_s) // FEWEST))
    last_s = float(at_s.max())
    edges = np.linspace(0.0, last_s, windows + 1)
    found = []
    for begin, end in pairwise(edges.tolist()):
        here = (begin <= at_s) & ((at_s < end) | (end == last_s))
        if not here.any():
            continue
        sides = {
            "predicted": _side(scenario, predicted, here),
            "measured": _side(scenario, measured, here),
        }
        shares = sides["measured"]["hit_share"]
        ends = wilson(shares, int(here.sum()))
        sides["measured"]["hit_share"] = np.stack([shares, *ends], axis=1).tolist()
        window = {"from_s": float(begin), "to_s": float(end), "requests": int(here.sum())}
        found.append(window | sides)
    return found


def faults(scenario: Scenario, last_s: float) -> list[dict[str, Any]]:
    """Return the outages of the scenario that begin until then: tier, from_s, to_s."""
    found = []
    for tier in scenario.tiers:
        for outage in tier.outages or ():
            begins = [outage.from_s]
            if outage.every_s is not None:
                begins = np.arange(outage.from_s, last_s, outage.every_s).tolist()
            lasts_s = outage.to_s - outage.from_s
            found += [
                {"tier": tier.name, "from_s": begin, "to_s": min(last_s, begin + lasts_s)}
                for begin in begins
                if begin < last_s
            ]
    return found


def _side(scenario: Scenario, outcomes: OutcomeTable, here: Bools) -> dict[str, Any]:
    hits = outcomes.hit_tier[here]
    tiers = [*range(len(scenario.tiers)), -1]
    retried = None
    if outcomes.attempts is not None:
        made: Floats = np.maximum(outcomes.attempts[here] - 1.0, 0.0).sum(axis=1)
        retried = float(made.mean())
    return {
        "hit_share": [float((hits == k).mean()) for k in tiers],
        "retried": retried,
        "sojourn_s_p50": float(np.median(outcomes.sojourn_s[here])),
    }
