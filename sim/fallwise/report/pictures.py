"""The figures of a run that are written as PNG and SVG: those of its page, and a few more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fallwise import plots
from fallwise.analysis.predict import Prediction
from fallwise.analysis.quality import Curve, sweep
from fallwise.analysis.summary import SCORED
from fallwise.draw.replay import model_of
from fallwise.planning.thresholds import paths_of
from fallwise.report.charts import flow
from fallwise.tables import RequestTable

__all__ = ["figures"]

Summary = dict[str, Any]

LONGEST: Final = 1_000_000
"""Curves are not made of more requests."""


def figures(
    summary: Summary, prediction: Prediction | None, moves: Summary | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield the matplotlib figures of a run that have something to show, with their names.

    moves is what `sensitivity` or `movers` found of its scenario. Without baselines
    there is no quality against cost and no flow; without thresholds on probabilities no
    reliability diagram; without a prediction what the summary alone can tell.
    """
    if prediction is not None:
        yield from _of_requests(summary, prediction)
    yield "tier-hits", plots.tier_hits(summary)
    if summary["cache_over_time"]:
        yield "cache-over-time", plots.cache_over_time(summary)
    if moves is not None and any(moves["tornado"].values()):
        yield "tornado", plots.tornado({**summary, **moves})


def _of_requests(summary: Summary, prediction: Prediction) -> Iterator[tuple[str, Any]]:
    """Yield the figures for which each request is looked at."""
    runs = list(zip(prediction.runs, summary["warmup_requests"], strict=True))
    if summary["baselines"]:
        yield "quality-cost", plots.quality_against_cost(summary, _curves(summary, prediction))
        yield "flow", plots.where_requests_end(summary, _flow(summary, prediction))
    sojourn_s = np.concatenate([run.outcomes.sojourn_s[cut:] for run, cut in runs])
    path = np.concatenate([run.outcomes.path[cut:] for run, cut in runs])
    yield "latency", plots.latency_by_path(summary, sojourn_s, path)
    if summary["calibration"]:
        names = [tier["tier"] for tier in summary["calibration"]]
        yield "reliability", plots.reliability_diagram(summary, _scored(names, prediction))


def _flow(summary: Summary, prediction: Prediction) -> list[Summary]:
    """Return the columns of requests as the page has them."""
    shares = ("visit_share", "hit_share", "quality")
    tiers = []
    for tier in summary["tiers"]:
        visited, hit, right = ((tier[name] or {"value": 0.0})["value"] or 0.0 for name in shares)
        shown = {"visit_share": visited, "hit_share": hit, "right_share": hit * right}
        tiers.append(shown | {"utilisation": None})
    paths = paths_of(prediction, summary["warmup_requests"])
    return flow({"paths": paths, "tiers": tiers}, [tier["name"] for tier in summary["tiers"]])


def _scored(names: list[str], prediction: Prediction) -> list[plots.Scored]:
    """Return what the summary's calibration is taken from."""
    scenario = prediction.scenario
    requests = prediction.requests.take(slice(SCORED))
    replayed = [k for k, tier in enumerate(scenario.tiers) if model_of(tier) is not None]
    rows = np.concatenate([requests.score[:, replayed], requests.answer[:, replayed]], axis=1)
    found = []
    for name in names:
        k = scenario.index(name)
        threshold = scenario.tiers[k].threshold
        assert threshold is not None
        again = scenario.answers.source == "replay" and k in replayed
        distinct = len(np.unique(rows, axis=0)) if again else len(requests)
        score, correct = requests.score[:, k], requests.correct[:, k]
        found.append(plots.Scored(name, threshold, score, correct, distinct))
    return found


def _curves(summary: Summary, prediction: Prediction) -> dict[str, Curve]:
    """Return the curve of each tier's threshold, on the requests that the summary measured.

    A sweep counts calls only. Rented capacity does not depend on thresholds, so the summary's is
    added to every point.
    """
    scenario, cuts = prediction.scenario, summary["warmup_requests"]
    runs = list(zip(prediction.runs, cuts, strict=True))
    calls = np.concatenate([run.outcomes.cost_usd[cut:] for run, cut in runs])  # type: ignore[index]
    rent = summary["cost_usd_mean"]["value"] - float(calls.mean())
    measured = RequestTable.concat([run.requests.take(slice(cut, LONGEST)) for run, cut in runs])
    measured = measured.take(slice(LONGEST))
    # Nobody queues in a sweep: runs may follow each other as if they were one.
    measured = replace(measured, arrival_ns=np.arange(len(measured), dtype=np.int64))
    curves = {}
    for k, tier in enumerate(scenario.tiers):
        if tier.threshold is not None:
            curve = sweep(scenario, measured, k)
            curves[tier.name] = replace(curve, cost_usd_mean=curve.cost_usd_mean + rent)
    return curves
