"""Whole requests of a profile: drawn as they were, and moved as far as another profile would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.together import drawn_again, drawn_together, told_together
from fallwise.draw import draw
from fallwise.scenario.laws import Empirical


def world() -> Any:
    answers = {"accuracy": 0.8, "auroc": 0.85}
    tiers = [tier("small", threshold=0.7, answers=answers), tier("big")]
    return scenario(tiers, run={"requests": 400, "warmup": 0})


def chance() -> np.random.Generator:
    return np.random.default_rng(1)


def test_what_is_told_is_of_those_with_a_way_by_the_tier_that_answered() -> None:
    way_s = np.where(np.arange(60) % 6 == 0, np.nan, np.arange(60.0))
    took_s = np.arange(120.0).reshape(60, 2)
    by = np.repeat([0, 1, -1], [30, 20, 10])
    told = told_together(way_s, took_s, by)
    assert told.keys() == {0, None}  # The second tier has 16 with a way.
    np.testing.assert_array_equal(told[0][:, 0], way_s[:30][~np.isnan(way_s[:30])])
    np.testing.assert_array_equal(told[0][:, 1:], took_s[:30][~np.isnan(way_s[:30])])
    assert len(told[None]) == 50 and np.isnan(told[None][:, 1:]).all()
    np.testing.assert_array_equal(
        told_together(way_s, took_s)[None][:, 1:], took_s[~np.isnan(way_s)]
    )
    assert (
        told_together(way_s[:20], took_s[:20])
        == told_together(way_s[:20], took_s[:20], by[:20])
        == {}
    )


def test_a_request_takes_what_one_took_that_the_same_tier_answered() -> None:
    found = predict(world()).outcomes
    rows = np.random.default_rng(2).random((20, 3))
    told = {None: np.array([[3.0, np.nan, np.nan], [4.0, np.nan, np.nan]]), 0: rows}
    took_s = drawn_together(found, told, chance())
    first = found.hit_tier == 0
    assert {tuple(row) for row in took_s[first]} == {tuple(row) for row in rows}
    assert set(took_s[~first, 0]) == {3.0, 4.0} and np.isnan(took_s[~first, 1:]).all()
    nothing = drawn_together(found, {}, chance())
    assert not nothing[:, 0].any() and np.isnan(nothing[:, 1:]).all()


def test_another_profile_has_as_many_of_the_same_and_moves_means_by_its_own_chance_alone() -> None:
    """That of the requests is the same each time: whatever it is, their draws are."""
    stated = scenario([tier("one"), tier("two")], run={"requests": 400, "warmup": 0})
    values = np.random.default_rng(1).exponential(size=400)
    law = Empirical(kind="empirical", values_s=values.tolist())
    told = stated.with_tier(0, service=law)
    rows = np.column_stack([values, 2 * values, np.full(400, np.nan)])
    found, generator = predict(told).outcomes, np.random.default_rng(2)
    means = []
    for _ in range(300):
        case, took = drawn_again(stated, told, {None: rows}, generator)
        again = case.tiers[0].service
        assert isinstance(again, Empirical) and len(again.values_s) == 400
        assert set(again.values_s) <= set(values.tolist())
        assert case.tiers[1] == stated.tiers[1]
        assert took[None].shape == (400, 3)
        np.testing.assert_array_equal(took[None][:, 1], 2 * took[None][:, 0])
        drawn_s = draw(case, n=400).service_ns[:, 0] / 1e9
        took_s = drawn_together(found, took, np.random.default_rng(3))[:, 0]
        means.append(
            [np.mean(again.values_s), took[None][:, 0].mean(), drawn_s.mean(), took_s.mean()]
        )
    # The standard error of a mean, and 5 standard deviations of what 300 tell of it.
    expected = pytest.approx(values.std() / 20, rel=5 / np.sqrt(600))
    assert all(moved == expected for moved in np.std(means, axis=0))
