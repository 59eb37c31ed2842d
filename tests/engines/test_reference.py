"""The reference engine against numbers worked out by hand, closed forms, and its own memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engines_worlds import blank_requests, places
from fallwise.engines import plan
from fallwise.engines.plan import UNLIMITED
from fallwise.engines.reference import simulate
from fallwise.policies import decide
from fallwise.scenario import parse
from fallwise.tables import (
    ACCEPTED,
    ANSWERED,
    DECLINED,
    MISSED,
    NOT_VISITED,
    TIMED_OUT,
    WORKED_OUT,
    Decisions,
    Floats,
    Int64s,
    OutcomeTable,
)

S = 1_000_000_000

ANSWERS = {"accuracy": 0.9}
FIVE = {
    "name": "five",
    "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1.0}},
    "answers": {"source": "synthetic"},
    "tiers": [
        {
            "name": "cache",
            "kind": "cache",
            "local": True,
            "capacity": 10,
            "ttl_s": 60.0,
            "lookup_s": 1.0,
            "filled_by": ["small"],
        },
        {
            "name": "small",
            "kind": "pool",
            "local": True,
            "answers": ANSWERS,
            "service": {"kind": "fixed", "value_s": 3.0},
            "timeout_s": 4.5,
            "threshold": 0.5,
            "verifier": {
                "catch_rate": 0.9,
                "false_alarm_rate": 0.1,
                "service": {"kind": "fixed", "value_s": 0.5},
            },
        },
        {
            "name": "big",
            "kind": "api",
            "answers": ANSWERS,
            "concurrency": 1,
            "service": {"kind": "fixed", "value_s": 4.0},
        },
        {
            "name": "people",
            "kind": "human",
            "local": True,
            "answers": ANSWERS,
            "agents": 1,
            "service": {"kind": "fixed", "value_s": 10.0},
        },
    ],
}


def ns(values: object) -> Int64s:
    """Return seconds as nanoseconds; -1 stays the mark of what never was."""
    given = np.asarray(values, np.float64)
    return np.asfortranarray(np.where(given < 0, -1, given * S).astype(np.int64))


def test_five_requests_by_hand() -> None:
    # Row 0 is plain, 1 times out, 2 is a cache hit, 3 must stay local, 4 the verifier refuses.
    scenario = parse(FIVE)
    requests = blank_requests(
        ns([0, 1, 5, 6, 8]),
        ns([[1, 3, 4, 10]] * 5),
        key=np.array([7, 8, 7, 9, 10]),
        local=np.array([False, False, False, True, False]),
        verifier_ns=ns([[0, 0.5, 0, 0]] * 5),
    )
    requests.score[:, 1] = [0.9, 0.9, 0.9, 0.2, 0.5]  # 0.5 is at the threshold: high enough
    requests.passes[4, 1] = False
    out = simulate(plan(scenario), requests.check(), decide(scenario, requests)).check()

    # Row 0  0: asks the cache, at 1 missed; small starts at once, done at 4, verified at 4.5 and
    #        accepted: answered, and in the cache from 4.5 on.
    # Row 1  1: asks the cache, at 2 missed; small is busy with row 0 until 4, starts then and would
    #        be done at 7, but entered at 2: timeout at 6.5, cancelled after 2.5. Big from 6.5 to
    #        10.5. Big does not fill the cache.
    # Row 2  5: asks the cache for row 0's question, half a second old: answered at 6.
    # Row 3  6: asks the cache, at 7 missed; small is free since 6.5: from 7 to 10. Its score is too
    #        low, so no verifier looks. Big is not local; people from 10 to 20.
    # Row 4  8: asks the cache, at 9 missed; small is busy with row 3 until 10, then works to 13
    #        (timeout would be 13.5). The verifier refuses at 13.5. Big from 13.5 to 17.5.
    never = -1
    expected = OutcomeTable(
        request=np.arange(5),
        arrival_ns=ns([0, 1, 5, 6, 8]),
        end_ns=ns([4.5, 10.5, 6, 20, 17.5]),
        status=np.full(5, ANSWERED, np.int8),
        hit_tier=np.array([1, 2, 0, 3, 2], np.int8),
        answer_of=np.array([0, 1, 0, 3, 4]),
        answer_tier=np.array([1, 2, 1, 3, 2], np.int8),
        visit=np.array(
            [
                [MISSED, ACCEPTED, NOT_VISITED, NOT_VISITED],
                [MISSED, WORKED_OUT, ACCEPTED, NOT_VISITED],
                [ACCEPTED, NOT_VISITED, NOT_VISITED, NOT_VISITED],
                [MISSED, DECLINED, NOT_VISITED, ACCEPTED],
                [MISSED, DECLINED, ACCEPTED, NOT_VISITED],
            ],
            np.int8,
        ),
        enter_ns=ns(
            [
                [0, 1, never, never],
                [1, 2, 6.5, never],
                [5, never, never, never],
                [6, 7, never, 10],
                [8, 9, 13.5, never],
            ]
        ),
        start_ns=ns(
            [
                [0, 1, never, never],
                [1, 4, 6.5, never],
                [5, never, never, never],
                [6, 7, never, 10],
                [8, 10, 13.5, never],
            ]
        ),
        finish_ns=ns(
            [
                [1, 4, never, never],
                [2, 6.5, 10.5, never],
                [6, never, never, never],
                [7, 10, never, 20],
                [9, 13, 17.5, never],
            ]
        ),
        busy_ns=ns([[0, 3, 0, 0], [0, 2.5, 4, 0], [0] * 4, [0, 3, 0, 10], [0, 3, 4, 0]]),
    )
    assert out.difference(expected.check()) is None


def test_no_requests_make_an_empty_table() -> None:
    requests = blank_requests(np.zeros(0, np.int64), np.zeros((0, 2), np.int64))
    nothing = np.zeros((0, 2), np.bool_)
    decisions = Decisions(np.zeros(0, np.int8), nothing, nothing)
    assert len(simulate(places(2), requests, decisions).check()) == 0


def extra_bytes(n: int) -> int:
    """Return the peak of memory beside the outcome table, in a world that repeats every 20 ns."""
    i = np.arange(n)
    service = np.tile(np.array([[1, 25, 30]]), (n, 1))
    service[i % 4 == 3, 1] = 60  # one in four runs into the timeout
    requests = blank_requests(i * 20, service, key=i)
    accept = np.tile((i % 2 == 0)[:, None], (1, 3))
    decisions = Decisions(np.ones(n, np.int8), accept, np.zeros((n, 3), np.bool_))
    timeouts = [UNLIMITED, 50, 1000]
    world = places(3, capacity=8, fills=[False, True, True], servers=2, timeout_ns=timeouts)
    tracemalloc.start()
    try:
        out = simulate(world, requests, decisions)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (out.visit == WORKED_OUT).any()
    return peak - sum(column.nbytes for column in out.columns().values())


def test_memory_does_not_grow_with_requests_that_are_done() -> None:
    extra_bytes(100)
    few, many = extra_bytes(1000), extra_bytes(5000)
    # One Python object a request would be 100,000 at least.
    assert many < few + 10_000


# Closed forms. Rates in requests per second; seeds are fixed, and each interval would miss the
# truth for one seed in ten thousand.

RUNS, REQUESTS, WARMUP = 20, 5000, 500
T_QUANTILE = 4.897  # of Student's t with 19 degrees of freedom, at .99995


def run_queue(
    seed: int, rate_rps: float, mean_s: list[float], accept_share: float = 1.0, **columns: Any
) -> OutcomeTable:
    """Return a run of exponential tiers under Poisson traffic, without its first requests."""
    rng = np.random.default_rng(seed)
    tiers = len(mean_s)
    patience_s = columns.pop("patience_s", None)
    arrival = ns(np.cumsum(rng.exponential(1 / rate_rps, REQUESTS)))
    service = ns(rng.exponential(1.0, (REQUESTS, tiers)) * mean_s)
    patience = None if patience_s is None else ns(np.full((REQUESTS, tiers), patience_s))
    accept = rng.random((REQUESTS, tiers)) < accept_share
    decisions = Decisions(np.zeros(REQUESTS, np.int8), accept, np.zeros_like(accept))
    requests = blank_requests(arrival, service, patience_ns=patience)
    out = simulate(places(tiers, **columns), requests, decisions)
    return out.check().take(slice(WARMUP, None))


def first_wait_s(out: OutcomeTable) -> float:
    return float(out.wait_s[:, 0].mean())


def second_wait_s(out: OutcomeTable) -> float:
    return float(out.wait_s[out.visit[:, 1] != NOT_VISITED, 1].mean())


def shed_share(out: OutcomeTable) -> float:
    return float((out.status != ANSWERED).mean())


def timed_out_share(out: OutcomeTable) -> float:
    return float((out.status == TIMED_OUT).mean())


@pytest.mark.parametrize(
    ("world", "measure", "truth"),
    [
        # M/M/1: rho / (mu - lambda).
        ({"rate_rps": 0.6, "mean_s": [1.0]}, first_wait_s, 0.6 / 0.4),
        # M/M/3, 2 erlangs: Erlang C is 4/9, the mean wait C / (c mu - lambda).
        ({"rate_rps": 2.0, "mean_s": [1.0], "servers": 3}, first_wait_s, 4 / 9),
        # Burke: what leaves the first queue is Poisson, and so is the half of it that escalates.
        # M/M/1 at 0.3 rps, mean service 2 s: rho = .6, wait rho / (mu - lambda) = .6 / .2.
        (
            {"rate_rps": 0.6, "mean_s": [1.0, 2.0], "accept_share": 0.5},
            second_wait_s,
            0.6 / 0.2,
        ),
        # M/M/2/2, 1.5 erlangs: Erlang B, (a^2 / 2) / (1 + a + a^2 / 2).
        (
            {"rate_rps": 1.5, "mean_s": [1.0], "servers": 2, "queue_limit": 0},
            shed_share,
            1.125 / 3.625,
        ),
        # M/M/1+D, rho = 1: 1 / (2 + lambda tau).
        ({"rate_rps": 1.0, "mean_s": [1.0], "patience_s": 3.0}, timed_out_share, 0.2),
    ],
    ids=["M/M/1", "M/M/3", "tandem", "Erlang B", "M/M/1+D"],
)
def test_the_mean_holds_the_closed_form(
    world: dict[str, Any], measure: Callable[[OutcomeTable], float], truth: float
) -> None:
    values: Floats = np.array([measure(run_queue(seed, **world)) for seed in range(RUNS)])
    half = T_QUANTILE * values.std(ddof=1) / np.sqrt(RUNS)
    assert abs(values.mean() - truth) < half
    assert half < 0.2 * truth, "an interval that holds everything says nothing"
