"""Yardsticks against brute force, straight lines and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from fallwise.analysis.yardsticks import aiq, apgr, by_lot, cpt, oracle, pgr
from fallwise.draw import stream


def test_the_oracle_equals_the_best_of_all_subsets() -> None:
    n = 10
    chance = stream(4, "oracle")
    weak, strong = (chance.integers(0, 3, n) / 2 for _ in range(2))
    cost = chance.random(n) * 0.1, 1 + chance.random(n)
    ladder = oracle((weak, strong), cost)
    masks = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1 == 1
    quality = np.where(masks, strong, weak).mean(axis=1)
    for moved in range(n + 1):
        best = quality[masks.sum(axis=1) == moved].max()
        assert ladder.quality[moved] == pytest.approx(best, abs=1e-12)
        assert ladder.share[moved] == pytest.approx(moved / n)
    assert ladder.cost_usd_mean[0] == pytest.approx(cost[0].mean())
    assert ladder.cost_usd_mean[-1] == pytest.approx(cost[1].mean())
    assert ladder.at_quality(2.0) is None
    assert ladder.at_quality(0.0) == (0.0, float(ladder.cost_usd_mean[0]))


def test_requests_by_lot_recover_half_of_the_gap_on_average() -> None:
    share = np.linspace(0, 1, 11)
    quality = 0.6 + 0.3 * share
    assert apgr(share, quality, 0.6, 0.9) == pytest.approx(0.5)
    assert apgr([], [], 0.6, 0.9) == pytest.approx(0.5)
    # A router that knows: all of the gap from 40 % of strong calls on.
    assert apgr([0.4], [0.9], 0.6, 0.9) == pytest.approx(0.8)
    assert cpt(share, quality, 0.6, 0.9, 0.5) == pytest.approx(0.5)
    assert cpt(share, quality, 0.6, 0.95, 1.0) is None
    assert pgr(0.75, 0.6, 0.9) == pytest.approx(0.5)
    assert by_lot(0.6, 0.9, 0.75) == pytest.approx(0.5)
    assert by_lot(0.6, 0.9, 0.5) == 0.0
    assert by_lot(0.6, 0.9, 0.91) is None


def test_aiq_is_the_mean_height_of_the_hull() -> None:
    assert aiq([0, 1], [0.5, 0.9]) == pytest.approx(0.7)
    # A point below the line changes nothing, one above it lifts the hull, which never falls.
    assert aiq([0, 0.5, 1], [0.5, 0.6, 0.9]) == pytest.approx(0.7)
    assert aiq([0, 0.5, 1], [0.5, 0.9, 0.7]) == pytest.approx((0.7 + 0.9) / 2)
    assert aiq([0, 0, 1], [0.2, 0.5, 0.9]) == pytest.approx(0.7)
    assert aiq([1, 1], [0.5, 0.9]) is None
