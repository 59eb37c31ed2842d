"""A cascade in which everything happens at once: what both engines can do, on, for `run`."""

from __future__ import annotations

from typing import Any

from fallwise.scenario import Scenario, parse

__all__ = ["everything"]

LAW = {"kind": "lognormal", "p50_s": 0.4, "p99_s": 3.0}


def _answers(accuracy: float) -> dict[str, Any]:
    return {"accuracy": accuracy, "loading": 0.6, "auroc": 0.8, "score_quantiles": [0.0, 1.0]}


def _tiers() -> list[dict[str, Any]]:
    cache = {"capacity": 2_000, "ttl_s": 600, "lookup_s": 0.001, "filled_by": ["batched", "hosted"]}
    scale = {"min_replicas": 2, "max_replicas": 6, "target_utilisation": 0.7, "cold_start_s": 30}
    batching = {"kind": "batching", "step_s": 0.01, "step_s_per_request": 0.0005}
    calls = {
        "error_rate": 0.03,
        "outages": [{"from_s": 600, "to_s": 660, "every_s": 3600}],
        "retries": {"attempts": 3, "backoff_s": 0.5, "on": ["error", "timeout"], "budget": 0.2},
        "attempt_timeout_s": 2.0,
        "requests_per_minute": 1_500,
        "tokens_per_minute": 1_000_000,
        "breaker": {"failure_share": 0.5, "window_calls": 20, "open_s": 15},
        "hedge": {"after_s": 1.0},
    }
    hours = [
        {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00", "agents": 40}
    ]
    verifier = {"catch_rate": 0.7, "false_alarm_rate": 0.05, "service": LAW}
    return [
        {"name": "cache", "kind": "cache", **cache},
        {
            "name": "batched",
            "kind": "pool",
            "slots": 8,
            "autoscale": scale | {"interval_s": 15, "scale_down_after_s": 60},
            "failures": {"mean_between_s": 3600, "mean_repair_s": 120},
            "service": batching,
            "timeout_s": 5.0,
            "queue_limit": 40,
            "threshold": 0.4,
            "verifier": verifier,
            "answers": _answers(0.8),
        },
        {
            "name": "hosted",
            "kind": "api",
            "concurrency": 30,
            "service": LAW,
            "timeout_s": 10.0,
            "usd_per_request": 0.01,
            "verifier": verifier,
            "answers": _answers(0.9),
            **calls,
        },
        {
            "name": "spare",
            "kind": "api",
            "fallback": True,
            "service": LAW,
            "usd_per_request": 0.02,
            "answers": _answers(0.9),
        },
        {
            "name": "people",
            "kind": "human",
            "agents": 40,
            "hours": hours,
            "service": {"kind": "lognormal", "p50_s": 20, "p99_s": 120},
            "patience": {"kind": "exponential", "mean_s": 3600},
            "answers": _answers(0.98),
        },
    ]


def everything() -> Scenario:
    """Return the cascade."""
    router = {"auroc": 0.7, "about": "batched", "cuts": [0.2], "starts": ["hosted", "batched"]}
    segment = {"repeats": {"repeat_share": 0.3, "distinct_keys": 5_000, "zipf_exponent": 1.0}}
    # Lengths of the Azure conversation trace of 2023.
    prompt = {"kind": "lognormal", "p50_tokens": 1020, "p99_tokens": 4142}
    tokens = {"kind": "lognormal", "p50_tokens": 129, "p99_tokens": 601}
    return parse(
        {
            "name": "everything",
            "traffic": {
                "arrivals": {"kind": "poisson", "rate_rps": 25},
                "starts": "mon 09:00",
                "segments": [
                    {"name": "all", "prompt_tokens": prompt, "output_tokens": tokens, **segment}
                ],
            },
            "answers": {"source": "synthetic"},
            "router": {**router, "service": {"kind": "fixed", "value_s": 0.01}},
            "tiers": _tiers(),
        }
    )
