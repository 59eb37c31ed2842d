"""Operational risk: answers that passed every check of their tier, were shipped, and were wrong."""

from __future__ import annotations

from typing import Any

from fallwise.analysis.sample import Sample
from fallwise.analysis.tally import checked

__all__ = ["risk"]


def risk(sample: Sample) -> dict[str, Any]:
    """Return the share and the cost of wrong answers, in all, by tier and by segment.

    confident_wrong is what a tier with a threshold, a verifier or a pair let through: score at or
    above the threshold, verifier passed, and wrong. Shares are of all requests (in a segment: of
    its own); dollars are a request's, at the stakes of its segment, and in no other cost. A tier
    has the answers that it made, also those that a cache gave again.
    """
    scenario = sample.scenario
    names = [tier.name for tier in scenario.tiers]
    segments = scenario.traffic.segments
    several = segments if len(segments) > 1 else []
    return {
        **_of(sample, "", "n"),
        "tiers": [
            {"name": names[k]} | _of(sample, f"made{k}.", "n")
            for k, looked_at in enumerate(checked(scenario))
            if looked_at
        ],
        "segments": [
            {"name": segment.name, "wrong_answer_usd": segment.wrong_answer_usd}
            | _of(sample, f"segment{j}.", f"segment{j}.n")
            for j, segment in enumerate(several)
        ],
    }


def _of(sample: Sample, name: str, under: str) -> dict[str, Any]:
    return {
        "wrong_share": sample.share(f"{name}incorrect", under),
        "wrong_usd_mean": sample.ratio(f"{name}stakes_usd", under),
        "confident_wrong_share": sample.share(f"{name}passed_incorrect", under),
        "confident_wrong_usd_mean": sample.ratio(f"{name}passed_usd", under),
    }
