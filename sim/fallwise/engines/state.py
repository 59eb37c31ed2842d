"""What the event loop knows between two events: what is to come, who is served, who waits.

An event is (time, code), and a smaller code comes first:
code = kind << 56 | row << 8 | call << 4 | tier.
The heap holds both in turn: node j has its time at heap[HEAD + 2 * j], its code after it, and its
children are the nodes 4 * j + 1 to 4 * j + 4. What stands before HEAD is named below.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np

from fallwise.engines.calls import Calls
from fallwise.engines.fleet import FAIL, LOOK, NEVER, OFF, UP, WHAT
from fallwise.engines.layout import Visits
from fallwise.engines.plan import CHANGE, GAVE_UP, HEDGE, RETRY, STEP, TIMEOUT, Plan
from fallwise.tables import Bools, Int8s, Int64s

__all__ = [
    "CHANGES",
    "CROWDED",
    "FREE",
    "GATE",
    "HEAD",
    "HELD",
    "LATE",
    "NEXT",
    "RING",
    "ROW",
    "ROWS",
    "SLOT",
    "TIERS",
    "UNUSED",
    "FleetState",
    "State",
    "carried",
    "fresh",
    "rows_in_use",
    "with_more_room",
]

# Places in State.heap.
HELD: Final = 0
"""How many events there are."""
LATE: Final = 1
"""Not 0 when a time did not fit into int64."""
HEAD: Final = 2

# Places in State.flags.
NEXT: Final = 0
"""The next row to arrive."""
CROWDED: Final = 1
"""Not 0 when a ring or the slots have no room for another row."""
RING: Final = 2
"""The size of each ring, a power of 2; a division would take longer than all else."""
CHANGES: Final = 3
"""How many of the events are no request's own: they alone keep no run going."""
FREE: Final = 4
"""First of the slots that were given back, chained by ROW; -1 where there is none."""
UNUSED: Final = 5
"""First of the slots that were never used."""

ROWS: Final = (1 << 48) - 1
TIERS: Final = 15

GATE: Final = 16
"""Numbers of a tier in State.gates; see gates.py."""
SLOT: Final = 16
"""Numbers of a visit in State.slots; see attempts.py."""
ROW: Final = 0
"""Place in a slot: whose visit it is."""

EVENTS: Final = 256
WAITING: Final = 16
"""Room to begin with."""


class FleetState(NamedTuple):
    """Replicas of all tiers, as FleetByTier numbers them."""

    is_: Int64s
    members: Int64s
    """How many are in service."""
    ready_ns: Int64s
    cycle: Int64s
    seat: Int64s
    """(all slots,) the row that is in service there, or -1."""
    left: Int64s
    """(all slots,) tokens to come; 0 for who is done now, -1 after that and where nobody is."""
    new: Int64s
    """(all slots,) 1 where the first step is to come."""
    begin_ns: Int64s
    """When the steps under way began, that all last as long."""
    lasts_ns: Int64s
    until_ns: Int64s
    """When the last of them ends, -1 where none is under way."""
    step_ns: Int64s
    """For when STEP was due last."""
    below_ns: Int64s
    """(K,) since when fewer were wanted at tier k, -1 where they are not."""
    wanted: Int64s
    """(K,) the most that were wanted since then."""

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return the replicas at the beginning."""
        tiers = np.zeros((2, len(plan.role)), np.int64)
        is_ = np.empty(0, np.int64)
        seats = 0
        if plan.fleet is not None:
            rows = zip(plan.fleet.replicas, plan.fleet.least, strict=True)
            is_ = np.concatenate([np.where(np.arange(n) < up, UP, OFF) for n, up in rows])
            seats = int(plan.fleet.replicas @ plan.fleet.slots)
        members, ready_ns, cycle = (np.zeros(len(is_), np.int64) for _ in range(3))
        seat, left, new = (np.full(seats, x, np.int64) for x in (-1, -1, 0))
        steps = (np.full(len(is_), -1, np.int64) for _ in range(4))
        columns = [is_, members, ready_ns, cycle, seat, left, new, *steps]
        return cls(*[*columns, tiers[0] - 1, tiers[1]])


class State(NamedTuple):
    """What goes on between two events."""

    flags: Int64s
    heap: Int64s
    free: Int64s
    """How many more may start; below 0 where more are in service than there are servers."""
    waiting: Int64s
    ring: Int64s
    """(K * flags[RING],) rows in the order of their coming."""
    first: Int64s
    last: Int64s
    timer: Int64s
    """The row that the queue's TIMEOUT among the events is of, -1 where there is none."""
    units: Int64s
    """Servers that come and go: how many are there."""
    rented_ns: Int64s
    """Their time since the last arrival, up to since_ns."""
    since_ns: Int64s
    fleet: FleetState
    gates: Int64s
    """(K * GATE,) what stands before the calls of a tier."""
    ends: Int8s
    """(K * longest window,) 1 for each attempt of a breaker's window that ended badly."""
    slots: Int64s
    """(slots * SLOT,) visits of several calls under way. Such a visit has -2 - its place in
    slots for its finish_ns."""
    several: Bools
    """(K,) the tiers of such visits."""


