"""The rules of docs/engine.md at one tier, worked out by hand. Times are a few ns."""

from __future__ import annotations

from engines_worlds import places, rows
from engines_worlds import run_small as run
from fallwise.engines.plan import UNLIMITED
from fallwise.tables import (
    ABANDONED,
    ACCEPTED,
    ANSWERED,
    DECLINED,
    NOT_VISITED,
    TIMED_OUT,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
)

NO, YES = False, True

# One instant.


def test_done_comes_before_timeout() -> None:
    out = run(places(1, timeout_ns=5), [0], [5])
    assert rows(out.visit) == [[ACCEPTED]]
    assert rows(out.end_ns) == [5]


def test_work_one_longer_than_the_timeout_is_worked_out() -> None:
    out = run(places(1, timeout_ns=5), [0], [6])
    assert rows(out.visit) == [[WORKED_OUT]]
    assert (rows(out.end_ns), rows(out.busy_ns), rows(out.status)) == ([5], [[5]], [TIMED_OUT])


def test_a_timeout_frees_the_server_for_who_enters_at_that_instant() -> None:
    out = run(places(1, timeout_ns=5, queue_limit=0), [0, 5], [9, 2])
    assert rows(out.visit) == [[WORKED_OUT], [ACCEPTED]]
    assert rows(out.start_ns) == [[0], [5]]


def test_done_frees_the_server_for_who_enters_at_that_instant() -> None:
    out = run(places(1, queue_limit=0), [0, 5], [5, 2])
    assert rows(out.start_ns) == [[0], [5]]


def test_a_start_at_the_very_deadline_is_worked_out() -> None:
    # Row 1 waits from 0 to 5, where row 0 is done and its own timeout strikes.
    out = run(places(1, timeout_ns=5), [0, 0], [5, 3])
    assert rows(out.visit) == [[ACCEPTED], [WORKED_OUT]]
    assert (rows(out.start_ns), rows(out.busy_ns)) == ([[0], [5]], [[5], [0]])


def test_a_start_at_the_very_deadline_with_no_work_is_done() -> None:
    out = run(places(1, timeout_ns=5), [0, 0], [5, 0])
    assert rows(out.visit) == [[ACCEPTED], [ACCEPTED]]
    assert rows(out.end_ns) == [5, 5]


def test_the_earlier_row_goes_first_at_one_instant() -> None:
    out = run(places(1), [0, 0, 0], [2, 2, 2])
    assert rows(out.start_ns) == [[0], [2], [4]]


def test_the_kind_of_event_counts_before_the_row() -> None:
    # At 5 row 0 goes on to tier 1, where row 1, the later one, is done.
    plan = places(2, queue_limit=0)
    out = run(plan, [0, 0], [[5, 1], [9, 5]], start=[0, 1], accept=[[NO, YES]])
    assert rows(out.visit) == [[DECLINED, ACCEPTED], [NOT_VISITED, ACCEPTED]]


def test_the_row_counts_before_the_tier() -> None:
    # Both are done at 5, row 0 at tier 2, row 1 at tier 1: row 1 is stored last, and is found.
    plan = places(3, capacity=9, fills=[False, True, True])
    out = run(plan, [0, 0, 9], [[0, 5, 5]] * 3, start=[2, 1, 1], key=[1, 1, 1])
    assert rows(out.answer_of) == [0, 1, 1]


def test_done_comes_before_verified() -> None:
    # At 5 row 0 passes its verifier, row 1 is done: row 0 is stored last, and is found.
    plan = places(2, capacity=9, fills=[False, True], servers=2)
    verify = [[NO, YES], [NO, NO], [NO, NO]]
    service = [[0, 3], [0, 5], [0, 5]]
    out = run(plan, [0, 0, 9], service, key=[1, 1, 1], verify=verify, verifier_ns=2)
    assert rows(out.answer_of) == [0, 1, 0]


def test_a_timeout_hands_the_server_over_before_patience_ends() -> None:
    out = run(places(1, timeout_ns=5), [0, 2], [9, 1], patience_ns=3)
    assert rows(out.visit) == [[WORKED_OUT], [ACCEPTED]]


def test_a_timeout_comes_before_the_end_of_patience() -> None:
    out = run(places(1, timeout_ns=3, cancel=False), [0, 0], [9, 1], patience_ns=3)
    assert rows(out.visit) == [[WORKED_OUT], [WAITED_OUT]]


def test_a_start_comes_before_the_end_of_patience() -> None:
    out = run(places(1), [0, 0], [3, 1], patience_ns=3)
    assert rows(out.visit) == [[ACCEPTED], [ACCEPTED]]


def test_a_timeout_hands_the_server_over_before_the_next_timeout() -> None:
    # Row 1 works from 3 to its deadline 5, which is that of row 2 too: row 2 starts, and stops.
    out = run(places(1, timeout_ns=3), [0, 2, 2], [3, 9, 1])
    assert rows(out.visit) == [[ACCEPTED], [WORKED_OUT], [WORKED_OUT]]
    assert rows(out.start_ns) == [[0], [3], [5]]


