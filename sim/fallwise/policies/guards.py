"""What stands before a call: docs/engine.md, rules 12 to 14, each of one tier."""

from __future__ import annotations

from collections import deque
from typing import Final

from fallwise.tables import ERRORED, RATE_LIMITED, TURNED_AWAY, WAITED_OUT, WORKED_OUT

__all__ = ["FULL_BUDGET", "MINUTE_NS", "REASONS", "RETRY_COST", "Budget", "Circuit", "Limit"]

RETRY_COST: Final = 1_000_000
"""Millionths of a retry."""
FULL_BUDGET: Final = 10 * RETRY_COST
MINUTE_NS: Final = 60_000_000_000

REASONS: Final = {
    "error": (ERRORED,),
    "rate_limited": (RATE_LIMITED,),
    "timeout": (WAITED_OUT, WORKED_OUT),
    "shed": (TURNED_AWAY,),
}
"""How attempts end that are tried again for a reason."""


class Budget:
    """How many retries are left; share: what a visit adds in millionths, None without a limit."""

    def __init__(self, share: int | None):
        self.share = share
        self.left = FULL_BUDGET

    def grow(self) -> None:
        """Take a visit in."""
        self.left = min(FULL_BUDGET, self.left + (self.share or 0))

    def take(self) -> bool:
        """Return True where a whole retry is left, and take it."""
        if self.share is None:
            return True
        if self.left < RETRY_COST:
            return False
        self.left -= RETRY_COST
        return True


class Limit:
    """A limit a minute, by the generic cell rate algorithm."""

    def __init__(self, per_minute: int, burst_ns: int):
        self.per_minute, self.burst_ns = per_minute, burst_ns
        self.due_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """Return how long until something is left; 0 is at once."""
        return max(0, self.due_ns - now_ns - self.burst_ns)

    def charge(self, at_ns: int, amount: int) -> None:
        """Take so much of what there was at that time."""
        self.due_ns = max(self.due_ns, at_ns) + amount * MINUTE_NS // self.per_minute


class Circuit:
    """A circuit breaker: opened by `worst` bad ends of `window`, closed by good probes."""

    def __init__(self, window: int, worst: int, open_ns: int, probes: int):
        self.window, self.worst, self.open_ns, self.probes = window, worst, open_ns, probes
        self.open_until_ns: int | None = None
        self.let_through = self.good = 0
        self.bad_ends: deque[bool] = deque(maxlen=window)

    def lets_through(self, now_ns: int) -> bool:
        """Return whether an attempt may begin."""
        if self.open_until_ns is None:
            return True
        if now_ns < self.open_until_ns or self.let_through >= self.probes:
            return False
        self.let_through += 1
        return True

    def tell(self, now_ns: int, *, bad: bool) -> None:
        """Take in how an attempt ended."""
        if self.open_until_ns is None:
            self.bad_ends.append(bad)
            full = len(self.bad_ends) == self.window
            if full and sum(self.bad_ends) >= self.worst:
                self._open(now_ns)
        elif now_ns < self.open_until_ns:
            return
        elif bad:
            self._open(now_ns)
        else:
            self.good += 1
            if self.good >= self.probes:
                self.open_until_ns = None

    def _open(self, now_ns: int) -> None:
        self.open_until_ns = now_ns + self.open_ns
        self.let_through = self.good = 0
        self.bad_ends.clear()
