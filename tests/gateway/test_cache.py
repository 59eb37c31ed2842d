"""Both caches against the rules: in the process, and in a real Redis server on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fallwise.gateway.cache import Cache, CacheDown, Entry, Memory, Redis
from fallwise.gateway.question import Answer
from gateway_servers import free_port, live, redis_server, scenario_of

Server = tuple[str, "subprocess.Popen[bytes]"]


def start(port: int, folder: Path) -> subprocess.Popen[bytes]:
    command = [redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    import redis

    with redis.Redis(port=port) as client:
        for _ in range(500):
            try:
                client.ping()
                return server
            except redis.ConnectionError:
                time.sleep(0.01)
    server.kill()
    raise AssertionError("the Redis server does not start")


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    server = start(port, tmp_path)
    yield port
    server.terminate()
    server.wait()


def entry(row: int) -> Entry:
    return Entry(Answer(f"text {row}", "x", 0.25, 3, 4, True, 0.5), row, row % 3)


async def follow(cache: Cache, capacity: int) -> None:
    """Random questions; what the cache says against a list in order of use (rules 3 and 4)."""
    chance = np.random.default_rng(4)
    known: list[tuple[int, int]] = []  # key and row, the front first
    hits = 0
    for row, key in enumerate(chance.integers(0, 12, 400).tolist()):
        found = await cache.look_up(key)
        expected = next((kept for kept in known if kept[0] == key), None)
        assert found == (None if expected is None else entry(expected[1]))
        hits += found is not None
        if expected is not None:
            known.remove(expected)
            known.insert(0, expected)
        if expected is None or row % 3 == 0:
            await cache.store(key, entry(row))
            known = [(key, row), *(kept for kept in known if kept[0] != key)][:capacity]
    assert 100 < hits < 300
    await cache.close()


def test_the_cache_in_the_process_keeps_what_was_used_last() -> None:
    asyncio.run(follow(Memory(5, None), 5))


def test_the_cache_in_redis_keeps_what_was_used_last(redis_port: int) -> None:
    asyncio.run(follow(Redis(f"redis://127.0.0.1:{redis_port}", "test", 5, None), 5))


def test_an_entry_of_the_process_ends_at_its_time() -> None:
    clock = [0]

    async def main() -> None:
        cache = Memory(5, 2.0, lambda: clock[0])
        await cache.store(1, entry(1))
        clock[0] = 1_999_999_999
        assert await cache.look_up(1) == entry(1)
        clock[0] += 1
        assert await cache.look_up(1) is None and not cache.entries

    asyncio.run(main())


def test_an_entry_of_redis_ends_at_its_time_and_keeps_its_place(redis_port: int) -> None:
    async def main() -> None:
        cache = Redis(f"redis://127.0.0.1:{redis_port}", "test", 2, 0.2)
        await cache.store(1, entry(1))
        assert await cache.look_up(1) == entry(1)
        left_ms = await cache.client.pttl("test:entry:1")
        assert 0 < left_ms <= 200, "looking up does not make it young"
        await cache.client.pexpire("test:entry:1", 0)
        await cache.store(2, entry(2))
        assert await cache.client.zcard("test:use") == 2, "who has ended still has a place"
        assert await cache.look_up(1) is None
        assert await cache.client.zcard("test:use") == 1
        await cache.close()

    asyncio.run(main())


def test_redis_that_is_not_there_is_down() -> None:
    async def main() -> None:
        cache = Redis(f"redis://127.0.0.1:{free_port()}", "test", 2, None)
        with pytest.raises(CacheDown):
            await cache.look_up(1)
        with pytest.raises(CacheDown):
            await cache.store(1, entry(1))
        await cache.close()

    asyncio.run(main())


def test_a_gateway_goes_on_without_redis_and_takes_it_back(tmp_path: Path) -> None:
    port = free_port()
    tiers: list[dict[str, Any]] = [
        {
            **{"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.0},
            **{"filled_by": ["big"], "url": f"redis://127.0.0.1:{port}"},
        },
        {
            **{"name": "big", "kind": "api", "answers": {"accuracy": 0.8}},
            **{"service": {"kind": "fixed", "value_s": 0.001}},
        },
    ]
    server = start(port, tmp_path)

    async def main() -> None:
        nonlocal server
        async with live(scenario_of(tiers)) as it:

            async def state() -> str:
                status, headers, _ = await it.ask(0, {"x-fallwise-key": "1"})
                assert status == 200 and headers["x-fallwise-answer-of"] == "0"
                return str(headers["x-fallwise-cache"])

            assert [await state(), await state()] == ["miss", "hit"]
            server.kill()
            server.wait()
            assert [await state(), await state()] == ["off", "off"]
            server = start(port, tmp_path)
            assert [await state(), await state()] == ["miss", "hit"]

    try:
        asyncio.run(main())
    finally:
        server.kill()
        server.wait()
