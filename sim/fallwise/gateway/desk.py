"""A tier's servers and its queue: docs/engine.md, rule 5, on a real clock."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fallwise.gateway.question import Answer, CallFailed, now_ns
from fallwise.scenario import Tier
from fallwise.scenario.laws import Fixed
from fallwise.tables import (
    ABANDONED,
    ERRORED,
    NOT_VISITED,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
)

__all__ = ["Desk", "Visit", "Work"]

UNLIMITED: Final = 1 << 62
log = logging.getLogger("fallwise.gateway")

Work = Callable[[int], Awaitable[Answer]]
"""Makes a call, which is told its number: 2 * attempt, one more for the attempt's second."""


@dataclass(slots=True)
class Visit:
    """One request's visit to one tier; unix nanoseconds.

    state is NOT_VISITED until the visit has been judged or has failed. start_ns is -1 where no
    server took it. busy_ns is how long it held a server; of work that goes on after its timeout,
    how long it had when the visit ended.
    """

    tier: int
    enter_ns: int
    state: int = NOT_VISITED
    start_ns: int = -1
    finish_ns: int = -1
    busy_ns: int = 0
    answer: Answer | None = None
    usd: float = 0.0
    known_usd: bool = True
    """False where the price of a call will never be known: it was cut off."""
    attempts: int = 0
    """As all below in OutcomeTable, where a visit may be several calls."""
    errors: int = 0
    rate_limited: int = 0
    hedges: int = 0
    cut_off: int = 0
    outrun: int = 0
    queued_ns: int = 0
    paused_ns: int = 0

    def end(self, state: int) -> Visit:
        """Note that the visit has failed, and how, now."""
        self.finish_ns, self.state = now_ns(), state
        return self


class Desk:
    """Serves so many visits at once, first come, first served.

    in_service and waiting count the visits that are there now.
    """

    def __init__(self, k: int, tier: Tier):
        self.k = k
        self.servers = UNLIMITED if tier.servers is None else tier.servers
        self.queue_limit = UNLIMITED if tier.queue_limit is None else tier.queue_limit
        self.timeout_s = tier.timeout_s
        self.patience_s = tier.patience.value_s if isinstance(tier.patience, Fixed) else None
        self.cancel = tier.cancel
        self.in_service = 0
        self.queue: OrderedDict[asyncio.Future[int], None] = OrderedDict()
        self.going_on: set[asyncio.Task[Answer]] = set()
        """Work whose visit has timed out, and that was not cancelled."""

    @property
    def waiting(self) -> int:
        """Return how many visits are in the queue."""
        return len(self.queue)

    async def serve(self, work: Work, row: int) -> Visit:
        """Return the visit of a request: with an answer that is still to be judged, or failed."""
        visit = Visit(self.k, now_ns())
        if self.in_service < self.servers:
            self.in_service += 1
            visit.start_ns = visit.enter_ns
        elif len(self.queue) < self.queue_limit:
            await self._wait(visit)
        else:
            visit.finish_ns, visit.state = visit.enter_ns, TURNED_AWAY
        if visit.state == NOT_VISITED:
            await self._work(visit, work)
        return visit

    async def _wait(self, visit: Visit) -> None:
        """Wait for a server; the visit has failed where the timeout or patience came first."""
        limits = [limit for limit in (self.timeout_s, self.patience_s) if limit is not None]
        turn_ns = await self.turn(min(limits, default=None))
        if turn_ns is not None:
            visit.start_ns = turn_ns
        else:
            patience, timeout = self.patience_s, self.timeout_s
            gave_up = patience is not None and (timeout is None or patience < timeout)
            visit.end(ABANDONED if gave_up else WAITED_OUT)

    async def turn(self, timeout_s: float | None) -> int | None:
        """Wait in the queue, return when there was a server; None where the time was over."""
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.queue[turn] = None
        try:
            await asyncio.wait({turn}, timeout=timeout_s)
        except asyncio.CancelledError:
            if turn.done():
                self.release()
            raise
        finally:
            self.queue.pop(turn, None)
        return turn.result() if turn.done() else None

    async def _work(self, visit: Visit, work: Work) -> None:
        task = asyncio.ensure_future(work(0))
        left = None
        if self.timeout_s is not None:
            left = max(0.0, self.timeout_s - (now_ns() - visit.enter_ns) / 1e9)
        try:
            await asyncio.wait({task}, timeout=left)
        finally:
            visit.finish_ns = now_ns()
            visit.busy_ns = visit.finish_ns - visit.start_ns
            self.leave(task)
        if not task.done() or task.cancelled():
            visit.state, visit.cut_off = WORKED_OUT, 1
            return
        error = task.exception()
        if error is None:
            visit.answer = task.result()
            return
        visit.state = ERRORED
        self.note(error)

    def leave(self, task: asyncio.Task[Answer]) -> None:
        """Leave a call that is done or that nobody waits for any more, and free its server."""
        if task.done() or self.cancel:
            task.cancel()
            self.release()
        else:
            self.going_on.add(task)
            task.add_done_callback(self._thrown_away)

    def note(self, error: BaseException) -> None:
        """Write down why a call failed."""
        if isinstance(error, CallFailed):
            log.warning("tier %d: %s", self.k, error)
        else:
            log.error("tier %d: %r", self.k, error, exc_info=error)

    def _thrown_away(self, task: asyncio.Task[Answer]) -> None:
        self.going_on.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("tier %d, after its timeout: %s", self.k, error)
        self.release()

    def release(self) -> None:
        """Free a server, and give it to the head of the queue; the start is this instant."""
        self.in_service -= 1
        while self.queue:
            turn, _ = self.queue.popitem(last=False)
            if not turn.done():
                self.in_service += 1
                turn.set_result(now_ns())
                return
