"""Server time by the clock against a step-by-step count, and sums that are exact in any order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from analysis_cascades import scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.sample import NEIGHBOURS, enough, held_ns
from fallwise.analysis.tally import STRETCH, add, escalated, rows, tally
from fallwise.draw import stream


def test_held_time_is_the_overlap_with_each_window() -> None:
    chance = stream(1, "held")
    start = chance.integers(0, 1000, 300)
    start[:20] = -1
    busy = np.where(start < 0, 0, chance.integers(0, 400, 300))
    times = np.array([150, 400, 400, 900, 2000])
    expected = [
        sum(max(0, min(high, s + b) - max(low, s)) for s, b in zip(start, busy, strict=True))
        for low, high in pairwise(times)
    ]
    assert held_ns(start, busy, times) == expected


def test_held_time_of_many_rows_in_order() -> None:
    # A server that never rests, each request for 10 ns, but for every third, which nobody served.
    n = 3 * NEIGHBOURS
    served = np.arange(n) % 3 > 0
    start = np.where(served, 10 * (np.cumsum(served) - 1), -1)
    times = np.array([5, 15, 100_000, 150_000, 10 * n])
    ends = np.minimum(times, 10 * served.sum())
    assert held_ns(start, 10 * served, times) == np.diff(ends).tolist()


def test_sums_do_not_depend_on_order_or_on_the_cut() -> None:
    answers = {"accuracy": 0.6, "auroc": 0.8}
    case = scenario(
        [
            tier("small", threshold=0.6, answers=answers, usd_per_request=0.1, concurrency=1),
            tier("big", usd_per_request=1 / 3),
        ]
    )
    run = predict(case, 1, 500, "reference")
    whole = tally(case, run.requests, run.outcomes)
    parts = [
        tally(case, rows(run.requests, i, i + 70), rows(run.outcomes, i, i + 70))
        for i in range(0, 500, 70)
    ]
    assert add(parts) == whole == add(parts[::-1])
    shuffled = stream(1, "shuffle").permutation(500)
    assert tally(case, run.requests.take(shuffled), run.outcomes.take(shuffled)) == whole
    assert whole["n"] == 500 < STRETCH


def test_sums_beyond_64_bits_are_exact() -> None:
    case = scenario([tier("one")])
    run = predict(case, 1, 64, "reference")
    slow = run.outcomes.columns()["busy_ns"]
    slow[:] = (1 << 60) - 1
    assert tally(case, run.requests, run.outcomes)["tier0.busy_s"] == 64 * ((1 << 60) - 1)


def test_a_pair_side_by_side_is_one_step() -> None:
    case = scenario([tier("a"), tier("b", agree_with="a"), tier("c")])
    visit = np.array([[1, 1, 0], [2, 2, 1], [0, 0, 1]], np.int8)
    assert escalated(case, visit).tolist() == [False, True, False]


def test_a_tail_quantile_needs_ten_values_beyond_it() -> None:
    assert enough(1000, 0.99) and not enough(999, 0.99)
    assert enough(10_000, 0.999) and not enough(9_999, 0.999)
    assert enough(1, 0.5) and not enough(0, 0.5)
