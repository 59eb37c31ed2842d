"""Do scores mean what they say, and what does it cost to believe them?

Who has no graded answers takes a score for the probability that the answer is right, and the
frontier to be as good on what it is sent as on everything. He picks the cheapest threshold that
then promises his quality. Maps are learnt on the tuning half; all is reported on the other.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from fallwise.analysis.bootstrap import bounds, resampled
from fallwise.analysis.calibration import Reliability, auroc, brier, ece, reliability
from fallwise.analysis.money import SECONDS_PER_MONTH
from fallwise.analysis.quality import threshold_curve
from fallwise.analysis.recalibrate import Recalibration, recalibrations
from fallwise.analysis.tally import SURE
from fallwise.draw import stream
from fallwise.engines.engine import Engine
from fallwise.planning.halves import Half, query_ids
from fallwise.planning.pick import Goal, pick
from fallwise.planning.side import Side, side_of
from fallwise.scenario import Scenario

__all__ = ["trust"]

Json = dict[str, Any]

ROWS: Final = 10_000
"""So many answers of a half are looked at; more would tell nothing new."""
DRAWS: Final = 200
LISTED: Final = 20
BINS: Final = 10
MARGIN: Final = 0.01


def trust(
    scenario: Scenario, goal: Goal, halves: tuple[Half, Half], seed: int, engine: Engine
) -> list[Json]:
    """Return for each tier with a threshold whose scores are in [0, 1] how far to believe them.

    All tiers' other thresholds are the scenario's. At a budget the quality that is aimed at is
    the frontier's less a point.
    """
    found = []
    for k, tier in enumerate(scenario.tiers):
        scores = [half.requests.score[:, k] for half in halves]
        if tier.threshold is None or min(s.min() for s in scores) < 0:
            continue
        if max(s.max() for s in scores) > 1 or tier.kind == "cache":
            continue
        tuning, reporting = (side_of(scenario, half, k, engine) for half in halves)
        found.append(
            {"tier": tier.name}
            | _scores(halves, k, seed)
            | _believed(goal, tuning, reporting, k)
            | {"confident_and_wrong": _sure(scenario, halves, k)}
        )
    return found


def _maps(half: Half, k: int) -> list[Recalibration]:
    rows = slice(ROWS)
    score = half.requests.score[rows, k]
    return recalibrations(score, half.requests.correct[rows, k].astype(np.float64))


def _scores(halves: tuple[Half, Half], k: int, seed: int) -> Json:
    """Return the measures of calibration of the reporting half, before and after each map."""
    half, rows = halves[1], slice(ROWS)
    score = half.requests.score[rows, k]
    correct = half.requests.correct[rows, k].astype(np.float64)
    weight, question = half.weight[rows], half.question[rows]
    chance = stream(seed, f"trust.{k}")
    means = resampled(np.column_stack([score, correct]), question, weight, chance, DRAWS)
    picks = [chance.integers(0, len(score), len(score)) for _ in range(DRAWS)]
    maps = []
    for one in _maps(halves[0], k):
        p = one.map(score)
        maps.append(
            {
                "name": one.name,
                **one.numbers,
                "ece": _basic(ece(p, correct), [ece(p[i], correct[i]) for i in picks]),
                "ece_equal_width": ece(p, correct, equal="width"),
                "brier": _basic(brier(p, correct), [brier(p[i], correct[i]) for i in picks]),
                "groups": _groups(reliability(p, correct, BINS)),
            }
        )
    area = auroc(score, correct)
    return {
        "answers": len(score),
        "score_mean": bounds(means[:, 0]),
        "quality": bounds(means[:, 1]),
        "auroc": area
        and _basic(area, [x for i in picks if (x := auroc(score[i], correct[i])) is not None]),
        "maps": maps,
    }


def _groups(found: Reliability) -> list[Json]:
    """Return the groups of a reliability diagram, lowest score first; share is of all answers."""
    columns = found.score_mean, found.quality, found.low, found.high
    share = found.count / found.count.sum()
    names = "score_mean", "quality", "low", "high", "share"
    rows = zip(*(x.tolist() for x in (*columns, share)), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _basic(value: float, drawn: list[float]) -> Json:
    """Return an estimate with the bootstrap's basic interval, cut at 0.

    A calibration error is never below 0, and resamples have more of it than the data: the interval
    turns that around. Source: Davison and Hinkley, Bootstrap Methods (1997), section 2.4.
    """
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return {"value": value, "low": max(2 * value - high, 0.0), "high": max(2 * value - low, 0.0)}


def _believed(goal: Goal, tuning: Side, reporting: Side, k: int) -> Json:
    """Return what each reading of the score promises, what comes of it, and what labels give."""
    ways = tuning.fork
    assert ways is not None
    weight, frontier = tuning.half.weight, tuning.frontier
    alone = float(np.average(frontier[0], weights=weight))
    margin = MARGIN if goal.margin is None else goal.margin
    aim = Goal(margin=margin) if goal.quality is None else Goal(quality=goal.quality)
    bar = alone - margin if goal.quality is None else goal.quality
    found = pick(aim, tuning.candidates(aim))
    labelled = math.nan if found is None else found.threshold
    right = _came(reporting, labelled)
    rows = []
    for one in _maps(tuning.half, k):
        p = one.map(ways.score)
        # What he does not ask this tier about, he takes to be answered as by the frontier.
        curve = threshold_curve(
            ways.score, (np.where(ways.asked, p, alone), alone), ways.cost_usd, ways.asked, weight
        )
        enough = np.flatnonzero(curve.quality >= bar - 1e-12)
        at, promised = math.nan, alone
        if len(enough):
            best = enough[curve.cost_usd_mean[enough].argmin()]
            at, promised = float(curve.threshold[best]), float(curve.quality[best])
        came = _came(reporting, at)
        rows.append(
            {
                "name": one.name,
                "frontier_only": math.isnan(at),
                "threshold": at if math.isfinite(at) else None,
                "promised": promised,
                **came,
                "points": 100 * (came["quality"] - promised),
                "usd_per_month": (came["cost_usd_mean"] - right["cost_usd_mean"])
                / reporting.half.gap_s
                * SECONDS_PER_MONTH,
            }
        )
    best = {"threshold": labelled if math.isfinite(labelled) else None} | right
    return {"aim": bar, "believed": rows, "labelled": best}


def _came(side: Side, threshold: float) -> Json:
    quality, cost = (float(np.average(x, weights=side.half.weight)) for x in side.at(threshold)[:2])
    return {"quality": quality, "cost_usd_mean": cost}


def _sure(scenario: Scenario, halves: tuple[Half, Half], k: int) -> Json:
    """Return how many answers are wrong with a score above SURE, and which, surest first."""
    total, rows = 0, []
    for half in halves:
        score, correct = half.requests.score[:, k], half.requests.correct[:, k]
        wrong = np.flatnonzero((correct < 0.5) & (score > SURE))
        _, first = np.unique(half.question[wrong], return_index=True)
        wrong = wrong[first]
        total += len(wrong)
        order = wrong[np.argsort(-score[wrong], kind="stable")][:LISTED]
        ids = query_ids(half, order)
        right = half.requests.correct[order, scenario.frontier] >= 0.5
        for i, name, ok in zip(order.tolist(), ids, right.tolist(), strict=True):
            if name is not None:
                rows.append({**name, "score": float(score[i]), "frontier_right": ok})
    rows.sort(key=lambda row: (-row["score"], str(row["query_id"])))
    asked = sum(half.labels for half in halves)
    return {"above": SURE, "count": total, "share": total / asked, "queries": rows[:LISTED]}
