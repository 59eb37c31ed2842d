"""Every process that a check starts ends with it, however it ends."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="needs locust"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc"),
]

CASE = Path(__file__).parents[2] / "scenarios" / "mm1.yaml"


def children(pid: int) -> set[int]:
    """The processes below a process."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(path.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_check_that_is_ended_leaves_nobody_behind(number: int, tmp_path: Path) -> None:
    # A shell has what it puts in the background ignore interrupts, and so the tests may do.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from fallwise.cli import main; main()"
    command = [sys.executable, "-c", code, "check", str(CASE), "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.readline()  # It profiles: stub, gateway and Locust are started.
        began = time.monotonic()
        while len(below := children(process.pid)) < 3 and time.monotonic() - began < 30:
            time.sleep(0.05)
        process.send_signal(number)
        process.stderr.read()
    assert len(below) == 3
    assert process.returncode != 0
    assert not {pid for pid in below if Path(f"/proc/{pid}").exists()}
    assert not (tmp_path / "out").exists()
