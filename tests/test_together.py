"""Whole requests of a profile: drawn as they were, and moved as far as another profile would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.together import Took, drawn_again, drawn_together, kinds_of
from fallwise.draw import draw
from fallwise.scenario.laws import Empirical


def world() -> Any:
    answers = {"accuracy": 0.8, "auroc": 0.85}
    tiers = [tier("small", threshold=0.7, answers=answers), tier("big")]
    return scenario(tiers, run={"requests": 400, "warmup": 0})


def chance() -> np.random.Generator:
    return np.random.default_rng(1)


def rows_of(took: Took) -> set[tuple[float, ...]]:
    return {tuple(row) for row in np.column_stack([took.way_s, took.tiers_s])}


def test_what_is_told_is_of_requests_with_a_way_and_of_some_twenty_at_least() -> None:
    way_s = np.where(np.arange(24) % 6 == 0, np.nan, np.arange(24.0))
    took = Took(way_s, np.arange(48.0).reshape(24, 2))
    told = took.told
    assert told is not None and len(told.way_s) == 20
    np.testing.assert_array_equal(told.tiers_s, took.tiers_s[~np.isnan(way_s)])
    assert took.take(slice(1, None)).told is not None
    assert took.take(slice(2, None)).told is None


def test_a_request_takes_what_one_took_that_the_same_tier_answered() -> None:
    found = predict(world()).outcomes
    kinds, counts = np.unique(kinds_of(found)[:, 0], return_counts=True)
    assert len(kinds) == 2 and counts.min() > 10
    first = found.hit_tier == 0
    some = np.random.default_rng(2).random((39, 3))
    each = kinds_of(found)[np.repeat([int(np.argmax(first)), int(np.argmin(first))], [20, 19])]
    took = Took(some[:, 0], some[:, 1:], each).told
    assert took is not None
    drawn = drawn_together(found, took, chance())
    assert rows_of(drawn.take(first)) == rows_of(took.take(slice(20)))
    # Few were answered by the second one: of all the way alone is taken.
    assert set(drawn.way_s[~first]) <= set(some[:, 0]) and np.isnan(drawn.tiers_s[~first]).all()
    assert set(drawn.way_s[~first]) & set(some[:20, 0])
    # Another profile of fewer does not change who stands for itself.
    again = drawn_together(found, took.take(np.arange(15, 39)), chance())
    assert rows_of(again.take(first)) == rows_of(took.take(slice(15, 20)))
    alone = drawn_together(found, Took(some[:, 0], some[:, 1:]), chance())
    assert rows_of(alone.take(first)) == {tuple(row) for row in some} >= rows_of(alone.take(~first))
    nothing = drawn_together(found, None, chance())
    assert not nothing.way_s.any() and np.isnan(nothing.tiers_s).all()


def test_another_profile_has_as_many_of_the_same_and_moves_means_by_its_own_chance_alone() -> None:
    """That of the requests is the same each time: whatever it is, their draws are."""
    stated = scenario([tier("one"), tier("two")], run={"requests": 400, "warmup": 0})
    values = np.random.default_rng(1).exponential(size=400)
    law = Empirical(kind="empirical", values_s=values.tolist())
    told = stated.with_tier(0, service=law)
    rows = Took(
        values,
        np.column_stack([2 * values, np.full(400, np.nan)]),
        np.tile(np.arange(400)[:, None] % 2, 2),
    )
    found, generator = predict(told).outcomes, np.random.default_rng(2)
    means = []
    for _ in range(300):
        case, took = drawn_again(stated, told, rows, generator)
        again = case.tiers[0].service
        assert isinstance(again, Empirical) and len(again.values_s) == 400
        assert set(again.values_s) <= set(values.tolist())
        assert case.tiers[1] == stated.tiers[1]
        assert took is not None and took.kinds is not None and len(took.way_s) == 400
        np.testing.assert_array_equal(took.tiers_s[:, 0], 2 * took.way_s)
        drawn_s = draw(case, n=400).service_ns[:, 0] / 1e9
        whole = Took(took.way_s, took.tiers_s)
        took_s = drawn_together(found, whole, np.random.default_rng(3)).way_s
        means.append([np.mean(again.values_s), took.way_s.mean(), drawn_s.mean(), took_s.mean()])
    # The standard error of a mean, and 5 standard deviations of what 300 tell of it.
    expected = pytest.approx(values.std() / 20, rel=5 / np.sqrt(600))
    assert all(moved == expected for moved in np.std(means, axis=0))
