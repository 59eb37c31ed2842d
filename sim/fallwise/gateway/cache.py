"""The cache of answers: docs/engine.md, rules 3 and 4, in the process or in a Redis server."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from fallwise.gateway.question import Answer, now_ns
from fallwise.scenario import Scenario, Tier

__all__ = ["Cache", "CacheDown", "Entry", "Memory", "Redis", "open_cache"]


class Entry(NamedTuple):
    """An answer, the row of the request it was made for, and the tier that made it."""

    answer: Answer
    row: int
    tier: int


class CacheDown(Exception):
    """The cache's server cannot be asked."""


class Cache(Protocol):
    """Keeps the entries used last, each for its time to live. Both ways may raise CacheDown."""

    async def look_up(self, key: int) -> Entry | None:
        """Return the entry of a key, moved to the front, or None."""

    async def store(self, key: int, entry: Entry) -> None:
        """Put an entry to the front, young; beyond the capacity the one at the back goes."""

    async def close(self) -> None:
        """Leave the server, if there is one."""


def open_cache(scenario: Scenario, tier: Tier) -> Cache:
    """Return the cache that the tier describes."""
    capacity = tier.capacity or 0
    if tier.url is None:
        return Memory(capacity, tier.ttl_s)
    return Redis(tier.url, f"fallwise:{scenario.name}", capacity, tier.ttl_s)


class Memory:
    """A cache in the process; the last entry is the front."""

    def __init__(
        self, capacity: int, ttl_s: float | None, clock_ns: Callable[[], int] = now_ns
    ) -> None:
        self.capacity, self.clock_ns = capacity, clock_ns
        self.ttl_ns = None if ttl_s is None else round(ttl_s * 1e9)
        self.entries: OrderedDict[int, tuple[int, Entry]] = OrderedDict()

    async def look_up(self, key: int) -> Entry | None:
        """Return the entry of a key, moved to the front, or None."""
        stored_ns, entry = self.entries.get(key, (0, None))
        if entry is None:
            return None
        if self.ttl_ns is not None and self.clock_ns() - stored_ns >= self.ttl_ns:
            del self.entries[key]
            return None
        self.entries.move_to_end(key)
        return entry

    async def store(self, key: int, entry: Entry) -> None:
        """Put an entry to the front, young; beyond the capacity the one at the back goes."""
        self.entries[key] = (self.clock_ns(), entry)
        self.entries.move_to_end(key)
        if len(self.entries) > self.capacity:
            self.entries.popitem(last=False)

    async def close(self) -> None:
        """Do nothing: there is no server."""


# The order of use is a sorted set, scored by a counter: exact, unlike Redis's own eviction. An
# entry that has expired keeps its place in it until it is asked for or comes to the back, which is
# what rule 4 says.
LOOK_UP: Final = """
local entry = redis.call('GET', KEYS[1] .. ':entry:' .. ARGV[1])
if entry then
    redis.call('ZADD', KEYS[1] .. ':use', redis.call('INCR', KEYS[1] .. ':clock'), ARGV[1])
else
    redis.call('ZREM', KEYS[1] .. ':use', ARGV[1])
end
return entry
"""
STORE: Final = """
local name = KEYS[1] .. ':entry:' .. ARGV[1]
if ARGV[4] == '0' then
    redis.call('SET', name, ARGV[2])
else
    redis.call('SET', name, ARGV[2], 'PX', ARGV[4])
end
redis.call('ZADD', KEYS[1] .. ':use', redis.call('INCR', KEYS[1] .. ':clock'), ARGV[1])
if redis.call('ZCARD', KEYS[1] .. ':use') > tonumber(ARGV[3]) then
    local back = redis.call('ZPOPMIN', KEYS[1] .. ':use')
    redis.call('DEL', KEYS[1] .. ':entry:' .. back[1])
end
"""
PATIENCE_S: Final = 0.25
"""A cache that takes longer is down: it is there to save time."""


class Redis:
    """A cache in a Redis or Valkey server, which several gateways may share."""

    def __init__(self, url: str, name: str, capacity: int, ttl_s: float | None) -> None:
        import redis.asyncio

        self.client = redis.asyncio.Redis.from_url(
            url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S, retry=None
        )
        self.error = redis.RedisError
        self.name, self.capacity = name, capacity
        self.ttl_ms = 0 if ttl_s is None else max(1, round(ttl_s * 1e3))
        self._look_up = self.client.register_script(LOOK_UP)
        self._store = self.client.register_script(STORE)

    async def look_up(self, key: int) -> Entry | None:
        """Return the entry of a key, moved to the front, or None."""
        try:
            found = await self._look_up(keys=[self.name], args=[key])
        except (self.error, OSError) as error:
            raise CacheDown(type(error).__name__) from None
        if found is None:
            return None
        kept = json.loads(found)
        return Entry(Answer(**kept["answer"]), kept["row"], kept["tier"])

    async def store(self, key: int, entry: Entry) -> None:
        """Put an entry to the front, young; beyond the capacity the one at the back goes."""
        kept = {"answer": dataclasses.asdict(entry.answer), "row": entry.row, "tier": entry.tier}
        args: list[str | int] = [key, json.dumps(kept), self.capacity, self.ttl_ms]
        try:
            await self._store(keys=[self.name], args=args)
        except (self.error, OSError) as error:
            raise CacheDown(type(error).__name__) from None

    async def close(self) -> None:
        """Leave the server."""
        await self.client.aclose()
