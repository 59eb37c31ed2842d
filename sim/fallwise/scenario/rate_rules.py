"""The rules for rates of traffic: what no single one of them can break by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fallwise.errors import Problem
from fallwise.scenario.source import Key
from fallwise.scenario.traffic import Mmpp, Profile, Traffic

__all__ = ["rate_rules"]


def rate_rules(traffic: Traffic) -> Iterator[Problem]:
    """Yield what is wrong with the rates of the arrivals, the week and the surges."""
    law, week = traffic.arrivals, traffic.week
    rates: dict[Key, list[float]] = {}
    if isinstance(law, Profile):
        rates["arrivals", "rates_rps"] = law.rates_rps
    elif isinstance(law, Mmpp):
        rates["arrivals", "states"] = [state.rate_rps for state in law.states]
        yield from _follows(law)
    if week is not None:
        rates |= {("week", "hours"): week.hours, ("week", "days"): week.days}
    for at, values in rates.items():
        if not any(values):
            rule = "no request ever comes"
            yield Problem(rule, "give one number above 0", ("traffic", *at))
    for i, surge in enumerate(traffic.surges):
        if surge.to_s <= surge.from_s:
            at = ("traffic", "surges", i, "to_s")
            yield Problem("is not after from_s", "exchange them", at, surge.to_s)


def _follows(law: Mmpp) -> Iterator[Problem]:
    """Yield what is wrong with the states that follow each other."""
    number, wrong = len(law.states), False
    for i, state in enumerate(law.states):
        if state.next is None:
            continue
        at = ("traffic", "arrivals", "states", i, "next")
        if len(state.next) != number:
            rule, remedy = f"there are {number} states", "give a number for each, in their order"
        elif state.next[i]:
            rule, remedy = "a state does not follow itself", f"write 0 for states[{i}]"
        elif abs(math.fsum(state.next) - 1) > 1e-9:
            rule, remedy = f"adds up to {math.fsum(state.next):.10g}, not 1", "change a number"
        else:
            continue
        wrong = True
        yield Problem(rule, remedy, at, state.next)
    if wrong:
        return
    for i in range(number):
        reached = {i}
        for _ in law.states:
            reached |= {j for k in reached for j, p in enumerate(law.follows[k]) if p}
        if len(reached) < number:
            rule, missing = "can never be reached from", min(set(range(number)) - reached)
            at = ("traffic", "arrivals", "states", i, "next")
            remedy = "let every state lead to every other one, directly or not"
            yield Problem(f"states[{missing}] {rule} states[{i}]", remedy, at, law.follows[i])
            return
