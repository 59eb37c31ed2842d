"""Candidates on the same requests, paired; and where the seconds went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fallwise.analysis.intervals import Estimate, paired, paired_quantile
from fallwise.analysis.money import rent_usd
from fallwise.analysis.predict import Prediction
from fallwise.analysis.sample import warmup
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario import Scenario
from fallwise.tables import NOT_VISITED, Floats

__all__ = ["differences", "seconds_by_path", "worst_case_s"]


def differences(candidates: Sequence[tuple[str, Prediction]]) -> list[dict[str, Any]]:
    """Return what each candidate has more than the first: dollars, quality, seconds at p99.

    Row i of all is the same request, so the chance that they share drops out of the difference;
    variance_reduction says how many times the requests two independent runs would have needed.
    ScenarioError where their requests are not the same.
    """
    (first, base), *others = candidates
    for name, other in others:
        if not np.array_equal(base.requests.arrival_ns, other.requests.arrival_ns):
            rule = f"does not have the same requests as {first}"
            remedy = "compare scenarios with the same traffic, run.requests and seed"
            raise ScenarioError(Problem(rule, remedy, ("traffic",), name))
    cut = max(warmup(prediction)[0] for _, prediction in candidates)
    return [_difference(name, other, first, base, cut) for name, other in others]


def _difference(name: str, a: Prediction, other: str, b: Prediction, cut: int) -> dict[str, Any]:
    cost = paired(_cost_usd(a, cut), _cost_usd(b, cut))
    quality = paired(_correct(a, cut), _correct(b, cut))
    mine, theirs = (x.outcomes.sojourn_s[cut:] for x in (a, b))
    found: dict[str, Any] = {"a": name, "b": other}
    for measure, pair in (
        ("cost_usd_mean", cost),
        ("quality", quality),
        ("sojourn_s_mean", paired(mine, theirs)),
        ("sojourn_s_p99", paired_quantile(mine, theirs, 0.99)),
    ):
        estimate: Estimate = pair.difference
        reduction = pair.variance_reduction
        found[measure] = estimate.dict() | {
            "variance_reduction": float(reduction) if np.isfinite(reduction) else None
        }
    return found


def _cost_usd(prediction: Prediction, cut: int) -> Floats:
    """Return what each measured request cost, with its part of the rent by the clock."""
    outcomes, scenario = prediction.outcomes, prediction.scenario
    assert outcomes.cost_usd is not None
    return np.asarray(outcomes.cost_usd + rent_usd(scenario, outcomes))[cut:]


def _correct(prediction: Prediction, cut: int) -> Floats:
    assert prediction.outcomes.correct is not None
    return np.asarray(prediction.outcomes.correct[cut:], np.float64)


def seconds_by_path(prediction: Prediction, most: int = 6) -> list[dict[str, Any]]:
    """Return, for the most frequent paths, the mean seconds by tier: queue, service; and the rest.

    `other` is what no tier's queue or server took: the router, verifiers, waits for the slower
    one of a pair.
    """
    outcomes, tiers = prediction.outcomes, prediction.scenario.tiers
    path, counts = np.unique(outcomes.path, return_counts=True)
    found = []
    for bits in path[np.argsort(-counts, kind="stable")][:most].tolist():
        rows = outcomes.path == bits
        parts = []
        for k, tier in enumerate(tiers):
            there = rows & (outcomes.visit[:, k] != NOT_VISITED)
            if not there.any():
                continue
            wait_s = float(outcomes.wait_s[there, k].sum() / rows.sum())
            visit_ns = (outcomes.finish_ns[there, k] - outcomes.enter_ns[there, k]).sum()
            service_s = float(visit_ns / 1e9 / rows.sum()) - wait_s
            parts.append({"tier": tier.name, "queue_s": wait_s, "service_s": service_s})
        sojourn_s = float(outcomes.sojourn_s[rows].mean())
        # Two tiers side by side take their seconds at the same time: the rest is never negative.
        taken = sum(part["queue_s"] + part["service_s"] for part in parts)  # type: ignore[operator]
        found.append(
            {
                "path": [tier.name for k, tier in enumerate(tiers) if bits >> k & 1],
                "share": float(rows.mean()),
                "sojourn_s_mean": sojourn_s,
                "tiers": parts,
                "other_s": max(0.0, sojourn_s - taken),
            }
        )
    return found


def worst_case_s(scenario: Scenario) -> float | None:
    """Return the longest time that the timeouts allow: their sum; None where a tier has none.

    Verifiers and the router have no timeout: where they take time, there is no bound either.
    """
    untimed = [tier.verifier.service for tier in scenario.tiers if tier.verifier]
    untimed += [scenario.router.service] if scenario.router else []
    if any(law is not None for law in untimed):
        return None
    total = 0.0
    for k, tier in enumerate(scenario.tiers):
        if tier.kind == "cache":
            total += tier.lookup_s or 0.0
        elif tier.timeout_s is None:
            return None
        elif tier.agree_with is None:
            total += tier.timeout_s
        else:
            # Side by side with the tier before, the longer of the two counts.
            total += max(0.0, tier.timeout_s - (scenario.tiers[k - 1].timeout_s or 0.0))
    return total
