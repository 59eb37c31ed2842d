"""The rules between keys of calls that fail, and of what is done about it."""

from __future__ import annotations

from collections.abc import Iterator

from fallwise.errors import Problem
from fallwise.scenario.laws import Batching
from fallwise.scenario.tiers import Tier

__all__ = ["call_rules"]


def call_rules(tiers: list[Tier], k: int) -> Iterator[Problem]:
    """Yield what is wrong with the calls of tier k."""
    tier = tiers[k]

    def problem(rule: str, remedy: str, *key: str | int) -> Problem:
        return Problem(rule, remedy, ("tiers", k, *key))

    if tier.error_after is not None and not tier.error_rate and not tier.outages:
        yield problem("no call of this tier fails", "give error_rate or outages", "error_after")
    for j, outage in enumerate(tier.outages or ()):
        if outage.slow is not None and tier.kind == "cache":
            yield problem("a cache is there or away", "take slow away", "outages", j, "slow")
        if outage.to_s <= outage.from_s:
            yield problem("the outage ends before it begins", "exchange them", "outages", j, "to_s")
        elif outage.every_s is not None and outage.every_s < outage.to_s - outage.from_s:
            rule = "the next outage begins before this one ends"
            yield problem(rule, "give a longer every_s", "outages", j, "every_s")
    fleet = {
        "autoscale": tier.autoscale is not None,
        "failures": tier.failures is not None,
        "service": isinstance(tier.service, Batching),
    }
    key = next((name for name, there in fleet.items() if there), None)
    if tier.calls and key is not None:
        rule = "calls that fail, limits, retries, breakers and hedges are for servers that stay"
        yield problem(rule, "take one of the two away", key)
    paired = tier.agree_with or (k + 1 < len(tiers) and tiers[k + 1].agree_with)
    if tier.fallback and paired:
        rule = "a tier that runs side by side with another is nobody's fallback"
        yield problem(rule, "take it away", "fallback")
    if tier.fallback and (k == 0 or tiers[k - 1].kind == "cache"):
        yield problem("there is no tier before it that could fail", "take it away", "fallback")
