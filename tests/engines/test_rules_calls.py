"""Rules 10 to 15 of docs/engine.md, worked out by hand: visits of several calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines_worlds import called, places, rows
from engines_worlds import run_small as run
from fallwise.engines.calls import MINUTE_NS
from fallwise.engines.engine import Engine
from fallwise.engines.plan import UNLIMITED, Plan
from fallwise.tables import (
    ACCEPTED,
    ANSWERED,
    CUT_SHORT,
    DECLINED,
    ERRORED,
    FAILED,
    NOT_VISITED,
    RATE_LIMITED,
    WORKED_OUT,
)

pytestmark = pytest.mark.parametrize("engine", ["reference", "compiled"])

ON_ERROR = 1 << ERRORED
ON_LIMIT = 1 << RATE_LIMITED
ON_TIMEOUT = 1 << WORKED_OUT


def tier(tiers: int = 1, servers: int = 1, **terms: Any) -> Plan:
    """Return a plan whose first tier is visited by calls."""
    several = [True] + [False] * (tiers - 1)
    plan = places(tiers, servers=servers)
    return replace(plan, calls=called(tiers, several=several, **terms))


def test_a_call_that_fails_is_made_again_after_a_pause(engine: Engine) -> None:
    # The first call fails after 2, the second begins 3 later and answers after 7.
    plan = tier(attempts=3, retry_on=ON_ERROR)
    fails = [[True, False, False], [False, False, False]]
    columns: dict[str, Any] = {"call_ns": [[5, 7, 9], [4, 1, 1]], "error_ns": 2, "pause_ns": 3}
    out = run(plan, [0, 1], [5, 4], call_fails=fails, engine=engine, **columns)
    # While the first one pauses the second holds the server, from 2 to 6: the retry waits for it.
    assert rows(out.start_ns) == [[0], [2]]
    assert rows(out.finish_ns) == [[13], [6]]
    assert rows(out.busy_ns) == [[9], [4]]
    assert rows(out.attempts) == [[2], [1]]
    assert rows(out.errors) == [[1], [0]]
    assert rows(out.status) == [ANSWERED, ANSWERED]


def test_the_last_attempt_that_fails_fails_the_visit(engine: Engine) -> None:
    plan = tier(attempts=2, retry_on=ON_ERROR)
    out = run(plan, [0], [5], call_fails=True, pause_ns=1, engine=engine)
    assert rows(out.visit) == [[ERRORED]]
    assert (rows(out.status), rows(out.end_ns)) == ([FAILED], [11])
    assert rows(out.attempts) == rows(out.errors) == [[2]]


def test_what_is_not_to_be_tried_again_is_not(engine: Engine) -> None:
    out = run(tier(attempts=2, retry_on=ON_LIMIT), [0], [5], call_fails=True, engine=engine)
    assert (rows(out.attempts), rows(out.end_ns)) == ([[1]], [5])


def test_calls_that_start_in_an_outage_fail(engine: Engine) -> None:
    plan = tier(servers=9, outages=[(0, 3, 5, 10, 0)])
    out = run(plan, [2, 3, 4, 5, 12, 13, 15], [1] * 7, engine=engine)
    assert rows(out.errors) == [[0], [1], [1], [0], [0], [1], [0]]


def test_calls_that_start_in_a_slow_time_take_longer(engine: Engine) -> None:
    # 2.5 times as long from 3 to 5, three times from 4 to 6; from 8 on calls fail, slow or not.
    outages = [(0, 3, 5, 100, 2500), (0, 4, 6, 100, 3000), (0, 8, 9, 100, 0), (0, 8, 9, 100, 9000)]
    out = run(tier(servers=9, outages=outages), [2, 3, 4, 5, 6, 8], [7] * 6, engine=engine)
    assert rows(out.busy_ns) == [[7], [17], [21], [21], [7], [7]]
    assert rows(out.errors) == [[0], [0], [0], [0], [0], [1]]
    # A call that fails by itself takes longer, too; one that is cut off has taken what it had.
    fails = run(tier(outages=outages), [3], [7], call_fails=True, engine=engine)
    assert (rows(fails.busy_ns), rows(fails.errors)) == ([[17]], [[1]])
    cut = tier(outages=outages, attempt_timeout_ns=4)
    assert rows(run(cut, [3], [7], engine=engine).busy_ns) == [[4]]
    kept = replace(cut, cancel=np.array([False]))
    assert rows(run(kept, [3], [7], engine=engine).busy_ns) == [[17]]


def test_an_attempt_that_takes_too_long_is_cut_off_and_tried_again(engine: Engine) -> None:
    plan = tier(attempts=2, attempt_timeout_ns=4, retry_on=ON_TIMEOUT)
    out = run(plan, [0], [9], call_ns=[[9, 2]], pause_ns=1, engine=engine)
    assert (rows(out.finish_ns), rows(out.cut_off), rows(out.busy_ns)) == ([[7]], [[1]], [[6]])
    # Without cancel the server works on until 9; the retry waits from 5, until its limit at 9:
    # done comes before the timeout, so it starts then, and is cut off at once.
    busy = replace(plan, cancel=np.array([False]))
    out = run(busy, [0], [9], call_ns=[[9, 2]], pause_ns=1, engine=engine)
    assert (rows(out.visit), rows(out.finish_ns)) == ([[WORKED_OUT]], [[9]])
    assert (rows(out.cut_off), rows(out.busy_ns)) == ([[2]], [[11]])


def test_what_is_over_the_limit_comes_again_when_it_conforms(engine: Engine) -> None:
    # One request in 10 ns: the second has to wait until 10, the third, tried again at 10 as well,
    # is refused a second time and ends.
    plan = tier(servers=9, attempts=2, retry_on=ON_LIMIT, requests_per_minute=MINUTE_NS // 10)
    out = run(plan, [0, 1, 2], [1, 1, 1], pause_ns=0, engine=engine)
    assert rows(out.visit) == [[ACCEPTED], [ACCEPTED], [RATE_LIMITED]]
    assert rows(out.rate_limited) == [[0], [1], [2]]
    assert rows(out.start_ns) == [[0], [10], [-1]]
    assert rows(out.end_ns) == [1, 11, 10]


def test_a_second_call_overtakes_the_first(engine: Engine) -> None:
    plan = tier(servers=2, hedge_ns=3)
    out = run(plan, [0, 20], [9, 2], call_ns=[[9, 2], [2, 1]], engine=engine)
    # The hedge starts at 3 and answers at 5; the first call had held its server for 5.
    assert rows(out.finish_ns) == [[5], [22]]
    assert (rows(out.hedges), rows(out.outrun)) == ([[1], [0]], [[1], [0]])
    assert rows(out.busy_ns) == [[7], [2]]
    alone = run(tier(servers=1, hedge_ns=3), [0], [9], call_ns=[[9, 2]], engine=engine)
    assert (rows(alone.hedges), rows(alone.finish_ns)) == ([[0]], [[9]])


def test_a_breaker_opens_is_probed_and_closes(engine: Engine) -> None:
    plan = tier(servers=9, window=2, worst=2, open_ns=10, probes=1)
    fails = [[True], [True], [False], [False], [False], [False]]
    out = run(plan, [0, 1, 3, 12, 12, 14], [1] * 6, call_fails=fails, engine=engine)
    # Open from 2 to 12. At 12 one probe is let through, the other one not; it ends well at 13.
    ends = [[ERRORED], [ERRORED], [CUT_SHORT], [ACCEPTED], [CUT_SHORT], [ACCEPTED]]
    assert rows(out.visit) == ends
    assert rows(out.attempts) == [[1], [1], [0], [1], [0], [1]]


def test_a_budget_ends_the_retries(engine: Engine) -> None:
    plan = tier(servers=99, attempts=2, retry_on=ON_ERROR, budget=0)
    out = run(plan, list(range(12)), [1] * 12, call_fails=True, pause_ns=0, engine=engine)
    assert out.attempts is not None
    assert int(out.attempts.sum()) == 12 + 10  # Ten retries are there at the start.


def test_a_fallback_is_there_only_after_a_failure(engine: Engine) -> None:
    plan = replace(tier(3, servers=9), fallback=np.array([False, True, False]))
    accept = [[True, True, True], [False, True, True], [True, True, True]]
    fails = [[False], [False], [True]]
    out = run(plan, [0, 1, 2], [1, 1, 1], accept=accept, call_fails=fails, engine=engine)
    assert rows(out.visit) == [
        [ACCEPTED, NOT_VISITED, NOT_VISITED],
        [DECLINED, NOT_VISITED, ACCEPTED],
        [ERRORED, ACCEPTED, NOT_VISITED],
    ]


def test_no_window_admits_more_than_the_bucket(engine: Engine) -> None:
    rng = np.random.default_rng(5)
    arrival = np.sort(rng.integers(0, 4000, 300))
    cost, burst = 25, 100
    limit = {"requests_per_minute": MINUTE_NS // cost, "burst_ns": burst}
    plan = tier(servers=UNLIMITED, attempts=3, retry_on=ON_LIMIT, **limit)
    out = run(plan, arrival.tolist(), [1] * 300, pause_ns=7, engine=engine)
    assert out.rate_limited is not None and out.rate_limited.sum() > 100
    start = np.sort(out.start_ns[out.start_ns >= 0])
    window = start[None, :] - start[:, None]
    admitted = np.arange(len(start))[None, :] - np.arange(len(start))[:, None] + 1
    assert (admitted <= burst / cost + 1 + window / cost)[window >= 0].all()


def test_attempts_are_geometric_where_nobody_waits(engine: Engine) -> None:
    n, p, most = 2000, 0.3, 4
    fails = np.random.default_rng(9).random((n, most)) < p
    plan = tier(servers=UNLIMITED, attempts=most, retry_on=ON_ERROR)
    out = run(plan, list(range(n)), [1] * n, call_fails=fails, pause_ns=2, engine=engine)
    assert out.attempts is not None
    mean = (1 - p**most) / (1 - p)
    second = sum((2 * a - 1) * p ** (a - 1) for a in range(1, most + 1))
    error = 4.5 * np.sqrt((second - mean**2) / n)  # 1 in 100,000
    assert abs(float(out.attempts.mean()) - mean) < error
    assert int(out.attempts.max()) <= most
