"""The rules between keys of a scenario: what no single value can break by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from fallwise.errors import Problem
from fallwise.scenario.call_rules import call_rules
from fallwise.scenario.capacity_rules import capacity_rules
from fallwise.scenario.laws import FromTable, FromTrace, Lognormal, LognormalTokens, Model
from fallwise.scenario.live_rules import live_rules
from fallwise.scenario.problems import MISSING, UNKNOWN, proposal
from fallwise.scenario.rate_rules import rate_rules
from fallwise.scenario.source import Key
from fallwise.scenario.study import Scenario
from fallwise.scenario.tiers import Prompt, Router, Tier
from fallwise.scenario.traffic import Trace

__all__ = ["MEASURES", "broken_rules"]

SEGMENT_MEASURES: Final = (
    "answered_share",
    "escalation_rate",
    "quality",
    "shed_share",
    "sojourn_s_p50",
    "sojourn_s_p95",
    "sojourn_s_p99",
    "sojourn_s_p999",
)
"""What a target can be set on for the requests of one segment."""
MEASURES: Final = ("cost_usd_mean", "cost_usd_per_month", *SEGMENT_MEASURES)
"""What a target can be set on: estimates of the run's summary."""

LONGEST_S: Final = 1e9
"""About 31 years; the engines count nanoseconds in 64 bits."""
LARGEST: Final = 1 << 53
COLUMN: Final = {"column"}

# Keys that only these kinds have; all others are for every kind but the cache.
CACHE_KEYS = ("capacity", "ttl_s", "lookup_s", "false_hit_rate", "filled_by", "warm_keys", "url")
COMMON = {"name", "kind", "local", "usd_per_request"}
ONLY = {
    **dict.fromkeys(CACHE_KEYS, ("cache",)),
    **dict.fromkeys(("replicas", "slots", "failures", "autoscale"), ("rules", "pool")),
    "replica_usd_per_hour": ("cache", "rules", "pool"),
    **dict.fromkeys(
        ("concurrency", "requests_per_minute", "tokens_per_minute", "burst_s"), ("api",)
    ),
    **dict.fromkeys(("agents", "agent_usd_per_hour", "hours"), ("human",)),
    "outages": ("cache", "rules", "pool", "api", "human"),
}
NEEDED = {"cache": ("capacity", "lookup_s", "filled_by"), "human": ("agents", "service")}


def broken_rules(scenario: Scenario) -> list[Problem]:
    """Return every rule between keys that the scenario breaks."""
    found = [*_sizes(scenario), *_traffic(scenario), *_answers(scenario), *_names(scenario)]
    for k in range(len(scenario.tiers)):
        found += [*_kind(scenario, k), *_decision(scenario, k), *_tier_answers(scenario, k)]
        found += capacity_rules(scenario.tiers[k], k)
        found += call_rules(scenario.tiers, k)
    if scenario.router is not None:
        found += _router(scenario, scenario.router)
    return [*found, *_targets(scenario), *_assumptions(scenario), *live_rules(scenario)]


