"""Rules 16 and 17 of docs/engine.md, worked out by hand: servers that come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engines_worlds import places, rows
from engines_worlds import run_small as run
from fallwise.engines.capacity import Hours
from fallwise.engines.engine import Engine
from fallwise.engines.plan import Plan
from fallwise.tables import ABANDONED, ACCEPTED, TURNED_AWAY, WAITED_OUT, WORKED_OUT

pytestmark = pytest.mark.parametrize("engine", ["reference", "compiled"])


def by_day(period: int, *steps: tuple[int, int], **columns: int) -> Plan:
    """Return a plan of one tier whose servers become so many at these times of a period."""
    hours = Hours.of([(0, at, c) for at, c in steps], period)
    return replace(places(1, **columns), hours=hours)


def test_a_week_of_people_by_hand(engine: Engine) -> None:
    # Days of 10: nobody from 0, two from 4, one from 6 to 10. Work of 3 that begins at 5 ends at 8.
    plan = by_day(10, (0, 0), (4, 2), (6, 1))
    out = run(plan, [1, 2, 3, 5, 9], [3, 2, 2, 1, 2], engine=engine)
    assert rows(out.visit) == [[ACCEPTED]] * 5
    # At 6 row 1 is done, but one of the two has gone home: row 2 starts when row 0 is done.
    assert rows(out.start_ns) == [[4], [4], [7], [9], [14]]
    assert rows(out.end_ns) == [7, 6, 9, 10, 16]
    assert rows(out.busy_ns) == [[3], [2], [2], [1], [2]]
    assert rows(out.enter_ns) == [[1], [2], [3], [5], [9]]
    # 2 a ns from 4 to 6, 1 from 6 to 10.
    assert out.rented_ns is not None
    assert rows(out.rented_ns) == [[0], [0], [0], [2], [5]]


def test_who_comes_at_the_opening_queues_behind_who_waits(engine: Engine) -> None:
    out = run(by_day(10, (0, 0), (4, 1)), [0, 4], [2, 2], engine=engine)
    assert rows(out.start_ns) == [[4], [6]]


def test_nobody_starts_at_the_very_closing(engine: Engine) -> None:
    out = run(by_day(10, (0, 1), (4, 0)), [4, 4], [2, 3], engine=engine)
    assert rows(out.start_ns) == [[10], [12]]


def test_work_that_ends_at_the_closing_frees_nobody(engine: Engine) -> None:
    out = run(by_day(10, (0, 1), (4, 0)), [0, 1], [4, 1], engine=engine)
    assert rows(out.start_ns) == [[0], [10]]


def test_timeouts_patience_and_limits_run_at_night(engine: Engine) -> None:
    night = (0, 0), (8, 1)
    out = run(by_day(9, *night, timeout_ns=5), [0], [1], engine=engine)
    assert (rows(out.visit), rows(out.end_ns)) == ([[WAITED_OUT]], [5])
    out = run(by_day(9, *night), [0], [1], engine=engine, patience_ns=6)
    assert (rows(out.visit), rows(out.end_ns)) == ([[ABANDONED]], [6])
    out = run(by_day(9, *night, queue_limit=1), [0, 0], [1, 1], engine=engine)
    assert rows(out.visit) == [[ACCEPTED], [TURNED_AWAY]]


def test_the_opening_comes_before_a_timeout_at_that_instant(engine: Engine) -> None:
    out = run(by_day(9, (0, 0), (8, 1), timeout_ns=8), [0], [1], engine=engine)
    assert (rows(out.visit), rows(out.start_ns)) == ([[WORKED_OUT]], [[8]])


def test_a_number_that_never_changes_is_rented_all_the_time(engine: Engine) -> None:
    out = run(by_day(9, (0, 2)), [3, 5], [9, 9], engine=engine)
    assert out.rented_ns is not None
    assert rows(out.rented_ns) == [[6], [4]]
