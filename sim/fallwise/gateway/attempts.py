"""Visits of several calls: docs/engine.md, rules 10 to 14, on a real clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256

from fallwise.gateway.desk import Desk, Visit, Work
from fallwise.gateway.question import Answer, CallFailed, now_ns
from fallwise.policies.guards import REASONS, RETRY_COST, Budget, Circuit, Limit
from fallwise.scenario import Tier
from fallwise.tables import (
    ABANDONED,
    ACCEPTED,
    CUT_SHORT,
    ERRORED,
    NOT_VISITED,
    RATE_LIMITED,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
)

__all__ = ["Attempts", "pause_s"]


def pause_s(tier: Tier, row: int, attempt: int) -> float:
    """Return how long to wait after an attempt, counted from 0.

    Nothing is drawn live: the jitter is a hash of the request's number, which spreads requests as
    evenly as chance does.
    """
    assert tier.retries is not None
    hashed = sha256(f"{row}:{tier.name}:{attempt}".encode()).digest()
    share = int.from_bytes(hashed[:8], "big") / 2**64
    return float(tier.retries.pause_s(attempt, share))


@dataclass
class _Attempt:
    """One of a visit's attempts. calls: when those that are on started, by their tasks.

    It ends at ends_ns at the latest, and with it the visit where that is `last`.
    """

    number: int
    ends_ns: int | None
    last: bool
    calls: dict[asyncio.Task[Answer], int] = field(default_factory=dict)
    retry_after_ns: int = 0
    may_help: bool = True
    """To try again: what is wrong with the request itself will be wrong again."""


class Attempts(Desk):
    """A desk whose visits are attempts, one after the other, of one call or, hedged, two.

    Between two attempts a visit holds no server and stands in no queue.
    """

    def __init__(self, k: int, tier: Tier):
        super().__init__(k, tier)
        self.tier = tier
        share = tier.retries.budget if tier.retries else None
        self.budget = Budget(None if share is None else round(share * RETRY_COST))
        breaker = tier.breaker
        self.circuit = breaker and Circuit(
            breaker.window_calls, breaker.worst_calls, round(breaker.open_s * 1e9), breaker.probes
        )
        self.requests, self.tokens = (
            None if limit is None else Limit(limit, round(tier.burst_s * 1e9))
            for limit in (tier.requests_per_minute, tier.tokens_per_minute)
        )
        reasons = tier.retries.on if tier.retries else ()
        self.again = {state for reason in reasons for state in REASONS[reason]}
        self.most = tier.retries.attempts if tier.retries else 1

    async def serve(self, work: Work, row: int) -> Visit:
        """Return the visit: with an answer that is still to be judged, or failed."""
        visit = Visit(self.k, now_ns())
        ends_ns = None if self.timeout_s is None else visit.enter_ns + round(self.timeout_s * 1e9)
        self.budget.grow()
        for number in range(self.most):
            if self.circuit and not self.circuit.lets_through(now_ns()):
                return visit.end(CUT_SHORT)
            attempt = self._attempt(number, ends_ns)
            visit.attempts += 1
            try:
                state = await self._end_of(attempt, visit, work)
            finally:
                if self.circuit:
                    self.circuit.tell(now_ns(), bad=visit.answer is None)
            if state == ACCEPTED:
                return visit
            over = (attempt.last and state in (WAITED_OUT, WORKED_OUT)) or state == ABANDONED
            final = over or not attempt.may_help or number + 1 == self.most
            if final or state not in self.again or not self.budget.take():
                return visit.end(state)
            pause_ns = round(pause_s(self.tier, row, number) * 1e9)
            if not await _pause(visit, max(pause_ns, attempt.retry_after_ns), ends_ns):
                break
        return visit.end(WAITED_OUT)

    def _attempt(self, number: int, ends_ns: int | None) -> _Attempt:
        """Return an attempt that begins now, in a visit that ends then."""
        own_s = self.tier.attempt_timeout_s
        own_ns = None if own_s is None else now_ns() + round(own_s * 1e9)
        last = ends_ns is not None and (own_ns is None or ends_ns <= own_ns)
        return _Attempt(number, ends_ns if last else own_ns, last)

    async def _end_of(self, attempt: _Attempt, visit: Visit, work: Work) -> int:
        """Return how an attempt failed, or ACCEPTED where it has an answer."""
        attempt.retry_after_ns = self._retry_after_ns()
        if attempt.retry_after_ns:
            visit.rate_limited += 1
            return RATE_LIMITED
        if self.in_service < self.servers:
            self.in_service += 1
        elif len(self.queue) >= self.queue_limit:
            return TURNED_AWAY
        else:
            state = await self._queued(attempt, visit)
            if state != NOT_VISITED:
                return state
        try:
            return await self._in_service(attempt, visit, work)
        finally:
            self._drop(attempt, visit)

    async def _queued(self, attempt: _Attempt, visit: Visit) -> int:
        """Return how waiting failed, or NOT_VISITED where there is a server."""
        begin_ns = now_ns()
        gives_up_ns = None
        if self.patience_s is not None:
            at_ns = visit.enter_ns + round(self.patience_s * 1e9)
            gives_up_ns = at_ns if at_ns >= begin_ns else None
        limits = [limit for limit in (attempt.ends_ns, gives_up_ns) if limit is not None]
        try:
            turn_ns = await self.turn(_left_s(min(limits, default=None), begin_ns))
        finally:
            visit.queued_ns += now_ns() - begin_ns
        if turn_ns is not None:
            return NOT_VISITED
        timeout_first = gives_up_ns is None or attempt.ends_ns == min(limits)
        return WAITED_OUT if timeout_first else ABANDONED

    async def _in_service(self, attempt: _Attempt, visit: Visit, work: Work) -> int:
        """Return how an attempt that has a server failed, or ACCEPTED."""
        self._start(attempt, visit, work, 2 * attempt.number)
        hedge_ns = None
        if self.tier.hedge is not None:
            hedge_ns = now_ns() + round(self.tier.hedge.after_s * 1e9)
        while attempt.calls:
            limits = [limit for limit in (attempt.ends_ns, hedge_ns) if limit is not None]
            left_s = _left_s(min(limits, default=None), now_ns())
            first = asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait(attempt.calls, timeout=left_s, return_when=first)
            if done:
                state = self._done(next(t for t in attempt.calls if t in done), attempt, visit)
                if state == ACCEPTED:
                    visit.outrun += self._drop(attempt, visit)
                    return state
            elif hedge_ns == min(limits) != attempt.ends_ns:
                hedge_ns = None
                if self.in_service < self.servers and not self._retry_after_ns():
                    self.in_service += 1
                    visit.hedges += 1
                    self._start(attempt, visit, work, 2 * attempt.number + 1)
            else:
                visit.cut_off += self._drop(attempt, visit)
                return WORKED_OUT
        return state

    def _start(self, attempt: _Attempt, visit: Visit, work: Work, call: int) -> None:
        started_ns = now_ns()
        if visit.start_ns < 0:
            visit.start_ns = started_ns
        attempt.calls[asyncio.ensure_future(work(call))] = started_ns

    def _done(self, task: asyncio.Task[Answer], attempt: _Attempt, visit: Visit) -> int:
        """Return ACCEPTED where a call that is done answered, otherwise how it failed."""
        started_ns, ended_ns = attempt.calls.pop(task), now_ns()
        self.release()
        error = task.exception()
        if isinstance(error, CallFailed) and error.over_limit:
            # Nobody has served it: by the simulator's rules it has not started.
            visit.start_ns = -1 if visit.start_ns == started_ns else visit.start_ns
        else:
            visit.busy_ns += ended_ns - started_ns
        if error is None:
            visit.answer, visit.finish_ns = task.result(), ended_ns
            if self.tokens is not None:
                used = visit.answer.prompt_tokens + visit.answer.output_tokens
                self.tokens.charge(started_ns, used)
            return ACCEPTED
        self.note(error)
        if isinstance(error, CallFailed):
            retry_after_ns = round(error.retry_after_s * 1e9)
            attempt.retry_after_ns = max(attempt.retry_after_ns, retry_after_ns)
            attempt.may_help = error.may_help
            if error.over_limit:
                visit.rate_limited += 1
                return RATE_LIMITED
        visit.errors += 1
        return ERRORED

    def _drop(self, attempt: _Attempt, visit: Visit) -> int:
        """Drop the calls that are on; return how many."""
        dropped = len(attempt.calls)
        for task, started_ns in attempt.calls.items():
            visit.busy_ns += now_ns() - started_ns
            self.leave(task)
        attempt.calls.clear()
        return dropped

    def _retry_after_ns(self) -> int:
        """Return 0 and charge the limit of requests, or how long until both would allow a call."""
        at_ns = now_ns()
        wait_ns = max(
            limit.wait_ns(at_ns) if limit else 0 for limit in (self.requests, self.tokens)
        )
        if not wait_ns and self.requests is not None:
            self.requests.charge(at_ns, 1)
        return wait_ns


def _left_s(until_ns: int | None, at_ns: int) -> float | None:
    return None if until_ns is None else max(0.0, (until_ns - at_ns) / 1e9)


async def _pause(visit: Visit, pause_ns: int, ends_ns: int | None) -> bool:
    """Wait between two attempts; False where the visit ends before."""
    begin_ns = now_ns()
    goes_on = ends_ns is None or begin_ns + pause_ns < ends_ns
    await asyncio.sleep(
        max(0, pause_ns if goes_on or ends_ns is None else ends_ns - begin_ns) / 1e9
    )
    visit.paused_ns += now_ns() - begin_ns
    return goes_on
