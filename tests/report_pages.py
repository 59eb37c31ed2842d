"""What the tests of the page share: two runs and their pages."""

from __future__ import annotations

from functools import cache
from typing import Any

from analysis_cascades import scenario, tier
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.summary import summarise
from fallwise.report import page
from fallwise.scenario import Scenario


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
