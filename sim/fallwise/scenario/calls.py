"""What can go wrong with a call, and what is done about it: retries, a breaker, a second call."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any, Literal

from pydantic import Field

from fallwise.scenario.laws import Model, NotNegative, Positive
from fallwise.scenario.traffic import Share

__all__ = ["Breaker", "Hedge", "Outage", "Reason", "Retries"]

Reason = Literal["error", "rate_limited", "timeout", "shed"]


class Retries(Model):
    """A visit that failed is tried again, after a pause in which it holds no server.

    The pause after attempt a (from 0) is backoff_s * factor**a, at most max_backoff_s, of which the
    share `jitter` is multiplied by a uniform random number: 1 is full jitter, 0 is none. A longer
    Retry-After of a rate limit counts instead.
    """

    attempts: Annotated[int, Field(ge=2, le=8)]
    """At most so many, the first one included."""
    backoff_s: NotNegative
    """The longest pause after the first attempt."""
    factor: Annotated[float, Field(ge=1)] = 2.0
    """Each further pause is so many times as long."""
    max_backoff_s: Positive | None = None
    """But no longer than this."""
    jitter: Share = 0.0
    """Share of a pause that is drawn at random: 1 is from no time to all of it, 0 always all."""
    on: Annotated[list[Reason], Field(min_length=1)] = ["error", "rate_limited", "timeout", "shed"]
    """What is tried again: calls that failed, limits, timeouts of an attempt, full queues."""
    budget: Share | None = None
    """At most this share of the visits is tried again in the long run (and ten at once), so that
    retries cannot multiply the load; by default there is no such limit."""

    def pause_s(self, attempt: int, share: Any = 1.0) -> Any:
        """Return the pause after an attempt, counted from 0, with this share of its jitter.

        share is a number in [0, 1] or an array of them; 1 is the longest pause.
        """
        longest_s = self.backoff_s * self.factor**attempt
        if self.max_backoff_s is not None:
            longest_s = min(longest_s, self.max_backoff_s)
        return longest_s * (1 - self.jitter * (1 - share))


class Outage(Model):
    """All calls fail that start from from_s to before to_s, again every every_s if that is given.

    Seconds from the start of the run. With `slow` they do not fail, but take longer.
    """

    from_s: NotNegative
    """When it begins."""
    to_s: Positive
    """When it ends."""
    every_s: Positive | None = None
    """From one beginning to the next; without it, it comes once."""
    slow: Annotated[float, Field(gt=1, le=100)] | None = None
    """Calls that start in it take so many times as long, whether they answer or fail by themselves.
    Of several such times the slowest counts, and an outage without slow before all of them."""

    @property
    def thousandths(self) -> int:
        """Return how many thousandths of their time calls take in it; 0 where they fail."""
        return 0 if self.slow is None else round(1000 * self.slow)

    def covers(self, at_s: float) -> bool:
        """Return True where calls that start at this time are in it."""
        since_s = at_s - self.from_s
        if self.every_s is not None:
            since_s = since_s % self.every_s if since_s >= 0 else since_s
        return 0 <= since_s < self.to_s - self.from_s


class Breaker(Model):
    """A circuit breaker: after too many failures no call is made for a while.

    It opens when failure_share of the last window_calls attempts failed (by whatever reason).
    Then visits fail at once for open_s. After that `probes` attempts are let through: if all of
    them succeed it closes, with the first that fails it opens again.
    """

    failure_share: Annotated[float, Field(gt=0, le=1)]
    """It opens when so many of the last attempts failed."""
    window_calls: Annotated[int, Field(ge=1, le=1000)]
    """How many attempts it looks back at; it stays closed until there were so many."""
    open_s: Positive
    """How long nobody is let through."""
    probes: Annotated[int, Field(ge=1)] = 1
    """Attempts that are let through then, and must all succeed for it to close."""

    @property
    def worst_calls(self) -> int:
        """Return how many of the last window_calls attempts must have failed."""
        return max(1, ceil(self.failure_share * self.window_calls))


class Hedge(Model):
    """A second call to the same tier when the first has been in service for after_s.

    Made only where a server is free and no rate limit is exceeded. The first answer counts; both
    calls are paid.
    """

    after_s: NotNegative
    """How long the first call has been in service when the second one is made."""
