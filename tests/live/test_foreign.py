"""`fallwise check --host` against a deployment that is not ours, on loopback."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

needs_locust = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="needs locust: pip install fallwise[live]"
)

SERVER = Path(__file__).with_name("foreign.py")
KEY = "sk-hunter2-not-to-be-seen"
CASE = """
name: foreign
traffic:
  arrivals: {kind: poisson, rate_rps: 50}
  segments:
    - prompt_tokens: {kind: fixed, tokens: 100}
      output_tokens: {kind: fixed, tokens: 20}
answers: {source: replay, table: answers.csv}
deployment:
  api_key_env: VENDOR_KEY
  tier_from_model: {vendor/mini-2: mini, vendor/max-1: max}
tiers:
  - name: mini
    kind: api
    threshold: 0.5
    service: {kind: fixed, value_s: 0.01}
    prompt_usd_per_mtok: 1
    output_usd_per_mtok: 2
  - name: max
    kind: api
    service: {kind: fixed, value_s: 0.05}
    prompt_usd_per_mtok: 10
    output_usd_per_mtok: 20
"""


@contextmanager
def vendor(escalated: float) -> Iterator[str]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(SERVER), str(port), str(escalated)])
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
            except urllib.error.HTTPError:
                break
            except OSError:
                process.poll()
                assert process.returncode is None
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def checked(folder: Path, *options: str, key: str = KEY) -> tuple[int, str, str]:
    """The status and what is said: the prediction escalates a quarter of the questions."""
    (folder / "foreign.yaml").write_text(CASE)
    rows = ["query_id,model,correct,confidence"]
    asked = []
    for i in range(500):
        rows += [f"{i},mini,1,{0.1 if i % 100 >= 75 else 0.9}", f"{i},max,1,1.0"]
        asked.append(json.dumps({"id": i, "text": f"Question {i}", "answer": f"answer {i}"}))
    (folder / "answers.csv").write_text("\n".join(rows) + "\n")
    (folder / "q.jsonl").write_text("\n".join(asked) + "\n")
    main = [sys.executable, "-c", "from fallwise.cli import main; main()", "check"]
    command = [*main, "foreign.yaml", "--json", "--questions", "q.jsonl", "--out", "out"]
    done = subprocess.run(
        [*command, "--profile", "20", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"VENDOR_KEY": key},
    )
    return done.returncode, done.stdout, done.stderr


def nothing_tells(folder: Path, secret: str, *said: str) -> None:
    assert not any(secret in text for text in said)
    for path in folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@needs_locust
def test_what_can_be_seen_from_outside_is_judged_and_the_rest_is_listed(tmp_path: Path) -> None:
    with vendor(0.25) as url:
        code, out, err = checked(tmp_path, "--host", f"{url}/v1")
    summary: dict[str, Any] = json.loads(out)
    rows = {row["measure"]: row for row in summary["rows"]}
    for name in ("answer_usd_mean", "quality", "tiers.max.hit_share", "answered_share"):
        assert rows[name]["agree"], name
    assert {"cost_usd_mean", "tiers.mini.accept_share"} <= {
        item["measure"] for item in summary["not_judged"]
    }
    assert not {"cost_usd_mean", "tiers.mini.accept_share"} & set(rows)
    tiers = {tier["name"]: tier for tier in summary["profile"]["tiers"]}
    assert tiers["mini"]["accuracy"] == tiers["max"]["accuracy"] == 1
    assert tiers["mini"]["service_s_p50"] >= 0.01 and tiers["max"]["service_s_p50"] >= 0.05
    assert code == {"agree": 0, "differ": 1, "inconclusive": 3}[summary["verdict"]]
    nothing_tells(tmp_path, KEY, out, err)


@needs_locust
def test_other_routing_and_the_end_of_the_money_are_said(tmp_path: Path) -> None:
    # One request costs 0.00154 USD at most: 40 alone come first, then there is money for about 100.
    with vendor(0.6) as url:
        code, out, _ = checked(tmp_path, "--host", url, "--max-usd", "0.17")
    summary = json.loads(out)
    assert 20 < summary["requests"] < 200
    assert 0.1 < summary["spent_usd"] <= 0.17
    assert any("Stopped after" in said for said in summary["findings"])
    assert ("mini", "routing") in {(c["tier"], c["cause"]) for c in summary["culprits"]}
    assert code == (3 if summary["doubts"] else 1)


@needs_locust
def test_a_wrong_key_ends_the_check_and_is_not_repeated(tmp_path: Path) -> None:
    with vendor(0.25) as url:
        code, out, err = checked(tmp_path, "--host", url, key="sk-wrong-hunter3")
    assert code == 2
    assert "answered no request of the profile (HTTP 401: 40)" in err
    nothing_tells(tmp_path, "hunter3", out, err)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "https://api.example.com"], "may cost up to 3.14 USD; say by --max-usd"),
        (["--host", "https://api.example.com", "--max-usd", "1"], "agree, or give --yes"),
        (["--host", "ftp://x"], "must be an http address"),
        (["--host", "http://me:hunter2@x"], "must be an http address without a password"),
        (["--host", "http://127.0.0.1:9", "--max-requests", "41"], "leaves nothing after"),
    ],
)
def test_nothing_is_sent_before_it_is_clear(
    options: list[str], message: str, tmp_path: Path
) -> None:
    code, out, err = checked(tmp_path, *options)
    assert code == 2
    assert message in err
    assert "hunter2" not in out + err
