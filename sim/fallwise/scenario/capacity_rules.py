"""The rules between keys of servers that come and go."""

from __future__ import annotations

from collections.abc import Iterator

from fallwise.errors import Problem
from fallwise.scenario.hours import minutes
from fallwise.scenario.laws import Batching
from fallwise.scenario.tiers import Tier

__all__ = ["capacity_rules"]


def capacity_rules(tier: Tier, k: int) -> Iterator[Problem]:
    """Yield what is wrong with when tier k's servers are there."""
    yield from _hours(tier, k)
    scale = tier.autoscale
    if scale is not None and scale.min_replicas > scale.max_replicas:
        rule = f"min_replicas is above max_replicas, {scale.max_replicas}"
        at = ("tiers", k, "autoscale", "min_replicas")
        yield Problem(rule, "exchange them", at, scale.min_replicas)
    if scale is not None and tier.replicas is not None:
        rule = "the autoscaler says how many replicas there are"
        remedy = "take it away, and give autoscale.min_replicas and max_replicas"
        yield Problem(rule, remedy, ("tiers", k, "replicas"), tier.replicas)
    batching = isinstance(tier.service, Batching)
    if batching and tier.kind not in ("rules", "pool"):
        rule = f"batching belongs to rules and pool tiers; this one is {tier.kind}"
        yield Problem(rule, "name another law", ("tiers", k, "service", "kind"), "batching")
    if (scale is not None or tier.failures is not None or batching) and not tier.cancel:
        rule = "a timeout frees the slot of a replica that batches, or may fail or go"
        yield Problem(rule, "take it away", ("tiers", k, "cancel"), tier.cancel)


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
