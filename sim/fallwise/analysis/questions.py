"""Intervals that know how few different questions a replayed table has.

A run can draw a table of 2,000 labelled queries a million times; it then knows that table well, but
other queries no better than 2,000 labels tell. So the requests are also put into groups by their
query, whose differences show what another table would have given, and the wider interval counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from fallwise.analysis.intervals import BATCHES, batch_ratio
from fallwise.analysis.predict import Prediction
from fallwise.analysis.sample import Json, Sample
from fallwise.analysis.tally import Tally, add, rows, tally
from fallwise.draw import questions, stream
from fallwise.tables import Floats, Int64s

__all__ = ["asked", "by_groups", "by_quantile", "by_question", "outer", "widened"]

DRAWS: Final = 200
"""Times that the questions are drawn again."""


def by_question(prediction: Prediction, cuts: Sequence[int], sample: Sample) -> Sample | None:
    """Return the same sample in groups of whole queries; None where no query comes twice.

    Time is nobody's question: each group has its part of the clock, and no quantiles.
    """
    if not _comes_again(prediction):
        return None
    groups: list[Tally] = [{} for _ in range(BATCHES)]
    for run, cut in zip(prediction.runs, cuts, strict=True):
        query = questions(prediction.scenario, run.seed, len(run.outcomes))[cut:]
        # Neighbours in a table may be alike; every thirtieth together makes the groups equal.
        group = (query % BATCHES).astype(np.int8)  # So few are sorted by counting.
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


def asked(prediction: Prediction, cuts: Sequence[int]) -> Int64s | None:
    """Return which question each measured request asks; None where no table is asked again."""
    if not _comes_again(prediction):
        return None
    return np.concatenate(
        [
            questions(prediction.scenario, run.seed, len(run.outcomes))[cut:]
            for run, cut in zip(prediction.runs, cuts, strict=True)
        ]
    )


def _comes_again(prediction: Prediction) -> bool:
    answers = prediction.scenario.answers
    return answers.source == "replay" and answers.sample != "each_once"


def by_groups(values: Floats, question: Int64s) -> tuple[float, float]:
    """Return between what a column's mean is with other questions, from groups of whole ones."""
    group = question % BATCHES
    over, count = np.bincount(group, values), np.bincount(group)
    there = count > 0
    found = batch_ratio(over[there], count[there])
    return found.low, found.high


def by_quantile(
    a: Floats, b: Floats, question: Int64s, qs: Iterable[float]
) -> dict[float, tuple[float, float]]:
    """Return between what a's quantiles less b's are with other questions, drawn again and again.

    Row i of both is the same request. Few questions are alike by chance, so draws are set apart as
    Student's t would have it. Source: Efron and Tibshirani, An Introduction to the Bootstrap
    (1993), sections 8 and 12.
    """
    from scipy.stats import norm, t

    numbers, block = np.unique(question, return_inverse=True)
    number, qs = len(numbers), tuple(qs)
    if number < 2:
        return dict.fromkeys(qs, (math.nan, math.nan))
    # The data first: each question once.
    chance = stream(0, "questions")
    drawn = chance.multinomial(number, np.full(number, 1 / number), DRAWS)
    times = np.vstack([np.ones(number, np.int64), drawn])
    found = _quantiles(a, block, times, qs) - _quantiles(b, block, times, qs)
    wider = t.ppf(0.975, number - 1) / norm.ppf(0.975) * math.sqrt(number / (number - 1))
    ends = found[0] + wider * (np.quantile(found[1:], [0.025, 0.975], axis=0) - found[0])
    return {q: (float(low), float(high)) for q, low, high in zip(qs, *ends, strict=True)}


def _quantiles(values: Floats, block: Int64s, times: Int64s, qs: Sequence[float]) -> Floats:
    """Return (draws, len(qs)) quantiles of values (n,), each block counted so many times."""
    order = np.argsort(values, kind="stable")
    ascending, block = values[order], block[order]
    found = np.empty((len(times), len(qs)))
    for i, count in enumerate(times):
        below = np.cumsum(count[block])
        at = np.searchsorted(below, np.array(qs) * below[-1])
        found[i] = ascending[np.minimum(at, len(values) - 1)]
    return found


def outer(found: dict[str, Any], low: float, high: float) -> dict[str, Any]:
    """Return an estimate whose interval holds these ends as well; those that are unknown do not."""
    if found["low"] is None or not math.isfinite(low) or not math.isfinite(high):
        return found
    return found | {"low": min(found["low"], low), "high": max(found["high"], high)}


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
