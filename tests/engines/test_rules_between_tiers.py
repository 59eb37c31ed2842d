"""The rules of docs/engine.md for caches, routers, residency and pairs, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines_worlds import places, rows
from engines_worlds import run_small as run
from fallwise.engines.engine import Engine
from fallwise.engines.plan import UNLIMITED, Plan
from fallwise.tables import (
    ACCEPTED,
    ANSWERED,
    DECLINED,
    MISSED,
    NOT_VISITED,
    REFUSED,
    REJECTED,
    SHED,
    TIMED_OUT,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
)

NO, YES = False, True

# The cache. Tier 0 is the cache, its look-up takes no time unless it is said.


def cache(tiers: int = 2, capacity: int = 9, **columns: Any) -> Plan:
    fills = columns.pop("fills", [False] + [True] * (tiers - 1))
    return places(tiers, capacity=capacity, fills=fills, **columns)


def test_an_answer_is_there_for_a_look_up_at_the_instant_it_is_done() -> None:
    out = run(cache(), [0, 5], [[0, 5]] * 2, key=[1, 1])
    assert rows(out.visit) == [[MISSED, ACCEPTED], [ACCEPTED, NOT_VISITED]]
    assert rows(out.answer_of) == [0, 0]
    assert rows(out.answer_tier) == [1, 1]
    assert rows(out.hit_tier) == [1, 0]


def test_two_equal_requests_in_flight_both_miss() -> None:
    out = run(cache(servers=2), [0, 4, 6], [[0, 5]] * 3, key=[1, 1, 1])
    assert rows(out.visit[:, 0]) == [MISSED, MISSED, ACCEPTED]
    assert rows(out.answer_of) == [0, 1, 0]


def test_a_newer_answer_replaces_the_entry() -> None:
    out = run(cache(servers=2, ttl_ns=6), [0, 4, 13], [[0, 5]] * 3, key=[1, 1, 1])
    # Stored at 5 by row 0, again at 9 by row 1: at 13 it is 4 old, not 8.
    assert rows(out.answer_of) == [0, 1, 1]


def test_look_up_takes_its_time_and_no_server() -> None:
    out = run(cache(), [0, 10, 10], [[3, 5]] * 3, key=[1, 1, 2])
    assert rows(out.finish_ns[:, 0]) == [3, 13, 13]
    assert rows(out.start_ns[:, 0]) == [0, 10, 10]
    assert rows(out.busy_ns[:, 0]) == [0, 0, 0]
    assert rows(out.end_ns) == [8, 13, 18]


def test_an_entry_is_too_old_at_its_time_to_live() -> None:
    out = run(cache(ttl_ns=10), [0, 14, 15], [[0, 5]] * 3, key=[1, 1, 1])
    # Stored at 5: 9 old at 14, 10 old at 15.
    assert rows(out.visit[:, 0]) == [MISSED, ACCEPTED, MISSED]


def test_a_hit_does_not_make_an_entry_younger() -> None:
    out = run(cache(ttl_ns=10), [0, 8, 14, 16], [[0, 5]] * 4, key=[1] * 4)
    assert rows(out.visit[:, 0]) == [MISSED, ACCEPTED, ACCEPTED, MISSED]


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_cache_that_is_away_misses_and_comes_back_empty(engine: Engine) -> None:
    # Stored at 1; away from 10 to before 20, where what is answered at 13 is not kept either.
    plan = replace(cache(), away=np.array([[10, 20, 50]]))
    out = run(plan, [0, 9, 10, 12, 20, 22, 59, 60, 70], [[0, 1]] * 9, key=[1] * 9, engine=engine)
    seen = [MISSED, ACCEPTED, MISSED, MISSED, MISSED, ACCEPTED, ACCEPTED, MISSED, MISSED]
    assert rows(out.visit[:, 0]) == seen
    assert (out.status == ANSWERED).all()


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_cache_that_was_away_has_lost_all_even_if_nobody_asked_it_then(engine: Engine) -> None:
    plan = replace(cache(capacity=2), away=np.array([[10, 20, UNLIMITED], [40, 41, UNLIMITED]]))
    out = run(plan, [0, 2, 30, 33, 50], [[0, 1]] * 5, key=[1, 2, 3, 1, 3], engine=engine)
    assert rows(out.visit[:, 0]) == [MISSED] * 5
    # What is put in afterwards has all the room.
    out = run(plan, [0, 2, 30, 33, 35, 37], [[0, 1]] * 6, key=[1, 2, 3, 4, 3, 4], engine=engine)
    assert rows(out.visit[:, 0]) == [MISSED] * 4 + [ACCEPTED] * 2
    # What was in it when the run began is lost as well.
    warm = replace(plan, warm=np.array([7]))
    out = run(warm, [5, 45], [[0, 1]] * 2, key=[7, 7], start=1, engine=engine)
    assert rows(out.visit[:, 0]) == [ACCEPTED, MISSED]


def test_the_entry_used_longest_ago_goes() -> None:
    # 1 and 2 are stored; 1 is used again; 3 pushes 2 out.
    out = run(cache(capacity=2), [0, 1, 2, 3, 4, 5], [[0, 0]] * 6, key=[1, 2, 1, 3, 1, 2])
    assert rows(out.visit[:, 0]) == [MISSED, MISSED, ACCEPTED, MISSED, ACCEPTED, MISSED]


def test_a_replaced_entry_is_the_one_used_last() -> None:
    # Key 1 is stored at 1 and again at 10, key 2 at 3; key 3 pushes out key 2.
    service = [[0, 1], [0, 10], [0, 1], [0, 1], [0, 1], [0, 1]]
    out = run(cache(capacity=2, servers=9), [0, 0, 2, 11, 20, 21], service, key=[1, 1, 2, 3, 1, 2])
    assert rows(out.answer_of) == [0, 1, 2, 3, 1, 5]


def test_only_named_tiers_fill_and_only_accepted_answers() -> None:
    plan = cache(3, fills=[False, True, False])
    accept = [[NO, NO, YES]] * 2 + [[NO, YES, YES]] * 2
    out = run(plan, [0, 10, 20, 30], [[0, 1, 1]] * 4, key=[1] * 4, accept=accept)
    assert rows(out.visit[:, 0]) == [MISSED, MISSED, MISSED, ACCEPTED]
    assert rows(out.answer_of) == [0, 1, 2, 2]


def test_who_may_not_ask_the_cache_does_not_fill_it() -> None:
    plan = cache(local=[False, True])
    out = run(plan, [0, 10, 20], [[0, 5]] * 3, key=[1, 1, 1], local=[True, False, True])
    assert rows(out.visit) == [[NOT_VISITED, ACCEPTED], [MISSED, ACCEPTED], [NOT_VISITED, ACCEPTED]]


# Routers, residency, give_up, and the ways a request ends.


def test_the_router_takes_its_time_before_the_first_tier() -> None:
    out = run(places(3), [2], [[1, 1, 1]], start=1, router_ns=[4])
    assert rows(out.visit) == [[NOT_VISITED, ACCEPTED, NOT_VISITED]]
    assert rows(out.enter_ns) == [[-1, 6, -1]]


def test_the_router_is_asked_after_the_cache_has_missed() -> None:
    out = run(cache(3), [0, 20], [[3, 1, 1]] * 2, start=2, router_ns=[4, 4], key=[1, 1])
    assert rows(out.enter_ns) == [[0, -1, 7], [20, -1, -1]]
    assert rows(out.end_ns) == [8, 23]


def test_a_short_way_through_the_router_overtakes() -> None:
    out = run(places(1), [0, 1], [5, 5], router_ns=[9, 0])
    assert rows(out.start_ns) == [[9], [1]]


def test_local_requests_skip_tiers_that_are_not() -> None:
    plan = places(4, local=[False, True, False, True])
    out = run(plan, [0], [1], local=[True], accept=[[YES, NO, YES, YES]])
    assert rows(out.visit) == [[NOT_VISITED, DECLINED, NOT_VISITED, ACCEPTED]]
    assert rows(out.enter_ns) == [[-1, 0, -1, 1]]


def test_refused_when_nothing_local_is_left() -> None:
    plan = places(2, local=[True, False])
    out = run(plan, [0, 9], [1, 1], local=[True, False], accept=[[NO, NO]])
    assert rows(out.status) == [REFUSED, REJECTED]
    assert rows(out.end_ns) == [1, 11]


def test_refused_at_once_when_nothing_is_local() -> None:
    out = run(places(1, local=False), [3], [1], local=[True], router_ns=[5])
    assert (rows(out.status), rows(out.end_ns), rows(out.visit)) == ([REFUSED], [3], [[0]])


def test_refused_after_the_cache_when_nothing_else_is_local() -> None:
    plan = cache(local=[True, False])
    out = run(plan, [3], [[2, 1]], local=[True], start=1, router_ns=[7])
    assert (rows(out.status), rows(out.end_ns), rows(out.visit)) == ([REFUSED], [5], [[MISSED, 0]])


def test_refused_when_there_is_nothing_but_a_cache() -> None:
    out = run(cache(1), [3], [2])
    assert (rows(out.status), rows(out.end_ns)) == ([REFUSED], [5])


def test_give_up_ends_a_failed_visit_but_not_a_declined_one() -> None:
    plan = places(2, timeout_ns=[5, UNLIMITED], give_up=[True, False])
    out = run(plan, [0, 10], [[9, 1], [2, 1]], accept=[[NO, YES]])
    assert rows(out.status) == [TIMED_OUT, ANSWERED]
    assert rows(out.visit) == [[WORKED_OUT, NOT_VISITED], [DECLINED, ACCEPTED]]


def test_give_up_is_not_refused_even_if_nothing_local_is_left() -> None:
    plan = places(2, timeout_ns=5, give_up=True, local=[True, False])
    assert rows(run(plan, [0], [9], local=[True]).status) == [TIMED_OUT]


def test_the_last_visit_gives_the_status() -> None:
    # Two at the last tier: row 0 works too long, row 1 waits too long; then one finds it full.
    plan = places(1, timeout_ns=5, queue_limit=1, cancel=False)
    out = run(plan, [0, 0, 0, 20], [9, 1, 1, 1], accept=[[NO]])
    assert rows(out.visit) == [[WORKED_OUT], [WAITED_OUT], [TURNED_AWAY], [DECLINED]]
    assert rows(out.status) == [TIMED_OUT, TIMED_OUT, SHED, REJECTED]
    assert rows(out.hit_tier) == rows(out.answer_of) == rows(out.answer_tier) == [-1] * 4


def test_a_failure_before_the_last_tier_is_forgotten() -> None:
    out = run(places(2, timeout_ns=[1, 9]), [0], [5], accept=[[YES, NO]])
    assert rows(out.status) == [REJECTED]


# Two tiers side by side: tiers 0 and 1 are a pair.


def pair(tiers: int = 2, **columns: Any) -> Plan:
    return places(tiers, paired=[False, True, False][:tiers], **columns)


def test_a_pair_waits_for_the_slower_one() -> None:
    out = run(pair(3), [0], [[3, 7, 1]])
    assert rows(out.visit) == [[ACCEPTED, ACCEPTED, NOT_VISITED]]
    assert rows(out.finish_ns) == [[3, 7, -1]]
    assert (rows(out.end_ns), rows(out.hit_tier), rows(out.answer_tier)) == ([7], [0], [0])


def test_a_pair_that_disagrees_goes_on_as_one() -> None:
    out = run(pair(3), [0], [[3, 7, 1]], accept=[[NO, NO, YES]])
    assert rows(out.visit) == [[DECLINED, DECLINED, ACCEPTED]]
    assert rows(out.enter_ns) == [[0, 0, 7]]


def test_a_pair_waits_for_both_verifiers() -> None:
    out = run(pair(), [0], [[3, 7]], verify=[[YES, NO]], verifier_ns=[[9, 0]])
    assert rows(out.end_ns) == [12]


def test_one_of_a_pair_shed_declines_the_other() -> None:
    plan = pair(3, queue_limit=[0, UNLIMITED, UNLIMITED])
    out = run(plan, [0, 1], [[9, 4, 1]] * 2)
    assert rows(out.visit) == [[ACCEPTED, ACCEPTED, NOT_VISITED], [TURNED_AWAY, DECLINED, ACCEPTED]]
    assert rows(out.enter_ns)[1] == [1, 1, 8]


def test_a_pair_without_a_next_tier_ends_as_its_first_failure() -> None:
    assert rows(run(pair(), [0], [1], accept=NO).status) == [REJECTED]
    # Tier 1 fails first in time, tier 0 in tier order: SHED after 1 ns against TIMED_OUT after 5.
    plan = pair(timeout_ns=5, queue_limit=[9, 0])
    out = run(plan, [0, 1], [[3, 4], [9, 1]])
    assert rows(out.visit) == [[ACCEPTED, ACCEPTED], [WORKED_OUT, TURNED_AWAY]]
    assert (rows(out.status), rows(out.end_ns)) == ([ANSWERED, TIMED_OUT], [4, 6])


def test_give_up_at_the_one_of_a_pair_that_failed_ends_it() -> None:
    plan = pair(3, timeout_ns=[5, 9, 9], give_up=[True, False, False])
    out = run(plan, [0, 20], [[6, 7, 1], [1, 9, 1]], accept=[[NO, NO, YES]])
    assert rows(out.visit) == [[WORKED_OUT, DECLINED, 0], [DECLINED, DECLINED, ACCEPTED]]
    assert (rows(out.status), rows(out.end_ns)) == ([TIMED_OUT, ANSWERED], [7, 30])
    # Where it is the other one that failed, nobody gives up.
    plan = pair(3, timeout_ns=[9, 5, 9], give_up=[True, False, False])
    assert rows(run(plan, [0], [[6, 7, 1]]).status) == [ANSWERED]


def test_a_pair_refuses_where_nothing_local_follows() -> None:
    plan = pair(3, local=[True, True, False])
    assert rows(run(plan, [0], [1], local=[True], accept=NO).status) == [REFUSED]


def test_a_pair_fills_the_cache_as_its_first_tier() -> None:
    for fills, second in (([NO, YES, NO], ACCEPTED), ([NO, NO, YES], MISSED)):
        plan = cache(3, fills=fills, paired=[False, False, True])
        out = run(plan, [0, 10], [[0, 1, 2]] * 2, key=[1, 1])
        assert rows(out.visit[:, 0]) == [MISSED, second]
        assert rows(out.hit_tier) == [1, 0 if second == ACCEPTED else 1]
        assert rows(out.answer_tier) == [1, 1]
