"""What stands at a tier, for the engine to be read: servers, and when they come and go.

A place is told who starts and who is through; it knows no clock but what it is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from fallwise.engines.capacity import Hours

__all__ = ["Place", "Scheduled"]


class Place:
    """As many servers as the plan says, from beginning to end."""

    waiting = 0
    """How many wait, as the engine says before a change."""

    def __init__(self, servers: int):
        self.servers = servers
        self.in_service = 0
        self.lost: list[int] = []
        """Who was in service at what has just failed."""

    def beginning(self) -> Iterator[tuple[int, int]]:
        """Yield after which time the first changes come, and their steps: none."""
        yield from ()

    def settle(self, now: int) -> None:
        """Note that somebody was given back now."""

    def step(self, _r: int, _now: int) -> int | None:
        """Begin a step of a batch; return how long it lasts, None where none begins."""
        return None

    def round(self, _r: int, _now: int) -> list[int] | None:
        """End the step of a batch that ends now; return who is done, None where none ends."""
        return None

    def is_free(self) -> bool:
        """Return True where one more may start."""
        return self.in_service < self.servers

    def take(self, _: int) -> None:
        """Let a request start."""
        self.in_service += 1

    def give_back(self, _: int) -> None:
        """Let a request be through."""
        self.in_service -= 1

    def rented_until(self, _: int) -> int:
        """Return the units' time since this was asked last: of those that come and go."""
        return 0

    def change(self, step: int, now: int) -> Iterator[tuple[int, int]]:
        """Take a step, and yield after which time which steps come."""
        raise AssertionError("nothing changes here")


class Scheduled(Place):
    """Servers that come and go by the hours of a week (rules 16 and 17)."""

    def __init__(self, hours: Hours, k: int):
        super().__init__(0)
        mine = hours.tier == k
        self.at_ns, self.number = hours.at_ns[mine].tolist(), hours.servers[mine].tolist()
        self.period_ns = hours.period_ns
        self.since = self.rented = 0

    def beginning(self) -> Iterator[tuple[int, int]]:
        """Yield the first step, at 0."""
        yield 0, 0

    def change(self, step: int, now: int) -> Iterator[tuple[int, int]]:
        """Let so many servers be there as the step says, and expect the next step."""
        self._rent(now)
        self.servers = self.number[step]
        if step + 1 < len(self.at_ns):
            yield self.at_ns[step + 1] - self.at_ns[step], step + 1
        elif step > 0:
            yield self.period_ns - self.at_ns[step], 0

    def rented_until(self, now: int) -> int:
        """Return the servers' time since this was asked last."""
        self._rent(now)
        rented, self.rented = self.rented, 0
        return rented

    def _rent(self, now: int) -> None:
        self.rented += self.servers * (now - self.since)
        self.since = now
