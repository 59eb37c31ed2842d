"""The engine to be read: docs/engine.md, rule by rule, as a SimPy model.

SimPy keeps the clock and the events. What is known of a visit stands in the outcome table only, so
beyond that table nothing is kept of a request but its place in a queue, its events to come and
what the cache holds. (A timeout that is no longer needed stays among the events until its time.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from simpy import Environment

from fallwise.engines.batches import Batches, places_of
from fallwise.engines.blank import blank
from fallwise.engines.cached import BEFORE, Cached, Entry
from fallwise.engines.due import Due
from fallwise.engines.places import Place
from fallwise.engines.plan import (
    CACHE,
    CALL,
    CHANGE,
    DONE,
    ENTER,
    GAVE_UP,
    ROUND,
    STEP,
    TIMEOUT,
    UNLIMITED,
    VERIFIED,
    Plan,
)
from fallwise.engines.reference_calls import callers
from fallwise.policies import tiers_there
from fallwise.tables import (
    ABANDONED,
    ACCEPTED,
    ANSWERED,
    DECLINED,
    ERRORED,
    MISSED,
    NOT_VISITED,
    REFUSED,
    REJECTED,
    STATUS_AFTER,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
    Decisions,
    OutcomeTable,
    RequestTable,
)

__all__ = ["simulate"]

ARRIVE: Final = ENTER + 1
"""A request comes from outside; what it enters then is entered before the next one arrives."""

TELL: Final = 1000
"""Every so many requests it is told how many have come."""


def simulate(
    plan: Plan,
    requests: RequestTable,
    decisions: Decisions,
    progress: Callable[[int], None] = lambda arrived: None,
) -> OutcomeTable:
    """Return what happens to the requests; cost and correctness are left to the analysis."""
    cascade = _Cascade(plan, requests, decisions, progress)
    while cascade.goes_on():
        cascade.env.step()
    return cascade.out


class _Cascade:
    """The state of a run, and a method for each kind of event. i is a request, k a tier."""

    def __init__(
        self,
        plan: Plan,
        requests: RequestTable,
        decisions: Decisions,
        progress: Callable[[int], None],
    ):
        tiers = len(plan.role)
        self.env = Environment(0)
        self.plan, self.requests, self.decisions = plan, requests, decisions
        self.n = len(requests)
        self.progress = progress
        self.out = blank(requests, tiers, plan.rents)
        self.first_place = 1 if plan.role[0] == CACHE else 0
        self.places: list[Place] = places_of(plan, requests)
        self.to_come = 0
        """Events of requests, which keep the run going; those of servers alone do not."""
        self.waiting: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(tiers)]
        self.cached = Cached(plan)
        self.handle = {
            CHANGE: self.on_change,
            CALL: self.on_call,
            ROUND: self.on_round,
            STEP: self.on_step,
            DONE: self.on_done,
            VERIFIED: self.judge,
            TIMEOUT: self.on_timeout,
            GAVE_UP: self.on_gave_up,
            ENTER: self.on_enter,
            ARRIVE: self.on_arrive,
        }
        self.fallback = [False] * tiers if plan.fallback is None else plan.fallback.tolist()
        self.call = None if plan.calls is None else callers(self, plan)
        self.several = [False] * tiers if plan.calls is None else plan.calls.several.tolist()
        self.expect(0)
        for k, place in enumerate(self.places):
            for after_ns, step in place.beginning():
                self.due(CHANGE, step, k, after_ns)

    @property
    def now(self) -> int:
        return int(self.env.now)

    def due(self, kind: int, i: int, k: int, after_ns: Any = 0, call: int = 0) -> None:
        """Let an event happen so much later; never, if that is UNLIMITED."""
        if after_ns < UNLIMITED:
            own = kind not in (CHANGE, CALL)
            self.to_come += own
            order = kind << 48 | i << 8 | call << 4 | k
            Due(self.env, int(after_ns), order, lambda _: self.happens(kind, i, k, call, own))

    def happens(self, kind: int, i: int, k: int, call: int, own: bool) -> None:
        """Handle an event; it is no longer to come."""
        self.to_come -= own
        if self.several[k] and kind not in (CHANGE, VERIFIED, ARRIVE):
            assert self.call is not None
            self.call(kind, i, k, call)
        else:
            self.handle[kind](i, k)

    def goes_on(self) -> bool:
        return self.to_come > 0 or any(self.waiting)

    # Servers come and go (rules 16 and 17); `step` says which change it is.

    def on_change(self, step: int, k: int) -> None:
        place = self.places[k]
        place.waiting = len(self.waiting[k])
        for after_ns, following in place.change(step, self.now):
            self.due(CHANGE, following, k, after_ns)
        lost, place.lost = place.lost, []
        for i in lost:
            self.out.busy_ns[i, k] = self.now - self.out.start_ns[i, k]
            self.fail(i, k, ERRORED)
        self.due(CALL, 0, k)

    def on_round(self, r: int, k: int) -> None:
        done = self.places[k].round(r, self.now)
        if done is not None:
            for i in done:
                self.due(DONE, i, k)
            self.due(STEP, r, k)

    def on_step(self, r: int, k: int) -> None:
        lasts_ns = self.places[k].step(r, self.now)
        if lasts_ns is not None:
            self.due(ROUND, r, k, lasts_ns)

    def on_call(self, _: int, k: int) -> None:
        while self.waiting[k] and self.places[k].is_free():
            self.start(self.waiting[k].popitem(last=False)[0], k)

    # A request comes (rules 1 and 2).

    def expect(self, i: int) -> None:
        """Only the next arrival is among the events."""
        if i < self.n:
            self.due(ARRIVE, i, 0, self.requests.arrival_ns[i] - self.now)

    def on_arrive(self, i: int, _: int) -> None:
        self.expect(i + 1)
        if i % TELL == 0:
            self.progress(i)
        if self.out.rented_ns is not None:
            self.out.rented_ns[i] = [place.rented_until(self.now) for place in self.places]
        if self.asks_cache(i):
            self.due(ENTER, i, 0)
        else:
            self.route(i)

    def asks_cache(self, i: int) -> bool:
        return self.first_place == 1 and self.may_visit(i, 0)

    def may_visit(self, i: int, k: int) -> bool:
        return bool(self.plan.local[k] or not self.requests.local[i])

    def route(self, i: int, after_ns: int = 0) -> None:
        """On to the first tier that is no cache, by way of the router."""
        first = self.next_tier(i, max(int(self.decisions.start[i]), self.first_place))
        if first is None:
            self.end(i, REFUSED, self.now + after_ns)
        else:
            routing = 0 if self.requests.router_ns is None else int(self.requests.router_ns[i])
            self.go(i, first, after_ns + routing)

    def next_tier(self, i: int, k: int, *, failed: bool = False) -> int | None:
        """Return the first tier at or after k that the request may visit."""
        return next(
            (tier for tier in self.there(k, failed=failed) if self.may_visit(i, tier)), None
        )

    def there(self, k: int, *, failed: bool) -> list[int]:
        """Return the tiers from k on that there are (rule 15); failed: a visit to k - 1 did."""
        return tiers_there(self.fallback, k, failed=failed)

    def go(self, i: int, k: int, after_ns: int = 0) -> None:
        for tier in self.side_by_side(k):
            self.due(ENTER, i, tier, after_ns)

    def side_by_side(self, k: int) -> tuple[int, ...]:
        """Return the tiers of the pair that k belongs to, or k alone."""
        paired = self.plan.paired
        if paired[k]:
            return k - 1, k
        return (k, k + 1) if k + 1 < len(paired) and paired[k + 1] else (k,)

    # The cache (rules 3 and 4).

    def look_up(self, i: int) -> None:
        out, key, took = self.out, int(self.requests.key[i]), int(self.requests.service_ns[i, 0])
        finish = self.now + took
        out.enter_ns[i, 0] = out.start_ns[i, 0] = self.now
        out.finish_ns[i, 0] = finish
        entry = self.cached.look_up(key, self.now)
        if entry is None:
            out.visit[i, 0] = MISSED
            self.route(i, took)
            return
        answer_of, tier = entry.request, entry.tier
        if answer_of == BEFORE:
            answer_of, tier = i, self.filled_by(i)
        if tier == BEFORE:
            out.visit[i, 0] = MISSED
            self.route(i, took)
            return
        out.visit[i, 0] = ACCEPTED
        self.answer(i, 0, answer_of, tier, finish)

    def filled_by(self, i: int) -> int:
        """Return the tier that would have filled the cache with the request's own answer."""
        begin = max(int(self.decisions.start[i]), self.first_place)
        for k in range(begin, len(self.plan.role)):
            if self.plan.fills[k] and self.decisions.accept[i, k] and self.may_visit(i, k):
                return k
        return BEFORE

    def store(self, i: int, k: int) -> None:
        self.cached.store(int(self.requests.key[i]), Entry(self.now, i, k))

    # A visit to any other tier (rule 5).

    def on_enter(self, i: int, k: int) -> None:
        if self.plan.role[k] == CACHE:
            self.look_up(i)
            return
        self.out.enter_ns[i, k] = self.now
        self.due(TIMEOUT, i, k, self.plan.timeout_ns[k])
        if self.requests.patience_ns is not None:
            self.due(GAVE_UP, i, k, self.requests.patience_ns[i, k])
        if self.places[k].is_free():
            self.start(i, k)
        elif len(self.waiting[k]) < self.plan.queue_limit[k]:
            self.waiting[k][i] = None
        else:
            self.fail(i, k, TURNED_AWAY)

    def start(self, i: int, k: int) -> None:
        self.places[k].take(i)
        self.out.start_ns[i, k] = self.now
        place = self.places[k]
        if isinstance(place, Batches):
            self.due(STEP, place.at(i), k)
        else:
            self.due(DONE, i, k, self.requests.service_ns[i, k])

    def free_server(self, i: int, k: int) -> None:
        """Note how long the request held the server, and give it to the head of the queue."""
        self.out.busy_ns[i, k] = self.now - self.out.start_ns[i, k]
        self.places[k].give_back(i)
        self.places[k].settle(self.now)
        if self.waiting[k] and self.places[k].is_free():
            head, _ = self.waiting[k].popitem(last=False)
            self.start(head, k)

    def is_over(self, i: int, k: int) -> bool:
        """Return True when the visit has its finish; only a verifier may still be looking."""
        return bool(self.out.finish_ns[i, k] >= 0)

    def on_done(self, i: int, k: int) -> None:
        thrown_away = self.is_over(i, k)
        if thrown_away and self.plan.cancel[k]:
            return  # The timeout has freed the server already.
        if not thrown_away:
            self.out.finish_ns[i, k] = self.now
            self.answered(i, k)
        self.free_server(i, k)

    def answered(self, i: int, k: int) -> None:
        if self.decisions.verify[i, k]:
            looking = self.requests.verifier_ns
            self.due(VERIFIED, i, k, 0 if looking is None else looking[i, k])
        else:
            self.judge(i, k)

    def on_timeout(self, i: int, k: int) -> None:
        if self.is_over(i, k):
            return
        if i in self.waiting[k]:
            del self.waiting[k][i]
            self.fail(i, k, WAITED_OUT)
            return
        self.fail(i, k, WORKED_OUT)
        if self.plan.cancel[k]:
            self.free_server(i, k)

    def on_gave_up(self, i: int, k: int) -> None:
        if i in self.waiting[k]:
            del self.waiting[k][i]
            self.fail(i, k, ABANDONED)

    def judge(self, i: int, k: int) -> None:
        self.out.visit[i, k] = ACCEPTED if self.decisions.accept[i, k] else DECLINED
        self.leave(i, k)

    def fail(self, i: int, k: int, visit: int) -> None:
        self.out.finish_ns[i, k] = self.now
        self.out.visit[i, k] = visit
        self.leave(i, k)

    # On to the next tier, or the end (rules 6 to 9).

    def leave(self, i: int, k: int) -> None:
        """Answer or go on, once the visits to all tiers side by side have ended."""
        together = self.side_by_side(k)
        visits = [int(self.out.visit[i, tier]) for tier in together]
        if NOT_VISITED in visits:
            return
        if all(visit == ACCEPTED for visit in visits):
            self.answer(i, together[0], i, together[0], self.now)
            if self.plan.fills[together[0]] and self.asks_cache(i):
                self.store(i, together[0])
            return
        for tier, visit in zip(together, visits, strict=True):
            if visit == ACCEPTED:  # The other one of a pair has failed.
                self.out.visit[i, tier] = DECLINED
        failed = [tier for tier in together if self.out.visit[i, tier] != DECLINED]
        status = STATUS_AFTER[int(self.out.visit[i, failed[0]])] if failed else REJECTED
        if any(self.plan.give_up[tier] for tier in failed):
            self.end(i, status, self.now)
        else:
            self.go_on(i, together[-1], status, failed=bool(failed))

    def go_on(self, i: int, k: int, status: int, *, failed: bool) -> None:
        """To the next tier; the request ends so if there is none."""
        following = self.next_tier(i, k + 1, failed=failed)
        if following is not None:
            self.go(i, following)
        elif self.there(k + 1, failed=failed):
            self.end(i, REFUSED, self.now)
        else:
            self.end(i, status, self.now)

    def answer(self, i: int, k: int, answer_of: int, answer_tier: int, at_ns: int) -> None:
        self.out.hit_tier[i] = k
        self.out.answer_of[i] = answer_of
        self.out.answer_tier[i] = answer_tier
        self.end(i, ANSWERED, at_ns)

    def end(self, i: int, status: int, at_ns: int) -> None:
        self.out.status[i] = status
        self.out.end_ns[i] = at_ns
