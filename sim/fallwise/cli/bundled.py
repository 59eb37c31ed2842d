"""The bundled deployment on loopback, and Locust against it: other processes, always ended."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from fallwise.errors import CheckError, Problem

__all__ = ["ask", "deployed", "drive", "loadtests"]

PATIENCE_S = 60


def loadtests() -> Path:
    """Return the folder of the load tests; CheckError in an installed package."""
    found = Path(__file__).parents[3] / "loadtests"
    if not (found / "replay.py").exists():
        rule = "the load tests are not part of an installed package"
        raise CheckError(Problem(rule, "run it from a checkout of the repository"))
    return found


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@contextmanager
def _running(command: list[str], url: str, log: Path) -> Iterator[None]:
    """Run a server while the block runs; CheckError where it does not come up."""
    # What it says goes to a file: a pipe that nobody reads would stop it when it is full.
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
    try:
        for _ in range(5 * PATIENCE_S):
            if _answers(url):
                break
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
            rule = f"a server of the bundled deployment ended: {''.join(last)}"
            raise CheckError(Problem(rule, "see fallwise serve"))
        else:
            raise CheckError(Problem(f"no answer at {url}", "try again"))
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    """Return True where a server is ready: one of HTTP says so, any other takes connections."""
    at = urlsplit(url)
    try:
        if at.scheme == "http":
            urllib.request.urlopen(f"{url}/healthz", timeout=1).close()
        else:
            socket.create_connection((at.hostname, at.port), timeout=1).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


@contextmanager
def deployed(
    requests: Path,
    scenario: Path,
    settings: list[str],
    stubbed: list[str],
    limited: list[str],
    lost: str | None = None,
) -> Iterator[tuple[str, str]]:
    """Serve a scenario on loopback; yield the gateway's and the stub's URL.

    The stub knows the table's truth. It answers at the keys in `stubbed` (tiers.small.live), and
    for everything that has no `live`; it keeps the limits of the tiers in `limited`, instead of the
    gateway. lost is the name of a cache with outages: a server of its own that is killed in them.
    What the servers say goes to files beside the table.
    """
    stub_port, port, cache_port = _free_port(), _free_port(), _free_port()
    stub, gateway = f"http://127.0.0.1:{stub_port}", f"http://127.0.0.1:{port}"
    upstream = [sys.executable, str(loadtests() / "stub_tiers.py"), str(requests)]
    upstream += ["--scenario", str(scenario), *_set(settings), "--port", str(stub_port)]
    upstream += ["--limits"] * bool(limited)
    cache = [sys.executable, str(loadtests() / "cache_server.py"), str(scenario), *_set(settings)]
    cache += ["--stub", stub, "--port", str(cache_port)]
    # Nobody's bucket is ever empty that holds what comes in thirty years.
    settings = [*settings, *(f"tiers.{name}.burst_s=1e9" for name in limited)]
    settings += [f"{key}={{kind: upstream, url: '{stub}'}}" for key in stubbed]
    url = f"redis://127.0.0.1:{cache_port}"
    settings += [f"tiers.{lost}.url={url}"] * (lost is not None)
    serve = [sys.executable, "-c", "from fallwise.cli import main; main()", "serve", str(scenario)]
    serve += [*_set(settings), "--upstream", stub, "--port", str(port)]
    with ExitStack() as servers:
        servers.enter_context(_running(upstream, stub, requests.with_suffix(".stub.log")))
        if lost is not None:
            servers.enter_context(_running(cache, url, requests.with_suffix(".cache.log")))
        servers.enter_context(_running(serve, gateway, requests.with_suffix(".gateway.log")))
        yield gateway, stub


def _set(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def drive(host: str, requests: Path, rows: Path, options: list[str]) -> None:
    """Replay a table against a host, and write its rows; CheckError where Locust fails."""
    command = [sys.executable, "-m", "locust", "-f", str(loadtests() / "replay.py"), "--headless"]
    command += ["--host", host, "--requests-file", str(requests), "--rows-file", str(rows)]
    command += ["-u", "1", "-r", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not rows.exists():
        said = done.stderr.strip().splitlines()[-1:]
        rule = f"Locust ended with status {done.returncode}: {''.join(said)}"
        raise CheckError(Problem(rule, "pip install fallwise[live], and see that the host answers"))


def ask(kind: str, file: Path) -> None:
    """Write the questions for the project's own readers of a kind; CheckError if it fails."""
    command = [sys.executable, str(loadtests() / "questions.py"), kind, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:]
        raise CheckError(Problem(f"no questions: {''.join(said)}", "give a file by --questions"))
