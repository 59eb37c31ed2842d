"""What the event loop knows between two events: what is to come, who is served, who waits.

An event is (time, code), and a smaller code comes first:
code = kind << 56 | row << 8 | call << 4 | tier.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fallwise.engines.attempts import SLOT
from fallwise.engines.capacity import WEEK_NS
from fallwise.engines.fleet import FAIL, LOOK, NEVER, OFF, UP, WHAT
from fallwise.engines.heap import HEAD, HELD, LATE, NO_EVENT
from fallwise.engines.layout import FINISHED, STARTED, Visits
from fallwise.engines.plan import CHANGE, GAVE_UP, HEDGE, RETRY, ROUND, STEP, TIMEOUT, Plan
from fallwise.engines.tiers import Records, following_of, numbers, tiers_of
from fallwise.tables import Bools, Int8s, Int64s

__all__ = ["ROWS", "TIERS", "State", "carried", "fresh", "rows_in_use", "with_more_room"]

ROWS: Final = (1 << 48) - 1
TIERS: Final = 15

LIMITS: Final = (TIMEOUT, GAVE_UP)
BATCHES: Final = (ROUND, STEP)

EVENTS: Final = 1024
WAITING: Final = 16
"""Room to begin with."""

CLOCK: Final = numbers(
    "next",  # The next row to arrive.
    "crowded",  # Not 0 when a ring or the slots have no room for another row.
    "ring",  # The size of each ring, a power of 2; a division would take longer than all else.
    "changes",  # How many of the events are no request's own: they alone keep no run going.
    "free_slot",  # First of the slots that were given back, chained by `row`; -1: there is none.
    "unused_slot",  # First of the slots that were never used.
    "rows",  # How many there are.
    "period_ns",  # Of the steps.
    "rents",  # Not 0 where it is noted what was rented.
)
REPLICA: Final = numbers(
    "is_",
    "members",  # How many are in service.
    "done",  # How many of them are done at this instant, and still to be DONE.
    "ready_ns",
    "first_failure",
    "failures",
    "cycle",  # Which of them is next.
    "steps",  # How many it has made.
    "next_end",  # The least `end` of those in service when the last steps began.
    "first_end_ns",  # When the first of the steps under way ends.
    "lasts_ns",  # How long each one after it lasts.
    "until_ns",  # When the last of them ends, -1 where none is under way.
    "step_ns",  # For when STEP was due last.
)
SEAT: Final = numbers(
    "row",  # The row that is in service there, or -1.
    "end",  # How many steps its replica has made when it is done; -1 after that and for nobody.
    "new",  # 1 where the first step is to come; the end is then how many steps it takes.
)
FAILURE: Final = numbers("up_ns", "down_ns")
STEPS: Final = numbers("at_ns", "servers")
OUTAGE: Final = numbers("from_ns", "to_ns", "every_ns", "slow")


class State(NamedTuple):
    """What goes on between two events."""

    clock: Records
    """(1,)"""
    tiers: Records
    ways_on: Int64s
    """Of following_of."""
    heap: Int64s
    limits: Int64s
    rounds: Int64s
    """Events to come: those of LIMITS, those of BATCHES, and all others."""
    ring: Int64s
    """(K * clock.ring,) rows in the order of their coming."""
    slots: Records
    """Visits of several calls under way. Such a visit has -2 - its place here for a finish."""
    ends: Int8s
    """(all windows,) 1 for each attempt of a breaker's window that ended badly."""
    outages: Records
    steps: Records
    """Of the tiers' hours."""
    replicas: Records
    seats: Records
    """A replica's slots."""
    failures: Records


