"""What must hold in every world, whatever an engine does: over random worlds, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from engines_worlds import World, servers_at, worlds
from fallwise.engines.plan import CACHE, UNLIMITED
from fallwise.engines.reference import simulate
from fallwise.tables import (
    ACCEPTED,
    ANSWERED,
    DECLINED,
    ERRORED,
    MISSED,
    NOT_VISITED,
    REFUSED,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
    Bools,
    Decisions,
    Int64s,
    OutcomeTable,
)
from hypothesis import given, settings

few = settings(max_examples=100, deadline=None, derandomize=True)


def places_of(world: World) -> list[int]:
    return [k for k, role in enumerate(world.plan.role) if role != CACHE]


def has_replicas(world: World, k: int) -> bool:
    return world.plan.fleet is not None and k in world.plan.fleet.tier


def is_simple(world: World, out: OutcomeTable, k: int) -> bool:
    """Return True where each visit to tier k held one server once: the laws of one call hold."""
    if world.plan.calls is None or not world.plan.calls.several[k]:
        return True
    assert out.attempts is not None and out.hedges is not None
    return bool((out.attempts[:, k] <= 1).all() and not out.hedges[:, k].any())


def in_steps(world: World, k: int) -> bool:
    fleet = world.plan.fleet
    return fleet is not None and bool(fleet.step_ns[fleet.tier == k].any())


def at_work(out: OutcomeTable, k: int, instants: Int64s) -> Int64s:
    """Return how many servers of tier k are held once all is done that happens at each instant."""
    begin, end = out.start_ns[:, k], out.start_ns[:, k] + out.busy_ns[:, k]
    held = (begin <= instants[:, None]) & (instants[:, None] < end) & (begin >= 0)
    counts: Int64s = held.sum(axis=1)
    return counts


def queueing(out: OutcomeTable, k: int) -> tuple[Int64s, Int64s]:
    """Return from when until when each visit to tier k waited that made one attempt at most.

    Nothing for who was turned away.
    """
    entered = (out.visit[:, k] != NOT_VISITED) & (out.visit[:, k] != TURNED_AWAY)
    if out.attempts is not None:
        entered &= out.attempts[:, k] <= 1
    begin = out.enter_ns[entered, k]
    return begin, begin + out.waited_ns(k)[entered]


def instants(out: OutcomeTable, k: int) -> Int64s:
    """Return every instant at which something can change at tier k."""
    ends = out.start_ns[:, k] + out.busy_ns[:, k]
    times = [out.enter_ns[:, k], out.start_ns[:, k], out.finish_ns[:, k], ends]
    return np.unique(np.concatenate(times).clip(0))


@few
@given(worlds())
def test_every_request_ends_once(world: World) -> None:
    out = simulate(*world).check()  # a status in range, and arrival <= enter <= start <= finish
    accepted = (out.visit == ACCEPTED).sum(axis=1)
    pair = world.plan.paired[np.minimum(out.hit_tier + 1, out.tiers - 1)]
    pair &= out.hit_tier + 1 < out.tiers
    assert (accepted == np.where(out.status == ANSWERED, 1 + pair, 0)).all()
    assert (out.end_ns >= out.finish_ns.max(axis=1, initial=0)).all()
    nobody = (out.visit == NOT_VISITED).all(axis=1)
    assert (out.status[nobody] == REFUSED).all()
    hit = np.flatnonzero(out.status == ANSWERED)
    assert (out.visit[hit, out.hit_tier[hit]] == ACCEPTED).all()


@few
@given(worlds())
def test_never_more_in_service_than_servers_and_never_more_waiting_than_allowed(
    world: World,
) -> None:
    out = simulate(*world)
    for k in places_of(world):
        times = instants(out, k)
        if is_simple(world, out, k):
            if world.plan.hours is None and world.plan.fleet is None:
                assert (at_work(out, k, times) <= world.plan.servers[k]).all()
            starts = np.unique(out.start_ns[out.start_ns[:, k] >= 0, k])
            assert (at_work(out, k, starts) <= servers_at(world.plan, k, starts)).all()
        begin, end = queueing(out, k)
        waiting = ((begin <= times[:, None]) & (times[:, None] < end)).sum(axis=1)
        assert (waiting <= world.plan.queue_limit[k]).all()


@few
@given(worlds())
def test_nobody_waits_while_a_server_is_free(world: World) -> None:
    out = simulate(*world)
    for k in places_of(world):
        times = instants(out, k)
        begin, end = queueing(out, k)
        somebody = ((begin <= times[:, None]) & (times[:, None] < end)).any(axis=1)
        times = times[somebody]
        if has_replicas(world, k) or not is_simple(world, out, k):
            continue  # Replicas and further calls come and go at times that no column says.
        assert (at_work(out, k, times) >= servers_at(world.plan, k, times)).all()


@few
@given(worlds())
def test_first_come_first_served(world: World) -> None:
    out = simulate(*world)
    for k in places_of(world):
        served = out.start_ns[:, k] >= 0
        if out.attempts is not None:
            served &= out.attempts[:, k] <= 1  # Who tries again stands at the end of the queue.
        started = np.flatnonzero(served)
        order = started[np.argsort(out.enter_ns[started, k], kind="stable")]
        assert (np.diff(out.start_ns[order, k]) >= 0).all()


@few
@given(worlds())
def test_a_server_is_held_for_the_work_or_until_the_cancel(world: World) -> None:
    out, plan = simulate(*world), world.plan
    for k in places_of(world):
        visited = out.visit[:, k] != NOT_VISITED
        assert ((out.finish_ns - out.enter_ns)[visited, k] <= plan.timeout_ns[k]).all()
        if plan.calls is not None and plan.calls.several[k]:
            continue  # tests/engines/test_conservation_calls.py
        started = out.start_ns[:, k] >= 0
        work = world.requests.service_ns[:, k]
        cancelled = (out.visit[:, k] == WORKED_OUT) & plan.cancel[k]
        cancelled |= out.visit[:, k] == ERRORED
        if in_steps(world, k):
            work = np.where(started, out.finish_ns[:, k] - out.start_ns[:, k], 0)
        held = np.where(cancelled, out.finish_ns[:, k] - out.start_ns[:, k], work)
        assert (out.busy_ns[:, k] == np.where(started, held, 0)).all()
        done = started & ~np.isin(out.visit[:, k], (WORKED_OUT, ERRORED))
        assert (out.finish_ns[done, k] == (out.start_ns[:, k] + work)[done]).all()
        late = np.isin(out.visit[:, k], (WAITED_OUT, WORKED_OUT))
        assert ((out.finish_ns - out.enter_ns)[late, k] == plan.timeout_ns[k]).all()


@few
@given(worlds())
def test_visits_go_in_tier_order_and_keep_to_local_tiers(world: World) -> None:
    out, plan = simulate(*world), world.plan
    assert not (out.visit[world.requests.local][:, ~plan.local] != NOT_VISITED).any()
    for i in range(len(out)):
        tiers = [k for k in range(out.tiers) if out.visit[i, k] != NOT_VISITED]
        places = [k for k in tiers if plan.role[k] != CACHE]
        assert all(k >= world.decisions.start[i] for k in places)
        for k, following in pairwise(tiers):
            if plan.paired[following]:
                assert k == following - 1
                assert out.enter_ns[i, k] == out.enter_ns[i, following]
            else:
                assert out.finish_ns[i, k] <= out.enter_ns[i, following]
                assert out.visit[i, k] != ACCEPTED
            if plan.fallback is not None and plan.fallback[following]:
                assert plan.role[k] != CACHE
                both = (k - 1, k) if plan.paired[k] else (k,)  # A pair failed if one of it did.
                assert not all(out.visit[i, j] in (DECLINED, MISSED) for j in both)
        for k in tiers:
            partner = k + 1 if k + 1 < out.tiers and plan.paired[k + 1] else None
            assert partner is None or partner in tiers


@few
@given(worlds())
def test_a_cache_hit_is_an_answer_of_the_same_question_that_was_there(world: World) -> None:
    out, plan, key = simulate(*world), world.plan, world.requests.key
    hits = np.flatnonzero((out.status == ANSWERED) & (out.answer_of != out.request))
    assert (out.hit_tier[hits] == 0).all() and (plan.role[0] == CACHE or not len(hits))
    filler = out.answer_of[hits]
    assert (key[filler] == key[hits]).all()
    assert (out.hit_tier[filler] == out.answer_tier[hits]).all()
    assert plan.fills[out.answer_tier[hits]].all()
    age = out.enter_ns[hits, 0] - out.end_ns[filler]
    assert ((age >= 0) & (age < plan.ttl_ns)).all()
    own = (out.status == ANSWERED) & (out.answer_of == out.request)
    warm = own & (out.hit_tier == 0) & (plan.role[0] == CACHE)
    assert np.isin(key[warm], plan.warm).all()
    assert plan.fills[out.answer_tier[warm]].all()
    assert (out.answer_tier[own & ~warm] == out.hit_tier[own & ~warm]).all()


def alone(world: World) -> World:
    """Return the same world without pairs."""
    return world._replace(plan=replace(world.plan, paired=np.zeros_like(world.plan.paired)))


def deciding(world: World, accept: bool) -> World:
    decisions = replace(world.decisions, accept=np.full_like(world.decisions.accept, accept))
    return world._replace(decisions=decisions)


@few
@given(worlds())
def test_nothing_is_declined_when_all_is_accepted(world: World) -> None:
    out = simulate(*deciding(alone(world), True))
    assert not (out.visit == DECLINED).any()


@few
@given(worlds())
def test_everything_goes_on_when_nothing_is_accepted(world: World) -> None:
    out = simulate(*deciding(world, False))
    assert not (out.status == ANSWERED).any()
    assert not (out.visit == ACCEPTED).any()
    # Whoever stopped before the last tier may go no further, or gave up at a failure; who did not
    # fail goes to no fallback.
    fallback = np.zeros(out.tiers, np.bool_) if world.plan.fallback is None else world.plan.fallback
    for i in np.flatnonzero((out.visit[:, -1] == NOT_VISITED) & (out.status != REFUSED)):
        last_visit = int(np.flatnonzero(out.visit[i])[-1])
        if fallback[last_visit + 1 :].all() and out.visit[i, last_visit] in (DECLINED, MISSED):
            continue
        last = int(np.flatnonzero(out.visit[i])[-1])
        gave_up = [k for k in (last - 1, last) if k >= 0 and world.plan.give_up[k]]
        assert any(out.visit[i, k] not in (DECLINED, MISSED, NOT_VISITED) for k in gave_up)


def unhindered_ns(world: World, k: int) -> Int64s:
    """Return (n,) how long tier k takes where no call fails; the sooner one of a hedge counts."""
    calls, call_ns = world.plan.calls, world.requests.call_ns
    if calls is None or not calls.several[k]:
        return world.requests.service_ns[:, k]
    assert call_ns is not None
    first_ns = call_ns[:, calls.first[k]]
    if calls.hedge_ns[k] == UNLIMITED:
        return first_ns
    second_ns: Int64s = calls.hedge_ns[k] + call_ns[:, calls.first[k] + 1]
    return np.minimum(first_ns, second_ns)


def expected_sojourn(world: World, visited: Bools) -> Int64s:
    """Return look-up + router + service and verifier of each step; of a pair the slower one."""
    requests, plan = world.requests, world.plan
    looking = 0 if requests.verifier_ns is None else requests.verifier_ns
    work_ns = requests.service_ns.copy()
    for k in places_of(world):
        work_ns[:, k] = unhindered_ns(world, k)
    each = (work_ns + world.decisions.verify * looking) * visited
    cache = plan.role[0] == CACHE
    if cache:
        each[:, 0] = requests.service_ns[:, 0] * visited[:, 0]
    for k in np.flatnonzero(plan.paired).tolist():
        each[:, k - 1] = np.maximum(each[:, k - 1], each[:, k])
        each[:, k] = 0
    total: Int64s = each.sum(axis=1)
    if requests.router_ns is not None:
        total += requests.router_ns * visited[:, int(cache) :].any(axis=1)
    return total


@few
@given(worlds())
def test_without_limits_nobody_waits_and_times_add_up(world: World) -> None:
    tiers = len(world.plan.role)
    endless = np.full(tiers, UNLIMITED)
    calls = world.plan.calls
    if calls is not None:
        never = {f"{name}_per_minute": endless for name in ("requests", "tokens")}
        calls = calls._replace(
            attempt_timeout_ns=endless, outage=np.zeros(tiers + 1, np.int64), **never
        )
    plan = replace(
        world.plan, servers=endless, timeout_ns=endless, hours=None, fleet=None, calls=calls
    )
    free = World(plan, replace(world.requests, call_fails=None), world.decisions)
    out = simulate(*free)
    assert (out.wait_s == 0).all()
    assert np.isin(out.visit, (NOT_VISITED, ACCEPTED, DECLINED, MISSED)).all()
    sojourn = out.end_ns - out.arrival_ns
    assert (sojourn == expected_sojourn(free, out.visit != NOT_VISITED)).all()


@few
@given(worlds())
def test_what_comes_later_changes_nothing_that_has_ended(world: World) -> None:
    out, half = simulate(*world), len(world.requests) // 2

    def cut(column: Any) -> Any:
        return column[:half]

    decided = world.decisions
    decisions = Decisions(cut(decided.start), cut(decided.accept), cut(decided.verify))
    first = simulate(world.plan, world.requests.take(slice(half)), decisions)
    ended = np.flatnonzero(cut(out.end_ns) < world.requests.arrival_ns[half:].min(initial=2**62))
    # A server may still be working for a request that has ended: not seen from its end alone.
    assert (first.end_ns[ended] == out.end_ns[ended]).all()
    assert (first.visit[ended] == out.visit[ended]).all()
    assert (first.start_ns[ended] == out.start_ns[ended]).all()
