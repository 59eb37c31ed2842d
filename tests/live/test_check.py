"""`fallwise check` against the bundled deployment: real servers, real Locust, on loopback."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="needs locust: pip install fallwise[live]"
)

CASE = """
name: live-check
traffic:
  arrivals: {kind: poisson, rate_rps: 100}
  segments:
    - prompt_tokens: {kind: fixed, tokens: 300}
      output_tokens: {kind: fixed, tokens: 100}
      repeats: {repeat_share: 0.3, distinct_keys: 100}
answers: {source: synthetic}
tiers:
  - {name: cache, kind: cache, capacity: 1000, lookup_s: 0, filled_by: [small, big]}
  - name: small
    kind: pool
    replicas: 6
    answers: {accuracy: 0.8, auroc: 0.85}
    threshold: 0.7
    service: {kind: lognormal, p50_s: 0.02, p99_s: 0.08}
    usd_per_request: 0.0001
  - name: big
    kind: api
    concurrency: 8
    answers: {accuracy: 0.95, auroc: 0.8}
    service: {kind: lognormal, p50_s: 0.12, p99_s: 0.4}
    prompt_usd_per_mtok: 3
    output_usd_per_mtok: 15
"""


def checked(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    file = folder / "live-check.yaml"
    file.write_text(CASE)
    command = [sys.executable, "-c", "from fallwise.cli import main; main()", "check", str(file)]
    done = subprocess.run(
        [*command, "--json", "--requests", "600", "--drives", "1", "--profile", "20", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_deployment_that_the_scenario_describes_loses_nothing(tmp_path: Path) -> None:
    code, summary = checked(tmp_path)
    assert summary["lost"] == 0
    assert summary["billed_usd"] == pytest.approx(summary["ledger_usd"], rel=1e-9)
    assert code == {"agree": 0, "differ": 1, "inconclusive": 3}[summary["verdict"]]
    by_name = {row["measure"]: row for row in summary["rows"]}
    # Times depend on how busy this machine is; what was decided and paid for does not.
    for name in ("cost_usd_mean", "quality", "tiers.small.accept_share", "answered_share"):
        assert by_name[name]["agree"], name


@pytest.mark.parametrize(
    ("plant", "tier", "cause"),
    [
        (["tiers.small.threshold=0.9"], "small", "routing"),
        (["tiers.big.service.p50_s=0.24", "tiers.big.service.p99_s=0.8"], "big", "service"),
        (["tiers.cache.ttl_s=0.000001"], "cache", "caching"),
    ],
)
def test_a_planted_fault_is_named(plant: list[str], tier: str, cause: str, tmp_path: Path) -> None:
    options = [word for setting in plant for word in ("--plant", setting)]
    code, summary = checked(tmp_path, *options)
    assert (tier, cause) in {(c["tier"], c["cause"]) for c in summary["culprits"]}
    assert code == (3 if summary["doubts"] else 1)


RETRIED = ("error_rate=0.2", "retries={attempts: 3, backoff_s: 0.05, jitter: 0.5}")


def test_calls_that_fail_and_are_made_again_are_predicted_and_measured(tmp_path: Path) -> None:
    options = [word for key in RETRIED for word in ("--set", f"tiers.big.{key}")]
    _, summary = checked(tmp_path, *options)
    assert summary["lost"] == 0
    assert summary["billed_usd"] == pytest.approx(summary["ledger_usd"], rel=1e-9)
    by_name = {row["measure"]: row for row in summary["rows"]}
    for name in ("cost_usd_mean", "quality", "tiers.big.failed_share", "answered_share"):
        assert by_name[name]["agree"], name


def test_outages_are_not_checked_against_a_stub_that_has_none(tmp_path: Path) -> None:
    file = tmp_path / "live-check.yaml"
    file.write_text(CASE + "    outages: [{from_s: 1, to_s: 2}]\n")
    command = [sys.executable, "-c", "from fallwise.cli import main; main()", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "the stub that plays big has no outages" in done.stderr
    assert list(tmp_path.iterdir()) == [file]
