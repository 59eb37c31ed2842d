"""Replicas at a tier, for the engine to be read: rules 18 to 20 of docs/engine.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fallwise.engines.fleet import (
    DOWN,
    FAIL,
    LEAVING,
    LOOK,
    OFF,
    READY,
    REPAIR,
    STARTING,
    UP,
    WHAT,
    Fleet,
)
from fallwise.engines.places import Place

__all__ = ["Replicas"]


@dataclass
class _Replica:
    is_: int
    ready: int = -1
    cycle: int = 0
    members: list[int] = field(default_factory=list)


class Replicas(Place):
    """The replicas of one tier, by number; `waiting` says how many wait for them."""

    def __init__(self, fleet: Fleet, k: int):
        super().__init__(0)
        m = fleet.tier.tolist().index(k)
        for name in ("slots", "least", "interval_ns", "target_ppm", "cold_ns", "linger_ns"):
            setattr(self, name, int(getattr(fleet, name)[m]))
        self.up_ns, self.down_ns = fleet.up_ns[m].tolist(), fleet.down_ns[m].tolist()
        count = int(fleet.replicas[m])
        self.replicas = [_Replica(UP if r < self.least else OFF) for r in range(count)]
        self.since = self.rented = 0
        self.below_since: int | None = None
        self.most_wanted = 0

    slots: int
    least: int
    interval_ns: int
    target_ppm: int
    cold_ns: int
    linger_ns: int

    def beginning(self) -> Iterator[tuple[int, int]]:
        """Yield after which time the first changes come, and their steps."""
        for r, up_ns in enumerate(self.up_ns):
            if r < len(self.replicas) and up_ns:
                yield up_ns[0], FAIL << WHAT | r
        yield self.interval_ns, LOOK << WHAT

    def _open(self) -> list[_Replica]:
        return [r for r in self.replicas if r.is_ == UP and len(r.members) < self.slots]

    def is_free(self) -> bool:
        """Return True where a replica that is up has a free slot."""
        return bool(self._open())

    def take(self, i: int) -> None:
        """Let a request start at the replica with the fewest in service, of several the first."""
        min(self._open(), key=lambda replica: len(replica.members)).members.append(i)

    def give_back(self, i: int) -> None:
        """Let a request be through; a replica that is leaving may be off then, see `now`."""
        for replica in self.replicas:
            if i in replica.members:
                replica.members.remove(i)

    def rented_until(self, now: int) -> int:
        """Return the replicas' time since this was asked last."""
        self.settle(now)
        rented, self.rented = self.rented, 0
        return rented

    def settle(self, now: int) -> None:
        """Add up what was rented until now, and let go whoever is leaving and has nobody left."""
        self.rented += sum(r.is_ != OFF for r in self.replicas) * (now - self.since)
        self.since = now
        for replica in self.replicas:
            if replica.is_ == LEAVING and not replica.members:
                replica.is_ = OFF

    def change(self, step: int, now: int) -> Iterator[tuple[int, int]]:
        """Take a step, and yield after which time which steps come."""
        self.settle(now)
        what, r = step >> WHAT, step & ((1 << WHAT) - 1)
        replica = self.replicas[r]
        if what == FAIL:
            self.lost, replica.members = replica.members, []
            replica.is_ = {UP: DOWN, LEAVING: OFF}.get(replica.is_, replica.is_)
            yield self.down_ns[r][replica.cycle], REPAIR << WHAT | r
        elif what == REPAIR:
            replica.is_ = UP if replica.is_ == DOWN else replica.is_
            replica.cycle = (replica.cycle + 1) % len(self.up_ns[r])
            yield self.up_ns[r][replica.cycle], FAIL << WHAT | r
        elif what == READY:
            for one in self.replicas:
                if one.is_ == STARTING and one.ready == now:
                    one.is_ = UP
        elif what == LOOK:
            if self._scale(now):
                yield self.cold_ns, READY << WHAT
            yield self.interval_ns, LOOK << WHAT
        self.settle(now)

    def _scale(self, now: int) -> bool:
        """Start replicas or let them go; return True where some start."""
        load = self.waiting + sum(len(replica.members) for replica in self.replicas)
        wanted = -(-load * 1_000_000 // (self.target_ppm * self.slots))
        wanted = min(max(wanted, self.least), len(self.replicas))
        there = [r for r in self.replicas if r.is_ in (STARTING, UP, DOWN)]
        if wanted >= len(there):
            self.below_since = None
            off = [r for r in self.replicas if r.is_ == OFF][: wanted - len(there)]
            for replica in off:
                replica.is_, replica.ready = STARTING, now + self.cold_ns
            return bool(off)
        if self.below_since is None:
            self.below_since, self.most_wanted = now, wanted
        self.most_wanted = max(self.most_wanted, wanted)
        if now - self.below_since >= self.linger_ns:
            self.below_since = None
            for replica in there[self.most_wanted :]:
                replica.is_ = LEAVING if replica.members else OFF
        return False