def fresh(plan: Plan, calls: Calls) -> State:
    """Return the state of a run before its first event."""
    tiers = len(plan.role)
    free, units = np.array(plan.servers, np.int64), np.zeros(tiers, np.int64)
    first: list[tuple[int, int, int]] = []  # When changes come, their steps and tiers.
    for k in [] if plan.hours is None else sorted(set(plan.hours.tier.tolist())):
        first.append((0, 0, k))
        free[k] = 0
    if plan.fleet is not None:
        for m, k in enumerate(plan.fleet.tier.tolist()):
            units[k] = plan.fleet.least[m]
            free[k] = units[k] * plan.fleet.slots[m]
            first.append((int(plan.fleet.interval_ns[m]), LOOK << WHAT, k))
            for r, up_ns in enumerate(plan.fleet.up_ns[m, : plan.fleet.replicas[m], :1].tolist()):
                first += [(at_ns, FAIL << WHAT | r, k) for at_ns in up_ns]
    first = [change for change in first if change[0] < NEVER]
    events = np.array([(ns, CHANGE << 56 | step << 8 | k) for ns, step, k in first], np.int64)
    ns, code = events.reshape(-1, 2).T
    return State(
        flags=np.array([0, 0, WAITING, len(first), -1, 0]),
        heap=_heap(ns, code),
        free=free,
        waiting=np.zeros(tiers, np.int64),
        ring=np.empty(tiers * WAITING, np.int64),
        first=np.zeros(tiers, np.int64),
        last=np.zeros(tiers, np.int64),
        timer=np.full(tiers, -1, np.int64),
        units=units,
        rented_ns=np.zeros(tiers, np.int64),
        since_ns=np.zeros(tiers, np.int64),
        fleet=FleetState.of(plan),
        gates=np.zeros(tiers * GATE, np.int64),
        ends=np.zeros(tiers * int(calls.window.max()), np.int8),
        slots=np.zeros(WAITING * SLOT, np.int64),
        several=calls.several,
    )


def with_more_room(state: State, out: Visits) -> State:
    """Return the same state with half of its heap and its rings free, and nothing idle in them.

    At least a quarter of the slots is free, too.
    """
    ns, code = _events(state, out)
    if 4 * SLOT * state.flags[UNUSED] > 3 * len(state.slots):
        state = state._replace(slots=np.concatenate([state.slots, np.zeros_like(state.slots)]))
    return _packed(state, ns, code, _queues(state, out))


def rows_in_use(state: State, out: Visits) -> Bools:
    """Return (n,) True where an event is still to come for a row."""
    used = np.zeros(len(out.request), np.bool_)
    _, code = _events(state, out)
    used[code[_own(code)] >> 8 & ROWS] = True
    used[state.fleet.seat[state.fleet.seat >= 0]] = True
    return used


def carried(state: State, out: Visits, keep: Bools) -> State:
    """Return the state for a table that holds only these rows, in the same order."""
    moved = np.cumsum(keep) - 1
    ns, code = _events(state, out)
    own = _own(code)
    code[own] = code[own] & ~(ROWS << 8) | moved[code[own] >> 8 & ROWS] << 8
    queues = [moved[rows] for rows in _queues(state, out)]
    set_ = state.timer >= 0
    state.timer[set_] = moved[state.timer[set_]]
    visits = np.flatnonzero(out.finish_ns < -1)
    state.slots[-2 - out.finish_ns[visits] + ROW] = moved[visits % len(keep)]
    state.flags[NEXT] = int(keep.sum())
    seat = state.fleet.seat
    seat[seat >= 0] = moved[seat[seat >= 0]]
    return _packed(state, ns, code, queues)


def _events(state: State, out: Visits) -> tuple[Int64s, Int64s]:
    """Return times and codes of the events that will do something."""
    ns, code = state.heap[HEAD : HEAD + 2 * state.heap[HELD]].reshape(-1, 2).T
    kind, row, k = code >> 56, code >> 8 & ROWS, code & TIERS
    visit = np.where(_own(code), k * len(out.request) + row, 0)
    over, started = out.finish_ns[visit] >= 0, out.start_ns[visit] >= 0
    idle = (kind == TIMEOUT) & over & (state.timer[k] != row)
    idle |= (kind == GAVE_UP) & (over | (started & ~state.several[k]))
    idle |= ((kind == HEDGE) | (kind == RETRY)) & over
    return ns[~idle], code[~idle]


def _own(code: Int64s) -> Bools:
    """Return True where an event is a request's own."""
    mine: Bools = (code >= 0) & (code >> 56 < STEP)
    return mine


def _queues(state: State, out: Visits) -> list[Int64s]:
    """Return the rows that wait for each tier, in order."""
    tiers, n = len(state.first), len(out.request)
    rings = state.ring.reshape(tiers, -1)
    queues = []
    for k, ring in enumerate(rings):
        rows = ring[np.arange(state.first[k], state.last[k]) % len(ring)]
        queues.append(rows[out.finish_ns[k * n + rows] < 0])
    return queues


def _heap(ns: Int64s, code: Int64s) -> Int64s:
    order = np.lexsort((code, ns))  # What is sorted is a heap.
    size = max(EVENTS, 1 << (2 * len(ns)).bit_length())
    heap = np.zeros(HEAD + 2 * size, np.int64)
    heap[HELD] = len(ns)
    heap[HEAD : HEAD + 2 * len(ns)] = np.stack([ns[order], code[order]], axis=1).reshape(-1)
    return heap


def _packed(state: State, ns: Int64s, code: Int64s, queues: list[Int64s]) -> State:
    heap = _heap(ns, code)
    heap[LATE] = state.heap[LATE]
    longest = max(len(rows) for rows in queues)
    rings = np.empty((len(queues), max(WAITING, 1 << (2 * longest).bit_length())), np.int64)
    for k, rows in enumerate(queues):
        rings[k, : len(rows)] = rows
    state.flags[CROWDED], state.flags[RING] = 0, rings.shape[1]
    state.first[:] = 0
    state.last[:] = [len(rows) for rows in queues]
    return state._replace(heap=heap, ring=rings.reshape(-1))
