"""The answer cache in arrays: the entry used last at the front, the one at the back goes first.

Entries are slots, chained from front to back; a table gives the slot of a key (open addressing,
linear probing, -1 is empty). The caller looks at CROWDED and makes more room with `grown`.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fallwise.engines.jit import part, pasted
from fallwise.tables import Int64s

__all__ = ["CROWDED", "Lru", "fresh", "grown", "look_up", "store"]

# Places in Lru.state.
CROWDED: Final = 0
"""Not 0 when the slots are full below the capacity: `grown` comes before the next `store`."""
HELD: Final = 1
FRONT: Final = 2
BACK: Final = 3
GIVEN_BACK: Final = 4
"""First of the slots that were given back, chained by `after`."""
UNUSED: Final = 5
"""First of the slots that were never used."""
CAPACITY: Final = 6
TTL_NS: Final = 7

SLOTS: Final = 64
"""To begin with."""


class Lru(NamedTuple):
    """A cache's state; one entry of key ... after a slot."""

    state: Int64s
    table: Int64s
    key: Int64s
    request: Int64s
    tier: Int64s
    stored_ns: Int64s
    before: Int64s
    after: Int64s


def fresh(capacity: int, ttl_ns: int, warm: Int64s | None = None) -> Lru:
    """Return a cache before the run: empty, or with these keys, the front one last.

    Their answers are of no request: request and tier are -1.
    """
    held = 0 if warm is None else len(warm)
    slots = max(1, min(capacity, max(SLOTS, 2 * held)))
    columns = [np.full(slots, -1, np.int64) for _ in Lru._fields[2:]]
    state = np.array([0, held, held - 1, min(held, 1) - 1, -1, held, capacity, ttl_ns], np.int64)
    lru = Lru(state, np.full(_table_size(slots), -1, np.int64), *columns)
    if warm is not None and held:
        state[CROWDED] = held == slots < capacity
        lru.key[:held], lru.stored_ns[:held] = warm, 0
        lru.before[: held - 1], lru.after[1:held] = np.arange(1, held), np.arange(held - 1)
        _fill_table(lru)
    return lru


def grown(lru: Lru) -> Lru:
    """Return the same cache with twice the slots."""
    more = np.full(len(lru.key), -1, np.int64)
    columns = [np.concatenate([column, more]) for column in lru[2:]]
    bigger = Lru(lru.state, np.full(_table_size(2 * len(more)), -1, np.int64), *columns)
    bigger.state[CROWDED] = 0
    _fill_table(bigger)
    return bigger


def _table_size(slots: int) -> int:
    return 1 << (2 * slots).bit_length()


@part
def _fill_table(lru):
    """Enter all slots, none of them given back, into an empty table."""
    for slot in range(lru.state[HELD]):
        lru.table[_place(lru, lru.key[slot])] = slot


@part
def look_up(lru, key, now):
    """Return the slot that holds the answer, now at the front, or -1; what is too old goes."""
    slot = lru.table[_place(lru, key)]
    if slot < 0:
        return slot
    if now - lru.stored_ns[slot] >= lru.state[TTL_NS]:
        _drop(lru, slot)
        return -1
    _unchain(lru, slot)
    _to_front(lru, slot)
    return slot


@part
def store(lru, key, request, tier, now):
    """Put an answer at the front; beyond the capacity the entry at the back goes."""
    state = lru.state
    if state[CAPACITY] == 0:
        return
    slot = lru.table[_place(lru, key)]
    if slot >= 0:
        _unchain(lru, slot)
    else:
        if state[HELD] == state[CAPACITY]:
            _drop(lru, state[BACK])
        slot = _free_slot(lru)
        lru.table[_place(lru, key)] = slot
        lru.key[slot] = key
    lru.request[slot], lru.tier[slot], lru.stored_ns[slot] = request, tier, now
    _to_front(lru, slot)


@pasted
def _free_slot(lru):
    state = lru.state
    state[HELD] += 1
    if state[HELD] == len(lru.key) and state[HELD] < state[CAPACITY]:
        state[CROWDED] = 1
    slot = state[GIVEN_BACK]
    if slot >= 0:
        state[GIVEN_BACK] = lru.after[slot]
        return slot
    state[UNUSED] += 1
    return state[UNUSED] - 1


@pasted
def _home(lru, key):
    # 2^64 over the golden ratio, as int64; the high bits of the product are the well mixed ones.
    product = key * -7046029254386353131
    return (product ^ (product >> 32)) & (len(lru.table) - 1)


@part
def _place(lru, key):
    """Return where in the table the key stands, or the empty place where it would."""
    mask = len(lru.table) - 1
    at = _home(lru, key)
    while lru.table[at] >= 0 and lru.key[lru.table[at]] != key:
        at = (at + 1) & mask
    return at


@part
def _drop(lru, slot):
    """Remove an entry; those that were placed past it in the table move up."""
    table, mask = lru.table, len(lru.table) - 1
    hole = at = _place(lru, lru.key[slot])
    while True:
        at = (at + 1) & mask
        if table[at] < 0:
            break
        past_home = (at - _home(lru, lru.key[table[at]])) & mask
        if past_home >= (at - hole) & mask:
            table[hole] = table[at]
            hole = at
    table[hole] = -1
    _unchain(lru, slot)
    lru.after[slot] = lru.state[GIVEN_BACK]
    lru.state[GIVEN_BACK] = slot
    lru.state[HELD] -= 1


@pasted
def _unchain(lru, slot):
    ahead, behind = lru.before[slot], lru.after[slot]
    if ahead >= 0:
        lru.after[ahead] = behind
    else:
        lru.state[FRONT] = behind
    if behind >= 0:
        lru.before[behind] = ahead
    else:
        lru.state[BACK] = ahead


@pasted
def _to_front(lru, slot):
    front = lru.state[FRONT]
    lru.before[slot], lru.after[slot] = -1, front
    lru.state[FRONT] = slot
    if front >= 0:
        lru.before[front] = slot
    else:
        lru.state[BACK] = slot
