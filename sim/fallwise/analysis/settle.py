"""What each outcome cost, and whether the shipped answer was right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fallwise.analysis.money import router_usd, visit_costs
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, Decisions, Float32s, OutcomeTable, RequestTable

__all__ = ["settle"]


def settle(
    scenario: Scenario,
    requests: RequestTable,
    decisions: Decisions,
    outcomes: OutcomeTable,
    grade: Float32s | None = None,
) -> OutcomeTable:
    """Return the outcomes with visit_cost_usd, cost_usd and correct filled in.

    Row i of all tables is the same request. grade (n,) is what `correct` said of each shipped
    answer in the row that it was made for; without it, that row is looked up. A cached answer keeps
    its grade, but is wrong where the hit was on a different question. A request without an answer
    has grade 0. Rented capacity is no request's own cost.
    """
    visit_cost_usd = visit_costs(scenario, requests, decisions, outcomes)
    if grade is None:
        grade = _grades(scenario, requests, outcomes)
    right = grade * (outcomes.status == ANSWERED)
    if scenario.cache:
        right[(outcomes.hit_tier == 0) & requests.false_hit] = 0
    cost_usd = visit_cost_usd.sum(axis=1)
    if scenario.router:
        cost_usd += router_usd(scenario, outcomes.visit)
    return replace(
        outcomes,
        visit_cost_usd=visit_cost_usd,
        cost_usd=cost_usd,
        correct=right,
    )


def _grades(scenario: Scenario, requests: RequestTable, outcomes: OutcomeTable) -> Float32s:
    """Return (n,) what `correct` says of the answers in the rows that they were made for."""
    tier = outcomes.answer_tier
    if scenario.cache:
        return requests.correct[np.maximum(outcomes.answer_of, 0), np.maximum(tier, 0)]
    grade = np.zeros(len(outcomes), np.float32)  # Without a cache, that is each request's own row.
    for k in range(outcomes.tiers):
        grade += requests.correct[:, k] * (tier == k)
    return grade
