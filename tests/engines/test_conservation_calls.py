"""What must hold of visits of several calls in every world: over random worlds, cell by cell.

What no column tells (when each attempt began, what the limits and the breaker said) is written down
while the engine that is to be read runs; the laws are counted from that, by other formulas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
from engines_worlds import World, worlds
from fallwise.engines.calls import MINUTE_NS, Calls
from fallwise.engines.plan import UNLIMITED
from fallwise.engines.reference import simulate
from fallwise.engines.reference_calls import _Callers
from fallwise.tables import (
    ACCEPTED,
    CUT_SHORT,
    DECLINED,
    NOT_VISITED,
    RATE_LIMITED,
    WAITED_OUT,
    WORKED_OUT,
    Int64s,
    OutcomeTable,
)
from hypothesis import given, settings

few = settings(max_examples=100, deadline=None, derandomize=True)
calling = worlds().filter(lambda world: world.plan.calls is not None)


@dataclass
class Seen:
    """What happened at each tier, in its order.

    begun     (now, request) of each attempt that counts
    started   (request, call)
    asked     (now, tokens, Retry-After) of each call that the limits were asked about
    breaker   (now, what): "through" or "cut short" of who came to it, "good" or "bad" of the ends
              that it was told of
    """

    begun: list[tuple[int, int]] = field(default_factory=list)
    started: list[tuple[int, int]] = field(default_factory=list)
    asked: list[tuple[int, int, int]] = field(default_factory=list)
    breaker: list[tuple[int, str]] = field(default_factory=list)


def watched(world: World) -> tuple[OutcomeTable, list[Seen]]:
    """Return the outcomes, and what was seen at each tier."""
    seen = [Seen() for _ in world.plan.role]
    begin, start = _Callers.begin, _Callers.start
    tell, retry_after = _Callers.tell, _Callers.retry_after

    def begins(self: Any, i: int, k: int) -> None:
        before, now = self.cascade.out.attempts[i, k], self.cascade.now
        # It is let through before it is refused by a limit, of which the breaker is told.
        at = len(seen[k].breaker)
        begin(self, i, k)
        if self.cascade.out.attempts[i, k] > before:
            seen[k].begun.append((now, i))
            seen[k].breaker.insert(at, (now, "through"))
        else:
            seen[k].breaker.insert(at, (now, "cut short"))

    def starts(self: Any, i: int, k: int, call: int) -> None:
        seen[k].started.append((i, call))
        start(self, i, k, call)

    def asks(self: Any, i: int, k: int) -> int:
        said = retry_after(self, i, k)
        requests, factors = world.requests, world.plan.prompt_factor
        sent = round(requests.prompt_tokens[i] * (1.0 if factors is None else factors[k]))
        tokens = sent + int(requests.output_tokens[i, k])
        seen[k].asked.append((self.cascade.now, tokens, said))
        return said

    def tells(self: Any, k: int, *, bad: bool) -> None:
        seen[k].breaker.append((self.cascade.now, "bad" if bad else "good"))
        tell(self, k, bad=bad)

    patches: dict[str, Any] = {"begin": begins, "start": starts, "retry_after": asks, "tell": tells}
    with patch.multiple(_Callers, **patches):
        out = simulate(*world)
    return out, seen


def tiers_of(world: World) -> Iterator[int]:
    """Yield the tiers whose visits are of several calls."""
    assert world.plan.calls is not None
    yield from np.flatnonzero(world.plan.calls.several).tolist()


def calls_of(world: World) -> Calls:
    assert world.plan.calls is not None
    return world.plan.calls


def column(out: OutcomeTable, name: str, k: int) -> Int64s:
    """Return one tier's column; the small numbers of counts could overflow."""
    found: Int64s = getattr(out, name)[:, k].astype(np.int64)
    return found


@few
@given(calling)
def test_every_call_ends_once(world: World) -> None:
    out, seen = watched(world)
    for k in tiers_of(world):
        started, begun, hedges = (np.zeros(len(out), np.int64) for _ in range(3))
        for i, call in seen[k].started:
            started[i] += 1
            hedges[i] += call % 2
        np.add.at(begun, [i for _, i in seen[k].begun], 1)
        answered = np.isin(out.visit[:, k], (ACCEPTED, DECLINED))
        ended = sum(column(out, name, k) for name in ("errors", "cut_off", "outrun"))
        assert (started == answered + ended).all()
        assert (begun == column(out, "attempts", k)).all()
        assert (hedges == column(out, "hedges", k)).all()
        assert (begun <= calls_of(world).attempts[k]).all()
        assert (started - hedges <= begun - column(out, "rate_limited", k)).all()
        refused = out.visit[:, k] == RATE_LIMITED
        assert (column(out, "rate_limited", k)[refused] >= 1).all()
        assert ((begun == 0) <= np.isin(out.visit[:, k], (NOT_VISITED, CUT_SHORT))).all()


