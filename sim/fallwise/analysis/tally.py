"""Sums over outcomes: all that means and shares need, whatever the number of requests.

A tally is a dict of named whole numbers: counts, nanoseconds (names in _s), trillionths of a dollar
(names in _usd) and grades in steps of 2 ** -24 (names in correct). Whole numbers add up exactly, so
a tally depends neither on the order of the rows nor on how a run was cut into blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.absences import closed
from fallwise.analysis.money import router_usd
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Batching
from fallwise.tables import (
    ABANDONED,
    ANSWERED,
    CUT_SHORT,
    ERRORED,
    NOT_VISITED,
    SHED,
    STATUSES,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
    Bools,
    Float32s,
    Int8s,
    Int32s,
    Int64s,
    OutcomeTable,
    RequestTable,
)

__all__ = [
    "STRETCH",
    "SURE",
    "Tally",
    "add",
    "checked",
    "escalated",
    "exact_sum",
    "in_units",
    "rows",
    "steps",
    "tally",
    "work_ns",
]

Tally = dict[str, int]

SURE: Final = 0.9
"""A wrong answer with a score above this was shipped with confidence."""

STRETCH: Final = 1 << 16
"""Rows that are summed at once; they fit a processor's cache."""

UNITS: Final = {"_s": 1e-9, "_usd": 1e-12, "correct": 2.0**-24}
"""What one of the whole numbers is, by the end of its name; 1 for all other names."""


def in_units(name: str, count: int) -> float:
    """Return the named sum in seconds, dollars or grades."""
    return count * next((unit for end, unit in UNITS.items() if name.endswith(end)), 1.0)


def rows(table: Any, begin: int, end: int) -> Any:
    """Return the rows [begin, end) of a request or outcome table, not copied."""
    return replace(table, **{name: cells[begin:end] for name, cells in table.columns().items()})


def add(tallies: Iterable[Tally]) -> Tally:
    """Return the sums of all."""
    total: Tally = {}
    for sums in tallies:
        for name, value in sums.items():
            total[name] = total.get(name, 0) + value
    return total


def steps(scenario: Scenario) -> list[int]:
    """Return the tiers that count as a step of a cascade: no cache, and of a pair the first."""
    tiers = scenario.tiers
    return [k for k, t in enumerate(tiers) if t.kind != "cache" and t.agree_with is None]


def escalated(scenario: Scenario, visit: Int8s) -> Bools:
    """Return (n,) True where the tier that a request began at did not end it."""
    taken = np.zeros(len(visit), np.int8)
    for k in steps(scenario):
        taken += visit[:, k] != NOT_VISITED
    return taken > 1


def tally(scenario: Scenario, requests: RequestTable, outcomes: OutcomeTable) -> Tally:
    """Return the sums over settled outcomes; row i of both tables is the same request."""
    parts = range(0, len(outcomes), STRETCH)
    return add(
        _stretch(scenario, rows(requests, i, i + STRETCH), rows(outcomes, i, i + STRETCH))
        for i in parts
    )


