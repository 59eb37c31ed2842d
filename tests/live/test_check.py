"""`fallwise check` against the bundled deployment: real servers, real Locust, on loopback."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fallwise.tables import OutcomeTable
from gateway_servers import redis_server

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


def test_streams_are_judged_by_their_first_token_too_with_times_under_load(tmp_path: Path) -> None:
    _, summary = checked(tmp_path, "--stream", "--profile-load", "300")
    assert (summary["lost"], summary["requests"], summary["not_judged"]) == (0, 600, [])
    assert summary["billed_usd"] == pytest.approx(summary["ledger_usd"], rel=1e-9)
    assert any("300 other requests at the planned rate" in said for said in summary["findings"])
    by_name = {row["measure"]: row for row in summary["rows"]}
    for name in ("cost_usd_mean", "quality", "tiers.small.accept_share", "answered_share"):
        assert by_name[name]["agree"], name
    folder = tmp_path / "results" / "live-check-check"
    tables = [OutcomeTable.load(folder / f"{side}.parquet") for side in ("predicted", "measured")]
    # Both on the clock of the scenario, that begins before the first request comes.
    apart_ns = tables[1].arrival_ns - tables[0].arrival_ns
    assert tables[0].arrival_ns[0] > 100_000 and np.abs(apart_ns).max() < 1000
    for p in ("p50", "p95"):
        whole, first = (by_name[f"{of}_{p}"] for of in ("sojourn_s", "ttft_s"))
        # An answer begins when it is accepted, and is written in one go.
        assert first["predicted"]["value"] == whole["predicted"]["value"]
        late_s = whole["measured"]["value"] - first["measured"]["value"]
        assert 0 <= late_s < 0.05 * whole["measured"]["value"]


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


OUT = (
    "tiers.big.outages=[{from_s: 2, to_s: 4}]",
    "tiers.big.error_after={kind: fixed, value_s: 0.01}",
    "tiers.big.retries={attempts: 2, backoff_s: 0.05, on: [error]}",
)


def test_an_outage_is_predicted_before_during_and_after(tmp_path: Path) -> None:
    _, summary = checked(tmp_path, *(word for key in OUT for word in ("--set", key)))
    assert summary["lost"] == 0
    assert summary["billed_usd"] == pytest.approx(summary["ledger_usd"], rel=1e-9)
    by_name = {row["measure"]: row for row in summary["rows"]}
    parts = ("0 s to 2 s: ", "2 s to 4 s: ", "from 4 s: ")
    shares = [by_name[f"{part}big hit_share"] for part in parts]
    assert shares[1]["predicted"]["value"] < 0.02 < shares[0]["predicted"]["value"]
    for row in (*shares, *(by_name[f"{part}answered_share"] for part in parts)):
        assert row["agree"] is not False, row["measure"]
        # Who comes within moments of an edge may meet the one or the other.
        assert row["difference"]["value"] == pytest.approx(0, abs=0.03)


SLOW = "tiers.big.outages=[{from_s: 2, to_s: 4, slow: 2}]"


def test_a_slow_time_is_predicted_before_during_and_after(tmp_path: Path) -> None:
    _, summary = checked(tmp_path, "--set", SLOW)
    assert summary["lost"] == 0
    assert summary["billed_usd"] == pytest.approx(summary["ledger_usd"], rel=1e-9)
    by_name = {row["measure"]: row for row in summary["rows"]}
    parts = [by_name[f"{part}sojourn_s_p95"] for part in ("0 s to 2 s: ", "2 s to 4 s: ")]
    for side in ("predicted", "measured"):
        before, during = (part[side]["value"] for part in parts)
        assert during > 1.3 * before
    assert by_name["tiers.big.service_s_mean"]["agree"] is not False


def test_a_slow_time_that_nobody_planned_is_named(tmp_path: Path) -> None:
    code, summary = checked(tmp_path, "--plant", SLOW.replace("2}", "4}"))
    assert ("big", "service") in {(c["tier"], c["cause"]) for c in summary["culprits"]}
    assert code == (3 if summary["doubts"] else 1)


def test_an_outage_that_nobody_planned_is_named(tmp_path: Path) -> None:
    options = [word for key in OUT[:2] for word in ("--plant", key)]
    code, summary = checked(tmp_path, *options)
    assert ("big", "failures") in {(c["tier"], c["cause"]) for c in summary["culprits"]}
    assert code == (3 if summary["doubts"] else 1)


AWAY = "tiers.cache.outages=[{from_s: 2, to_s: 4}]"


def is_there() -> None:
    redis_server()
    pytest.importorskip("redis", reason="needs redis: pip install fallwise[live]")


def test_a_cache_that_is_killed_and_comes_back_is_predicted(tmp_path: Path) -> None:
    is_there()
    _, summary = checked(tmp_path, "--set", AWAY)
    assert summary["lost"] == 0
    assert summary["billed_usd"] == pytest.approx(summary["ledger_usd"], rel=1e-9)
    by_name = {row["measure"]: row for row in summary["rows"]}
    before, during, after = (
        by_name[f"{part}cache hit_share"] for part in ("0 s to 2 s: ", "2 s to 4 s: ", "from 4 s: ")
    )
    # Who comes in the moments of an edge may meet the one or the other.
    assert during["predicted"]["value"] == 0
    assert during["measured"]["value"] < 0.03
    # A server of its own takes a moment to start again.
    for row, far in ((before, 0.05), (after, 0.08)):
        assert row["predicted"]["value"] > 0.05
        assert row["difference"]["value"] == pytest.approx(0, abs=far)
    for part in ("0 s to 2 s: ", "2 s to 4 s: ", "from 4 s: "):
        assert by_name[f"{part}answered_share"]["measured"]["value"] == 1


def test_a_cache_that_nobody_expected_to_go_is_named(tmp_path: Path) -> None:
    is_there()
    code, summary = checked(tmp_path, "--plant", "tiers.cache.outages=[{from_s: 1, to_s: 5}]")
    assert ("cache", "caching") in {(c["tier"], c["cause"]) for c in summary["culprits"]}
    assert code == (3 if summary["doubts"] else 1)


def test_limits_that_the_upstream_keeps_are_predicted(tmp_path: Path) -> None:
    limit = (
        "tiers.big.requests_per_minute=900",
        "tiers.big.burst_s=0.2",
        "tiers.big.retries={attempts: 3, backoff_s: 0.05, on: [rate_limited]}",
    )
    options = [word for key in limit for word in ("--set", key)]
    _, summary = checked(tmp_path, "--limits", "upstream", *options)
    assert summary["lost"] == 0
    assert summary["billed_usd"] == pytest.approx(summary["ledger_usd"], rel=1e-9)
    by_name = {row["measure"]: row for row in summary["rows"]}
    limited = by_name["tiers.big.rate_limited_mean"]
    assert limited["predicted"]["value"] > 0.2
    for name in ("rate_limited_mean", "attempts_mean", "failed_share"):
        assert by_name[f"tiers.big.{name}"]["agree"] is not False, name
