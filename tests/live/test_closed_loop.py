"""Users in a closed loop against a gateway: real servers, real Locust, two processes."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import sys
from pathlib import Path

import pytest
from gateway_servers import live, scenario_of

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="needs locust")
def test_users_ask_wait_think_and_ask_again(tmp_path: Path) -> None:
    service = {"kind": "fixed", "value_s": 0.05}
    small = {"name": "small", "kind": "pool", "slots": 50, "service": service}
    questions = tmp_path / "q.jsonl"
    questions.write_text("".join(json.dumps({"id": i, "text": f"q{i}"}) + "\n" for i in range(9)))

    async def main() -> tuple[int, str, int]:
        case = scenario_of([{**small, "answers": {"accuracy": 0.9}}], n=5000)
        async with live(case) as it:
            command = ["-m", "locust", "-f", str(ROOT / "loadtests" / "closed_loop.py")]
            command += ["--headless", "--host", it.url, "--questions-file", str(questions)]
            command += ["--think-s", "0.05", "-u", "4", "-r", "4", "-t", "4s", "--processes", "2"]
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                *("--csv", str(tmp_path / "closed")),
                stderr=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
            )
            said = (await process.communicate())[1].decode()
            return process.returncode or 0, said, len(it.stub.ledger)

    code, said, served = asyncio.run(main())
    assert code == 0, said
    with (tmp_path / "closed_stats.csv").open() as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    asked = int(rows["small"]["Request Count"])
    # Four users, a tenth of a second each turn at the least: never more than 40 a second.
    assert 20 < asked <= 40 * 6
    assert asked <= served <= asked + 4  # The last ones may have been cut off.
    assert float(rows["small"]["Min Response Time"]) >= 50