def fresh(plan: Plan) -> State:
    """Return the state of a run before its first event."""
    tiers = tiers_of(plan)
    tiers["free"], tiers["timer"], tiers["below_ns"] = plan.servers, -1, -1
    first: list[tuple[int, int, int]] = []  # When changes come, their steps and tiers.
    for k in np.flatnonzero(tiers["steps"]).tolist():
        first.append((0, 0, k))
        tiers["free"][k] = 0
    replicas, seats, failures = _fleet(plan, tiers)
    for k in np.flatnonzero(tiers["replicas"]).tolist():
        tier = tiers[k]
        tier["units"], tier["free"] = tier["least"], tier["least"] * tier["slots"]
        first.append((int(tier["interval_ns"]), LOOK << WHAT, k))
        for r in range(int(tier["replicas"])):
            replica = replicas[tier["first_replica"] + r]
            if replica["failures"]:
                up_ns = int(failures[replica["first_failure"]]["up_ns"])
                first.append((up_ns, FAIL << WHAT | r, k))
    first = [change for change in first if change[0] < NEVER]
    events = np.array([(ns, CHANGE << 56 | step << 8 | k) for ns, step, k in first], np.int64)
    ns, code = events.reshape(-1, 2).T
    clock = np.zeros(1, CLOCK)
    clock["ring"], clock["changes"], clock["free_slot"] = WAITING, len(first), -1
    clock["period_ns"] = WEEK_NS if plan.hours is None else plan.hours.period_ns
    clock["rents"] = plan.rents
    return State(
        clock=clock,
        tiers=tiers,
        ways_on=following_of(plan),
        **_heaps(ns, code),
        ring=np.empty(len(tiers) * WAITING, np.int64),
        slots=np.zeros(WAITING, SLOT),
        ends=np.zeros(int(tiers["window"].sum()), np.int8),
        outages=_records(OUTAGE, plan.calls),
        steps=_records(STEPS, plan.hours),
        replicas=replicas,
        seats=seats,
        failures=failures,
    )


def _records(dtype: np.dtype[np.void], columns: object) -> Records:
    """Return the columns of the same names as records; none where there are no columns."""
    names = dtype.names or ()
    records = np.zeros(len(getattr(columns, names[0], ())), dtype)
    for name in names if columns is not None else ():
        records[name] = getattr(columns, name)
    return records


def _fleet(plan: Plan, tiers: Records) -> tuple[Records, Records, Records]:
    """Return replicas, their seats, and their failures."""
    replicas = np.zeros(int(tiers["replicas"].sum()), REPLICA)
    seats = np.zeros(int((tiers["replicas"] * tiers["slots"]).sum()), SEAT)
    seats["row"] = seats["end"] = -1
    replicas["until_ns"] = replicas["step_ns"] = -1
    fleet = plan.fleet
    if fleet is None:
        return replicas, seats, np.zeros(0, FAILURE)
    number = [np.arange(count) for count in fleet.replicas]
    up = np.concatenate([r < least for r, least in zip(number, fleet.least, strict=True)])
    replicas["is_"] = np.where(up, UP, OFF)
    there = np.arange(fleet.up_ns.shape[1]) < fleet.replicas[:, None]
    cycles = fleet.up_ns.shape[2]
    failures = np.zeros(len(replicas) * cycles, FAILURE)
    failures["up_ns"] = fleet.up_ns[there].reshape(-1)
    failures["down_ns"] = fleet.down_ns[there].reshape(-1)
    replicas["first_failure"], replicas["failures"] = np.arange(len(replicas)) * cycles, cycles
    return replicas, seats, failures


def with_more_room(state: State, out: Visits) -> State:
    """Return the same state with half of its heap and its rings free, and nothing idle in them.

    At least a quarter of the slots is free, too.
    """
    ns, code = _events(state, out)
    if 4 * int(state.clock["unused_slot"][0]) > 3 * len(state.slots):
        state = state._replace(slots=np.concatenate([state.slots, np.zeros_like(state.slots)]))
    return _packed(state, ns, code, _queues(state, out))


def rows_in_use(state: State, out: Visits) -> Bools:
    """Return (n,) True where an event is still to come for a row."""
    used = np.zeros(len(out.request), np.bool_)
    _, code = _events(state, out)
    used[code[_own(code)] >> 8 & ROWS] = True
    used[state.seats["row"][state.seats["row"] >= 0]] = True
    return used


