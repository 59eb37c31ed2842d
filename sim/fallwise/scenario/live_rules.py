"""The rules for the keys of a live deployment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fallwise.errors import Problem
from fallwise.scenario.live import Arithmetic, Deployment, Invoices, Tickets, Upstream
from fallwise.scenario.problems import MISSING, proposal
from fallwise.scenario.source import Key
from fallwise.scenario.study import Scenario
from fallwise.scenario.tiers import Tier

__all__ = ["live_rules"]


def live_rules(scenario: Scenario) -> Iterator[Problem]:
    """Yield every rule that the keys of a live deployment break."""
    for k, tier in enumerate(scenario.tiers):
        yield from _tier(tier, ("tiers", k))
    if scenario.router is not None and scenario.router.live is not None:
        yield from _upstream(scenario.router.live, ("router", "live"))
    if scenario.deployment is not None:
        yield from _deployment(scenario.deployment, [tier.name for tier in scenario.tiers])


def _tier(tier: Tier, where: Key) -> Iterator[Problem]:
    if tier.url is not None and not re.fullmatch(r"(rediss?|unix)://[^\s@]+", tier.url):
        # The value is not shown: it may hold a password.
        rule = "must be the address of a Redis or Valkey server, without a password in it"
        yield Problem(rule, "write it like redis://127.0.0.1:6379", (*where, "url"))
    if isinstance(tier.live, Tickets) and tier.kind != "human":
        rule = f"tickets are answered by people; this tier is {tier.kind}"
        yield Problem(rule, "choose another kind", (*where, "live", "kind"), "tickets")
    if isinstance(tier.live, Upstream):
        yield from _upstream(tier.live, (*where, "live"))
    judge = tier.verifier.live if tier.verifier else None
    if isinstance(judge, Arithmetic) and tier.live and not isinstance(tier.live, Invoices):
        at = (*where, "verifier", "live", "kind")
        yield Problem("this is a rule about invoices", "choose upstream", at, judge.kind)
    if isinstance(judge, Upstream):
        yield from _upstream(judge, (*where, "verifier", "live"))


def _upstream(upstream: Upstream, where: Key) -> Iterator[Problem]:
    yield from _address(upstream.url, (*where, "url"))
    yield from _secret(upstream.api_key_env, (*where, "api_key_env"))


def _address(url: str, at: Key) -> Iterator[Problem]:
    if not re.match(r"https?://[^/\s@]+(/[^\s@]*)?$", url):
        remedy = "write it like http://127.0.0.1:8001"
        yield Problem("must be an http address without a password in it", remedy, at)


def _secret(name: str | None, at: Key) -> Iterator[Problem]:
    if name is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        # The value is not shown: it may be the key itself.
        rule = "must be the name of an environment variable, in capitals, not the key"
        yield Problem(rule, "export the key, and give the variable's name", at)


def _deployment(deployment: Deployment, names: list[str]) -> Iterator[Problem]:
    where: Key = ("deployment",)
    if deployment.host is not None:
        yield from _address(deployment.host, (*where, "host"))
    for name in ("tier_header", "cost_header"):
        header = getattr(deployment, name)
        if header is not None and not re.fullmatch(r"[A-Za-z0-9-]+", header):
            rule = "is no name of a response header"
            yield Problem(rule, "write it like x-served-by", (*where, name), header)
    yield from _secret(deployment.api_key_env, (*where, "api_key_env"))
    if (deployment.tier_header is None) == (deployment.tier_from_model is None):
        rule = f"{MISSING}; needs one of tier_header and tier_from_model"
        yield Problem(rule, "give exactly one", (*where, "tier_header"))
    for model, name in (deployment.tier_from_model or {}).items():
        if name not in names:
            at = (*where, "tier_from_model", model)
            yield Problem("no tier has this name", proposal(name, names), at, name)
