"""How many graded questions does a pick need? Tried by tuning on fewer of those that there are."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from fallwise.planning.pick import Goal, Pick, pick
from fallwise.planning.side import Ways

__all__ = ["WITHIN", "labels_needed"]

SIZES: Final = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
REPEATS: Final = 60
WITHIN: Final = 0.01
"""So near to what was promised a pick should come, in root mean square."""


def labels_needed(
    goal: Goal, tuning: Ways, reporting: Ways, chance: np.random.Generator, labels: int
) -> dict[str, Any]:
    """Return what picks from fewer labels come to on the reporting half, and how many are needed.

    tried: for each number of labels the root mean square of the difference of quality (and of cost,
    as a share) between what the pick promised and what came, and how often it missed its goal.
    needed: the labels from which promised and real quality differ by less than WITHIN, by the
    square-root law from the largest number tried where that is more. The reporting half's own
    chance is taken out. A search is not done again: fewer labels choose among what it found. labels
    of 0: nothing was tuned.
    """
    numbers, block = np.unique(tuning.half.question, return_inverse=True)
    if not labels:
        return {"tried": [], "needed": None}
    sizes = [n for n in SIZES if n <= len(numbers)]
    tried = []
    for n in sizes:
        picks = []
        for _ in range(REPEATS):
            asked = np.zeros(len(numbers), np.bool_)
            asked[chance.permutation(len(numbers))[:n]] = True
            picks.append(pick(goal, tuning.candidates(goal, asked[block])))
        tried.append({"labels": n, **_came(goal, picks, reporting)})
    known = [row for row in tried if row["quality_rmse"] is not None]
    if not known:
        return {"tried": tried, "needed": None}
    enough = [row["labels"] for row in known if row["quality_rmse"] <= WITHIN]
    last = known[-1]
    more = math.ceil(last["labels"] * (last["quality_rmse"] / WITHIN) ** 2)
    return {"tried": tried, "needed": enough[0] if enough else more}


def _came(goal: Goal, picks: list[Pick | None], reporting: Ways) -> dict[str, Any]:
    """Return how far what the picks promised is from what they come to on the reporting half."""
    weight = reporting.half.weight
    alone = float(np.average(reporting.frontier[0], weights=weight))
    quality, cost, missed = [], [], 0
    for found in picks:
        if found is None:
            continue
        ends = reporting.at(found.threshold)[:2]
        q, c = (float(np.average(x, weights=weight)) for x in ends)
        chance = float(np.average((ends[0] - q) ** 2, weights=weight)) / reporting.half.labels
        quality.append((found.quality - q) ** 2 - chance)
        cost.append(found.cost_usd_mean / c - 1 if c else 0.0)
        missed += not goal.holds(q, c, alone)
    if not quality:
        return {"none": len(picks), "quality_rmse": None, "cost_rmse": None, "missed": None}
    return {
        "none": len(picks) - len(quality),
        "quality_rmse": float(np.sqrt(max(0.0, float(np.mean(quality))))),
        "cost_rmse": float(np.sqrt(np.mean(np.square(cost)))),
        "missed": missed / len(quality),
    }