def _stretch(scenario: Scenario, requests: RequestTable, outcomes: OutcomeTable) -> Tally:
    correct = outcomes.correct
    assert correct is not None and outcomes.cost_usd is not None
    grade, cost = _grades(correct), _whole(outcomes.cost_usd, "_usd")
    answered = outcomes.status == ANSWERED
    on = escalated(scenario, outcomes.visit)
    hits_cache = (outcomes.hit_tier == 0) & (scenario.cache is not None)
    sums: Tally = {
        "n": len(outcomes),
        "cost_usd": exact_sum(cost),
        "router_usd": exact_sum(_whole(router_usd(scenario, outcomes.visit), "_usd"))
        if scenario.router
        else 0,
        "correct": exact_sum(grade),
        "answered": _count(answered),
        "escalated": _count(on),
        "false_hits": _count(hits_cache & requests.false_hit),
    }
    for status, name in enumerate(STATUSES):
        sums[f"status.{name}"] = _count(outcomes.status == status)
    frontier = _grades(requests.correct[:, scenario.frontier])
    sent = on & (outcomes.visit[:, scenario.frontier] != NOT_VISITED)
    sums["frontier.correct"] = exact_sum(frontier)
    sums["frontier.sent"] = _count(sent)
    sums["frontier.sent_correct"] = exact_sum(frontier * sent)
    sums |= _segments(scenario, requests, outcomes, grade, on)
    sums |= _risk(scenario, requests, outcomes, grade)
    for k in range(outcomes.tiers):
        sums |= {f"tier{k}.{name}": x for name, x in _tier(requests, outcomes, grade, k).items()}
        law, sent = scenario.tiers[k].service, scenario.tiers[k].prompt_tokens
        if isinstance(law, Batching):  # Whose every slot is taken is as slow as it can be.
            slots = scenario.tiers[k].slots or 1
            prompt, output = sent(requests.prompt_tokens), requests.output_tokens[:, k]
            work_s = law.seconds(prompt, output, slots)
            there = outcomes.visit[:, k] != NOT_VISITED
            sums[f"tier{k}.work_s"] = exact_sum(_whole(work_s[there], "_s"))
        if outcomes.attempts is not None and scenario.tiers[k].calls:
            sums |= {f"tier{k}.{name}": x for name, x in _calls(outcomes, k).items()}
        if outcomes.rented_ns is not None:
            sums[f"tier{k}.rented_s"] = exact_sum(outcomes.rented_ns[:, k])
        if scenario.tiers[k].failures is not None:
            sums[f"tier{k}.lost"] = _count(outcomes.visit[:, k] == ERRORED)
        if scenario.tiers[k].hours is not None:
            came = outcomes.enter_ns[outcomes.visit[:, k] != NOT_VISITED, k]
            sums[f"tier{k}.closed"] = _count(closed(scenario, k, came))
    path = outcomes.path
    for bits in np.flatnonzero(np.bincount(path)).tolist():
        taken = path == bits
        sums[f"path{bits}.n"] = _count(taken)
        sums[f"path{bits}.cost_usd"] = exact_sum(cost * taken)
        sums[f"path{bits}.correct"] = exact_sum(grade * taken)
    return sums


def _segments(
    scenario: Scenario, requests: RequestTable, outcomes: OutcomeTable, grade: Int32s, on: Bools
) -> Tally:
    """Return the sums of each segment, where there are several."""
    sums: Tally = {}
    for j in range(len(scenario.traffic.segments)) if len(scenario.traffic.segments) > 1 else ():
        mine = requests.segment == j
        sums[f"segment{j}.n"] = _count(mine)
        sums[f"segment{j}.correct"] = exact_sum(grade * mine)
        sums[f"segment{j}.escalated"] = _count(on & mine)
        sums[f"segment{j}.answered"] = _count((outcomes.status == ANSWERED) & mine)
        sums[f"segment{j}.shed"] = _count((outcomes.status == SHED) & mine)
    return sums


def checked(scenario: Scenario) -> list[bool]:
    """Return for each tier whether something looked at its answers: threshold, verifier, pair."""
    tiers = scenario.tiers
    return [
        tier.threshold is not None
        or tier.verifier is not None
        or tier.agree_with is not None
        or (k + 1 < len(tiers) and tiers[k + 1].agree_with is not None)
        for k, tier in enumerate(tiers)
    ]


def _risk(
    scenario: Scenario, requests: RequestTable, outcomes: OutcomeTable, grade: Int32s
) -> Tally:
    """Return how much was shipped wrong, and how much of it had passed all checks of its tier.

    A cached answer counts at the tier that made it; a false hit is the cache's fault, not a tier's.
    """
    stakes = np.array([segment.wrong_answer_usd for segment in scenario.traffic.segments])
    wrong = ((1 << 24) - grade) * (outcomes.status == ANSWERED)
    lost = None
    if stakes.any():
        lost = _whole(wrong * UNITS["correct"] * stakes[requests.segment], "_usd")
    own = (outcomes.hit_tier == outcomes.answer_tier) | ~requests.false_hit
    made = {
        k: (outcomes.answer_tier == k) & own for k in np.flatnonzero(checked(scenario)).tolist()
    }
    passed = np.zeros(len(wrong), np.bool_)
    for mine in made.values():
        passed |= mine

    def sums(name: str, mine: Bools | bool) -> Tally:
        both = passed & mine
        return {
            f"{name}incorrect": exact_sum(wrong * mine),
            f"{name}stakes_usd": 0 if lost is None else exact_sum(lost * mine),
            f"{name}passed_incorrect": exact_sum(wrong * both),
            f"{name}passed_usd": 0 if lost is None else exact_sum(lost * both),
        }

    found = sums("", True)
    for k, mine in made.items():
        found |= sums(f"made{k}.", mine)
    for j in range(len(stakes)) if len(stakes) > 1 else ():
        found |= sums(f"segment{j}.", requests.segment == j)
    return found


