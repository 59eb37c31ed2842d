"""Rules 18 to 21 of docs/engine.md, worked out by hand: replicas that fail, are scaled, batch."""

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
    given = usual | dict.fromkeys(Fleet._fields[6:11], 0) | numbers
    shape = (1, given["replicas"], -1 if up else 0)
    times = (np.array(x, np.int64).reshape(shape) for x in (up, down))
    columns = [np.array([given[name]], np.int64) for name in Fleet._fields[1:11]]
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


def test_three_steps_of_a_batch_by_hand(engine: Engine) -> None:
    # A step: 10, 2 for each request, 1 for each token of a new prompt (twice the tokens written).
    plan = pool(slots=2, step_ns=10, each_ns=2, prefill_ns=1)
    out = run(plan, [0, 5, 6], [1] * 3, tokens=np.array([[2], [2], [1]]), engine=engine)
    # 0 to 16: row 0 and its 4. 16 to 34: both and row 1's 4; row 0 is done. Row 2 takes its slot.
    # 34 to 50: both and row 2's 2; both are done.
    assert rows(out.start_ns) == [[0], [5], [34]]
    assert rows(out.end_ns) == [34, 50, 50]
    assert rows(out.busy_ns) == [[34], [45], [16]]
    assert rows(out.visit) == [[ACCEPTED]] * 3


def test_who_enters_as_a_step_begins_is_in_it(engine: Engine) -> None:
    plan = pool(slots=3, step_ns=10)
    out = run(plan, [0, 0, 20, 21], [1] * 4, tokens=np.array([[3], [1], [1], [1]]), engine=engine)
    assert rows(out.end_ns) == [30, 10, 30, 40]


def test_a_timeout_leaves_its_step_and_frees_its_slot(engine: Engine) -> None:
    plan = replace(pool(slots=2, step_ns=10, each_ns=5), timeout_ns=np.array([25]))
    out = run(plan, [0, 4, 22], [1] * 3, tokens=np.array([[9], [2], [1]]), engine=engine)
    # 0 to 15 row 0, 15 to 35 both; row 0 is out at 25, row 1 at 29: row 2, in its slot at 25 ... no
    # earlier than its coming at 22, which found none free.
    assert rows(out.visit) == [[WORKED_OUT], [WORKED_OUT], [WORKED_OUT]]
    assert rows(out.start_ns) == [[0], [4], [25]]
    assert rows(out.end_ns) == [25, 29, 47]


def test_a_replica_that_fails_ends_its_step(engine: Engine) -> None:
    plan = pool([[13]], [[2]], slots=2, step_ns=10)
    out = run(plan, [0, 14], [1] * 2, tokens=np.array([[2], [1]]), engine=engine)
    assert rows(out.visit) == [[ERRORED], [ACCEPTED]]
    assert (rows(out.start_ns), rows(out.end_ns)) == ([[0], [15]], [13, 25])
