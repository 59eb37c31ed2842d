"""Replicas in records: rules 18 to 20 of docs/engine.md for the event loop."""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

import numpy as np

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
from fallwise.engines.jit import ONE, part, pasted
from fallwise.engines.rounds import cut
from fallwise.engines.servers import call, expect, rent

__all__ = ["change_replicas", "leave_seat", "sit"]

NOBODY: Final = -1


@pasted
def sit(tier, replicas, seats, rounds, tokens, now, i, k):
    """Give a row a slot at the replica with the fewest in service, of several the first."""
    best = -1
    for g in range(tier.first_replica, tier.first_replica + tier.replicas):
        if replicas[g].is_ == UP and (best < 0 or replicas[g].members < replicas[best].members):
            best = g
    replicas[best].members += 1
    r = best - tier.first_replica
    at = tier.first_seat + r * tier.slots
    while seats[at].row >= 0:
        at += 1
    seats[at].row = i
    if tier.step_ns:
        seats[at].end = max(1, tokens)
        seats[at].new = 1
        cut(replicas[best], rounds, now, r, k)


@pasted
def leave_seat(tier, replicas, seats, rounds, now, i, k):
    """Take a row out of its slot, which is free for another one if its replica is up."""
    at = tier.seat
    if seats[at].row != i:
        at = tier.first_seat
        while seats[at].row != i:
            at += 1
    seats[at].row = seats[at].end = -1
    r = (at - tier.first_seat) // tier.slots
    replica = replicas[tier.first_replica + r]
    if tier.step_ns and replica.until_ns >= 0:
        cut(replica, rounds, now, r, k)
    replica.members -= 1
    if replica.is_ == LEAVING and replica.members == 0:
        replica.is_ = OFF
        rent(tier, now, -ONE)
    if replica.is_ == UP:
        tier.free += 1


@part
def change_replicas(clock, tier, replicas, seats, failures, heap, now, step, k):
    """Take a step of the tier's replicas; return the row that is lost by it, or NOBODY."""
    what, r = step >> WHAT, step & ((1 << WHAT) - 1)
    replica = replicas[tier.first_replica + r]
    lost = NOBODY
    if what == FAIL:
        _fail(tier, replica, now)
        if replica.members:
            expect(clock, heap, now, LOSE << WHAT | r, k)
        down_ns = failures[replica.first_failure + replica.cycle].down_ns
        expect(clock, heap, now + down_ns, REPAIR << WHAT | r, k)
    elif what == LOSE:
        lost = _lose(tier, replica, seats, r)
        if replica.members:
            expect(clock, heap, now, step, k)
    elif what == REPAIR:
        if replica.is_ == DOWN:
            _open(tier, replica)
        replica.cycle = (replica.cycle + 1) % replica.failures
        up_ns = failures[replica.first_failure + replica.cycle].up_ns
        expect(clock, heap, now + up_ns, FAIL << WHAT | r, k)
    elif what == READY:
        for g in range(tier.first_replica, tier.first_replica + tier.replicas):
            if replicas[g].is_ == STARTING and replicas[g].ready_ns == now:
                _open(tier, replicas[g])
    else:
        _look(clock, tier, replicas, heap, now, k)
        expect(clock, heap, now + tier.interval_ns, LOOK << WHAT, k)
    call(clock, heap, now, k)
    return lost


@part
def _fail(tier, replica, now):
    replica.until_ns = -1
    if replica.is_ == UP:
        replica.is_ = DOWN
        tier.free -= tier.slots - replica.members
    elif replica.is_ == LEAVING:
        replica.is_ = OFF
        rent(tier, now, -ONE)


@part
def _open(tier, replica):
    """Let a replica be up, with nobody in service."""
    replica.is_ = UP
    tier.free += tier.slots


@part
def _lose(tier, replica, seats, r):
    """Return the first row in service at a replica, which leaves its slot."""
    at = tier.first_seat + r * tier.slots
    while seats[at].row < 0:
        at += 1
    i = seats[at].row
    seats[at].row = seats[at].end = -1
    replica.members -= 1
    return i


@part
def _look(clock, tier, replicas, heap, now, k):
    """Start replicas or let them go, by what is in service and waiting."""
    load, there = tier.waiting, 0
    for g in range(tier.first_replica, tier.first_replica + tier.replicas):
        load += replicas[g].members
        there += 1 if OFF < replicas[g].is_ < LEAVING else 0
    room = tier.target_ppm * tier.slots
    wanted = (load * 1_000_000 + room - 1) // room
    wanted = min(max(wanted, tier.least), tier.replicas)
    if wanted >= there:
        tier.below_ns = -1
        _start_replicas(clock, tier, replicas, heap, now, k, wanted - there)
        return
    if tier.below_ns < 0:
        tier.below_ns, tier.wanted = now, wanted
    tier.wanted = max(tier.wanted, wanted)
    if now - tier.below_ns >= tier.linger_ns:
        tier.below_ns = -1
        _let_go(tier, replicas, now, there - tier.wanted)


@part
def _start_replicas(clock, tier, replicas, heap, now, k, missing):
    started = np.int64(0)
    for g in range(tier.first_replica, tier.first_replica + tier.replicas):
        if started < missing and replicas[g].is_ == OFF:
            replicas[g].is_, replicas[g].ready_ns = STARTING, now + tier.cold_ns
            started += 1
    if started:
        rent(tier, now, started)
        expect(clock, heap, now + tier.cold_ns, READY << WHAT, k)


@part
def _let_go(tier, replicas, now, many):
    """Let go the last ones that are there, so many of them."""
    g = tier.first_replica + tier.replicas
    while many > 0:
        g -= 1
        replica = replicas[g]
        if not OFF < replica.is_ < LEAVING:
            continue
        many -= 1
        if replica.is_ == UP:
            tier.free -= tier.slots - replica.members
        replica.is_ = LEAVING if replica.members else OFF
        if replica.is_ == OFF:
            rent(tier, now, -ONE)