def _leaves(value: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Yield every part of a model that was set, with its key: models themselves and values."""
    if isinstance(value, Model):
        yield key, value
        for name in sorted(value.model_fields_set):
            yield from _leaves(getattr(value, name), (*key, name))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _leaves(item, (*key, i))
    else:
        yield key, value


def _sizes(scenario: Scenario) -> Iterator[Problem]:
    """Numbers that fit the clock, laws that exist, columns that there are."""
    replay = scenario.answers.source == "replay"
    traced = isinstance(scenario.traffic.arrivals, Trace)
    for key, value in _leaves(scenario):
        name = next((part for part in reversed(key) if isinstance(part, str)), "")
        if isinstance(value, Lognormal) and value.p99_s < value.p50_s:
            yield Problem("p99_s is below p50_s", "exchange them", (*key, "p99_s"), value.p99_s)
        elif isinstance(value, LognormalTokens) and value.p99_tokens < value.p50_tokens:
            at = (*key, "p99_tokens")
            yield Problem("p99_tokens is below p50_tokens", "exchange them", at, value.p99_tokens)
        elif isinstance(value, FromTable) and not replay:
            rule = "there is no evaluation table to take it from"
            yield Problem(rule, "set answers.source: replay, or name another law", key)
        elif (
            isinstance(value, FromTable)
            and "tokens" in name
            and not value.model_fields_set & COLUMN
        ):
            rule = f"{MISSING}; tokens need it"
            yield Problem(rule, "name the table's column of tokens", (*key, "column"))
        elif isinstance(value, FromTrace) and not traced:
            rule = "there is no trace to take it from"
            yield Problem(rule, "set traffic.arrivals.kind: trace, or name another law", key)
        elif isinstance(value, float) and name.endswith("_s") and value > LONGEST_S:
            yield Problem(f"is more than {LONGEST_S:g} seconds", "give seconds", key, value)
        elif isinstance(value, int) and value > LARGEST:
            yield Problem(f"is above {LARGEST}", "give a smaller number", key, value)


def _traffic(scenario: Scenario) -> Iterator[Problem]:
    traffic, replay = scenario.traffic, scenario.answers.source == "replay"
    where: Key = ("traffic", "segments")
    total = math.fsum(segment.share for segment in traffic.segments)
    if abs(total - 1) > 1e-9:
        yield Problem(f"the shares add up to {total:.10g}, not 1", "change a share", where)
    yield from _twice([segment.name for segment in traffic.segments], where)
    yield from rate_rules(traffic)
    for i, segment in enumerate(traffic.segments):
        if segment.dataset is not None and not replay:
            yield _belongs((*where, i, "dataset"), segment.dataset, "replayed answers")
        if segment.difficulty and all(tier.answers is None for tier in scenario.tiers):
            yield _belongs((*where, i, "difficulty"), segment.difficulty, "synthetic answers")
    run = scenario.run
    if isinstance(run.warmup, int) and run.warmup >= run.requests:
        rule = f"the warm-up takes all {run.requests} requests"
        yield Problem(rule, "give fewer, or more run.requests", ("run", "warmup"), run.warmup)


def _twice(names: list[str], where: Key) -> Iterator[Problem]:
    for i, name in enumerate(names):
        if name in names[:i]:
            rule = f"the name is taken by {where[-1]}[{names.index(name)}]"
            yield Problem(rule, "give each a name of its own", (*where, i, "name"), name)


def _belongs(key: Key, value: object, to: str) -> Problem:
    return Problem(f"{key[-1]} belongs to {to}", "take it away", key, value)


def _answers(scenario: Scenario) -> Iterator[Problem]:
    answers = scenario.answers
    if answers.source == "replay":
        if answers.table is None:
            remedy = "name the evaluation table, or set source: synthetic"
            yield Problem(MISSING, remedy, ("answers", "table"))
        return
    for name in sorted(answers.model_fields_set - {"source"}):
        if getattr(answers, name) is not None:
            yield _belongs(("answers", name), getattr(answers, name), "replayed answers")


def _names(scenario: Scenario) -> Iterator[Problem]:
    yield from _twice([tier.name for tier in scenario.tiers], ("tiers",))
    for k, tier in enumerate(scenario.tiers):
        if tier.kind == "cache" and k > 0:
            rule = "a cache must be the first tier, and the only cache"
            yield Problem(rule, "move it to the front", ("tiers", k, "kind"), "cache")
    if scenario.tiers[-1].kind == "cache":
        at: Key = ("tiers", len(scenario.tiers) - 1)
        yield Problem("nobody answers what the cache misses", "add a tier after it", at)


def _kind(scenario: Scenario, k: int) -> Iterator[Problem]:
    """Keys that the tier's kind does not have, and keys that it needs."""
    tier = scenario.tiers[k]
    for name in sorted(tier.model_fields_set - COMMON):
        value = getattr(tier, name)
        kinds = ONLY.get(name, ("rules", "pool", "api", "human"))
        if value is not None and tier.kind not in kinds:
            rule = f"{name} belongs to {_listed(kinds)} tiers; this one is {tier.kind}"
            yield Problem(rule, "take it away, or change the kind", ("tiers", k, name), value)
    for name in NEEDED.get(tier.kind, ("service",)):
        if getattr(tier, name) is None:
            rule = f"{MISSING}; a {tier.kind} tier needs it"
            yield Problem(rule, f"add {name}", ("tiers", k, name))
    if tier.kind == "cache" and tier.warm_keys is not None:
        yield from _warm(scenario, tier, tier.warm_keys, ("tiers", k, "warm_keys"))
    targets = [t.name for t in scenario.tiers if t.kind != "cache" and t.agree_with is None]
    for i, name in enumerate(tier.filled_by or ()):
        if name not in targets:
            rule = "no tier of this name ships answers"
            yield Problem(rule, proposal(name, targets), ("tiers", k, "filled_by", i), name)


def _warm(scenario: Scenario, cache: Tier, keys: int, at: Key) -> Iterator[Problem]:
    known = sum(s.repeats.distinct_keys for s in scenario.traffic.segments if s.repeats)
    if not known:
        rule = "no segment has repeats, so nobody knows which questions come again"
        yield Problem(rule, "give a segment repeats, or take it away", at, keys)
    elif keys > known:
        rule = f"there are {known:,} questions that come again"
        yield Problem(rule, "give fewer, or more distinct_keys", at, keys)
    if cache.capacity is not None and keys > cache.capacity:
        rule = f"is more than the capacity of {cache.capacity:,}"
        yield Problem(rule, "give fewer, or more capacity", at, keys)


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _decision(scenario: Scenario, k: int) -> Iterator[Problem]:
    tier, tiers = scenario.tiers[k], scenario.tiers
    where: Key = ("tiers", k)
    pair_is_last = k == len(tiers) - 2 and tiers[-1].agree_with is not None
    if tier.threshold is not None and (k == len(tiers) - 1 or pair_is_last):
        rule = "the last tier has nobody to escalate to"
        remedy = "take the threshold away, or add a tier after it"
        yield Problem(rule, remedy, (*where, "threshold"), tier.threshold)
    if tier.agree_with is not None:
        broken = _pair_rule(tiers, k)
        if broken:
            remedy = "let it agree with the tier just before"
            yield Problem(broken, remedy, (*where, "agree_with"), tier.agree_with)
    if tier.verifier is None:
        return
    column, where = tier.verifier.column, (*where, "verifier")
    rates = ("catch_rate", "false_alarm_rate")
    if column is not None and scenario.answers.source != "replay":
        yield _belongs((*where, "column"), column, "replayed answers")
    for name in rates:
        given = getattr(tier.verifier, name)
        if column is not None and given is not None:
            rule = "the column of verdicts already says what the verifier does"
            yield Problem(rule, f"keep column or {' and '.join(rates)}", (*where, name), given)
        if column is None and given is None:
            rule = f"{MISSING}; a verifier needs {' and '.join(rates)}, or a column"
            yield Problem(rule, f"add {name}", (*where, name))


def _pair_rule(tiers: list[Tier], k: int) -> str | None:
    """Return the rule that tier k breaks by running with the tier before, or None."""
    if k == 0 or tiers[k].agree_with != tiers[k - 1].name:
        return "runs side by side with the tier just before only"
    if tiers[k - 1].kind == "cache":
        return "a cache runs side by side with no tier"
    if tiers[k - 1].agree_with is not None:
        return "the tier before is already one of two"
    if tiers[k - 1].local != tiers[k].local:
        return "of two tiers side by side both are local, or neither is"
    return None


def _tier_answers(scenario: Scenario, k: int) -> Iterator[Problem]:
    tier = scenario.tiers[k]
    where: Key = ("tiers", k)
    if tier.kind == "cache":
        return
    replay = scenario.answers.source == "replay"
    if tier.prompt is not None:
        yield from _prompt(tier, tier.prompt, (*where, "prompt"), replay)
    if replay and tier.answers is None:
        return
    for name in ("model", "usd_column"):
        value = getattr(tier, name)
        if value is not None and replay:
            rule = f"{name} is of the evaluation table, and this tier has answers of its own"
            yield Problem(rule, "keep one of the two", (*where, name), value)
        elif value is not None:
            yield _belongs((*where, name), value, "replayed answers")
    if replay and tier.verifier is not None and tier.verifier.column is not None:
        rule = "the evaluation table has no verdicts on a tier's own answers"
        at = (*where, "verifier", "column")
        yield Problem(rule, "give catch_rate and false_alarm_rate", at, tier.verifier.column)
    if tier.answers is None:
        rule = f"{MISSING}; synthetic answers need it at every tier but the cache"
        yield Problem(rule, "add answers, with accuracy at least", (*where, "answers"))
        return
    where = (*where, "answers")
    quantiles = tier.answers.score_quantiles or []
    if sorted(quantiles) != quantiles:
        at = (*where, "score_quantiles")
        yield Problem("the quantiles must not decrease", "put them in order", at, quantiles)
    table = tier.answers.calibration.table
    if table is not None:
        rises = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(table))
        if not rises or len(table) < 2:
            rule = "must be two pairs at least, rising in the first and not falling in the second"
            at = (*where, "calibration", "table")
            yield Problem(rule, "put the pairs in order of the score", at, table)


