"""Intervals that know how few different questions a replayed table has.

A run can draw a table of 2,000 labelled queries a million times; it then knows that table well, but
other queries no better than 2,000 labels tell. So the requests are also put into groups by their
query, whose differences show what another table would have given, and the wider interval counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fallwise.analysis.intervals import BATCHES
from fallwise.analysis.predict import Prediction
from fallwise.analysis.sample import Json, Sample
from fallwise.analysis.tally import Tally, add, rows, tally
from fallwise.draw import questions

__all__ = ["by_question", "widened"]


def by_question(prediction: Prediction, cuts: Sequence[int], sample: Sample) -> Sample | None:
    """Return the same sample in groups of whole queries; None where no query comes twice.

    Time is nobody's question: each group has its part of the clock, and no quantiles.
    """
    answers = prediction.scenario.answers
    if answers.source != "replay" or answers.sample == "each_once":
        return None
    groups: list[Tally] = [{} for _ in range(BATCHES)]
    for run, cut in zip(prediction.runs, cuts, strict=True):
        query = questions(prediction.scenario, run.seed, len(run.outcomes))[cut:]
        # Neighbours in a table may be alike; every thirtieth together makes the groups equal.
        group = query % BATCHES
        order = np.argsort(group, kind="stable")
        edges = np.searchsorted(group[order], np.arange(BATCHES + 1)).tolist()
        requests, outcomes = run.requests.take(order + cut), run.outcomes.take(order + cut)
        for g, (begin, end) in enumerate(pairwise(edges)):
            if begin < end:
                part = rows(requests, begin, end), rows(outcomes, begin, end)
                groups[g] = add([groups[g], tally(prediction.scenario, *part)])
    there = [group for group in groups if group]
    total = sample.total
    for name in total:
        if name == "gap_s" or name.endswith((".held_s", ".rented_s")):
            for sums in there:
                sums[name] = round(total[name] * sums["n"] / total["n"])
    return Sample(
        scenario=sample.scenario,
        batches=there,
        total=total,
        times=_NoTimes(),
        cuts=cuts,
        requests=sample.requests,
        seconds_simulated=sample.seconds_simulated,
    )


class _NoTimes:
    def quantile(self, name: str, q: float) -> Json | None:
        return None

    def above(self, name: str, value_s: float) -> int:
        return 0


def widened(found: Any, other: Any) -> Any:
    """Return a summary whose every interval holds that of the other as well."""
    if isinstance(found, dict) and isinstance(other, dict):
        if found.keys() == {"value", "low", "high"}:
            return {
                "value": found["value"],
                "low": _outer(min, found["low"], other.get("low")),
                "high": _outer(max, found["high"], other.get("high")),
            }
        return {name: widened(value, other.get(name)) for name, value in found.items()}
    if isinstance(found, list) and isinstance(other, list) and len(found) == len(other):
        return [widened(*pair) for pair in zip(found, other, strict=True)]
    return found


def _outer(choose: Any, end: float | None, other: float | None) -> float | None:
    return end if end is None or other is None else choose(end, other)
