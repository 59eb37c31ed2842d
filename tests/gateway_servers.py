"""A gateway and its stub as real servers on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from fallwise.draw import draw
from fallwise.gateway import application, with_upstream
from fallwise.scenario import Scenario, parse
from fallwise.tables import RequestTable

ROOT = Path(__file__).parent.parent


def loadtest(name: str) -> Any:
    """Return a module of the load tests, which are no package."""
    spec = spec_from_file_location(name, ROOT / "loadtests" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


stub_tiers = loadtest("stub_tiers")


def redis_server() -> str:
    """Return the program of a Redis or Valkey server; skip the test where there is none."""
    found: str | None = loadtest("cache_server").binary()
    if found is None:
        pytest.skip("no Redis server is installed")
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """Its address and itself; it is asked to end when the block is left."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="error", lifespan="on", loop="asyncio")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        assert not running.done()
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        await running


def scenario_of(tiers: list[dict[str, Any]], n: int = 50, **parts: Any) -> Scenario:
    tokens = {"kind": "lognormal", "p50_tokens": 80, "p99_tokens": 400}
    segment = {"name": "all", "prompt_tokens": tokens, "output_tokens": tokens}
    arrivals = {"kind": "poisson", "rate_rps": 100}
    return parse(
        {
            **{"name": "live", "answers": {"source": "synthetic"}, "tiers": tiers},
            **{"traffic": {"arrivals": arrivals, "segments": [segment]}},
            **{"run": {"requests": n, "seed": 2}, **parts},
        }
    )


class Live:
    """A gateway over a stub that knows the scenario's requests, and a client."""

    def __init__(
        self,
        scenario: Scenario,
        stub: Any,
        client: aiohttp.ClientSession,
        url: str,
        server: uvicorn.Server,
    ):
        self.scenario, self.stub, self.client, self.url = scenario, stub, client, url
        self.server = server
        self.requests: RequestTable = stub.requests

    async def ask(self, i: int, headers: dict[str, str] | None = None, **more: Any) -> Any:
        """Status, headers and body (text where it is a stream) of request i."""
        key = str(self.requests.key[i])
        own = {"x-fallwise-request": str(i), "x-fallwise-key": key, **(headers or {})}
        body = {"messages": [{"role": "user", "content": f"request {i}"}], **more}
        path = f"{self.url}/v1/chat/completions"
        async with self.client.post(path, json=body, headers=own) as response:
            raw = await response.text()
            found = json.loads(raw) if "json" in response.content_type else raw
            return response.status, response.headers, found

    async def get(self, path: str) -> str:
        async with self.client.get(self.url + path) as response:
            return await response.text()

    async def post(self, path: str, data: Any) -> int:
        async with self.client.post(self.url + path, json=data) as response:
            return response.status


@asynccontextmanager
async def live(scenario: Scenario) -> AsyncIterator[Live]:
    """A gateway over a stub; the stub answers for all tiers that have no `live`."""
    stub = stub_tiers.Stub(draw(scenario), [tier.name for tier in scenario.tiers], {})
    stub.price(scenario)
    async with served(stub_tiers.application(stub)) as (upstream, _):
        app = application(with_upstream(scenario, upstream))
        async with served(app) as (url, server), aiohttp.ClientSession() as client:
            yield Live(scenario, stub, client, url, server)
