"""Rules 18 to 20 of docs/engine.md, worked out by hand: replicas that fail and are scaled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines_worlds import places, rows
from engines_worlds import run_small as run
from fallwise.engines.engine import Engine
from fallwise.engines.fleet import NEVER, Fleet
from fallwise.engines.plan import Plan
from fallwise.tables import ACCEPTED, ANSWERED, ERRORED, FAILED, WORKED_OUT

pytestmark = pytest.mark.parametrize("engine", ["reference", "compiled"])


def pool(up: Any = (), down: Any = (), tiers: int = 1, **numbers: int) -> Plan:
    """Return a plan whose first tier has replicas; up and down are a row for each of them."""
    usual = {"replicas": 1, "slots": 1, "least": 1, "interval_ns": NEVER, "target_ppm": 1_000_000}
    given = usual | {"cold_ns": 0, "linger_ns": 0} | numbers
    shape = (1, given["replicas"], -1 if up else 0)
    times = (np.array(x, np.int64).reshape(shape) for x in (up, down))
    columns = [np.array([given[name]], np.int64) for name in Fleet._fields[1:8]]
    return replace(places(tiers), fleet=Fleet(np.array([0]), *columns, *times))


def test_a_failure_loses_what_is_in_service(engine: Engine) -> None:
    # Two replicas of two slots: 0 and 2 are at the first, 1 and 3 at the second. It fails at 4.
    plan = pool([[4], [50]], [[3], [1]], replicas=2, slots=2, least=2)
    out = run(plan, [0, 0, 1, 1, 2, 3], [5, 9, 8, 2, 2, 3], engine=engine)
    assert rows(out.visit) == [[ERRORED], [ACCEPTED], [ERRORED]] + [[ACCEPTED]] * 3
    assert rows(out.status) == [FAILED, ANSWERED, FAILED] + [ANSWERED] * 3
    # Row 3 frees a slot of the second at 3, for row 4; row 5 waits for it until 5.
    assert rows(out.start_ns) == [[0], [0], [1], [1], [3], [5]]
    assert rows(out.end_ns) == [4, 9, 4, 3, 5, 8]
    assert rows(out.busy_ns) == [[4], [9], [3], [2], [2], [3]]
    assert out.rented_ns is None


def test_who_waits_starts_when_the_replica_is_repaired(engine: Engine) -> None:
    out = run(pool([[4]], [[3]]), [0, 1], [9, 2], engine=engine)
    assert rows(out.visit) == [[ERRORED], [ACCEPTED]]
    assert rows(out.start_ns) == [[0], [7]]


def test_work_that_would_be_done_at_the_failure_is_lost(engine: Engine) -> None:
    out = run(pool([[4]], [[0]]), [0, 4], [4, 1], engine=engine)
    assert rows(out.visit) == [[ERRORED], [ACCEPTED]]
    assert rows(out.start_ns) == [[0], [4]]


def test_what_is_lost_goes_on_to_the_next_tier(engine: Engine) -> None:
    out = run(pool([[4]], [[1]], tiers=2), [0], [[9, 3]], engine=engine)
    assert rows(out.visit) == [[ERRORED, ACCEPTED]]
    assert (rows(out.enter_ns), rows(out.end_ns)) == ([[0, 4]], [7])


def test_times_of_failure_begin_again(engine: Engine) -> None:
    # Up 4, down 1, up 2, down 2, and again: it fails at 4, 7, 13, 16.
    out = run(pool([[4, 2]], [[1, 2]]), [0, 5, 9, 14], [9, 9, 9, 9], engine=engine)
    assert rows(out.end_ns) == [4, 7, 13, 16]


def test_scale_from_zero_and_back_by_hand(engine: Engine) -> None:
    plan = pool(replicas=2, least=0, interval_ns=10, cold_ns=4, linger_ns=20)
    out = run(plan, [3, 5, 6, 21, 80, 99], [3, 30, 3, 1, 1, 1], engine=engine)
    # Three wait at the look of 10: two replicas are up at 14. Two are wanted at 20, one at 30 and
    # 40, none at 50: 20 after 30 one may go. None is wanted from 60 on: at 80, just before row 4
    # comes, the other one goes too. The look of 90 starts one, which is up at 94.
    assert rows(out.start_ns) == [[14], [14], [17], [21], [94], [99]]
    assert rows(out.end_ns) == [17, 44, 20, 22, 95, 100]
    assert rows(out.visit) == [[ACCEPTED]] * 6
    # Two from 10 to 50, one to 80, none to 90.
    assert out.rented_ns is not None
    assert rows(out.rented_ns) == [[0], [0], [0], [22], [58 + 30], [9]]


def test_a_replica_that_leaves_serves_what_it_has(engine: Engine) -> None:
    plan = pool(replicas=2, least=1, interval_ns=10)
    out = run(plan, [0, 1, 21, 22, 60], [12, 40, 5, 1, 1], engine=engine)
    # Two are wanted at 10, one at 20: the second goes, and works for row 1 until 50.
    assert rows(out.start_ns) == [[0], [10], [21], [26], [60]]
    assert rows(out.end_ns) == [12, 50, 26, 27, 61]
    assert out.rented_ns is not None
    assert rows(out.rented_ns) == [[0], [1], [9 + 22], [2], [56 + 10]]


def test_a_timeout_frees_the_slot(engine: Engine) -> None:
    plan = replace(pool([[40]], [[1]]), timeout_ns=np.array([5]))
    out = run(plan, [0, 1], [9, 4], engine=engine)
    assert rows(out.visit) == [[WORKED_OUT], [WORKED_OUT]]
    assert rows(out.busy_ns) == [[5], [1]]