def _prompt(tier: Tier, prompt: Prompt, where: Key, replay: bool) -> Iterator[Problem]:
    measured = "measure the other prompt, and name it as another model of the table"
    change, at = prompt.accuracy_change, (*where, "accuracy_change")
    if change and replay and tier.answers is None:
        rule = "the evaluation table says how often it is right, with the prompts measured there"
        yield Problem(rule, measured, at, change)
    elif change and tier.adapted is not None and not 0 < tier.adapted.accuracy <= 1:
        rule = f"makes an accuracy of {tier.adapted.accuracy:.3g}"
        yield Problem(rule, "it must be above 0 and at most 1", at, change)
    if tier.usd_column is not None:
        rule = "usd_column has the prices of calls with the prompts measured there"
        yield Problem(rule, measured, (*where, "token_factor"), prompt.token_factor)


def _router(scenario: Scenario, router: Router) -> Iterator[Problem]:
    if len(router.starts) != len(router.cuts) + 1:
        rule = f"{len(router.cuts)} cuts need {len(router.cuts) + 1} starts"
        yield Problem(rule, "add or take away a start", ("router", "starts"), router.starts)
    if any(a >= b for a, b in pairwise(router.cuts)):
        yield Problem("cuts must ascend", "put them in order", ("router", "cuts"), router.cuts)
    asked = [tier.name for tier in scenario.tiers if tier.kind != "cache"]
    starts = [
        tier.name
        for tier in scenario.tiers
        if tier.name in asked and not (tier.agree_with or tier.fallback)
    ]
    for i, name in enumerate(router.starts):
        if name not in starts:
            rule = "a router starts at no tier of this name"
            yield Problem(rule, proposal(name, starts), ("router", "starts", i), name)
    if router.about is not None and router.about not in asked:
        rule = "no tier of this name answers"
        yield Problem(rule, proposal(router.about, asked), ("router", "about"), router.about)
    if router.column is not None and scenario.answers.source != "replay":
        yield _belongs(("router", "column"), router.column, "replayed answers")
    for name in ("auroc", "about"):
        given = getattr(router, name)
        if router.column is not None and given is not None:
            rule = "the column already says what the router sees"
            yield Problem(rule, "keep column or auroc and about", ("router", name), given)
        if router.column is None and given is None:
            rule = f"{MISSING}; a router needs auroc and about, or a column"
            yield Problem(rule, f"add {name}", ("router", name))


def _targets(scenario: Scenario) -> Iterator[Problem]:
    for i, target in enumerate(scenario.targets):
        where: Key = ("targets", i)
        if (target.at_most is None) == (target.at_least is None):
            yield Problem("needs one of at_most and at_least", "give exactly one", where)
        known = MEASURES if target.segment is None else SEGMENT_MEASURES
        if target.measure not in known:
            rule = "is no measure of the summary"
            if target.measure in MEASURES:
                rule = "is no measure of a segment"
            remedy = proposal(target.measure, known)
            yield Problem(rule, remedy, (*where, "measure"), target.measure)
        segments = [segment.name for segment in scenario.traffic.segments]
        if target.segment is not None and target.segment not in segments:
            rule, remedy = "no segment has this name", proposal(target.segment, segments)
            yield Problem(rule, remedy, (*where, "segment"), target.segment)


def _assumptions(scenario: Scenario) -> Iterator[Problem]:
    for i, assumption in enumerate(scenario.assumptions):
        try:
            scenario.value_at(assumption.key)
        except LookupError as error:
            part, known = error.args
            where = ("assumptions", i, "key")
            yield Problem(f"{UNKNOWN}: {part}", proposal(part, known), where, assumption.key)
