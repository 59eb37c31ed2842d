"""The answer cache in arrays: the entry used last at the front, the one at the back goes first.

Entries are slots, chained from front to back; a table gives the slot of a key (open addressing,
linear probing, -1 is empty). The caller looks at `crowded` and makes more room with `grown`.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fallwise.engines.jit import kept, part
from fallwise.engines.tiers import Records, numbers
from fallwise.tables import Int64s

__all__ = ["Lru", "fresh", "grown", "look_up", "store"]

STATE: Final = numbers(
    "crowded",  # Not 0 when the slots are full below the capacity: `grown` comes first then.
    "held",
    "front",
    "back",
    "given_back",  # First of the slots that were given back, chained by `after`.
    "unused",  # First of the slots that were never used.
    "capacity",
    "ttl_ns",
    "asked_ns",  # When it was asked or filled last.
)
SLOT: Final = numbers("key", "request", "tier", "stored_ns", "before", "after")

SLOTS: Final = 64
"""To begin with."""


class Lru(NamedTuple):
    """A cache's state: a record of itself, its table, its slots, and when it is away.

    away is (m, 3), as in the plan.
    """

    state: Records
    table: Int64s
    slots: Records
    away: Int64s


def fresh(
    capacity: int, ttl_ns: int, warm: Int64s | None = None, away: Int64s | None = None
) -> Lru:
    """Return a cache before the run: empty, or with these keys, the front one last.

    Their answers are of no request: request and tier are -1.
    """
    held = 0 if warm is None else len(warm)
    room = max(1, min(capacity, max(SLOTS, 2 * held)))
    slots = _unused(room)
    state = np.zeros(1, STATE)
    state[0] = (0, held, held - 1, min(held, 1) - 1, -1, held, capacity, ttl_ns, -1)
    away = np.empty((0, 3), np.int64) if away is None else away
    lru = Lru(state, np.full(_table_size(room), -1, np.int64), slots, away)
    if warm is not None and held:
        state["crowded"] = held == room < capacity
        slots["key"][:held], slots["stored_ns"][:held] = warm, 0
        slots["before"][: held - 1] = np.arange(1, held)
        slots["after"][1:held] = np.arange(held - 1)
        _fill_table(held, lru.table, slots)
    return lru


def grown(lru: Lru) -> Lru:
    """Return the same cache with twice the slots."""
    slots = np.concatenate([lru.slots, _unused(len(lru.slots))])
    bigger = Lru(lru.state, np.full(_table_size(len(slots)), -1, np.int64), slots, lru.away)
    bigger.state["crowded"] = 0
    _fill_table(int(bigger.state["held"][0]), bigger.table, slots)
    return bigger


def _unused(room: int) -> Records:
    slots = np.empty(room, SLOT)
    slots.view(np.int64)[:] = -1
    return slots


def _table_size(slots: int) -> int:
    return 1 << (2 * slots).bit_length()


@kept
def _fill_table(held, table, slots):
    """Enter the first slots, none of them given back, into an empty table."""
    for slot in range(held):
        table[_place(table, slots, slots[slot].key)] = slot
    return 0


@part
def _is_away(cache, table, away, now):
    """Return True where the cache is away; whenever it has been since it was asked, all is lost."""
    found = lost = False
    for j in range(len(away)):
        since = now - away[j, 0]
        if since >= 0:
            since %= away[j, 2]
            lost |= now - since > cache.asked_ns
            found |= since < away[j, 1] - away[j, 0]
    if lost:
        table[:] = -1
        cache.held = cache.unused = 0
        cache.front = cache.back = cache.given_back = -1
    cache.asked_ns = now
    return found


@part
def look_up(cache, table, slots, away, key, now):
    """Return the slot that holds the answer, now at the front, or -1; what is too old goes."""
    if _is_away(cache, table, away, now):
        return np.int64(-1)
    slot = table[_place(table, slots, key)]
    if slot < 0:
        return slot
    if now - slots[slot].stored_ns >= cache.ttl_ns:
        _drop(cache, table, slots, slot)
        return -1
    _unchain(cache, slots, slot)
    _to_front(cache, slots, slot)
    return slot


@part
def store(cache, table, slots, away, key, request, tier, now):
    """Put an answer at the front; beyond the capacity the entry at the back goes."""
    if cache.capacity == 0 or _is_away(cache, table, away, now):
        return
    slot = table[_place(table, slots, key)]
    if slot >= 0:
        _unchain(cache, slots, slot)
    else:
        if cache.held == cache.capacity:
            _drop(cache, table, slots, cache.back)
        slot = _free_slot(cache, slots)
        table[_place(table, slots, key)] = slot
        slots[slot].key = key
    entry = slots[slot]
    entry.request, entry.tier, entry.stored_ns = request, tier, now
    _to_front(cache, slots, slot)


@part
def _free_slot(cache, slots):
    cache.held += 1
    if cache.held == len(slots) and cache.held < cache.capacity:
        cache.crowded = 1
    slot = cache.given_back
    if slot >= 0:
        cache.given_back = slots[slot].after
        return slot
    cache.unused += 1
    return cache.unused - 1


@part
def _home(table, key):
    # 2^64 over the golden ratio, as int64; the high bits of the product are the well mixed ones.
    product = key * -7046029254386353131
    return (product ^ (product >> 32)) & (len(table) - 1)


@part
def _place(table, slots, key):
    """Return where in the table the key stands, or the empty place where it would."""
    mask = len(table) - 1
    at = _home(table, key)
    while table[at] >= 0 and slots[table[at]].key != key:
        at = (at + 1) & mask
    return at


@part
def _drop(cache, table, slots, slot):
    """Remove an entry; those that were placed past it in the table move up."""
    mask = len(table) - 1
    hole = at = _place(table, slots, slots[slot].key)
    while True:
        at = (at + 1) & mask
        if table[at] < 0:
            break
        past_home = (at - _home(table, slots[table[at]].key)) & mask
        if past_home >= (at - hole) & mask:
            table[hole] = table[at]
            hole = at
    table[hole] = -1
    _unchain(cache, slots, slot)
    slots[slot].after = cache.given_back
    cache.given_back = slot
    cache.held -= 1


@part
def _unchain(cache, slots, slot):
    ahead, behind = slots[slot].before, slots[slot].after
    if ahead >= 0:
        slots[ahead].after = behind
    else:
        cache.front = behind
    if behind >= 0:
        slots[behind].before = ahead
    else:
        cache.back = ahead


@part
def _to_front(cache, slots, slot):
    front = cache.front
    slots[slot].before, slots[slot].after = -1, front
    cache.front = slot
    if front >= 0:
        slots[front].before = slot
    else:
        cache.back = slot
