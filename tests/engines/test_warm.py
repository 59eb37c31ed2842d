"""A cache that is filled when the run begins: by hand, and against the theory of its hit rate."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from engines_worlds import places, rows, run_small
from fallwise import theory
from fallwise.analysis.predict import predict
from fallwise.analysis.stream import summarise_stream
from fallwise.analysis.summary import summarise
from fallwise.engines.engine import Engine
from fallwise.engines.plan import plan
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, override, parse
from fallwise.tables import ACCEPTED, MISSED

Z = 4.5


def world(requests: int, **cache: Any) -> Scenario:
    return parse(
        {
            "name": "w",
            "traffic": {
                "arrivals": {"kind": "poisson", "rate_rps": 1.0},
                "segments": [{"repeats": {"repeat_share": 1.0, "distinct_keys": 200}}],
            },
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "cache",
                    "kind": "cache",
                    "capacity": 200,
                    "lookup_s": 0.0,
                    "filled_by": ["big"],
                    **cache,
                },
                {
                    "name": "big",
                    "kind": "api",
                    "service": {"kind": "fixed", "value_s": 1e-6},
                    "answers": {"accuracy": 0.7},
                    "usd_per_request": 1.0,
                },
            ],
            "run": {"requests": requests, "warmup": 0},
        }
    )


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_warm_cache_by_hand(engine: Engine) -> None:
    """Room for two: 7 is at the back and 8 at the front; 9 pushes 7 out, then 7 pushes 8 out."""
    cold = places(2, capacity=2, fills=[False, True])
    warm = replace(cold, warm=np.array([7, 8]))
    keys = [8, 9, 7, 8, 7]
    out = run_small(warm, [0, 10, 20, 30, 40], [[1, 2]] * 5, key=keys, start=1, engine=engine)
    visits = [ACCEPTED, MISSED, MISSED, MISSED, ACCEPTED]
    assert rows(out.visit[:, 0]) == visits
    assert rows(out.end_ns) == [1, 13, 23, 33, 41]
    # The first hit's answer is that of its own question, from the tier that fills the cache.
    assert rows(out.answer_of) == [0, 1, 2, 3, 2]
    assert rows(out.answer_tier) == [1] * 5
    # Where that tier would not have been accepted, the answer is not there.
    accept = [[True, False, True]] * 5
    third = replace(places(3, capacity=2, fills=[False, True, False]), warm=np.array([7, 8]))
    out = run_small(
        third, [0, 10, 20, 30, 40], [[1, 2, 2]] * 5, key=keys, start=1, accept=accept, engine=engine
    )
    assert rows(out.visit[:, 0]) == [MISSED] * 5
    old = replace(warm, ttl_ns=20)
    out = run_small(old, [19, 20], [[1, 2]] * 2, key=[7, 8], start=1, engine=engine)
    assert rows(out.visit[:, 0]) == [ACCEPTED, MISSED]  # stored at 0, as all of them


def test_a_cache_that_is_filled_with_all_its_keys_has_no_transient() -> None:
    found = predict(world(3000, warm_keys=200))
    assert (found.outcomes.hit_tier == 0).all()
    assert found.outcomes.cost_usd is not None and found.outcomes.cost_usd.sum() == 0
    cold = predict(world(3000))
    # Each key is missed once; so many different ones come among the first 3000.
    assert (cold.outcomes.hit_tier == 1).sum() == len(np.unique(cold.requests.key))
    # The same questions have the same answers, whoever asked first.
    assert found.outcomes.correct is not None and cold.outcomes.correct is not None
    np.testing.assert_array_equal(found.outcomes.correct, cold.outcomes.correct)


def test_a_warm_cache_begins_at_the_share_of_its_keys_and_settles_where_che_says() -> None:
    share = theory.zipf(200, 1.0)
    first = [
        predict(world(1, capacity=20, warm_keys=20), seed=seed).outcomes.hit_tier[0] == 0
        for seed in range(300)
    ]
    top = float(np.sort(share)[::-1][:20].sum())
    assert abs(np.mean(first) - top) < Z * sqrt(top * (1 - top) / 300)
    long = predict(world(200_000, capacity=20, warm_keys=20)).outcomes.hit_tier[1000:] == 0
    expected = theory.lru_hit_rate(share, 20)
    assert expected < top - 0.05
    assert abs(long.mean() - expected) < 0.005  # Che is an approximation


def test_the_most_popular_keys_of_all_segments_are_in_it() -> None:
    segments = [
        {"name": "a", "share": 0.5, "repeats": {"repeat_share": 0.1, "distinct_keys": 3}},
        {"name": "b", "share": 0.5, "repeats": {"repeat_share": 1.0, "distinct_keys": 2}},
    ]
    scenario = override(world(10, warm_keys=3), {"traffic.segments": segments})
    # a's keys are 0, 1, 2 with .1 / (1 + 1/2 + 1/3); b's are 3 and 4 with 2/3 and 1/3.
    assert plan(scenario).warm.tolist() == [0, 4, 3]
    away = [segments[0], {**segments[1], "residency": "local"}]
    scenario = override(world(10, warm_keys=5), {"traffic.segments": away, "tiers.big.local": True})
    assert plan(scenario).warm.tolist() == [2, 1, 0]  # b never asks this cache


def test_blocks_give_what_the_whole_gives() -> None:
    scenario = world(5000, capacity=50, warm_keys=30)
    whole, parts = summarise(predict(scenario)), summarise_stream(scenario, block=700)
    for name in ("quality", "cost_usd_mean"):
        assert parts[name]["value"] == pytest.approx(whole[name]["value"], rel=1e-9)
    for tier, other in zip(whole["tiers"], parts["tiers"], strict=True):
        assert tier["hit_share"]["value"] == pytest.approx(other["hit_share"]["value"])


@pytest.mark.parametrize(
    ("cache", "values", "words"),
    [
        ({"warm_keys": 201}, {}, "there are 200 questions that come again"),
        ({"warm_keys": 20, "capacity": 10}, {}, "is more than the capacity of 10"),
        ({"warm_keys": 20}, {"traffic.segments": [{}]}, "no segment has repeats"),
        ({}, {"tiers.big.warm_keys": 5}, "warm_keys belongs to cache tiers"),
    ],
)
def test_a_warm_start_that_cannot_be_is_refused(cache: Any, values: Any, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        override(world(10, **cache), values)
