"""The cache of the engine to be read: docs/engine.md, rules 3 and 4."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from fallwise.engines.plan import Plan

__all__ = ["BEFORE", "Cached", "Entry"]

BEFORE: Final = -1
"""The request of an answer that was in the cache when the run began."""


class Entry(NamedTuple):
    """An answer in the cache: when it came in, whose answer it was and which tier's."""

    stored_ns: int
    request: int
    tier: int


class Cached:
    """The answers by key; the last one is the one used last, the front of rule 4."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.entries = OrderedDict((int(key), Entry(0, BEFORE, BEFORE)) for key in plan.warm)
        self.asked_ns = -1
        """When it was asked or filled last."""

    def look_up(self, key: int, now: int) -> Entry | None:
        """Return the entry of a key, moved to the front, or None; what is too old goes."""
        entry = None if self._is_away(now) else self.entries.get(key)
        if entry is None:
            return None
        if now - entry.stored_ns >= self.plan.ttl_ns:
            del self.entries[key]
            return None
        self.entries.move_to_end(key)
        return entry

    def store(self, key: int, entry: Entry) -> None:
        """Put an entry to the front; beyond the capacity the one at the back goes."""
        if self._is_away(entry.stored_ns):
            return
        self.entries[key] = entry
        self.entries.move_to_end(key)
        if len(self.entries) > self.plan.capacity:
            self.entries.popitem(last=False)

    def _is_away(self, now: int) -> bool:
        """Return whether it is away; if it has been since it was asked, all is lost."""
        begin, end, every = self.plan.away.T
        since = (now - begin) % every
        begun = now >= begin
        if (begun & (now - since > self.asked_ns)).any():
            self.entries.clear()
        self.asked_ns = now
        return bool((begun & (since < end - begin)).any())
