"""The rules between keys of servers that come and go."""

from __future__ import annotations

from collections.abc import Iterator

from fallwise.errors import Problem
from fallwise.scenario.hours import minutes
from fallwise.scenario.tiers import Tier

__all__ = ["capacity_rules"]


def capacity_rules(tier: Tier, k: int) -> Iterator[Problem]:
    """Yield what is wrong with when tier k's servers are there."""
    yield from _hours(tier, k)


def _hours(tier: Tier, k: int) -> Iterator[Problem]:
    taken: dict[str, list[tuple[int, int, int]]] = {}
    for i, shift in enumerate(tier.hours or ()):
        key = ("tiers", k, "hours", i)
        begin, end = minutes(shift.opens), minutes(shift.closes)
        if begin >= end:
            rule = f"the shift ends at {shift.closes}, not after it begins"
            remedy = "write a night as two shifts, one to 24:00 and one from 00:00"
            yield Problem(rule, remedy, (*key, "from"), shift.opens)
            continue
        for day in shift.days:
            for j, start, stop in taken.get(day, ()):
                if begin < stop and start < end:
                    other = "itself" if i == j else f"hours[{j}]"
                    rule = f"the shift overlaps {other} on {day}"
                    remedy = "let shifts follow each other; agents says how many are in one"
                    yield Problem(rule, remedy, (*key, "days"), shift.days)
                    break
            taken.setdefault(day, []).append((i, begin, end))
