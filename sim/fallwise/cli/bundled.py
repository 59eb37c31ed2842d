"""The bundled deployment on loopback, and Locust against it: other processes, always ended."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fallwise.errors import CheckError, Problem

__all__ = ["deployed", "drive"]

PATIENCE_S = 60


def _loadtests() -> Path:
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
def _running(command: list[str], url: str) -> Iterator[None]:
    """Run a server while the block runs; CheckError where it does not come up."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(5 * PATIENCE_S):
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=1).close()
                break
            except (urllib.error.URLError, OSError):
                pass
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            said = (process.communicate()[1] or "").strip().splitlines()[-1:]
            rule = f"a server of the bundled deployment ended: {''.join(said)}"
            raise CheckError(Problem(rule, "see fallwise serve"))
        else:
            raise CheckError(Problem(f"no answer at {url}/healthz", "try again"))
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def deployed(requests: Path, scenario: Path, settings: list[str]) -> Iterator[tuple[str, str]]:
    """Serve a scenario over a stub with a table's truth; yield the gateway's and the stub's URL."""
    stub_port, port = _free_port(), _free_port()
    stub, gateway = f"http://127.0.0.1:{stub_port}", f"http://127.0.0.1:{port}"
    script = str(_loadtests() / "stub_tiers.py")
    upstream = [sys.executable, script, str(requests), "--scenario", str(scenario)]
    serve = [sys.executable, "-c", "from fallwise.cli import main; main()", "serve", str(scenario)]
    for setting in settings:
        serve += ["--set", setting]
    with (
        _running([*upstream, "--port", str(stub_port)], stub),
        _running([*serve, "--upstream", stub, "--port", str(port)], gateway),
    ):
        yield gateway, stub


def drive(host: str, requests: Path, rows: Path) -> None:
    """Replay a table against a host, and write its rows; CheckError where Locust fails."""
    command = [sys.executable, "-m", "locust", "-f", str(_loadtests() / "replay.py"), "--headless"]
    command += ["--host", host, "--requests-file", str(requests), "--rows-file", str(rows)]
    done = subprocess.run(
        [*command, "-u", "1", "-r", "1"], capture_output=True, text=True, check=False
    )
    if done.returncode or not rows.exists():
        said = done.stderr.strip().splitlines()[-1:]
        rule = f"Locust ended with status {done.returncode}: {''.join(said)}"
        raise CheckError(Problem(rule, "pip install fallwise[live], and see that the host answers"))
