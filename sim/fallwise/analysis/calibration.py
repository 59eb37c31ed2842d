"""Does a score mean what it says, and does it tell right answers from wrong ones?

Scores are probabilities here, in [0, 1]; a graded answer counts as right from 0.5 on where only
right or wrong will do (AUROC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fallwise.analysis.intervals import wilson
from fallwise.tables import Floats, Int64s

__all__ = ["Reliability", "auroc", "brier", "ece", "reliability"]

Bins = Literal["mass", "width"]


@dataclass(frozen=True)
class Reliability:
    """Answers grouped by score, lowest first; groups that nobody is in are left out.

    count       (m,)  answers in the group
    score_mean  (m,)  what the scores say
    quality     (m,)  what is so: the mean grade
    low, high   (m,)  95 % interval of quality (Wilson)
    """

    count: Int64s
    score_mean: Floats
    quality: Floats
    low: Floats
    high: Floats


def reliability(
    score: Any, correct: Any, bins: int = 15, equal: Bins = "mass", known: float = 1.0
) -> Reliability:
    """Return the reliability diagram's groups: of equal mass, or of equal width on [0, 1].

    Equal scores are never parted, so groups of equal mass are equal only as far as that allows.
    A group of equal width holds its lower edge, the last one both. known is the share of the
    answers that tell something new: below 1 where a table's rows were drawn more than once.
    """
    score, correct = np.asarray(score, np.float64), np.asarray(correct, np.float64)
    if equal == "width":
        group = np.clip((score * bins).astype(np.int64), 0, bins - 1)
    else:
        at = np.ceil(np.arange(1, bins) / bins * (len(score) - 1)).astype(np.int64)
        inner = np.unique(np.sort(score)[at] if len(score) else score)
        group = np.searchsorted(inner, score, side="right")
    count = np.bincount(group, minlength=bins)
    there = count > 0
    m = count[there]
    quality = np.bincount(group, correct, bins)[there] / m
    low, high = wilson(quality, m * known)
    return Reliability(
        count=m,
        score_mean=np.bincount(group, score, bins)[there] / m,
        quality=quality,
        low=low,
        high=high,
    )


def ece(score: Any, correct: Any, bins: int = 15, equal: Bins = "mass") -> float:
    """Return the expected calibration error: the mean gap of score and quality over the groups.

    Source: Naeini, Cooper and Hauskrecht (2015), AAAI.
    """
    groups = reliability(score, correct, bins, equal)
    gaps = np.abs(groups.score_mean - groups.quality)
    return float(groups.count @ gaps / groups.count.sum())


def brier(score: Any, correct: Any) -> float:
    """Return the mean squared difference of score and grade (Brier, 1950)."""
    return float(np.mean((np.asarray(score, np.float64) - np.asarray(correct, np.float64)) ** 2))


def auroc(score: Any, correct: Any) -> float | None:
    """Return the probability that a right answer has a higher score than a wrong one.

    Ties count one half. None where all answers are right, or all wrong.
    Source: Hanley and McNeil (1982), Radiology 143, by midranks.
    """
    score, right = np.asarray(score, np.float64), np.asarray(correct) >= 0.5
    n, positive = len(score), int(right.sum())
    if positive in (0, n):
        return None
    _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
    midrank = np.cumsum(count) - (count - 1) / 2
    ranks = float(midrank.take(inverse.compress(right)).sum())
    return (ranks - positive * (positive + 1) / 2) / (positive * (n - positive))
