"""Replicas in arrays: rules 18 to 20 of docs/engine.md for the event loop."""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

from fallwise.engines.fleet import (
    DOWN,
    FAIL,
    LEAVING,
    LOOK,
    LOSE,
    OFF,
    READY,
    REPAIR,
    STARTING,
    UP,
    WHAT,
)
from fallwise.engines.jit import part, pasted
from fallwise.engines.plan import CHANGE
from fallwise.engines.rounds import cut
from fallwise.engines.servers import call, expect, rent

__all__ = ["change_replicas", "leave_seat", "sit"]

NOBODY: Final = -1


@part
def sit(tiers, rows, s, now, i, k):
    """Give a row a slot at the replica with the fewest in service, of several the first."""
    fleet, state = tiers.fleet, s.fleet
    slots, best = fleet.slots[k], -1
    for g in range(fleet.first[k], fleet.first[k] + fleet.replicas[k]):
        if state.is_[g] == UP and (best < 0 or state.members[g] < state.members[best]):
            best = g
    state.members[best] += 1
    seat = fleet.seat[k] + (best - fleet.first[k]) * slots
    while state.seat[seat] >= 0:
        seat += 1
    state.seat[seat] = i
    if fleet.step_ns[k]:
        state.left[seat] = max(1, rows.output_tokens[k * len(rows.arrival_ns) + i])
        state.new[seat] = 1
        cut(s, now, best, best - fleet.first[k], k)


@part
def leave_seat(tiers, s, now, i, k):
    """Take a row out of its slot; return 1 if that is free for another one now, else 0."""
    fleet, state = tiers.fleet, s.fleet
    seat = fleet.seat[k]
    while state.seat[seat] != i:
        seat += 1
    state.seat[seat] = state.left[seat] = -1
    g = fleet.first[k] + (seat - fleet.seat[k]) // fleet.slots[k]
    if fleet.step_ns[k] and state.until_ns[g] >= 0:
        cut(s, now, g, g - fleet.first[k], k)
    state.members[g] -= 1
    if state.is_[g] == LEAVING and state.members[g] == 0:
        state.is_[g] = OFF
        rent(s, now, k, -1)
    return 1 if state.is_[g] == UP else 0


@part
def change_replicas(tiers, s, now, step, k):
    """Take a step of tier k's replicas; return the row that is lost by it, or NOBODY."""
    fleet, state = tiers.fleet, s.fleet
    what, r = step >> WHAT, step & ((1 << WHAT) - 1)
    g = fleet.first[k] + r
    lost = NOBODY
    if what == FAIL:
        state.until_ns[g] = -1
        if state.is_[g] == UP:
            state.is_[g] = DOWN
            s.free[k] -= fleet.slots[k] - state.members[g]
        elif state.is_[g] == LEAVING:
            state.is_[g] = OFF
            rent(s, now, k, -1)
        if state.members[g]:
            expect(s, now, CHANGE, LOSE << WHAT | r, k)
        expect(s, now + fleet.down_ns[_cycle(tiers, s, g)], CHANGE, REPAIR << WHAT | r, k)
    elif what == LOSE:
        lost = _lose(tiers, s, g, k)
        if state.members[g]:
            expect(s, now, CHANGE, step, k)
    elif what == REPAIR:
        if state.is_[g] == DOWN:
            _open(tiers, s, g, k)
        state.cycle[g] = (state.cycle[g] + 1) % fleet.cycles[0]
        expect(s, now + fleet.up_ns[_cycle(tiers, s, g)], CHANGE, FAIL << WHAT | r, k)
    elif what == READY:
        for one in range(fleet.first[k], fleet.first[k] + fleet.replicas[k]):
            if state.is_[one] == STARTING and state.ready_ns[one] == now:
                _open(tiers, s, one, k)
    else:
        _look(tiers, s, now, k)
        expect(s, now + fleet.interval_ns[k], CHANGE, LOOK << WHAT, k)
    call(s, now, k)
    return lost


@pasted
def _cycle(tiers, s, g):
    return g * tiers.fleet.cycles[0] + s.fleet.cycle[g]


@pasted
def _open(tiers, s, g, k):
    """Let a replica be up, with nobody in service."""
    s.fleet.is_[g] = UP
    s.free[k] += tiers.fleet.slots[k]


@pasted
def _lose(tiers, s, g, k):
    """Return the first row in service at a replica, which leaves its slot."""
    seat = tiers.fleet.seat[k] + (g - tiers.fleet.first[k]) * tiers.fleet.slots[k]
    while s.fleet.seat[seat] < 0:
        seat += 1
    i = s.fleet.seat[seat]
    s.fleet.seat[seat] = s.fleet.left[seat] = -1
    s.fleet.members[g] -= 1
    return i


@part
def _look(tiers, s, now, k):
    """Start replicas or let them go, by what is in service and waiting."""
    fleet, state = tiers.fleet, s.fleet
    first, end = fleet.first[k], fleet.first[k] + fleet.replicas[k]
    load, there = s.waiting[k], 0
    for g in range(first, end):
        load += state.members[g]
        there += 1 if state.is_[g] in (STARTING, UP, DOWN) else 0
    room = fleet.target_ppm[k] * fleet.slots[k]
    wanted = (load * 1_000_000 + room - 1) // room
    wanted = min(max(wanted, fleet.least[k]), fleet.replicas[k])
    if wanted >= there:
        state.below_ns[k] = -1
        _start_replicas(tiers, s, now, k, wanted - there)
        return
    if state.below_ns[k] < 0:
        state.below_ns[k], state.wanted[k] = now, wanted
    state.wanted[k] = max(state.wanted[k], wanted)
    if now - state.below_ns[k] >= fleet.linger_ns[k]:
        state.below_ns[k] = -1
        _let_go(tiers, s, now, k, there - state.wanted[k])


@pasted
def _start_replicas(tiers, s, now, k, missing):
    fleet, state = tiers.fleet, s.fleet
    started = 0
    for g in range(fleet.first[k], fleet.first[k] + fleet.replicas[k]):
        if started < missing and state.is_[g] == OFF:
            state.is_[g], state.ready_ns[g] = STARTING, now + fleet.cold_ns[k]
            started += 1
    if started:
        rent(s, now, k, started)
        expect(s, now + fleet.cold_ns[k], CHANGE, READY << WHAT, k)


@pasted
def _let_go(tiers, s, now, k, many):
    """Let go the last ones that are there, so many of them."""
    fleet, state = tiers.fleet, s.fleet
    g = fleet.first[k] + fleet.replicas[k]
    while many > 0:
        g -= 1
        if state.is_[g] not in (STARTING, UP, DOWN):
            continue
        many -= 1
        if state.is_[g] == UP:
            s.free[k] -= fleet.slots[k] - state.members[g]
        state.is_[g] = LEAVING if state.members[g] else OFF
        if state.is_[g] == OFF:
            rent(s, now, k, -1)
