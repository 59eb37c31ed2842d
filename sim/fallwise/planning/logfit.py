"""From a gateway log to a scenario: traffic, latency, lengths, repeats and prices as they were.

What it does not know: right and wrong (an evaluation table does), and what a call would have taken
without the others: logged seconds have the provider's queue in them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fallwise.analysis.intervals import Estimate, batch_mean
from fallwise.analysis.learning import arrivals_of
from fallwise.draw.logs import GatewayLog
from fallwise.errors import Problem, TableError
from fallwise.planning.laid import laid
from fallwise.planning.latency import FEWEST, Fitted, latency_law, times_of
from fallwise.planning.replayed import flow, named
from fallwise.tables import Bools, Floats, Int64s

__all__ = ["FittedLog", "LoggedTier", "assumed", "fit_log", "log_text", "trace_text"]

EXACT: Final = 0.01
"""Token prices must give each logged cost back to so much, else the mean is used."""
ACCURACY: Final = (0.8, 0.9)
"""Of the first and of the last tier: assumed, since a log has no grades."""


@dataclass(frozen=True)
class LoggedTier:
    """One model's calls: those that were answered, without those from a cache.

    prices are USD per million prompt and output tokens; usd a call, where they do not explain it.
    laid has the logged seconds beside those of the law.
    """

    model: str
    calls: int
    failed: int
    service: Fitted
    prices: tuple[float, float] | None
    usd: float | None
    output_tokens: float | None
    laid: dict[str, Any]


@dataclass(frozen=True)
class FittedLog:
    """What a log says: tiers, cheapest first, and its requests, one a trace.

    arrival_s, prompt_tokens, output_tokens, key (n,), the last three None where not known
    gap_s  between two requests, on average
    dispersion by window: variance of the counts over their mean; of Poisson traffic 1
    """

    tiers: list[LoggedTier]
    arrival_s: Floats
    prompt_tokens: Floats | None
    output_tokens: Floats | None
    key: Int64s | None
    rate_rps: float
    gap_s: Estimate
    cv: float
    dispersion: dict[int, float]
    repeat_share: float | None
    cached_share: float
    escalated_share: float | None


def fit_log(log: GatewayLog, models: Sequence[str] | None = None) -> FittedLog:
    """Return what a log says about the given models, cheapest first; by default all, by mean cost.

    TableError: a model that the log does not have, or hardly, and less than three requests.
    """
    for model in models or ():
        if model not in log.models:
            rule, known = "is no model of the log", ", ".join(log.models)
            problem = Problem(rule, f"choose of {known}", ("model",), model, log.file)
            raise TableError(problem)
    names = list(models or log.models)
    tiers = [_tier(log, model) for model in names]
    if models is None:
        tiers.sort(key=lambda tier: tier.usd or 0.0)
    mine = np.isin(log.model, [log.models.index(name) for name in names])
    first = np.zeros(len(log), np.bool_)
    first[np.flatnonzero(mine)[np.unique(log.request[mine], return_index=True)[1]]] = True
    arrival_s = log.start_s[first] - log.start_s[first][0]
    if len(arrival_s) < 3 or arrival_s[-1] <= 0:
        problem = Problem("has less than three requests at different times", "give a longer log")
        raise TableError(problem.at(log.file))
    key = None if log.key is None else log.key[first]
    gaps = np.diff(arrival_s)
    bursts = arrivals_of(np.rint(arrival_s * 1e9).astype(np.int64))["dispersion"]
    distinct = np.unique(np.stack([log.request[mine], log.model[mine]]), axis=1)[0]
    calls = np.unique(distinct, return_counts=True)[1]
    several = len(names) > 1 and len(calls) < int(mine.sum())
    return FittedLog(
        tiers,
        arrival_s,
        _whole(log.prompt_tokens, first),
        _last_output(log, mine, first),
        key,
        len(gaps) / float(arrival_s[-1]),
        batch_mean(gaps),
        float(gaps.std() / gaps.mean()),
        {int(row["window_s"]): row["dispersion"] for row in bursts},
        None if key is None else 1 - len(np.unique(key)) / len(key),
        float(log.cached[first].mean()),
        float((calls > 1).mean()) if several else None,
    )


def _tier(log: GatewayLog, model: str) -> LoggedTier:
    calls = log.model == log.models.index(model)
    good = calls & log.ok & ~log.cached & (log.seconds > 0)
    n = int(good.sum())
    if n < FEWEST:
        rule = f"has {n} answered calls, at least {FEWEST} are needed"
        problem = Problem(rule, "leave it out with --tiers", ("model",), model, log.file)
        raise TableError(problem)
    seconds, output = log.seconds[good], log.output_tokens[good]
    known = bool(np.isfinite(output).all())
    first_s = log.first_s[good]
    streamed = bool(np.isfinite(first_s).all() and (first_s < seconds).any())
    service = latency_law(seconds, output if known else None, first_s if streamed else None)
    cost, prompt = log.cost_usd[good], log.prompt_tokens[good]
    priced = np.isfinite(cost)
    usd = float(cost[priced].mean()) if priced.any() else None
    prices = None
    if priced.all() and known and np.isfinite(prompt).all() and cost.any():
        lengths = np.column_stack([prompt, output])
        found = np.linalg.lstsq(lengths, cost, rcond=None)[0]
        if (found >= 0).all() and np.abs(lengths @ found - cost).max() <= EXACT * cost.max():
            prices = float(found[0] * 1e6), float(found[1] * 1e6)
    failed = int((calls & ~log.ok).sum())
    typical = float(np.median(output)) if known else None
    beside = laid(model, "seconds", seconds, times_of(service.law, n, output if known else None))
    return LoggedTier(model, n, failed, service, prices, usd, typical, beside)


def _whole(values: Floats, rows: Bools) -> Floats | None:
    found = values[rows]
    return np.rint(found) if np.isfinite(found).all() else None


def _last_output(log: GatewayLog, mine: Bools, first: Bools) -> Floats | None:
    """Return the output tokens of each request's first call."""
    return _whole(log.output_tokens, first & mine)


