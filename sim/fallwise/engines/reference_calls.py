"""Visits of several calls in the engine to be read: docs/engine.md, 10 to 14, rule by rule."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from fallwise.engines.places import Place
from fallwise.engines.plan import CALL, DONE, ENTER, GAVE_UP, HEDGE, RETRY, TIMEOUT, UNLIMITED, Plan
from fallwise.policies.guards import Budget, Circuit, Limit
from fallwise.tables import (
    ABANDONED,
    CUT_SHORT,
    ERRORED,
    RATE_LIMITED,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
    OutcomeTable,
    RequestTable,
)

__all__ = ["Cascade", "callers"]


class Cascade(Protocol):
    """What visits of several calls need of the engine."""

    plan: Plan
    requests: RequestTable
    out: OutcomeTable
    places: list[Place]
    waiting: list[OrderedDict[int, None]]

    @property
    def now(self) -> int:
        """Return the time in nanoseconds."""

    def due(self, kind: int, i: int, k: int, after_ns: Any = 0, call: int = 0) -> None:
        """Let an event happen so much later; never, if that is UNLIMITED."""

    def answered(self, i: int, k: int) -> None:
        """Let the answer be verified and judged."""

    def fail(self, i: int, k: int, visit: int) -> None:
        """End a visit without an answer."""


def callers(cascade: Cascade, plan: Plan) -> Callable[[int, int, int, int], None]:
    """Return what handles an event (kind, request, tier, call) of tiers visited by calls."""
    return _Callers(cascade, plan).handle


@dataclass
class _Visit:
    """A visit under way. on: when the calls of this attempt that are on started, and if they fail.

    It waits or pauses between two attempts, since some time, or is served (a call is on).
    """

    attempt: int = 0
    since: int = 0
    on: dict[int, tuple[int, int, bool]] = field(default_factory=dict)


class _Callers:
    """The tiers whose visits are several calls, and a method for each kind of event."""

    def __init__(self, cascade: Cascade, plan: Plan):
        calls = plan.calls
        assert calls is not None
        self.cascade, self.calls = cascade, calls
        self.visits: dict[tuple[int, int], _Visit] = {}
        tiers = range(len(calls.several))
        self.prompts = [plan.prompt_tokens(cascade.requests, k) for k in tiers]

        def numbers(*names: str) -> list[list[int]]:
            return [[int(getattr(calls, name)[k]) for name in names] for k in tiers]

        breakers = numbers("window", "worst", "open_ns", "probes")
        limits = numbers("requests_per_minute", "tokens_per_minute", "burst_ns")
        self.breakers = [Circuit(*terms) if terms[0] else None for terms in breakers]
        self.limits = [
            [Limit(limit, burst_ns) if limit < UNLIMITED else None for limit in both]
            for *both, burst_ns in limits
        ]
        shares = calls.budget.tolist()
        self.budget = [Budget(share if share < UNLIMITED else None) for share in shares]

    def handle(self, kind: int, i: int, k: int, call: int) -> None:
        if kind == ENTER:
            self.on_enter(i, k)
        elif kind == CALL:
            pass  # Servers have come: those who wait start below.
        elif kind == DONE:
            self.on_done(i, k, call)
        elif (i, k) in self.visits:
            others = {HEDGE: self.on_hedge, RETRY: self.on_retry, TIMEOUT: self.on_timeout}
            if kind == GAVE_UP:
                self.on_gave_up(i, k)
            else:
                others[kind](i, k, call)
        self.start_waiting(k)

    # Events.

    def on_enter(self, i: int, k: int) -> None:
        cascade = self.cascade
        cascade.out.enter_ns[i, k] = cascade.now
        cascade.due(TIMEOUT, i, k, cascade.plan.timeout_ns[k])
        if cascade.requests.patience_ns is not None:
            cascade.due(GAVE_UP, i, k, cascade.requests.patience_ns[i, k])
        self.budget[k].grow()
        self.visits[i, k] = _Visit()
        self.begin(i, k)

    def on_done(self, i: int, k: int, call: int) -> None:
        visit = self.visits.get((i, k))
        if visit is None or call not in visit.on:
            if not self.cascade.plan.cancel[k]:
                self.cascade.places[k].give_back(i)
            return
        started, _, fails = visit.on.pop(call)
        self.cascade.places[k].give_back(i)
        self.cascade.out.busy_ns[i, k] += self.cascade.now - started
        if not fails:
            self.count("outrun", i, k, self.drop(i, k))
            self.tell(k, bad=False)
            self.close(i, k)
            self.cascade.answered(i, k)
            return
        self.count("errors", i, k)
        if not visit.on:
            self.attempt_fails(i, k, ERRORED)

    def on_hedge(self, i: int, k: int, call: int) -> None:
        if call in self.visits[i, k].on and self.is_free(k) and self.retry_after(i, k) == 0:
            self.count("hedges", i, k)
            self.start(i, k, call + 1)

    def on_timeout(self, i: int, k: int, call: int) -> None:
        visit = self.visits[i, k]
        waits = i in self.cascade.waiting[k]
        pauses = not waits and not visit.on
        if call and (visit.attempt != call - 1 or pauses):
            return
        reason = WORKED_OUT if visit.on else WAITED_OUT
        if waits:
            self.leave_queue(i, k)
        elif pauses:
            self.count_since("paused_ns", i, k)
        self.count("cut_off", i, k, self.drop(i, k))
        if call:
            self.attempt_fails(i, k, reason)
            return
        if not pauses:
            self.tell(k, bad=True)
        self.end(i, k, reason)

    def on_gave_up(self, i: int, k: int) -> None:
        if i in self.cascade.waiting[k]:
            self.leave_queue(i, k)
            self.tell(k, bad=True)
            self.end(i, k, ABANDONED)

    def on_retry(self, i: int, k: int, attempt: int) -> None:
        self.count_since("paused_ns", i, k)
        self.visits[i, k].attempt = attempt
        self.begin(i, k)

    # An attempt begins, its calls start and are dropped, it fails.

    def begin(self, i: int, k: int) -> None:
        plan, attempt = self.cascade.plan, self.visits[i, k].attempt
        breaker = self.breakers[k]
        if breaker is not None and not breaker.lets_through(self.cascade.now):
            self.end(i, k, CUT_SHORT)
            return
        self.count("attempts", i, k)
        self.cascade.due(TIMEOUT, i, k, self.calls.attempt_timeout_ns[k], 1 + attempt)
        retry_after = self.retry_after(i, k)
        if retry_after > 0:
            self.count("rate_limited", i, k)
            self.attempt_fails(i, k, RATE_LIMITED, retry_after)
        elif self.is_free(k) or len(self.cascade.waiting[k]) < plan.queue_limit[k]:
            self.cascade.waiting[k][i] = None
            self.visits[i, k].since = self.cascade.now
        else:
            self.attempt_fails(i, k, TURNED_AWAY)

    def is_free(self, k: int) -> bool:
        return self.cascade.places[k].is_free()

    def start_waiting(self, k: int) -> None:
        while self.is_free(k) and self.cascade.waiting[k]:
            i = next(iter(self.cascade.waiting[k]))
            self.leave_queue(i, k)
            call = 2 * self.visits[i, k].attempt
            self.start(i, k, call)
            self.cascade.due(HEDGE, i, k, self.calls.hedge_ns[k], call)

    def leave_queue(self, i: int, k: int) -> None:
        del self.cascade.waiting[k][i]
        self.count_since("queued_ns", i, k)

    def start(self, i: int, k: int, call: int) -> None:
        cascade = self.cascade
        cascade.places[k].take(i)
        if cascade.out.start_ns[i, k] < 0:
            cascade.out.start_ns[i, k] = cascade.now
        pace = self.pace(k)
        fails = pace == 0 or self.will_fail(i, k, call)
        lasts_ns = self.lasts_ns(i, k, call, fails)
        if pace:
            lasts_ns = lasts_ns * pace // 1000
        self.visits[i, k].on[call] = cascade.now, lasts_ns, fails
        cascade.due(DONE, i, k, lasts_ns, call)

    def column(self, k: int, call: int) -> int:
        """Return where a call stands in the columns of (n, C)."""
        return int(self.calls.first[k] + call // 2 * self.calls.width[k] + call % 2)

    def will_fail(self, i: int, k: int, call: int) -> bool:
        fails = self.cascade.requests.call_fails
        return fails is not None and bool(fails[i, self.column(k, call)])

    def pace(self, k: int) -> int:
        """Return the thousandths of their time that calls take now, 0 where all of them fail."""
        now, calls = self.cascade.now, self.calls
        outages = slice(self.calls.outage[k], self.calls.outage[k + 1])
        begin, end = self.calls.from_ns[outages], self.calls.to_ns[outages]
        since = (now - begin) % self.calls.every_ns[outages]
        slow = calls.slow[outages][(now >= begin) & (since < end - begin)]
        return 0 if (slow == 0).any() else int(slow.max(initial=1000))

    def lasts_ns(self, i: int, k: int, call: int, fails: bool) -> int:
        requests, column = self.cascade.requests, self.column(k, call)
        assert requests.call_ns is not None
        if fails and requests.error_ns is not None:
            return int(requests.error_ns[i, column])
        return int(requests.call_ns[i, column])

    def drop(self, i: int, k: int) -> int:
        """Drop the calls that are on; return how many."""
        cascade, on = self.cascade, self.visits[i, k].on
        dropped = len(on)
        for started, lasts_ns, _ in on.values():
            if cascade.plan.cancel[k]:
                cascade.places[k].give_back(i)
                cascade.out.busy_ns[i, k] += cascade.now - started
            else:
                cascade.out.busy_ns[i, k] += lasts_ns
        on.clear()
        return dropped

    def attempt_fails(self, i: int, k: int, reason: int, retry_after: int = 0) -> None:
        self.tell(k, bad=True)
        following = self.visits[i, k].attempt + 1
        to_retry = bool(self.calls.retry_on[k] >> reason & 1)
        if to_retry and following < self.calls.attempts[k] and self.budget[k].take():
            pause, column = self.cascade.requests.pause_ns, self.column(k, 2 * following - 2)
            pause_ns = 0 if pause is None else int(pause[i, column])
            self.visits[i, k].since = self.cascade.now
            self.cascade.due(RETRY, i, k, max(pause_ns, retry_after), following)
        else:
            self.end(i, k, reason)

    def end(self, i: int, k: int, visit: int) -> None:
        self.close(i, k)
        self.cascade.fail(i, k, visit)

    def close(self, i: int, k: int) -> None:
        self.cascade.out.finish_ns[i, k] = self.cascade.now
        del self.visits[i, k]

    # What stands before a call.

    def tell(self, k: int, *, bad: bool) -> None:
        breaker = self.breakers[k]
        if breaker is not None:
            breaker.tell(self.cascade.now, bad=bad)

    def retry_after(self, i: int, k: int) -> int:
        """Return 0 and charge the limits, or how long until they would allow a call."""
        now = self.cascade.now
        tokens = int(self.prompts[k][i]) + int(self.cascade.requests.output_tokens[i, k])
        wait = max(limit.wait_ns(now) if limit else 0 for limit in self.limits[k])
        for limit, amount in zip(self.limits[k], (1, tokens), strict=True):
            if limit and wait == 0:
                limit.charge(now, amount)
        return wait

    def count_since(self, name: str, i: int, k: int) -> None:
        self.count(name, i, k, self.cascade.now - self.visits[i, k].since)

    def count(self, name: str, i: int, k: int, more: int = 1) -> None:
        getattr(self.cascade.out, name)[i, k] += more
