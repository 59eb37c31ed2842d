"""Gateway logs: both vocabularies say the same, and what was put in comes out as a scenario."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fallwise.cli.app import app
from fallwise.draw import draw, stream
from fallwise.draw.logs import read_log
from fallwise.errors import TableError
from fallwise.planning.latency import latency_law
from fallwise.planning.logfit import fit_log
from fallwise.scenario import read
from typer.testing import CliRunner

USD = {"small": (0.15, 0.6), "big": (2.5, 10.0)}
T0 = 1_760_000_000.0


def calls(n: int = 1500) -> list[dict[str, Any]]:
    """Return calls at 2 a second: 0.3 s and 10 ms a token at `small`, then a quarter at `big`."""
    chance, found, at = stream(4, "log"), [], T0
    for i in range(n):
        at += chance.exponential(0.5)
        prompt, output = int(chance.integers(50, 500)), int(chance.integers(20, 300))
        start = at
        for model in ("small", "big")[: 1 + (i % 4 == 0)]:
            first = float(0.3 * np.exp(0.2 * chance.standard_normal()))
            took = first + (0.01 if model == "small" else 0.03) * output
            price = USD[model]
            found.append(
                {
                    "model": model,
                    "start": start,
                    "first": start + first,
                    "end": start + took,
                    "prompt": prompt,
                    "output": output,
                    "trace": f"t{i}",
                    "text": f"q{i % 1200}",
                    "cost": (price[0] * prompt + price[1] * output) / 1e6,
                    "ok": i % 50 != 7,
                }
            )
            start += took
    return found


def litellm(path: Path, every: list[dict[str, Any]]) -> Path:
    lines = [
        {
            "id": f"c{i}",
            "trace_id": c["trace"],
            "model": c["model"],
            "startTime": c["start"],
            "endTime": c["end"],
            "completionStartTime": c["first"],
            "prompt_tokens": c["prompt"],
            "completion_tokens": c["output"],
            "response_cost": c["cost"],
            "cache_hit": False,
            "status": "success" if c["ok"] else "failure",
            "messages": [{"role": "user", "content": c["text"]}],
        }
        for i, c in enumerate(every)
    ]
    path.write_text("\n".join(json.dumps({"standard_logging_object": x}) for x in lines) + "\n")
    return path


def spans(path: Path, every: list[dict[str, Any]], nested: bool) -> Path:
    lines: list[dict[str, Any]] = []
    for c in every:
        facts = {
            "gen_ai.request.model": c["model"],
            "gen_ai.response.model": f"{c['model']}-2026",
            "gen_ai.usage.input_tokens": c["prompt"],
            "gen_ai.usage.output_tokens": c["output"],
            "gen_ai.input.messages": c["text"],
        }
        if nested:
            attributes = [
                {"key": k, "value": {"stringValue" if isinstance(v, str) else "intValue": str(v)}}
                for k, v in facts.items()
            ]
            span = {
                "traceId": c["trace"],
                "startTimeUnixNano": str(round(c["start"] * 1e9)),
                "endTimeUnixNano": str(round(c["end"] * 1e9)),
                "attributes": attributes,
                "status": {} if c["ok"] else {"code": 2},
            }
            lines.append({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
        else:
            iso = [datetime.fromtimestamp(c[x], UTC).isoformat() for x in ("start", "end")]
            lines.append(
                {
                    "name": "chat",
                    "context": {"trace_id": c["trace"]},
                    "start_time": iso[0],
                    "end_time": iso[1].replace("+00:00", "Z"),
                    "attributes": facts,
                    "status": {"status_code": "UNSET" if c["ok"] else "ERROR"},
                }
            )
    lines.append({"name": "a span of something else", "start_time": 1, "end_time": 2})
    path.write_text("\n".join(json.dumps(x) for x in lines))
    return path


def test_three_ways_of_writing_a_log_say_the_same(tmp_path: Path) -> None:
    every = calls(200)
    logs = [
        read_log(litellm(tmp_path / "a.jsonl", every)),
        read_log(spans(tmp_path / "b.jsonl", every, nested=True)),
        read_log(spans(tmp_path / "c.jsonl", every, nested=False)),
    ]
    assert [log.skipped for log in logs] == [0, 1, 1]
    for log in logs:
        assert log.models == ("small", "big") and len(log) == len(every)
        for name in ("start_s", "seconds"):
            assert getattr(log, name) == pytest.approx(getattr(logs[0], name), abs=2e-6)
        for name in ("prompt_tokens", "output_tokens", "model", "request", "key", "ok"):
            assert (getattr(log, name) == getattr(logs[0], name)).all(), name
    assert np.isnan(logs[1].cost_usd).all() and np.isnan(logs[1].first_s).all()


def test_a_log_becomes_a_scenario_that_loads_draws_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    every = calls()
    litellm(tmp_path / "log.jsonl", every)
    call = ["fit", "log.jsonl", "--save", "s.yaml", "--json"]
    result = CliRunner().invoke(app, call, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    traffic = summary["traffic"]
    # Five standard errors of a rate of 1,500 arrivals.
    assert traffic["rate_rps"] == pytest.approx(2.0, rel=0.13)
    assert traffic["repeat_share"] == pytest.approx(300 / 1500)
    assert traffic["escalated_share"] == pytest.approx(0.25)
    small, big = summary["tiers"]
    assert (small["model"], big["model"]) == ("small", "big")
    assert small["usd_per_mtok"] == pytest.approx(USD["small"]) and small["failed"] == 30
    assert big["usd_per_mtok"] == pytest.approx(USD["big"])
    assert small["service"]["kind"] == "tokens"
    assert small["service"]["tpot_s"] == pytest.approx(0.01) and small["seconds_ks"] < 0.05
    case = read(tmp_path / "s.yaml")
    requests = draw(case)
    firsts = [c for c in every if c["model"] == "small"]
    assert len(requests) == 1500
    assert (requests.prompt_tokens == [c["prompt"] for c in firsts]).all()
    times = np.array([c["start"] - firsts[0]["start"] for c in firsts])
    assert requests.arrival_ns / 1e9 == pytest.approx(times, abs=1e-5)
    assert len(np.unique(requests.key)) == 1200
    assert requests.service_ns[:, 1].mean() / 1e9 == pytest.approx(0.306 + 0.03 * 159.5, rel=0.05)
    assert CliRunner().invoke(app, ["run", "s.yaml"], catch_exceptions=False).exit_code == 0
    assert "q7" not in (tmp_path / "s-requests.csv").read_text()


@pytest.mark.parametrize("law", ["lognormal", "two", "odd"])
def test_laws_of_seconds_hold(law: str) -> None:
    chance = stream(6, law)
    z = chance.standard_normal(4000)
    seconds = np.exp(0.3 * z)
    if law == "two":
        seconds = np.where(chance.random(4000) < 0.12, 12 * np.exp(0.2 * z), seconds)
    if law == "odd":
        seconds = np.where(chance.random(4000) < 0.5, 1.0, 1.5) + np.where(z > 0, 0.0, 3.0)
    found = latency_law(seconds)
    assert (
        found.words == {"lognormal": "lognormal", "two": "two lognormals", "odd": "quantiles"}[law]
    )
    assert found.ks < 0.03
    if law == "two":
        weights = sorted(part["weight"] for part in found.law["parts"])
        # Five standard errors of a share of 12 % in 4,000.
        assert weights[0] == pytest.approx(0.12, abs=0.026)


def test_what_is_wrong_with_a_log_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for text, words in (
        ('{"model": "a"}\n{"mod', "log.jsonl:2"),
        ("[1, 2]\n", "no object"),
        ('{"model": "a"}\n', "no line with a model"),
        ('{"model": "a", "startTime": 20, "endTime": 10}\n', "before the start"),
        ('{"model": "a", "startTime": "soon", "endTime": 10}\n', "log.jsonl:1"),
    ):
        path.write_text(text)
        with pytest.raises(TableError, match=words):
            read_log(path)
    with pytest.raises(TableError, match="does not exist"):
        read_log(tmp_path / "other.jsonl")
    log = read_log(litellm(path, calls(60)))
    with pytest.raises(TableError, match="no model of the log"):
        fit_log(log, ["huge"])
    with pytest.raises(TableError, match="answered calls"):
        fit_log(log)
    assert len(fit_log(log, ["small"]).tiers) == 1
