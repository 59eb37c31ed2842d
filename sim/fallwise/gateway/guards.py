"""What stands before a call: docs/engine.md, rules 12 to 14, on a real clock. One tier's each."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Final

from fallwise.scenario.calls import Breaker, Retries

__all__ = ["Budget", "Circuit", "Limit"]

RETRY_COST: Final = 1_000_000
"""Millionths of a retry."""
FULL_BUDGET: Final = 10 * RETRY_COST
MINUTE_NS: Final = 60_000_000_000


class Budget:
    """How many retries are left."""

    def __init__(self, retries: Retries | None):
        share = None if retries is None else retries.budget
        self.share = None if share is None else round(share * RETRY_COST)
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

    def __init__(self, per_minute: int, burst_s: float):
        self.per_minute, self.burst_ns = per_minute, round(burst_s * 1e9)
        self.due_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """Return how long until something is left; 0 is at once."""
        return max(0, self.due_ns - now_ns - self.burst_ns)

    def charge(self, at_ns: int, amount: int) -> None:
        """Take so much of what there was at that time."""
        self.due_ns = max(self.due_ns, at_ns) + amount * MINUTE_NS // self.per_minute


class Circuit:
    """A circuit breaker: opened by too many bad ends, closed by good probes."""

    def __init__(self, terms: Breaker):
        self.terms = terms
        self.worst = max(1, ceil(terms.failure_share * terms.window_calls))
        self.open_until_ns: int | None = None
        self.let_through = self.good = 0
        self.bad_ends: deque[bool] = deque(maxlen=terms.window_calls)

    def lets_through(self, now_ns: int) -> bool:
        """Return whether an attempt may begin."""
        if self.open_until_ns is None:
            return True
        if now_ns < self.open_until_ns or self.let_through >= self.terms.probes:
            return False
        self.let_through += 1
        return True

    def tell(self, now_ns: int, *, bad: bool) -> None:
        """Take in how an attempt ended."""
        if self.open_until_ns is None:
            self.bad_ends.append(bad)
            full = len(self.bad_ends) == self.terms.window_calls
            if full and sum(self.bad_ends) >= self.worst:
                self._open(now_ns)
        elif now_ns < self.open_until_ns:
            return
        elif bad:
            self._open(now_ns)
        else:
            self.good += 1
            if self.good >= self.terms.probes:
                self.open_until_ns = None

    def _open(self, now_ns: int) -> None:
        self.open_until_ns = now_ns + round(self.terms.open_s * 1e9)
        self.let_through = self.good = 0
        self.bad_ends.clear()