def test_a_verdict_at_the_deadline_counts() -> None:
    out = run(places(1, timeout_ns=5), [0], [3], verify=True, verifier_ns=2)
    assert (rows(out.visit), rows(out.finish_ns), rows(out.end_ns)) == ([[ACCEPTED]], [[3]], [5])


# Timeouts, patience, queue limits.


def test_a_timeout_does_not_cover_the_verifier() -> None:
    out = run(places(1, timeout_ns=5), [0], [3], verify=True, verifier_ns=50)
    assert (rows(out.visit), rows(out.finish_ns), rows(out.end_ns)) == ([[ACCEPTED]], [[3]], [53])


def test_the_verifier_holds_no_server() -> None:
    out = run(places(1), [0, 0], [3, 3], verify=True, verifier_ns=50)
    assert rows(out.start_ns) == [[0], [3]]
    assert rows(out.end_ns) == [53, 56]


def test_without_cancel_the_server_works_on() -> None:
    out = run(places(2, timeout_ns=[5, UNLIMITED], cancel=False), [0, 4], [[9, 1], [1, 1]])
    # Row 0 goes on to tier 1 at 5, but its work holds the server until 9, the deadline of row 1:
    # DONE comes first, row 1 starts, and its own timeout strikes at once. Its work runs to 10.
    assert rows(out.visit) == [[WORKED_OUT, ACCEPTED], [WORKED_OUT, ACCEPTED]]
    assert rows(out.start_ns) == [[0, 5], [9, 9]]
    assert rows(out.finish_ns) == [[5, 6], [9, 10]]
    assert rows(out.busy_ns) == [[9, 1], [1, 1]]


def test_with_cancel_the_head_of_the_queue_starts_at_the_timeout() -> None:
    out = run(places(1, timeout_ns=5), [0, 4], [9, 1])
    assert rows(out.start_ns) == [[0], [5]]
    assert rows(out.busy_ns) == [[5], [1]]


def test_a_timeout_in_the_queue_leaves_it() -> None:
    # Row 1 leaves at 5; row 2, behind it, is first when row 0 is done at 7 (cancel=False).
    out = run(places(1, timeout_ns=5, cancel=False), [0, 0, 4], [7, 1, 1])
    assert rows(out.visit) == [[WORKED_OUT], [WAITED_OUT], [ACCEPTED]]
    assert rows(out.start_ns) == [[0], [-1], [7]]
    assert rows(out.finish_ns) == [[5], [5], [8]]
    assert rows(out.busy_ns) == [[7], [0], [1]]
    assert rows(out.status) == [TIMED_OUT, TIMED_OUT, ANSWERED]


def test_patience_ends_in_the_queue_only() -> None:
    out = run(places(1), [0, 0], [9, 1], patience_ns=4)
    assert rows(out.visit) == [[ACCEPTED], [ABANDONED]]
    assert rows(out.end_ns) == [9, 4]
    assert rows(out.status) == [ANSWERED, TIMED_OUT]


def test_who_has_left_the_queue_makes_room() -> None:
    out = run(places(1, queue_limit=1), [0, 0, 3, 4], [9, 1, 1, 1], patience_ns=4)
    # Row 1 waits, row 2 is turned away at 3, row 1 gives up at 4 before row 3 enters.
    assert rows(out.visit) == [[ACCEPTED], [ABANDONED], [TURNED_AWAY], [ABANDONED]]
    assert rows(out.end_ns) == [9, 4, 3, 8]


def test_who_gives_up_makes_room_for_who_comes_from_another_tier_at_that_instant() -> None:
    plan = places(2, queue_limit=1)
    accept = [[NO, YES]]
    out = run(
        plan, [0, 0, 0], [[5, 1], [0, 20], [0, 1]], start=[0, 1, 1], patience_ns=5, accept=accept
    )
    # Row 2 waits at tier 1 for row 1 and gives up at 5, when row 0 comes from tier 0.
    assert rows(out.visit[:, 1]) == [ABANDONED, ACCEPTED, ABANDONED]
    assert rows(out.finish_ns[:, 1]) == [10, 20, 5]


def test_a_full_queue_turns_away_to_the_next_tier() -> None:
    out = run(places(2, queue_limit=[1, UNLIMITED]), [0, 0, 0], [[5, 2]] * 3)
    assert rows(out.visit)[2] == [TURNED_AWAY, ACCEPTED]
    assert rows(out.enter_ns)[2] == [0, 0]
    assert rows(out.start_ns)[2] == [-1, 0]
    assert rows(out.finish_ns)[2] == [0, 2]


def test_two_servers_serve_two() -> None:
    out = run(places(1, servers=2), [0, 0, 1], [5, 3, 1])
    assert rows(out.start_ns) == [[0], [0], [3]]
