"""What is compared between a prediction and a live run, from inside a deployment and from outside.

From inside the deployment's own stamps say what every tier did. From outside a response says who
answered and how many tokens it took; the rest is listed as not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from fallwise.analysis.over_time import faults
from fallwise.analysis.sample import FEWEST_BEYOND
from fallwise.analysis.tally import escalated
from fallwise.scenario import Scenario
from fallwise.tables import ACCEPTED, NOT_VISITED, WAITED_OUT, Bools, Floats, OutcomeTable

__all__ = [
    "HOP_S",
    "TIME",
    "TTFT",
    "Measure",
    "first_tokens",
    "from_inside",
    "from_outside",
    "path_name",
    "unseen",
]

SHARE: Final = 0.01
"""Tolerance of shares and grades, in points; of the cost, relative."""
TIME: Final = 0.05
"""Tolerance of times, relative."""
HOP_S: Final = 0.002
"""No time is judged closer than this: timers count whole milliseconds."""
FEWEST: Final = 100
"""Requests of a part of the time that is judged by itself; so many parts are at most."""
MOST_PARTS: Final = 9
TTFT: Final = {"measure": "ttft_s", "why": "answers are asked for whole; --stream judges it"}
"""Why the time to the first token is not judged."""
Column = Callable[[OutcomeTable], Floats]


class Measure(NamedTuple):
    """A ratio of sums over rows, or (q > 0) a quantile of the values where weight is positive.

    The tolerance is `relative` to the prediction, and at least `least`.
    """

    name: str
    value: Column
    weight: Column
    q: float
    relative: float
    least: float


def from_inside(
    scenario: Scenario, predicted: OutcomeTable, time: float = TIME
) -> Iterator[Measure]:
    """Yield what a deployment with our stamps is judged by; time is the tolerance of times."""
    yield Measure("cost_usd_mean", _cost, _every, 0, SHARE, 0)
    yield Measure("quality", _grade, _every, 0, 0, SHARE)
    yield Measure("answered_share", _answered, _every, 0, 0, SHARE)
    yield Measure(
        "escalation_rate", lambda o: _float(escalated(scenario, o.visit)), _every, 0, 0, SHARE
    )
    for k, tier in enumerate(scenario.tiers):

        def started(o: OutcomeTable, k: int = k) -> Floats:
            return _float(o.start_ns[:, k] >= 0)

        def accepted(o: OutcomeTable, k: int = k) -> Floats:
            return _float(o.visit[:, k] == ACCEPTED)

        name, visits = f"tiers.{tier.name}.", _visits(k)
        yield Measure(f"{name}hit_share", _hits(k), _every, 0, 0, SHARE)
        yield Measure(f"{name}accept_share", accepted, visits, 0, 0, SHARE)
        yield Measure(f"{name}failed_share", _fails(k), visits, 0, 0, SHARE)
        if tier.calls and predicted.attempts is not None:
            yield from _made(name, k, visits, predicted, time)
        if tier.kind == "cache" or not visits(predicted).any():
            continue

        def service_s(o: OutcomeTable, k: int = k) -> Floats:
            return o.busy_ns[:, k] / 1e9

        def wait_s(o: OutcomeTable, k: int = k) -> Floats:
            return np.where(o.visit[:, k] != NOT_VISITED, o.wait_s[:, k], 0.0)

        # Waiting is what is left of two large numbers: it is held to the time of the whole visit.
        stay = float((wait_s(predicted) + service_s(predicted)).sum() / visits(predicted).sum())
        yield Measure(f"{name}service_s_mean", service_s, started, 0, time, HOP_S)
        yield Measure(f"{name}wait_s_mean", wait_s, visits, 0, 0, max(HOP_S, time * stay))
    yield from _in_time(scenario, predicted, time)
    names = [tier.name for tier in scenario.tiers]
    yield from _times("", _every, predicted, time)
    for bits in np.unique(predicted.path).tolist():

        def on(o: OutcomeTable, bits: int = bits) -> Floats:
            return _float(o.path == bits)

        yield from _times(f"paths.{path_name(names, bits)}.", on, predicted, time)


def first_tokens(predicted: OutcomeTable, time: float = TIME) -> Iterator[Measure]:
    """Yield the times to the first token, of tables that end with it.

    A gateway of ours begins to answer when an answer is accepted, so that is when one is predicted.
    """
    yield from _times("", _answered, predicted, time, "ttft_s")


def _made(
    name: str, k: int, visits: Column, predicted: OutcomeTable, time: float
) -> Iterator[Measure]:
    """Yield how many calls a visit made, and how many of them were over a limit.

    Which ones are is a matter of moments, so both are held to the tolerance of times.
    """

    def attempts(o: OutcomeTable) -> Floats:
        return _float(np.zeros(len(o)) if o.attempts is None else o.attempts[:, k])

    def limited(o: OutcomeTable) -> Floats:
        return _float(np.zeros(len(o)) if o.rate_limited is None else o.rate_limited[:, k])

    made = float(attempts(predicted) @ visits(predicted) / max(1.0, visits(predicted).sum()))
    least = max(SHARE, time * made)
    yield Measure(f"{name}attempts_mean", attempts, visits, 0, 0, least)
    yield Measure(f"{name}rate_limited_mean", limited, visits, 0, 0, least)


def _in_time(scenario: Scenario, predicted: OutcomeTable, time: float) -> Iterator[Measure]:
    """Yield what became of those who came before, during and after each outage and surge."""
    arrival_s = predicted.arrival_ns / 1e9
    edges = {0.0, *(edge for s in scenario.traffic.surges for edge in (s.from_s, s.to_s))}
    for fault in faults(scenario, float(arrival_s[-1])):
        edges |= {fault["from_s"], fault["to_s"]}
    parts = sorted(edge for edge in edges if edge < arrival_s[-1])
    if len(parts) == 1:
        return
    for begin, end in pairwise([*parts[:MOST_PARTS], float("inf")]):
        here = _float((begin <= arrival_s) & (arrival_s < end))
        if here.sum() < FEWEST:
            continue

        def among(_: OutcomeTable, here: Floats = here) -> Floats:
            return here

        where = f"{begin:g} s to {end:g} s: " if end < np.inf else f"from {begin:g} s: "
        yield Measure(f"{where}answered_share", _answered, among, 0, 0, SHARE)
        for k, tier in enumerate(scenario.tiers):
            yield Measure(f"{where}{tier.name} hit_share", _hits(k), among, 0, 0, SHARE)
            if tier.calls:

                def visits(o: OutcomeTable, k: int = k, here: Floats = here) -> Floats:
                    return here * _visits(k)(o)

                yield Measure(f"{where}{tier.name} failed_share", _fails(k), visits, 0, 0, SHARE)
                yield from _made(f"{where}{tier.name} ", k, visits, predicted, time)
        yield from _times(where, among, predicted, time)


def from_outside(
    scenario: Scenario, predicted: OutcomeTable, graded: bool, whole_cost: bool, time: float = TIME
) -> Iterator[Measure]:
    """Yield what can be judged of a deployment that says no more than who answered.

    graded where the right answers are known; whole_cost where the response says what all calls
    of the request cost, otherwise only the call that answered is known.
    """
    yield Measure("cost_usd_mean" if whole_cost else "answer_usd_mean", _cost, _every, 0, SHARE, 0)
    if graded:
        yield Measure("quality", _grade, _every, 0, 0, SHARE)
    yield Measure("answered_share", _answered, _every, 0, 0, SHARE)
    for k, tier in enumerate(scenario.tiers):
        yield Measure(f"tiers.{tier.name}.hit_share", _hits(k), _every, 0, 0, SHARE)
    yield from _times("", _every, predicted, time)
    for k, tier in enumerate(scenario.tiers):
        yield from _times(f"tiers.{tier.name}.", _hits(k), predicted, time)


def unseen(scenario: Scenario, seen: Bools, graded: bool, whole_cost: bool) -> list[dict[str, str]]:
    """Return what is not judged of a deployment seen from outside, and why: measure, why.

    seen is (K,): the tiers that a response can name.
    """
    found = [{"measure": "ttft_s", "why": "answers are asked for whole, not as a stream"}]
    if not whole_cost:
        why = "only the call that answered is seen, not those of the tiers before it"
        found.append({"measure": "cost_usd_mean", "why": why})
    if not graded:
        why = "the questions have no answers to grade by"
        found.append({"measure": "quality", "why": why})
    for tier, named in zip(scenario.tiers, seen, strict=True):
        name = f"tiers.{tier.name}."
        if not named:
            why = "responses do not name it; its answers count for the tier that made them"
            found.append({"measure": f"{name}hit_share", "why": why})
        why = "responses do not say who was asked and did not answer"
        found.append({"measure": f"{name}accept_share", "why": why})
        why = "responses have no stamps: service, queue and transport are one time"
        found.append({"measure": f"{name}wait_s_mean", "why": why})
    return found


def path_name(names: list[str], bits: int) -> str:
    """Return the tiers of a path, bit k set for tier k.

    >>> path_name(["cache", "small", "big"], 0b110)
    'small>big'
    """
    return ">".join(name for k, name in enumerate(names) if bits >> k & 1)


def _times(
    where: str, on: Column, predicted: OutcomeTable, time: float, what: str = "sojourn_s"
) -> Iterator[Measure]:
    for q in (0.5, 0.95, 0.99):
        if on(predicted).sum() * (1 - q) >= FEWEST_BEYOND:
            label = f"{where}{what}_p{round(100 * q)}"
            yield Measure(label, lambda o: o.sojourn_s, on, q, time, HOP_S)


def _hits(k: int) -> Column:
    return lambda o: _float(o.hit_tier == k)


def _visits(k: int) -> Column:
    return lambda o: _float(o.visit[:, k] != NOT_VISITED)


def _fails(k: int) -> Column:
    return lambda o: _float(o.visit[:, k] >= WAITED_OUT)


def _every(o: OutcomeTable) -> Floats:
    return np.ones(len(o))


def _answered(o: OutcomeTable) -> Floats:
    return _float(o.hit_tier >= 0)


def _cost(o: OutcomeTable) -> Floats:
    return _float(o.cost_usd)


def _grade(o: OutcomeTable) -> Floats:
    return _float(o.correct)


def _float(column: Any) -> Floats:
    assert column is not None
    return np.asarray(column, np.float64)
