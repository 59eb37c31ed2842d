"""Continuous batching: against a loop over every step, and against processor sharing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from engines_worlds import blank_requests
from fallwise.analysis.intervals import t_interval
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.engines import plan, simulate
from fallwise.errors import ScenarioError
from fallwise.planning.again import MOST, unlimited
from fallwise.policies import decide
from fallwise.scenario import Scenario

LAW = {"kind": "batching", "step_s": 0.02, "step_s_per_request": 0.001}


def pool(rate_rps: float = 1.0, tokens: Any = 50, **keys: Any) -> Scenario:
    length = {"kind": "fixed", "tokens": tokens} if isinstance(tokens, int) else tokens
    segment = {"prompt_tokens": {"kind": "fixed", "tokens": 100}, "output_tokens": length}
    arrivals = {"kind": "poisson", "rate_rps": rate_rps}
    traffic = {"arrivals": arrivals, "segments": [segment]}
    usual: dict[str, Any] = {"kind": "pool", "slots": 8, "service": LAW}
    return scenario([tier("gpu", **usual | keys)], traffic=traffic)


def by_steps(arrival: Any, prompt: Any, output: Any, slots: int, a: int, b: int, c: int) -> Any:
    """Return when each request is done, one step after the other."""
    left: dict[int, int] = {}
    end, now, i = [0] * len(arrival), 0, 0
    while i < len(arrival) or left:
        if not left:
            now = max(now, arrival[i])
        new = []
        while i < len(arrival) and arrival[i] <= now and len(left) < slots:
            left[i] = max(1, output[i])
            new.append(i)
            i += 1
        now += a + b * len(left) + c * sum(prompt[j] for j in new)
        for j in list(left):
            left[j] -= 1
            if not left[j]:
                end[j] = now
                del left[j]
    return end


@pytest.mark.parametrize("tick", [1, 50])
def test_many_steps_at_once_are_every_single_step(tick: int) -> None:
    rng = np.random.default_rng(3)
    n, (a, b, c) = 4000, (20 * tick, 3 * tick, 2 * tick)
    arrival = np.cumsum(rng.exponential(200, n).astype(np.int64)) * tick
    tokens = rng.geometric(0.05, (n, 1))
    requests = blank_requests(arrival, np.zeros((n, 1), np.int64), tokens=tokens)
    law = LAW | {"step_s": a / 1e9, "step_s_per_request": b / 1e9}
    case = pool(slots=5, service=law | {"prefill_s_per_prompt_token": c / 1e9})
    found = simulate(plan(case), requests, decide(case, requests)).end_ns
    prompts = requests.prompt_tokens.tolist()
    wanted = by_steps(arrival.tolist(), prompts, tokens[:, 0].tolist(), 5, a, b, c)
    assert found.tolist() == wanted
    assert (np.diff(found) < 0).any()


@pytest.mark.parametrize("factor", [1.0, 0.4])
def test_a_batch_of_one_is_a_server_of_fixed_work(factor: float) -> None:
    law = LAW | {"prefill_s_per_prompt_token": 0.001}
    prompt = {"token_factor": factor}
    one = predict(pool(0.7, slots=1, service=law, prompt=prompt), n=5000).outcomes
    work_s = 50 * 0.021 + factor * 100 * 0.001
    other = predict(pool(0.7, slots=1, service={"kind": "fixed", "value_s": work_s}), n=5000)
    assert one.difference(other.outcomes) is None


def test_many_small_steps_are_processor_sharing() -> None:
    # M/G/1-PS, insensitive to the law of lengths (Kleinrock, Queueing Systems, volume 2, 1976,
    # section 4.4): mean sojourn E[S] / (1 - rho). A step is less than a hundredth of that, which
    # bounds the error of taking it to nothing. The interval is at 99.999 %.
    p50, p99, each_s = 200.0, 1500.0, 5e-4
    sigma = math.log(p99 / p50) / 2.3263479
    mean_s = p50 * math.exp(sigma**2 / 2) * each_s
    law = {"kind": "batching", "step_s": 1e-8, "step_s_per_request": each_s}
    lengths = {"kind": "lognormal", "p50_tokens": p50, "p99_tokens": p99}
    case = pool(0.7 / mean_s, lengths, slots=400, service=law)
    runs = [predict(case, seed=s, n=30_000).outcomes.sojourn_s[3000:].mean() for s in range(20)]
    found = t_interval(runs, 1 - 1e-5)
    wanted = mean_s / (1 - 0.7)
    slack = 0.01 * wanted
    assert found.low - slack <= wanted <= found.high + slack
    assert found.high - found.low < 0.15 * wanted


def test_the_summary_knows_when_full_batches_cannot_keep_up() -> None:
    # Of 8 in a batch each holds a slot for 50 * .028 = 1.4 s: 5.7 a second is all that there is.
    cases = [summarise(predict(pool(rate), n=4000), baselines=False) for rate in (5.0, 6.5)]
    grows = ["queue grows for ever" in " ".join(case["findings"]) for case in cases]
    assert grows == [False, True]
    assert cases[0]["tiers"][0]["offered_load"]["value"] == pytest.approx(7.0, rel=0.1)


def test_a_scaled_batch_that_fails_is_the_same_in_both_engines() -> None:
    scale = {"min_replicas": 1, "max_replicas": 3, "target_utilisation": 0.6, "interval_s": 5.0}
    scale |= {"cold_start_s": 10.0, "scale_down_after_s": 20.0}
    failures = {"mean_between_s": 100.0, "mean_repair_s": 20.0}
    case = pool(9.0, autoscale=scale, failures=failures, timeout_s=4.0)
    one, other = (predict(case, n=1500, engine=e).outcomes for e in ("reference", "compiled"))
    assert one.difference(other) is None
    assert len(np.unique(one.visit)) >= 3


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"kind": "api", "slots": None}, "batching belongs to rules and pool tiers"),
        ({"cancel": False}, "a timeout frees the slot"),
        ({"patience": LAW}, "patience"),
        ({"service": LAW | {"step_s": 0.0}}, "step_s"),
    ],
)
def test_bad_batches_are_refused(keys: dict[str, Any], rule: str) -> None:
    with pytest.raises(ScenarioError, match=rule):
        pool(**keys)


def test_without_limits_there_are_no_replicas_to_look_through() -> None:
    free = unlimited(pool(failures={"mean_between_s": 100.0, "mean_repair_s": 20.0}))
    assert plan(free).fleet is None
    assert free.tiers[0].servers == 8 * MOST
