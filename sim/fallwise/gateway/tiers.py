"""Who answers for each tier of a scenario: opened when the gateway starts, checked before."""

from __future__ import annotations

from importlib.util import find_spec

import aiohttp

from fallwise.errors import Problem, ScenarioError
from fallwise.gateway.cache import open_cache
from fallwise.gateway.cascade import Tiers
from fallwise.gateway.invoices import Arithmetics, Reader
from fallwise.gateway.question import Answerer
from fallwise.gateway.tickets import Tickets
from fallwise.gateway.upstream import Caller
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.laws import Fixed
from fallwise.scenario.live import Arithmetic, Invoices, Upstream

__all__ = ["check_live", "open_tiers", "with_upstream"]


def with_upstream(scenario: Scenario, url: str) -> Scenario:
    """Return the scenario with one server for everything that has no `live` of its own.

    The server knows tiers by their names, verifiers as <tier>-verifier, and the router as router.
    """
    tiers = []
    for tier in scenario.tiers:
        change: dict[str, object] = {}
        if tier.kind != "cache" and tier.live is None:
            change["live"] = Upstream(kind="upstream", url=url)
        if tier.verifier is not None and tier.verifier.live is None:
            judge = Upstream(kind="upstream", url=url, model=f"{tier.name}-verifier")
            change["verifier"] = tier.verifier.model_copy(update={"live": judge})
        tiers.append(tier.model_copy(update=change))
    router = scenario.router
    if router is not None and router.live is None:
        live = Upstream(kind="upstream", url=url, model="router")
        router = router.model_copy(update={"live": live})
    served = scenario.model_copy(update={"tiers": tiers, "router": router})
    return served.placed_in(scenario.folder)


def check_live(scenario: Scenario) -> None:
    """Raise ScenarioError, with every reason, where the scenario cannot be served."""
    problems = []
    for k, tier in enumerate(scenario.tiers):
        if tier.kind != "cache" and tier.live is None:
            remedy = "add live, with kind upstream and url; or give --upstream URL"
            problems.append(Problem("nothing answers for this tier", remedy, ("tiers", k, "live")))
        if isinstance(tier.live, Invoices) and find_spec("sklearn") is None:
            rule, remedy = "scikit-learn is not installed", "install fallwise[live,measure]"
            problems.append(Problem(rule, remedy, ("tiers", k, "live"), tier.live.kind))
        if tier.patience is not None and not isinstance(tier.patience, Fixed):
            rule = "a live deployment does not know how patient each one is"
            key = ("tiers", k, "patience")
            problems.append(Problem(rule, "give a fixed time", key, tier.patience.kind))
    if scenario.router is not None and scenario.router.live is None:
        remedy = "add live, with kind upstream and url; or give --upstream URL"
        problems.append(Problem("nothing routes", remedy, ("router", "live")))
    if problems:
        raise ScenarioError(problems)


def open_tiers(scenario: Scenario, session: aiohttp.ClientSession) -> Tiers:
    """Return who answers, verifies and routes, and the cache."""
    answer: dict[int, Answerer] = {}
    verify: dict[int, Answerer] = {}
    for k, tier in enumerate(scenario.tiers):
        if tier.kind == "cache":
            continue
        answer[k] = _answerer(tier, session)
        judge = tier.verifier.live if tier.verifier else None
        if isinstance(judge, Upstream):
            verify[k] = Caller(session, judge, f"{tier.name}-verifier")
        elif isinstance(judge, Arithmetic):
            verify[k] = Arithmetics(judge)
    live = scenario.router.live if scenario.router else None
    route = Caller(session, live, "router") if live else None
    cache = open_cache(scenario, scenario.cache) if scenario.cache else None
    return Tiers(answer, verify, route, cache)


def _answerer(tier: Tier, session: aiohttp.ClientSession) -> Answerer:
    if isinstance(tier.live, Upstream):
        return Caller(session, tier.live, tier.name)
    if isinstance(tier.live, Invoices):
        return Reader(tier.live.model, tier.servers or 1)
    return Tickets(tier.name)