def trace_text(found: FittedLog) -> str:
    """Return the requests as a trace file: when, how long, and which question; no text."""
    columns: dict[str, list[Any]] = {"arrival_s": [f"{x:.6f}" for x in found.arrival_s.tolist()]}
    named_columns = (("prompt_tokens", found.prompt_tokens), ("output_tokens", found.output_tokens))
    for name, values in (*named_columns, ("key", found.key)):
        if values is not None:
            columns[name] = [int(x) for x in values.tolist()]
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n")
    write.writerow(columns)
    write.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def log_text(name: str, source: str, found: FittedLog, trace: str) -> str:
    """Return the scenario file of a log; its arrivals are those of the trace file."""
    lines = [
        f"# Fitted by `fallwise fit` to {len(found.arrival_s):,} requests of {source}.",
        f"# Measured: {found.rate_rps:.4g} requests a second, gaps' cv {found.cv:.3g}.",
        "# Logged seconds have the provider's own queueing in them; so nobody queues again here.",
        f"name: {name}",
        "traffic:",
        f"  arrivals: {{kind: trace, file: {trace}}} # the log's own requests, keys and lengths",
    ]
    laws = [
        f"{column}: {{kind: trace}}"
        for column, values in (
            ("prompt_tokens", found.prompt_tokens),
            ("output_tokens", found.output_tokens),
        )
        if values is not None
    ]
    if laws:
        lines += ["  segments:", f"    - {{{', '.join(laws)}}}"]
    lines += ["answers: {source: synthetic}", "tiers:"]
    names = named([tier.model for tier in found.tiers])
    length = found.tiers[0].output_tokens
    for i, (tier, its_name) in enumerate(zip(found.tiers, names, strict=True)):
        lines += _tier_text(tier, its_name, i, len(names), length)
    lines.append("assumptions:")
    lines += [f"  - {{key: {key}, why: {why}}}" for key, why in assumed(found)]
    return "\n".join([*lines, f"run: {{requests: {len(found.arrival_s)}, seed: 1}}", ""])


def _tier_text(tier: LoggedTier, name: str, i: int, tiers: int, length: float | None) -> list[str]:
    lines = [
        f"  - name: {name} # {' '.join(tier.model.split())}, {tier.calls:,} answered calls",
        "    kind: api",
        f"    # {tier.service.words}; KS {tier.service.ks:.3f} to the logged seconds",
        f"    service: {flow(tier.service.law)}",
    ]
    if tier.prices is not None:
        lines.append(f"    prompt_usd_per_mtok: {tier.prices[0]:.6g} # gives each logged cost back")
        lines.append(f"    output_usd_per_mtok: {tier.prices[1]:.6g} # gives each logged cost back")
    elif tier.usd is not None:
        lines.append(f"    usd_per_request: {tier.usd:.9g} # mean of the logged costs")
    else:
        lines.append("    usd_per_request: 0.0 # assumed")
    if length and tier.output_tokens and i and tier.output_tokens != length:
        factor = tier.output_tokens / length
        lines.append(f"    output_token_factor: {factor:.4g} # median length over the first tier's")
    if i < tiers - 1:
        lines.append("    threshold: 0.8 # assumed")
    return [*lines, f"    answers: {{{_answers(i, tiers)}}} # assumed"]


def _answers(i: int, tiers: int) -> str:
    low, high = ACCURACY
    accuracy = high if i == tiers - 1 else low + (high - low) * i / max(tiers - 1, 1)
    score = ", auroc: 0.75" if i < tiers - 1 else ""
    return f"accuracy: {accuracy:.4g}, loading: 0.7{score}"


def assumed(found: FittedLog) -> list[tuple[str, str]]:
    """Return each key of the scenario that the log said nothing about, and why it is assumed."""
    keys = []
    names = named([tier.model for tier in found.tiers])
    for i, (tier, name) in enumerate(zip(found.tiers, names, strict=True)):
        keys.append((f"tiers.{name}.answers", "a log says nothing about right and wrong"))
        if i < len(names) - 1:
            keys.append((f"tiers.{name}.threshold", "to begin with; fit an evaluation table"))
        if tier.usd is None:
            keys.append((f"tiers.{name}.usd_per_request", "the log has no costs"))
    return keys
