"""The longest time that a scenario's own limits allow a request, from its numbers alone."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from math import inf
from typing import Any

from fallwise.policies import tiers_there
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.laws import Empirical, Fixed, FixedTokens, ServiceLaw

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
    longest = max(paths, key=_length, default=[])
    why = [part["why"] for part in longest if part["seconds"] is None]
    return {
        "seconds": None if why else _length(longest)[1],
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

    @cache
    def longest(k: int, failed: bool) -> list[dict[str, Any]]:
        """Return the longest way from tier k on; failed: a visit to the tier before did."""
        there = tiers_there([tier.fallback for tier in tiers], k, failed=failed)
        here = next((at for at in there if tiers[at].local or not local), None)
        if here is None:
            return []
        pair = [t for t in tiers[here : here + 2] if t is tiers[here] or t.agree_with]
        ends = [False] * any(_declines(tier) for tier in pair)
        ends += [True] * any(_fails(scenario, t) and t.on_failure == "escalate" for t in pair)
        ways = [longest(here + len(pair), end) for end in ends]
        return _step(scenario, pair) + max(ways, key=_length, default=[])

    return found + longest(max(start, 1 if scenario.cache else 0), False)


def _declines(tier: Tier) -> bool:
    return bool(tier.agree_with or tier.verifier) or tier.threshold is not None


def _fails(scenario: Scenario, tier: Tier) -> bool:
    if tier.timeout_s is not None:
        endless = tier.model_copy(update={"timeout_s": None})
        # Each of the times that add up is rounded to a nanosecond by itself.
        if tier.timeout_s < _seconds(_visit(scenario, endless)) + 1e-6:
            return True
    limits = (tier.queue_limit, tier.patience, tier.failures)
    calls = (tier.attempt_timeout_s, tier.requests_per_minute, tier.tokens_per_minute)
    return any(limit is not None for limit in limits + calls) or _errs(tier)


def _errs(tier: Tier) -> bool:
    out = any(outage.slow is None for outage in tier.outages or ())
    return bool(tier.error_rate or (out and tier.kind != "cache"))


def _step(scenario: Scenario, pair: list[Tier]) -> list[dict[str, Any]]:
    """Return how long a visit to one tier lasts or to two side by side, and then its verifier."""
    found = [max((_visit(scenario, tier) for tier in pair), key=_seconds)]
    looks = [_lasting(f"{t.name}'s verifier", t.verifier.service) for t in pair if t.verifier]
    if any(part["seconds"] != 0 for part in looks):
        found.append(max(looks, key=_seconds))
    return found


def _length(path: list[dict[str, Any]]) -> tuple[int, float]:
    """Return how many parts of a path have no bound, and what the others add up to."""
    lasting = [part["seconds"] for part in path]
    return sum(s is None for s in lasting), sum(s for s in lasting if s is not None)


def _seconds(part: dict[str, Any]) -> float:
    return inf if part["seconds"] is None else float(part["seconds"])


def _visit(scenario: Scenario, tier: Tier) -> dict[str, Any]:
    part = _lasting(tier.name, tier.service)
    if tier.servers is not None:
        part = {"part": tier.name, "seconds": None, "why": f"{tier.name} has no timeout_s"}
    if tier.calls:
        part = _several(scenario, tier, part)
    if tier.timeout_s is not None and tier.timeout_s < _seconds(part):
        return {"part": tier.name, "seconds": tier.timeout_s}
    return part


def _several(scenario: Scenario, tier: Tier, call: dict[str, Any]) -> dict[str, Any]:
    """Return how long a visit of several calls lasts without a timeout of its own.

    Each attempt but the last fails, for the reason that takes longest with the pause after it. One
    that fails at a rate limit or a full queue takes no time itself. `call` is one that answers.
    """
    queue_s = 0.0 if tier.servers is None else inf
    error = _lasting(tier.name, tier.error_after) if tier.error_after else call
    slowest = max((outage.slow or 1.0 for outage in tier.outages or ()), default=1.0)
    answer_s, error_s = _seconds(call) * slowest, _seconds(error) * slowest + queue_s
    last_s = max(answer_s, error_s) if _errs(tier) else answer_s
    if tier.hedge is not None and _errs(tier) and tier.hedge.after_s < error_s:
        # The first call fails late enough for a second one, which then has all its time to come.
        last_s, error_s = last_s + tier.hedge.after_s, error_s + tier.hedge.after_s
    limit_s = inf if tier.attempt_timeout_s is None else tier.attempt_timeout_s
    again: dict[str, float] = {}
    if _errs(tier):
        again["error"] = min(error_s, limit_s)
    if limit_s < last_s:
        again["timeout"] = limit_s
    if tier.queue_limit is not None:
        again["shed"] = 0.0
    limited = tier.is_limited
    total_s, refused_s = min(last_s, limit_s), _retry_after(scenario, tier) if limited else 0.0
    for attempt in range(tier.retries.attempts - 1) if tier.retries else ():
        assert tier.retries is not None
        pause_s = tier.retries.pause_s(attempt)
        ends = [took_s + pause_s for reason, took_s in again.items() if reason in tier.retries.on]
        ends += [max(pause_s, refused_s)] * (limited and "rate_limited" in tier.retries.on)
        total_s += max(ends, default=0.0)
    if total_s < inf:
        return {"part": tier.name, "seconds": total_s}
    why = f"{tier.name} has no timeout_s, and a Retry-After is as long as tokens are many"
    reasons = [part["why"] for part in (call, error) if "why" in part and limit_s == inf]
    return {"part": tier.name, "seconds": None, "why": [*reasons, why][0]}


def _retry_after(scenario: Scenario, tier: Tier) -> float:
    """Return the longest Retry-After: what one request takes of a bucket, to flow in again."""
    per_s = [n / 60 for n in (tier.requests_per_minute, tier.tokens_per_minute) if n]
    found = [0.0 if tier.requests_per_minute is None else 1 / per_s[0]]
    for segment in scenario.traffic.segments if tier.tokens_per_minute else ():
        laws = segment.prompt_tokens, segment.output_tokens
        if not all(isinstance(law, FixedTokens) for law in laws):
            return inf
        prompt, output = (law.tokens for law in laws if isinstance(law, FixedTokens))
        sent = round(prompt * (tier.prompt.token_factor if tier.prompt else 1.0))
        found.append((sent + round(output * tier.output_token_factor)) / per_s[-1])
    return max(found)


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
