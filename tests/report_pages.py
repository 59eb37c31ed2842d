"""What the tests of the pages share: two runs, one study of each other kind, and their pages."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from analysis_cascades import scenario, tier
from asked import ASKED
from fallwise.analysis.judge import culprits, judge, verdict
from fallwise.analysis.measures import from_inside
from fallwise.analysis.over_time import faults, over_time
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.summary import summarise
from fallwise.cli.app import app
from fallwise.draw import stream
from fallwise.report import answer, page
from fallwise.scenario import Scenario
from fallwise.scenario import read as read_scenario
from test_logs import calls, litellm
from typer.testing import CliRunner


@cache
def made(stakes: bool = False) -> tuple[Scenario, Prediction, dict[str, Any]]:
    answers = {"accuracy": 0.6, "auroc": 0.8, "loading": 0.6}
    better = {"accuracy": 0.85, "loading": 0.6, "auroc": 0.7}
    tiers = [
        tier(
            "small",
            threshold=0.6,
            service={"kind": "exponential", "mean_s": 0.3},
            answers=answers,
            usd_per_request=0.0001,
        ),
        tier("middle", threshold=0.5, answers=better, usd_per_request=0.001),
        tier("big", usd_per_request=0.01) | {"service": {"kind": "exponential", "mean_s": 2.0}},
        tier("staff", kind="human", agents=1, agent_usd_per_hour=2.0),
    ]
    tiers[2]["verifier"] = {"catch_rate": 0.5, "false_alarm_rate": 0.05}
    segment = {"name": "all", "wrong_answer_usd": 0.5 if stakes else 0.0}
    traffic = {"arrivals": {"kind": "poisson", "rate_rps": 1.0}, "segments": [segment]}
    key = "tiers.big.usd_per_request"
    read = scenario(
        tiers,
        about="A case </script><b>& more.",
        traffic=traffic,
        money={"upkeep_usd_per_month": 500.0},
        targets=[{"measure": "quality", "at_least": 0.5}],
        assumptions=[{"key": key, "why": "a price list"}],
        run={"requests": 3000},
    )
    prediction = predict(read, seed=5)
    return read, prediction, summarise(prediction)


@cache
def html(stakes: bool = False) -> str:
    read, prediction, summary = made(stakes)
    return page(summary, read, prediction)


@cache
def learns() -> tuple[dict[str, Any], str]:
    """Return the summary and the page of a cascade whose cache fills."""
    cache = {"name": "cache", "kind": "cache", "lookup_s": 0.0, "filled_by": ["small", "big"]}
    repeats = {"repeat_share": 0.6, "distinct_keys": 300}
    arrivals = {"kind": "poisson", "rate_rps": 5.0}
    read = scenario(
        [
            cache | {"capacity": 500},
            tier("small", threshold=0.6, usd_per_request=0.001),
            tier("big", usd_per_request=0.01),
        ],
        traffic={"arrivals": arrivals, "segments": [{"repeats": repeats}]},
    )
    prediction = predict(read, seed=3, n=4000)
    summary = summarise(prediction)
    return summary, page(summary, read, prediction)


STUDY = (
    ASKED.replace("rate_rps: 2}}", "rate_rps: 2}, segments: [{wrong_answer_usd: 0.05}]}")
    .replace("kind: api", "kind: api\n    concurrency: 5\n    timeout_s: 9")
    .replace("requests: 4000", "requests: 3000")
    + """\
about: A case </script><b>& more.
assumptions:
  - {key: tiers.big.usd_per_request, why: a price list}
"""
)
ARGS = {
    "breakeven": (),
    "compare": (),
    "size": ("--growth", "2"),
    "sensitivity": (
        *("--range", "tiers.small.threshold=0.6:0.9", "--range", "traffic=x0.5:x2"),
        *("--sobol", "4"),
    ),
}
STUDIES = (*ARGS, "check")
FITS = ("fit", "fit a log")
EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "answers.csv"


def studied(command: str) -> tuple[dict[str, Any], str]:
    """Return the summary and the page of a command, as it writes them to its folder."""
    return checked() if command == "check" else folder(command)[:2]


@cache
def folder(command: str) -> tuple[dict[str, Any], str, list[str]]:
    """Return the summary and the page in a command's folder, and what its figures are called."""
    with TemporaryDirectory() as home:
        path, out = Path(home) / "asked.yaml", Path(home) / "out"
        path.write_text(STUDY)
        args = [command, str(path), *ARGS.get(command, ()), "--out", str(out)]
        if command == "fit":
            args = ["fit", str(EXAMPLE), "--tiers", "cheap,good", "--out", str(out)]
        if command == "fit a log":
            log = litellm(Path(home) / "log.jsonl", calls(400))
            args = ["fit", str(log), "--key", "messages", "--out", str(out)]
        result = CliRunner().invoke(app, args, catch_exceptions=False)
        assert result.exit_code in (0, 1), result.output
        summary = json.loads((out / "summary.json").read_text())
        page = (out / "report.html").read_text(encoding="utf-8")
        return summary, page, sorted(path.name for path in (out / "figures").iterdir())


def checked(slower: float = 1.0) -> tuple[dict[str, Any], str]:
    """Return a check of what was predicted, against the same with times so many times as long."""
    with TemporaryDirectory() as home:
        path = Path(home) / "asked.yaml"
        path.write_text(STUDY)
        read = read_scenario(path)
    told = predict(read, n=1500).outcomes
    # Nobody deployed this: the other side is the prediction, twice, and slower.
    slow = replace(
        told,
        end_ns=told.arrival_ns + ((told.end_ns - told.arrival_ns) * slower).astype(np.int64),
    )
    rows = judge(from_inside(read, told), told, slow, slow, stream(1, "check"))
    summary = {
        **{
            "scenario": "asked",
            "command": "check",
            "seed": 1,
            "version": "1",
            "engine": "compiled",
        },
        **{"host": "a host", "verdict": verdict(rows, [], 0), "doubts": [], "findings": ["a fact"]},
        **{"culprits": culprits(read, rows), "rows": rows, "lost": 0, "billing_differs": False},
        **{"requests": len(told), "offered_rps": 2.0, "achieved_rps": 2.0, "send_lag_s_p99": 0.001},
        **{"over_time": over_time(read, told, slow), "faults": faults(read, 1e9)},
        "not_judged": [{"measure": "ttft_s", "why": "it is not said"}],
        "profile": {"tiers": [], "rows": rows[:2], "predicted_from_it": False},
        "tiers": [{"name": t.name, "kind": t.kind} for t in read.tiers],
        "assumptions": [item.model_dump() for item in read.assumptions],
    }
    return summary, answer(summary, read, told, slow)
