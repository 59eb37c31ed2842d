"""Random worlds for the engines: a plan, requests and decisions made directly as arrays.

`worlds()` is a hypothesis strategy over the whole space of docs/engine.md: tiny caches with a time
to live, pairs, local tiers and requests, timeouts that cancel or do not, patience, verifiers, queue
limits, give_up, routers, work that takes no time, and clocks so coarse that most times tie.
The plan is drawn by hypothesis; the requests come from a seed and are cut from a table of fixed
size, so that a failing world shrinks to fewer requests without changing those that stay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from fallwise.engines.calls import RETRY_COST, Calls, no_calls
from fallwise.engines.capacity import Hours
from fallwise.engines.engine import Engine, simulate
from fallwise.engines.fleet import NEVER, Fleet
from fallwise.engines.plan import CACHE, PLACE, UNLIMITED, Plan
from fallwise.tables import Bools, Decisions, Int64s, OutcomeTable, RequestTable
from hypothesis import strategies as st

__all__ = [
    "World",
    "blank_requests",
    "called",
    "places",
    "plans",
    "rows",
    "run_small",
    "servers_at",
    "worlds",
]

MOST_REQUESTS = 80
MOST_TIERS = 16
MOST_ATTEMPTS = 8
MOST_CALLS = MOST_TIERS * MOST_ATTEMPTS * 2
"""As many as a scenario may have; most worlds have fewer."""


class World(NamedTuple):
    """What an engine is given."""

    plan: Plan
    requests: RequestTable
    decisions: Decisions


def blank_requests(
    arrival_ns: Int64s,
    service_ns: Int64s,
    *,
    key: Int64s | None = None,
    local: Bools | None = None,
    verifier_ns: Int64s | None = None,
    router_ns: Int64s | None = None,
    patience_ns: Int64s | None = None,
    tokens: Int64s | None = None,
    **calls: Any,
) -> RequestTable:
    """Return requests with these times; every column that no engine reads holds nothing of note.

    Without `key` all questions differ, without `local` nobody has to stay local. tokens (n, K) are
    those written; the prompt has twice as many as the first tier writes. calls are the columns of
    (n, C).
    """
    n, tiers = service_ns.shape
    many = np.zeros((n, tiers)) if tokens is None else tokens
    return RequestTable(
        arrival_ns=arrival_ns,
        segment=np.zeros(n, np.int16),
        key=np.arange(n) if key is None else key,
        local=np.zeros(n, np.bool_) if local is None else local,
        prompt_tokens=(many[:, 0] * 2).astype(np.int32),
        output_tokens=np.asfortranarray(many, np.int32),
        service_ns=np.asfortranarray(service_ns),
        score=np.ones((n, tiers), order="F"),
        answer=np.zeros((n, tiers), np.int32, order="F"),
        correct=np.ones((n, tiers), np.float32, order="F"),
        passes=np.ones((n, tiers), np.bool_, order="F"),
        false_hit=np.zeros(n, np.bool_),
        verifier_ns=None if verifier_ns is None else np.asfortranarray(verifier_ns),
        router_ns=router_ns,
        patience_ns=None if patience_ns is None else np.asfortranarray(patience_ns),
        **{name: np.asfortranarray(column) for name, column in calls.items()},  # type: ignore[arg-type]
    )


def places(tiers: int, *, capacity: int = 0, ttl_ns: int = UNLIMITED, **columns: object) -> Plan:
    """Return a plan of local tiers with one server each; a column is one value, or one a tier.

    With a capacity tier 0 is a cache. With a column of Calls, visits are of several calls.
    """
    terms = {name: columns.pop(name) for name in Calls._fields if name in columns}
    fallback: Any = columns.pop("fallback", None)
    usual: dict[str, object] = {
        "role": [CACHE if capacity and k == 0 else PLACE for k in range(tiers)],
        "servers": 1,
        "queue_limit": UNLIMITED,
        "timeout_ns": UNLIMITED,
        "cancel": True,
        "local": True,
        "give_up": False,
        "paired": False,
        "fills": False,
    }
    numbers = ("servers", "queue_limit", "timeout_ns")
    arrays: dict[str, Any] = {
        name: np.full(
            tiers,
            np.asarray(value),
            np.int64 if name in numbers else np.int8 if name == "role" else np.bool_,
        )
        for name, value in (usual | columns).items()
    }
    fallback = None if fallback is None else np.asarray(fallback)
    calls = called(tiers, **terms) if terms else None
    return Plan(**arrays, capacity=capacity, ttl_ns=ttl_ns, fallback=fallback, calls=calls)


def called(tiers: int, **terms: Any) -> Calls:
    """Return Calls: terms are one value or one a tier, outages (tier, from, to, every, slow)."""
    outages = sorted(terms.pop("outages", []))
    found = no_calls(tiers)
    found.several[:] = terms.pop("several", True)
    for name, value in terms.items():
        getattr(found, name)[:] = value
    found.width[found.hedge_ns < UNLIMITED] = 2
    calls = found.attempts * found.width * found.several
    found.first[:] = np.cumsum(calls) - calls
    found.outage[:] = np.searchsorted([outage[0] for outage in outages], np.arange(tiers + 1))
    times = np.array(outages, np.int64).reshape(-1, 5).T
    return found._replace(from_ns=times[1], to_ns=times[2], every_ns=times[3], slow=times[4])


def run_small(
    plan: Plan,
    arrival: list[int],
    service: list[Any],
    *,
    accept: Any = True,
    verify: Any = False,
    start: Any = 0,
    engine: Engine = "reference",
    **columns: Any,
) -> OutcomeTable:
    """Return the outcomes of a few requests; a row of service is one number a tier, or one for all.

    accept, verify, start and the optional columns: one value may stand for all.
    """
    n, tiers = len(arrival), len(plan.role)
    times = np.array(service, np.int64).reshape(n, -1) * np.ones(tiers, np.int64)
    wide: dict[str, Any] = {
        name: np.broadcast_to(np.asarray(columns.pop(name)), (n, tiers)).astype(np.int64)
        for name in ("verifier_ns", "patience_ns", "tokens")
        if name in columns
    }
    if plan.calls is not None:
        several = plan.calls.several
        calls = int((plan.calls.attempts * plan.calls.width)[several].sum())
        columns.setdefault("call_ns", times[:, np.flatnonzero(several)[0], None])
        for name in ("call_ns", "call_fails", "error_ns", "pause_ns"):
            if name in columns:
                dtype = np.bool_ if name == "call_fails" else np.int64
                filled = np.broadcast_to(np.asarray(columns.pop(name)), (n, calls))
                wide[name] = filled.astype(dtype)
    narrow = {name: np.asarray(value) for name, value in columns.items()}
    requests = blank_requests(np.array(arrival), times, **wide, **narrow).check()
    decisions = Decisions(
        np.full(n, start, np.int8),
        np.broadcast_to(np.asarray(accept), (n, tiers)),
        np.broadcast_to(np.asarray(verify), (n, tiers)),
    )
    return simulate(plan, requests, decisions, engine).check()


def servers_at(plan: Plan, k: int, at_ns: Int64s) -> Int64s:
    """Return (m,) how many servers tier k has at each time; with replicas, the most of them."""
    if plan.fleet is not None and k in plan.fleet.tier:
        m = plan.fleet.tier.tolist().index(k)
        return np.full(len(at_ns), plan.fleet.replicas[m] * plan.fleet.slots[m])
    hours = plan.hours
    mine = np.empty(0, np.int64) if hours is None else np.flatnonzero(hours.tier == k)
    if hours is None or not len(mine):
        return np.full(len(at_ns), plan.servers[k])
    step = np.searchsorted(hours.at_ns[mine], at_ns % hours.period_ns, side="right") - 1
    number: Int64s = hours.servers[mine][step]
    return number


def rows(column: Any) -> Any:
    """Return a column as plain lists, to compare with numbers written out."""
    return column.tolist()


def _roles(draw: st.DrawFn, tiers: int) -> tuple[list[int], list[bool]]:
    cache = draw(st.booleans())
    paired = [False] * tiers
    for k in range(1 + cache, tiers):
        paired[k] = not paired[k - 1] and draw(st.sampled_from([False, False, True]))
    return [CACHE if cache and k == 0 else PLACE for k in range(tiers)], paired


def _hours(draw: st.DrawFn, role: list[int], unit: int) -> Hours | None:
    """Draw hours of some tiers whose week is some units long, closed at times or all the time."""
    if draw(st.sampled_from([True, True, False])):
        return None
    period = draw(st.sampled_from([1, 4, 9])) * unit
    steps: list[tuple[int, int, int]] = []
    for k, kind in enumerate(role):
        if kind == CACHE or draw(st.booleans()):
            continue
        later = draw(st.sets(st.integers(1, period - 1), max_size=3)) if period > 1 else set()
        numbers = [draw(st.integers(0, 3)) for _ in range(len(later) + 1)]
        if not any(numbers):
            numbers[0] = 1  # Who waits may wait for ever otherwise.
        steps += [(k, at, c) for at, c in zip([0, *sorted(later)], numbers, strict=True)]
    return Hours.of(steps, period)


def _fleet(draw: st.DrawFn, plan: Plan, unit: int) -> Fleet | None:
    """Draw replicas, which fail or are scaled, for some tiers without hours or several calls."""
    others = [] if plan.hours is None else plan.hours.tier.tolist()
    others += [] if plan.calls is None else np.flatnonzero(plan.calls.several).tolist()
    mine = [k for k, role in enumerate(plan.role) if role == PLACE and k not in others]
    mine = [k for k in mine if draw(st.booleans())]
    if not mine or draw(st.booleans()):
        return None
    replicas = [draw(st.integers(1, 3)) for _ in mine]
    scaled = [draw(st.booleans()) for _ in mine]
    cycles = draw(st.sampled_from([0, 2]))

    def times(among: list[int]) -> list[int]:
        return [draw(st.sampled_from(among)) * unit for _ in mine]

    def durations(among: list[int]) -> Int64s:
        shape = (len(mine), max(replicas), cycles)
        drawn = [draw(st.sampled_from(among)) for _ in range(int(np.prod(shape)))]
        return np.array(drawn, np.int64).reshape(shape) * unit

    intervals = times([1, 2, 5])
    columns: list[list[int]] = [
        mine,
        replicas,
        [draw(st.integers(1, 3)) for _ in mine],
        [draw(st.integers(0, n)) if a else n for n, a in zip(replicas, scaled, strict=True)],
        [x if a else NEVER for x, a in zip(intervals, scaled, strict=True)],
        [draw(st.sampled_from([500_000, 1_000_000])) for _ in mine],
        times([0, 1, 4]),
        times([0, 2, 6]),
        [draw(st.sampled_from([0, 1, max(1, unit // 3)])) for _ in mine],
        times([0, 1]),
        [draw(st.sampled_from([0, 1, max(1, unit // 7)])) for _ in mine],
    ]
    arrays = [np.array(column, np.int64) for column in columns]
    up_ns, down_ns = durations([1, 3, 9]), durations([0, 1, 4])
    return Fleet(*[*arrays, up_ns, down_ns])


@st.composite
def plans(draw: st.DrawFn, ticks_per_unit: int = 1) -> Plan:
    """Draw a plan of 1 to 16 tiers whose times are about one unit of so many nanoseconds."""
    few = st.integers(1, 6)
    tiers = draw(few | few | few | st.integers(7, MOST_TIERS))
    role, paired = _roles(draw, tiers)

    def column(values: st.SearchStrategy[int]) -> Int64s:
        return np.array([draw(values) for _ in range(tiers)], np.int64)

    def flags(values: st.SearchStrategy[bool]) -> Bools:
        return np.array([draw(values) for _ in range(tiers)], np.bool_)

    factors = st.sampled_from([1.0, 1.0, 0.25, 1.5])
    limited = st.one_of(st.just(UNLIMITED), st.integers(0, 3))
    times = st.one_of(st.just(UNLIMITED), st.sampled_from([1, 2, 4]).map(ticks_per_unit.__mul__))
    local = flags(st.sampled_from([True, True, False]))
    local[1:][paired[1:]] = local[:-1][paired[1:]]
    fills = flags(st.booleans())
    fills[0] &= role[0] == PLACE
    capacity = draw(st.integers(1, 4)) if role[0] == CACHE else 0
    keys = st.lists(st.integers(0, 11), unique=True, max_size=capacity)
    warm = draw(st.one_of(st.just([]), keys))
    single = ~np.array(paired) & ~np.array([*paired[1:], False])
    fallback = single & flags(st.sampled_from([False, False, True]))
    fallback[: 1 + (role[0] == CACHE)] = False
    plan = Plan(
        role=np.array(role, np.int8),
        servers=column(st.one_of(st.integers(1, 3), st.just(UNLIMITED))),
        queue_limit=column(limited),
        timeout_ns=column(times),
        cancel=flags(st.booleans()),
        local=local,
        give_up=flags(st.sampled_from([False, False, True])),
        paired=np.array(paired, np.bool_),
        fills=fills,
        capacity=capacity,
        ttl_ns=draw(times),
        hours=_hours(draw, role, ticks_per_unit),
        warm=np.array(warm, np.int64),
        away=_away(draw, ticks_per_unit),
        fallback=fallback if fallback.any() else None,
        calls=_calls(draw, np.array(role) == PLACE, ticks_per_unit)
        if draw(st.booleans())
        else None,
        prompt_factor=draw(
            st.none() | st.lists(factors, min_size=tiers, max_size=tiers).map(np.array)
        ),
    )
    fleet = _fleet(draw, plan, ticks_per_unit)
    if fleet is not None:
        plan.cancel[fleet.tier] = True
    return replace(plan, fleet=fleet)


def _away(draw: st.DrawFn, unit: int) -> Int64s:
    times = st.sampled_from([1, 2, 4]).map(unit.__mul__)
    found = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        begin, lasts = draw(st.sampled_from([0, unit, 5 * unit])), draw(times)
        found.append((begin, begin + lasts, draw(st.just(UNLIMITED) | times) + lasts))
    return np.array(found, np.int64).reshape(-1, 3)


def _calls(draw: st.DrawFn, place: Bools, unit: int) -> Calls:
    tiers = len(place)
    times = st.sampled_from([1, 2, 4]).map(unit.__mul__)
    perhaps, few = st.one_of(st.just(UNLIMITED), times), st.integers(1, 4)
    minute = st.sampled_from([2, 5, 20]).map(lambda each: max(1, 60_000_000_000 // unit // each))

    def column(values: st.SearchStrategy[int]) -> list[int]:
        return [draw(values) for _ in range(tiers)]

    several = place & np.array([draw(st.sampled_from([True, True, False])) for _ in range(tiers)])
    windows = column(st.sampled_from([0, 0, 1, 3]))
    outages = [
        (
            k,
            draw(st.sampled_from([0, unit, 5 * unit])),
            draw(times),
            draw(st.just(UNLIMITED) | times),
            draw(st.sampled_from([0, 0, 1500, 3000])),
        )
        for k in column(st.integers(0, tiers - 1))[: draw(st.integers(0, 2))]
    ]
    return called(
        tiers,
        several=several,
        attempts=column(few | few | few | st.integers(5, MOST_ATTEMPTS)),
        attempt_timeout_ns=column(perhaps),
        hedge_ns=column(st.one_of(st.just(UNLIMITED), st.integers(0, 2).map(unit.__mul__))),
        retry_on=column(st.integers(0, 1023)),
        budget=column(st.sampled_from([UNLIMITED, 0, RETRY_COST // 3])),
        requests_per_minute=column(st.just(UNLIMITED) | minute),
        tokens_per_minute=column(st.just(UNLIMITED) | minute.map(lambda each: 5 * each)),
        burst_ns=column(st.integers(0, 3).map(unit.__mul__)),
        window=windows,
        worst=[max(1, window - draw(st.integers(0, 1))) for window in windows],
        open_ns=column(times),
        probes=column(st.integers(1, 2)),
        outages=[
            (k, begin, begin + lasts, max(every, lasts), slow)
            for k, begin, lasts, every, slow in outages
        ],
    )


def _requests(
    draw: st.DrawFn, plan: Plan, rng: np.random.Generator, n: int, unit: int
) -> RequestTable:
    tiers = len(plan.role)
    gap = draw(st.sampled_from([0.0, 0.1, 0.4, 1.5]))
    idle = draw(st.sampled_from([0.0, 0.3]))

    def times(mean: float) -> Int64s:
        """(n, K) times, cut off to whole ticks; a share of them is no time at all."""
        drawn = rng.exponential(mean * unit, (MOST_REQUESTS, MOST_TIERS))
        drawn *= rng.random(drawn.shape) >= idle
        return np.asfortranarray(drawn[:n, :tiers].astype(np.int64))

    arrivals = np.cumsum(rng.exponential(gap * unit, MOST_REQUESTS).astype(np.int64))[:n]
    service, verifier, patience, router = times(1.0), times(0.5), times(1.0), times(0.5)
    patience[:, rng.random(MOST_TIERS)[:tiers] < 0.5] = UNLIMITED
    distinct = draw(st.sampled_from([3, 12]))
    calls: dict[str, Any] = {}
    if plan.calls is not None:
        count = int((plan.calls.attempts * plan.calls.width)[plan.calls.several].sum())
        most = MOST_REQUESTS, MOST_CALLS
        work, error, pause = (
            (rng.exponential(mean * unit, most) * (rng.random(most) >= idle)).astype(np.int64)
            for mean in (1.0, 0.3, 0.7)
        )
        calls["call_ns"] = work[:n, :count]
        calls["pause_ns"] = pause[:n, :count]
        if draw(st.booleans()):
            calls["error_ns"] = error[:n, :count]
        calls["call_fails"] = (rng.random(most) < draw(st.sampled_from([0.0, 0.3])))[:n, :count]
    return blank_requests(
        arrivals,
        service,
        key=rng.integers(0, distinct, MOST_REQUESTS)[:n],
        local=rng.random(MOST_REQUESTS)[:n] < draw(st.sampled_from([0.0, 0.3])),
        verifier_ns=verifier if draw(st.booleans()) else None,
        router_ns=router[:, 0].copy() if draw(st.booleans()) else None,
        patience_ns=patience if draw(st.booleans()) else None,
        tokens=rng.integers(0, 6, (MOST_REQUESTS, MOST_TIERS))[:n, :tiers],
        **calls,
    )


def _decisions(draw: st.DrawFn, plan: Plan, rng: np.random.Generator, n: int) -> Decisions:
    tiers = len(plan.role)

    def coins(share: float) -> Bools:
        return np.asfortranarray((rng.random((MOST_REQUESTS, MOST_TIERS)) < share)[:n, :tiers])

    accept = coins(draw(st.sampled_from([0.0, 0.4, 0.8, 1.0])))
    verify = coins(draw(st.sampled_from([0.0, 0.5])))
    accept[:, :-1][:, plan.paired[1:]] = accept[:, 1:][:, plan.paired[1:]]
    places = np.flatnonzero((plan.role == PLACE) & ~plan.paired)
    starts = places if len(places) else np.array([0])
    if not draw(st.booleans()):
        starts = starts[:1]
    chosen = starts[(rng.random(MOST_REQUESTS)[:n] * len(starts)).astype(np.int64)]
    return Decisions(chosen.astype(np.int8), accept, verify)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a plan of up to 16 tiers with up to 80 requests, and what is decided about them."""
    unit = draw(st.sampled_from([1, 3, 1_000_000_000]))
    plan = draw(plans(unit))
    n = draw(st.integers(0, MOST_REQUESTS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    requests = _requests(draw, plan, rng, n, unit)
    return World(plan, requests, _decisions(draw, plan, rng, n))
