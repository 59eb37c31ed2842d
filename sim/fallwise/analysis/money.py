"""What a tier costs: prices of its calls, and rent that runs whether it is called or not."""

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.scenario import Scenario, Tier
from fallwise.tables import (
    ACCEPTED,
    DECLINED,
    MISSED,
    NOT_VISITED,
    WORKED_OUT,
    Bools,
    Decisions,
    Floats,
    Int8s,
    Int64s,
    OutcomeTable,
    RequestTable,
)

__all__ = [
    "SECONDS_PER_MONTH",
    "call_usd",
    "paid_usd",
    "rent_usd",
    "rent_usd_per_s",
    "router_usd",
    "there",
    "unit_usd",
    "unit_usd_per_s",
    "units_mean",
    "upkeep_usd_per_s",
    "visit_costs",
    "wrong_answers_usd",
]

SECONDS_PER_MONTH: Final = 2_629_800
"""A twelfth of 365.25 days."""


def rent_usd_per_s(tier: Tier) -> float:
    """Return what the tier's replicas and agents cost a second, busy or not.

    Where they come and go this is the average of a week; a run says what it really was.
    """
    return unit_usd_per_s(tier) * units_mean(tier)


def rent_usd(scenario: Scenario, outcomes: OutcomeTable) -> Floats:
    """Return (n,) what was paid for replicas and agents since the arrival before each request's."""
    gap_s = np.diff(outcomes.arrival_ns, prepend=0) / 1e9
    paid = np.zeros(len(outcomes))
    for k, tier in enumerate(scenario.tiers):
        if tier.elastic and outcomes.rented_ns is not None:
            paid += outcomes.rented_ns[:, k] / 1e9 * unit_usd_per_s(tier)
        else:
            paid += gap_s * rent_usd_per_s(tier)
    return paid


def paid_usd(scenario: Scenario, outcomes: OutcomeTable) -> Floats:
    """Return (n,) what was paid for each settled request, its part of the rent by the clock too."""
    assert outcomes.cost_usd is not None
    paid: Floats = outcomes.cost_usd + rent_usd(scenario, outcomes)
    return paid


def unit_usd_per_s(tier: Tier) -> float:
    """Return what one replica or agent costs a second."""
    return (tier.replica_usd_per_hour + tier.agent_usd_per_hour) / 3600


def units_mean(tier: Tier) -> float:
    """Return how many replicas or agents are paid for, on average by the clock.

    Of those that an autoscaler may rent, all: a run or `planning.rent` says what it does rent.
    """
    paid = tier.servers_mean if tier.hours is not None else tier.servers
    return (paid or 1) / (tier.slots or 1)


def unit_usd(tier: Tier) -> float:
    """Return what a month of one replica or agent costs; who has hours is paid in them only."""
    paid = units_mean(tier) * (tier.slots or 1) / (tier.servers or 1)
    return unit_usd_per_s(tier) * paid * SECONDS_PER_MONTH


def there(tier: Tier) -> float:
    """Return the part of the time that a replica or agent is there: less than 1 with hours."""
    return (tier.servers_mean or 1) / (tier.servers or 1)


def upkeep_usd_per_s(scenario: Scenario) -> float:
    """Return what upkeep costs a second, whatever comes."""
    return scenario.money.upkeep_usd_per_month / SECONDS_PER_MONTH


def call_usd(tier: Tier, requests: RequestTable, k: int) -> Floats:
    """Return (n,) the price of each request's call at tier k.

    A recorded price (the tier's usd_column) is the price, instead of the price list.
    """
    if tier.usd_column is not None and requests.call_usd is not None:
        return requests.call_usd[:, k]
    price: Floats = np.broadcast_to(np.float64(tier.usd_per_request), len(requests))
    if tier.prompt_usd_per_mtok:
        sent = tier.prompt_tokens(requests.prompt_tokens)
        price = price + sent * (tier.prompt_usd_per_mtok / 1e6)
    if tier.output_usd_per_mtok:
        price = price + requests.output_tokens[:, k] * (tier.output_usd_per_mtok / 1e6)
    return price


def visit_costs(
    scenario: Scenario, requests: RequestTable, decisions: Decisions, outcomes: OutcomeTable
) -> Floats:
    """Return (n, K) what each visit cost, verifier included.

    A call that answered is paid, and one that timed out in service where `bill_timeouts`; who
    waited in vain pays nothing. Of a visit of several calls each is paid that answered, was cut off
    by a timeout (where `bill_timeouts`) or was outrun by the other one of a hedge; calls that
    failed and those over a limit are not. A cache is paid for every look-up. A verifier is paid for
    the answers that it was asked about.
    """
    visit = outcomes.visit
    cost = np.zeros(visit.shape, np.float64, order="F")
    for k, tier in enumerate(scenario.tiers):
        ends = visit[:, k]
        answered = (ends == ACCEPTED) | (ends == DECLINED)
        paid = answered | (ends == (WORKED_OUT if tier.kind != "cache" else MISSED))
        if tier.kind != "cache" and not tier.bill_timeouts:
            paid = answered
        calls: Int64s | Bools = paid
        if tier.calls and outcomes.cut_off is not None and outcomes.outrun is not None:
            calls = answered + outcomes.outrun[:, k].astype(np.int64)
            calls += outcomes.cut_off[:, k] if tier.bill_timeouts else 0
        np.multiply(calls, call_usd(tier, requests, k), out=cost[:, k])
        if tier.verifier is not None and tier.verifier.usd_per_request:
            cost[:, k] += (answered & decisions.verify[:, k]) * tier.verifier.usd_per_request
    return cost


def wrong_answers_usd(scenario: Scenario, requests: RequestTable, outcomes: OutcomeTable) -> Floats:
    """Return (n,) what a wrong answer costs where one was shipped; that none came costs nothing."""
    assert outcomes.correct is not None
    stakes = np.array([segment.wrong_answer_usd for segment in scenario.traffic.segments])
    wrong = (outcomes.hit_tier >= 0) * (1 - outcomes.correct.astype(np.float64))
    lost: Floats = wrong * stakes[requests.segment]
    return lost


def router_usd(scenario: Scenario, visit: Int8s) -> Floats:
    """Return (n,) what the router cost: asked where the request went on from the cache."""
    if scenario.router is None or not scenario.router.usd_per_request:
        return np.zeros(len(visit))
    first = 1 if scenario.cache else 0
    routed: Bools = (visit[:, first:] != NOT_VISITED).any(axis=1)
    return np.where(routed, scenario.router.usd_per_request, 0.0)
