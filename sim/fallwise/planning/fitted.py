"""A fitted scenario as a file: YAML, with the source of each number in a comment."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fallwise.planning.fit import FittedTier
from fallwise.planning.replayed import flow, lacks, named

__all__ = ["assumed", "left_out", "scenario_text"]


def scenario_text(name: str, source: str, questions: int, tiers: Sequence[FittedTier]) -> str:
    """Return the scenario file of fitted tiers, cheapest first; it reads back as a Scenario."""
    names = named([tier.model for tier in tiers])
    lines = [
        f"# Fitted by `fallwise fit` to {questions:,} questions of {source}.",
        *(f"# {said}" for said in left_out(tiers, questions)),
        f"name: {name}",
        "traffic:",
        "  arrivals: {kind: poisson, rate_rps: 1.0} # assumed",
    ]
    law = next((tier.output_tokens for tier in tiers if tier.output_tokens), None)
    if law is not None:
        p50, p99 = (max(1.0, x) for x in law)
        tokens = f"{{kind: lognormal, p50_tokens: {p50:.6g}, p99_tokens: {p99:.6g}}}"
        lines += [
            "  segments:",
            "    # p50 and p99 of the first tier's output_tokens",
            f"    - output_tokens: {tokens}",
        ]
    lines += ["answers: {source: synthetic}", "tiers:"]
    for i, (tier, its_name) in enumerate(zip(tiers, names, strict=True)):
        factor = 1.0
        if law is not None and tier.output_tokens is not None and i:
            factor = max(tier.output_tokens[0], 1.0) / max(law[0], 1.0)
        lines += _tier(tier, its_name, i < len(tiers) - 1, factor)
    lines.append("assumptions:")
    lines += [
        f"  - {{key: {key}, why: {json.dumps(why, ensure_ascii=False)}}}"
        for key, why in assumed(tiers)
    ]
    return "\n".join([*lines, "run: {requests: 200000, seed: 1}", ""])


def assumed(tiers: Sequence[FittedTier]) -> list[tuple[str, str]]:
    """Return each key of the scenario that the table said nothing about, and why it is assumed."""
    found = [("traffic.arrivals.rate_rps", "an evaluation table says nothing about traffic")]
    timed, priced = any(tier.service for tier in tiers), any(tier.usd is not None for tier in tiers)
    for i, (tier, name) in enumerate(zip(tiers, named([t.model for t in tiers]), strict=True)):
        if tier.service is None:
            found.append((f"tiers.{name}.service.value_s", lacks("seconds", tier.model, timed)))
        if tier.usd is None:
            found.append((f"tiers.{name}.usd_per_request", lacks("cost_usd", tier.model, priced)))
        if i < len(tiers) - 1:
            found.append((f"tiers.{name}.threshold", "to begin with; fallwise tune picks one"))
    return found


def left_out(tiers: Sequence[FittedTier], questions: int) -> list[str]:
    """Return what was fitted to fewer than all questions, since some have no such number."""
    return [
        f"{missing:,} of {questions:,} questions have no {column} of {_plain(tier.model)}: what is "
        f"read off that column is of the other {questions - missing:,}."
        for tier in tiers
        for column, missing in tier.gaps.items()
    ]


def _tier(tier: FittedTier, name: str, first: bool, factor: float) -> list[str]:
    lines = [f"  - name: {name} # {_plain(tier.model)}", "    kind: api"]
    if tier.service is None:
        lines.append("    service: {kind: fixed, value_s: 1.0} # assumed")
    else:
        lines.append(f"    # {tier.service.words}; KS {tier.service.ks:.3f} to the column seconds")
        lines.append(f"    service: {flow(tier.service.law)}")
    if factor != 1:
        lines.append(f"    output_token_factor: {factor:.4g} # median length over the first tier's")
    if tier.usd is None:
        lines.append("    usd_per_request: 0.0 # assumed")
    else:
        lines.append(f"    usd_per_request: {tier.usd:.9g} # mean of the column cost_usd")
    if first:
        steps = tier.score_quantiles or (0.5,)
        lines.append(f"    threshold: {steps[len(steps) // 2]:.6g} # assumed")
    lines += [
        "    answers:",
        f"      accuracy: {tier.accuracy:.6g} # share of answers of grade 0.5 or more",
        f"      loading: {tier.loading:.4g} # tetrachoric correlations, one shared factor",
    ]
    if tier.auroc is not None:
        lines += [
            f"      auroc: {tier.auroc:.6g} # of the score for its own right answers",
            f"      score_loading: {tier.score_loading:.4g} # by its AUROC for another model's",
            "      # the score at equal steps of probability",
            f"      score_quantiles: {_list(tier.score_quantiles or ())}",
        ]
    return lines


def _list(values: Sequence[float]) -> str:
    # Every digit: an atom that is rounded is another score, on the other side of a threshold.
    return "[" + ", ".join(repr(float(value)) for value in values) + "]"


def _plain(text: str) -> str:
    """Return a text that stays inside of its comment."""
    return " ".join(text.split())
