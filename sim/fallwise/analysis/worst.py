"""The longest time that a scenario's own limits allow a request, from its numbers alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fallwise.scenario import Scenario, Tier
from fallwise.scenario.laws import Empirical, Fixed, ServiceLaw

__all__ = ["worst_case"]


def worst_case(scenario: Scenario, starts: Collection[int]) -> dict[str, Any]:
    """Return the sum of the longest times on the longest path from one of the tiers in starts.

    `seconds` is None where there is no bound, and `unbounded` then has the reasons; `parts` has
    what adds up, each with its seconds, None where they have no bound. The bound is of the rules
    and not of a run: it holds whatever the traffic is.
    """
    paths = [
        _path(scenario, start, local=local)
        for local in _residencies(scenario)
        for start in sorted(starts)
    ]
    paths = [path for path in paths if path] or [[]]

    def length(path: list[dict[str, Any]]) -> tuple[int, float]:
        lasting = [part["seconds"] for part in path]
        return sum(s is None for s in lasting), sum(s for s in lasting if s is not None)

    longest = max(paths, key=length)
    why = [part["why"] for part in longest if part["seconds"] is None]
    return {
        "seconds": None if why else length(longest)[1],
        "unbounded": why,
        "parts": [{name: part[name] for name in ("part", "seconds")} for part in longest],
    }


def _residencies(scenario: Scenario) -> list[bool]:
    kinds = {segment.residency for segment in scenario.traffic.segments}
    return [kind == "local" for kind in sorted(kinds)]


def _path(scenario: Scenario, start: int, *, local: bool) -> list[dict[str, Any]]:
    """Return what a request that begins at this tier may have to go through, one after another."""
    tiers = scenario.tiers
    found = []
    if scenario.cache and (scenario.cache.local or not local):
        found.append({"part": scenario.cache.name, "seconds": scenario.cache.lookup_s or 0.0})
    if scenario.router is not None:
        found.append(_lasting("router", scenario.router.service))
    first = max(start, 1 if scenario.cache else 0)
    there = [k for k in range(first, len(tiers)) if tiers[k].local or not local]
    for k in there:
        pair = [tiers[j] for j in (k, k + 1) if j < len(tiers) and (j == k or tiers[j].agree_with)]
        if tiers[k].agree_with is None:
            found.append(_longest([_visit(tier) for tier in pair]))
            looks = [_lasting(_looker(t), t.verifier.service) for t in pair if t.verifier]
            if looks and any(part["seconds"] != 0 for part in looks):
                found.append(_longest(looks))
        if tiers[k] is pair[-1] and not (tiers[k].agree_with or _goes_on(tiers[k])):
            break
    return found


def _looker(tier: Tier) -> str:
    return f"{tier.name}'s verifier"


def _longest(side_by_side: list[dict[str, Any]]) -> dict[str, Any]:
    return max(side_by_side, key=lambda p: float("inf") if p["seconds"] is None else p["seconds"])


def _goes_on(tier: Tier) -> bool:
    """Return True where a request may have to go on from here: declined, or after a failure."""
    limits = (tier.timeout_s, tier.queue_limit, tier.patience, tier.failures)
    fails = any(x is not None for x in limits)
    declines = tier.threshold is not None or tier.verifier is not None
    return declines or (fails and tier.on_failure == "escalate")


def _visit(tier: Tier) -> dict[str, Any]:
    if tier.timeout_s is not None:
        return {"part": tier.name, "seconds": tier.timeout_s}
    if tier.servers is None and tier.service is not None:
        return _lasting(tier.name, tier.service)
    return {"part": tier.name, "seconds": None, "why": f"{tier.name} has no timeout_s"}


def _lasting(name: str, law: ServiceLaw | None) -> dict[str, Any]:
    """Return how long a law can last: it has an end where it lists its values."""
    if law is None:
        return {"part": name, "seconds": 0.0}
    if isinstance(law, Fixed):
        return {"part": name, "seconds": law.value_s}
    if isinstance(law, Empirical):
        return {"part": name, "seconds": max(law.values_s)}
    why = f"{name} has no timeout_s, and a {law.kind} time has no end"
    return {"part": name, "seconds": None, "why": why}