@few
@given(calling)
def test_a_visit_is_its_queue_its_pauses_and_the_time_in_which_it_held_servers(
    world: World,
) -> None:
    out, cancel = simulate(*world), world.plan.cancel
    for k in tiers_of(world):
        queued, paused, busy = (column(out, x, k) for x in ("queued_ns", "paused_ns", "busy_ns"))
        idle = out.start_ns[:, k] < 0
        served = out.finish_ns[:, k] - out.enter_ns[:, k] - queued - paused
        assert (served >= 0).all()
        assert (served[idle] == 0).all() and (busy[idle] == 0).all()
        # Before its first call it waits and pauses, nothing else.
        before = np.where(idle, 0, out.start_ns[:, k] - out.enter_ns[:, k])
        assert (before <= queued + paused).all()
        assert (busy >= served).all()
        if cancel[k]:
            assert (busy <= calls_of(world).width[k] * served).all()
        # It ends in a pause by its timeout, and after one where the breaker is open.
        once = (column(out, "attempts", k) == 1) & ~np.isin(
            out.visit[:, k], (WAITED_OUT, CUT_SHORT)
        )
        assert (paused[once] == 0).all()
        assert (paused[column(out, "attempts", k) == 0] == 0).all()
        # A timeout of the visit strikes when it is due; earlier, it was the last attempt's.
        late = np.isin(out.visit[:, k], (WAITED_OUT, WORKED_OUT))
        early = late & (out.finish_ns[:, k] - out.enter_ns[:, k] < world.plan.timeout_ns[k])
        assert not early.any() or calls_of(world).attempt_timeout_ns[k] < UNLIMITED


def inside(out: OutcomeTable, k: int, longer_ns: int = 0) -> Iterator[Any]:
    """Yield (length, visits to tier k that lie wholly inside) of every window between two events.

    Visits are taken to last longer_ns longer than they do.
    """
    visited = out.visit[:, k] != NOT_VISITED
    begins = np.unique(out.enter_ns[visited, k])
    ends = np.unique(out.finish_ns[visited, k]) + longer_ns
    for begin in begins:
        for end in ends[ends >= begin]:
            within = (out.enter_ns[:, k] >= begin) & (out.finish_ns[:, k] + longer_ns <= end)
            yield int(end - begin), visited & within


@few
@given(calling)
def test_no_more_is_held_than_there_are_servers_and_no_more_wait_than_may(world: World) -> None:
    plan, requests = world.plan, world.requests
    out = simulate(*world)
    lasts = [x.max(initial=0) for x in (requests.call_ns, requests.error_ns) if x is not None]
    for k in tiers_of(world):
        most = int(plan.servers[k])
        if plan.hours is not None and (plan.hours.tier == k).any():
            most = int(plan.hours.servers[plan.hours.tier == k].max())
        queued, busy = column(out, "queued_ns", k), column(out, "busy_ns", k)
        # Where nothing is cancelled a server works on after the visit, as long as a call at most.
        longer_ns = 0 if plan.cancel[k] else int(max(lasts))
        if most < UNLIMITED:
            for length_ns, within in inside(out, k, longer_ns):
                assert busy[within].sum() <= most * length_ns
        else:
            assert not queued.any()
        if plan.queue_limit[k] < UNLIMITED:
            for length_ns, within in inside(out, k):
                assert queued[within].sum() <= int(plan.queue_limit[k]) * length_ns
        if plan.hours is None and most < UNLIMITED:
            # While one waits, every server is held.
            assert busy.sum() >= most * queued.max(initial=0)


@few
@given(calling)
def test_limits_let_through_what_their_buckets_hold_and_refuse_nothing_else(world: World) -> None:
    _, seen = watched(world)
    calls = calls_of(world)
    for k in tiers_of(world):
        limits = int(calls.requests_per_minute[k]), int(calls.tokens_per_minute[k])
        burst_ns = int(calls.burst_ns[k])
        times = np.array([now for now, _, _ in seen[k].asked], np.int64)
        let = np.array([said == 0 for _, _, said in seen[k].asked], np.bool_)
        needed = np.zeros(len(times), np.int64)
        tokens = [tokens for _, tokens, _ in seen[k].asked]
        for amounts, limit in zip(([1] * len(times), tokens), limits, strict=True):
            if limit == UNLIMITED:
                continue
            cost = np.array([a * MINUTE_NS // limit for a in amounts], np.int64)
            for j in range(len(times)):
                paid = np.where(let[:j], cost[:j], 0)
                since = np.cumsum(paid[::-1])[::-1]  # From each one to the one before j.
                over = since - (times[j] - times[:j]) - burst_ns
                over = over[let[:j]].max(initial=0)
                if let[j]:  # So any window holds burst + its length + the last one's own cost.
                    assert over <= 0
                needed[j] = max(needed[j], over)
        assert (needed == [said for _, _, said in seen[k].asked]).all()


@few
@given(calling)
def test_an_open_breaker_lets_nobody_through(world: World) -> None:
    _, seen = watched(world)
    calls = calls_of(world)
    for k in tiers_of(world):
        window, worst = int(calls.window[k]), int(calls.worst[k])
        opened: int | None = None  # Not closed: since when.
        ends: list[bool] = []  # Heard since it closed, or half open.
        through = 0
        for now, what in seen[k].breaker if window else ():
            is_open = opened is not None and now < opened + int(calls.open_ns[k])
            if what in ("good", "bad"):
                if is_open:
                    continue
                ends.append(what == "bad")
                full = opened is None and len(ends) >= window and sum(ends[-window:]) >= worst
                if full or (opened is not None and what == "bad"):
                    opened, through, ends = now, 0, []
                elif opened is not None and len(ends) >= int(calls.probes[k]):
                    opened, ends = None, []
            elif what == "through":
                assert not is_open
                through += 1
                assert opened is None or through <= int(calls.probes[k])
            else:
                assert opened is not None
                assert is_open or through >= int(calls.probes[k])