def carried(state: State, out: Visits, keep: Bools) -> State:
    """Return the state for a table that holds only these rows, in the same order."""
    moved = np.cumsum(keep) - 1
    ns, code = _events(state, out)
    own = _own(code)
    code[own] = code[own] & ~(ROWS << 8) | moved[code[own] >> 8 & ROWS] << 8
    queues = [(moved[rows], served) for rows, served in _queues(state, out)]
    visits = np.flatnonzero(out.times[FINISHED] < -1)
    state.slots["row"][-2 - out.times[FINISHED][visits]] = moved[visits % len(keep)]
    state.clock["next"] = int(keep.sum())
    for rows in (state.tiers["timer"], state.seats["row"]):
        rows[rows >= 0] = moved[rows[rows >= 0]]
    return _packed(state, ns, code, queues)


def _events(state: State, out: Visits) -> tuple[Int64s, Int64s]:
    """Return times and codes of the events that will do something."""
    heaps = state.heap, state.limits, state.rounds
    held = [heap[HEAD : HEAD + 2 * heap[HELD]].reshape(-1, 2) for heap in heaps]
    ns, code = np.concatenate(held).T
    kind, row, k = code >> 56, code >> 8 & ROWS, code & TIERS
    visit = np.where(_own(code), k * len(out.request) + row, 0)
    over, started = out.times[FINISHED][visit] >= 0, out.times[STARTED][visit] >= 0
    idle = (kind == TIMEOUT) & over & (state.tiers["timer"][k] != row)
    idle |= (kind == GAVE_UP) & (over | started)
    idle |= ((kind == HEDGE) | (kind == RETRY)) & over
    return ns[~idle], code[~idle]


def _own(code: Int64s) -> Bools:
    """Return True where an event is a request's own."""
    mine: Bools = (code >= 0) & (code >> 56 < STEP)
    return mine


def _queues(state: State, out: Visits) -> list[tuple[Int64s, int]]:
    """Return each tier's rows that wait, in order, after those of its timer that are in service.

    And how many of them are in service.
    """
    tiers, n = state.tiers, len(out.request)
    first = np.where(tiers["watched"], tiers["oldest"], tiers["first"])
    queues = []
    for k, ring in enumerate(state.ring.reshape(len(tiers), -1)):
        rows = ring[np.arange(first[k], tiers["last"][k]) % len(ring)]
        rows = rows[out.times[FINISHED][k * n + rows] < 0]
        queues.append((rows, int((out.times[STARTED][k * n + rows] >= 0).sum())))
    return queues


def _heaps(ns: Int64s, code: Int64s) -> dict[str, Int64s]:
    """Return the heaps of a State, by name."""
    limits, rounds = np.isin(code >> 56, LIMITS), np.isin(code >> 56, BATCHES)
    kinds = {"heap": ~(limits | rounds), "limits": limits, "rounds": rounds}
    return {name: _heap(ns[mine], code[mine]) for name, mine in kinds.items()}


def _heap(ns: Int64s, code: Int64s) -> Int64s:
    order = np.lexsort((code, ns))  # What is sorted is a heap.
    size = max(EVENTS, 1 << (4 * len(ns)).bit_length())
    heap = np.full(HEAD + 2 * size, NO_EVENT)
    heap[HELD], heap[LATE] = len(ns), 0
    heap[HEAD : HEAD + 2 * len(ns)] = np.stack([ns[order], code[order]], axis=1).reshape(-1)
    return heap


def _packed(state: State, ns: Int64s, code: Int64s, queues: list[tuple[Int64s, int]]) -> State:
    heaps = _heaps(ns, code)
    for name, heap in heaps.items():
        heap[LATE] = getattr(state, name)[LATE]
    longest = max(len(rows) for rows, _ in queues)
    # A ring of a timer fills up with rows that have finished: it is as long as it has to be.
    size = int(state.clock["ring"][0]) << int(state.clock["crowded"][0])
    rings = np.empty((len(queues), max(size, 1 << (2 * longest).bit_length())), np.int64)
    for k, (rows, _) in enumerate(queues):
        rings[k, : len(rows)] = rows
    state.clock["crowded"], state.clock["ring"] = 0, rings.shape[1]
    state.tiers["oldest"] = 0
    state.tiers["first"] = [served for _, served in queues]
    state.tiers["last"] = [len(rows) for rows, _ in queues]
    heap, limits, rounds = heaps.values()
    return state._replace(heap=heap, limits=limits, rounds=rounds, ring=rings.reshape(-1))
