"""Calibration against cases worked out by hand, and against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from fallwise.analysis.calibration import auroc, brier, ece, reliability
from fallwise.draw import stream

SCORE = np.array([0.1, 0.1, 0.3, 0.6, 0.6, 0.9, 0.9, 1.0])
RIGHT = np.array([0, 1, 0, 1, 0, 1, 1, 0])


def test_equal_width_by_hand() -> None:
    groups = reliability(SCORE, RIGHT, bins=2, equal="width")
    assert groups.count.tolist() == [3, 5]
    assert groups.score_mean.tolist() == pytest.approx([0.5 / 3, 0.8])
    assert groups.quality.tolist() == pytest.approx([1 / 3, 0.6])
    # (3 * |.1667 - .3333| + 5 * |.8 - .6|) / 8
    assert ece(SCORE, RIGHT, bins=2, equal="width") == pytest.approx(1.5 / 8)


def test_equal_mass_never_parts_equal_scores() -> None:
    groups = reliability(SCORE, RIGHT, bins=4)
    assert groups.count.tolist() == [2, 1, 2, 3]
    # (2 * |.1 - .5| + 1 * |.3 - 0| + 2 * |.6 - .5| + 3 * |2.8 / 3 - 2 / 3|) / 8
    assert ece(SCORE, RIGHT, bins=4) == pytest.approx((0.8 + 0.3 + 0.2 + 0.8) / 8)


def test_equal_mass_of_distinct_scores_is_equal() -> None:
    assert reliability(np.arange(100) / 100, np.ones(100), bins=10).count.tolist() == [10] * 10


def test_a_single_score_is_a_single_group() -> None:
    for equal in ("mass", "width"):
        groups = reliability(np.ones(50), np.ones(50), equal=equal)
        assert (groups.count.tolist(), groups.quality.tolist()) == ([50], [1.0])


def test_intervals_are_wilsons() -> None:
    from scipy.stats import binomtest

    groups = reliability(SCORE, RIGHT, bins=2, equal="width")
    for right, count, low, high in zip((1, 3), groups.count, groups.low, groups.high, strict=True):
        exact = binomtest(right, int(count)).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_brier_by_hand() -> None:
    assert brier([0.5, 1.0], [1, 0]) == pytest.approx((0.25 + 1) / 2)


def test_auroc_with_ties_is_scikit_learns() -> None:
    from sklearn.metrics import roc_auc_score

    chance = stream(1, "auroc")
    for levels in (2, 5, 1000):
        score = chance.integers(0, levels, 500) / levels
        right = chance.random(500) < 0.2 + 0.6 * score
        assert auroc(score, right) == pytest.approx(roc_auc_score(right, score), abs=1e-12)


def test_auroc_needs_both_right_and_wrong() -> None:
    assert auroc([0.1, 0.2], [1, 1]) is None
    assert auroc([0.1, 0.2], [0, 0]) is None