def _tier(requests: RequestTable, outcomes: OutcomeTable, grade: Int32s, k: int) -> Tally:
    visit, score = outcomes.visit[:, k], requests.score[:, k]
    enter, start, finish = (
        x[:, k] for x in (outcomes.enter_ns, outcomes.start_ns, outcomes.finish_ns)
    )
    there, hit, served = visit != NOT_VISITED, outcomes.hit_tier == k, start >= 0
    wrong = hit & (grade < 1 << 23)
    assert outcomes.visit_cost_usd is not None
    # Where nobody came, enter and finish are both -1. Who was not served waited all the time.
    stay, service = exact_sum(finish - enter), exact_sum((finish - start) * served)
    return {
        "visits": _count(there),
        "hits": _count(hit),
        "served": _count(served),
        "wait_s": stay - service,
        "service_s": service,
        "busy_s": exact_sum(outcomes.busy_ns[:, k]),
        "work_s": exact_sum(work_ns(requests, outcomes, k)),
        "cost_usd": exact_sum(_whole(outcomes.visit_cost_usd[:, k], "_usd")),
        "correct": exact_sum(grade * hit),
        "wrong": _count(wrong),
        "wrong_but_sure": _count(wrong & (score > SURE)),
        "no_probability": _count(hit & ((score < 0) | (score > 1))),
        "timeouts": _count((visit == WAITED_OUT) | (visit == WORKED_OUT)),
        "abandoned": _count(visit == ABANDONED),
        "turned_away": _count(visit == TURNED_AWAY),
    }


def work_ns(requests: RequestTable, outcomes: OutcomeTable, k: int) -> Int64s:
    """Return (n,) how much work came to tier k: of each visit the time of its call, served or not.

    Of a visit of several calls the time that they held servers, and that of one call where it found
    no server at all: it waited in vain or was turned away.
    """
    visit = outcomes.visit[:, k]
    one: Int64s = requests.service_ns[:, k] * (visit != NOT_VISITED)
    if outcomes.attempts is None:
        return one
    idle = outcomes.start_ns[:, k] < 0
    called = (outcomes.attempts[:, k] > 0) | (visit == CUT_SHORT)
    in_vain = idle & np.isin(visit, (WAITED_OUT, ABANDONED, TURNED_AWAY))
    return np.where(called & ~in_vain, outcomes.busy_ns[:, k], one)


def _calls(outcomes: OutcomeTable, k: int) -> Tally:
    """Return the sums over visits of several calls.

    Service is the time in which calls were under way: without the queue and without the pauses.
    """
    assert outcomes.attempts is not None and outcomes.errors is not None
    assert outcomes.rate_limited is not None and outcomes.hedges is not None
    attempts = outcomes.attempts[:, k].astype(np.int64)
    paused = 0 if outcomes.paused_ns is None else outcomes.paused_ns[:, k]
    waited, stay = outcomes.waited_ns(k), outcomes.finish_ns[:, k] - outcomes.enter_ns[:, k]
    return {
        "wait_s": exact_sum(waited),
        "service_s": exact_sum(stay - waited - paused),
        "attempts": exact_sum(attempts),
        "retries": exact_sum(np.maximum(attempts - 1, 0)),
        "errors": exact_sum(outcomes.errors[:, k].astype(np.int64)),
        "rate_limited": exact_sum(outcomes.rate_limited[:, k].astype(np.int64)),
        "hedges": exact_sum(outcomes.hedges[:, k].astype(np.int64)),
        "wasted_s": exact_sum(
            outcomes.busy_ns[:, k] * np.isin(outcomes.visit[:, k], (WAITED_OUT, WORKED_OUT))
        ),
        "cut_short": _count(outcomes.visit[:, k] == CUT_SHORT),
    }


def _count(mask: Bools) -> int:
    return int(np.count_nonzero(mask))


def _whole(values: Any, end: str) -> Int64s:
    whole: Int64s = np.rint(np.asarray(values, np.float64) / UNITS[end]).astype(np.int64)
    return whole


def _grades(values: Float32s) -> Int32s:
    """Return grades in steps of UNITS["correct"], to which a float32 is scaled exactly."""
    whole: Int32s = np.rint(values * np.float32(1 << 24)).astype(np.int32)
    return whole


def exact_sum(whole: Int64s | Int32s) -> int:
    """Return the sum of numbers from 0 on, exact also where it does not fit into 64 bits."""
    if whole.itemsize == 8 and whole.size and int(whole.max()) * whole.size >= 1 << 63:
        return (int((whole >> 31).sum()) << 31) + int((whole & ((1 << 31) - 1)).sum())
    return int(whole.sum())
