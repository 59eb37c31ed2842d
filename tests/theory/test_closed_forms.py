"""Both engines hold the closed forms, all the way from a scenario.

For each measure there is one interval at 99.999 % from independent replications: 50 intervals, so
that the whole file cries wolf for one choice of seeds in 2,000 (Bonferroni). The reference engine
is slower and gets fewer requests; an interval that is too wide to say anything fails as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from fallwise import theory
from fallwise.analysis.intervals import t_interval
from fallwise.draw import draw
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.policies import decide
from fallwise.scenario import parse
from fallwise.tables import ABANDONED, NOT_VISITED, TURNED_AWAY, OutcomeTable

LEVEL = 1 - 1e-5
RUNS = 20
REQUESTS: dict[Engine, int] = {"compiled": 100_000, "reference": 3_000}
WARMUP: dict[Engine, int] = {"compiled": 4_000, "reference": 600}

Measure = Callable[[OutcomeTable], float]


def wait_s(k: int = 0) -> Measure:
    """Mean time in tier k's queue, of those who were let into it."""

    def measure(out: OutcomeTable) -> float:
        inside = (out.visit[:, k] != NOT_VISITED) & (out.visit[:, k] != TURNED_AWAY)
        return float(out.wait_s[inside, k].mean())

    return measure


def wait_s_quantile(q: float) -> Measure:
    return lambda out: float(np.quantile(out.wait_s[:, 0], q))


def sojourn_s_quantile(q: float) -> Measure:
    return lambda out: float(np.quantile(out.sojourn_s, q))


def sojourn_s(out: OutcomeTable) -> float:
    return float(out.sojourn_s.mean())


def wait_share(out: OutcomeTable) -> float:
    return float((out.wait_s[:, 0] > 0).mean())


def share_of(visit: int) -> Measure:
    return lambda out: float((out.visit[:, 0] == visit).mean())


def exponential(mean_s: float) -> dict[str, Any]:
    return {"kind": "exponential", "mean_s": mean_s}


def lognormal(mean_s: float, sigma: float) -> dict[str, Any]:
    p50_s = mean_s * math.exp(-(sigma**2) / 2)
    p99_s = p50_s * math.exp(sigma * 2.3263478740408408)
    return {"kind": "lognormal", "p50_s": p50_s, "p99_s": p99_s}


def two_phases(mean_s: float, cv: float) -> dict[str, Any]:
    """Two exponentials with balanced means: H2."""
    p = (1 + math.sqrt((cv**2 - 1) / (cv**2 + 1))) / 2
    parts = [{"weight": w, "law": exponential(mean_s / (2 * w))} for w in (p, 1 - p)]
    return {"kind": "mixture", "parts": parts}


def tier(name: str, service: dict[str, Any], servers: int = 1, **more: Any) -> dict[str, Any]:
    answers = {"accuracy": 0.9, "auroc": 0.5, "score_quantiles": [0.0, 1.0]}
    found = {"name": name, "kind": "pool", "slots": servers, "service": service, "answers": answers}
    return found | more


class World(NamedTuple):
    """A scenario's rate and tiers, and what theory says of it."""

    rate_rps: float
    tiers: list[dict[str, Any]]
    truths: dict[str, tuple[Measure, float]]


def mm1(load: float) -> World:
    return World(
        1.0,
        [tier("only", exponential(load))],
        {
            "mean wait": (wait_s(), theory.mmc_wait_s(1, load)),
            "p95 sojourn": (sojourn_s_quantile(0.95), theory.mm1_sojourn_quantile_s(1, load, 0.95)),
        },
    )


def mmc(load: float) -> World:
    servers = 10
    return World(
        1.0,
        [tier("only", exponential(load), servers)],
        {
            "share that waits": (wait_share, theory.erlang_c(servers, load)),
            "mean wait": (wait_s(), theory.mmc_wait_s(1, load, servers)),
            "p95 wait": (
                wait_s_quantile(0.95),
                theory.mmc_wait_quantile_s(1, load, servers, 0.95),
            ),
        },
    )


def mg1(service: dict[str, Any], load: float, cv: float) -> World:
    truth = theory.mg1_wait_s(1, load, cv)
    return World(1.0, [tier("only", service)], {"mean wait": (wait_s(), truth)})


def mgcc(service: dict[str, Any], load: float) -> World:
    truth = theory.erlang_b(10, load)
    tiers = [tier("only", service, 10, queue_limit=0)]
    return World(1.0, tiers, {"turned away": (share_of(TURNED_AWAY), truth)})


def mmck(load: float) -> World:
    truth = theory.mmck(1, load, 10, 15)
    return World(
        1.0,
        [tier("only", exponential(load), 10, queue_limit=5)],
        {
            "turned away": (share_of(TURNED_AWAY), truth.lost_share),
            "mean wait": (wait_s(), truth.wait_s),
        },
    )


def impatient(load: float, patience_s: float) -> World:
    truth = theory.erlang_a(1, load, 10, patience_s)
    return World(
        1.0,
        [tier("only", exponential(load), 10, patience=exponential(patience_s))],
        {
            "gives up": (share_of(ABANDONED), truth.lost_share),
            "share that waits": (wait_share, truth.wait_share),
            "mean wait": (wait_s(), truth.wait_s),
        },
    )


def mm1d(patience_s: float) -> World:
    truth = theory.mm1d_abandon_share(1, 1, patience_s)
    patience = {"kind": "fixed", "value_s": patience_s}
    tiers = [tier("only", exponential(1.0), patience=patience)]
    return World(1.0, tiers, {"gives up": (share_of(ABANDONED), truth)})


def cascade(rate_rps: float, means_s: list[float], servers: list[int], on: list[float]) -> World:
    """A score that says nothing and is uniform on [0, 1]: independent chance to escalate."""
    truth = theory.cascade(rate_rps, means_s, servers, on)
    thresholds: list[float | None] = [1.1 if share == 1 else share for share in on]
    tiers = [
        tier(f"t{k}", exponential(mean_s), servers[k], threshold=threshold)
        for k, (mean_s, threshold) in enumerate(zip(means_s, [*thresholds, None], strict=True))
    ]
    truths: dict[str, tuple[Measure, float]] = {"mean sojourn": (sojourn_s, truth.sojourn_s)}
    for k in range(1, len(tiers)):
        truths[f"mean wait at tier {k}"] = (wait_s(k), truth.wait_s[k])
    return World(rate_rps, tiers, truths)


# The reference engine's few requests settle at lighter loads only.
WORLDS: dict[str, dict[Engine, World]] = {
    "M/M/1": {"compiled": mm1(0.8), "reference": mm1(0.5)},
    "M/M/10": {"compiled": mmc(8), "reference": mmc(7)},
    "M/D/1": {
        "compiled": mg1({"kind": "fixed", "value_s": 0.8}, 0.8, 0),
        "reference": mg1({"kind": "fixed", "value_s": 0.6}, 0.6, 0),
    },
    "M/lognormal/1": {
        "compiled": mg1(lognormal(0.8, 0.8), 0.8, math.sqrt(math.exp(0.64) - 1)),
        "reference": mg1(lognormal(0.5, 0.8), 0.5, math.sqrt(math.exp(0.64) - 1)),
    },
    "M/H2/1": {
        "compiled": mg1(two_phases(0.7, 2), 0.7, 2),
        "reference": mg1(two_phases(0.4, 2), 0.4, 2),
    },
    "M/M/10/10": dict.fromkeys(REQUESTS, mgcc(exponential(8), 8)),
    "M/lognormal/10/10": dict.fromkeys(REQUESTS, mgcc(lognormal(8, 0.8), 8)),
    "M/M/10/15": dict.fromkeys(REQUESTS, mmck(9.5)),
    "M/M/10+M": dict.fromkeys(REQUESTS, impatient(11, 4)),
    "M/M/1+D": dict.fromkeys(REQUESTS, mm1d(3)),
    "cascade": {
        "compiled": cascade(4, [1, 2], [5, 3], [0.3]),
        "reference": cascade(3, [1, 2], [5, 3], [0.3]),
    },
    "tandem": {
        "compiled": cascade(0.7, [1, 1, 0.8], [1, 1, 1], [1, 0.6]),
        "reference": cascade(0.5, [1, 1, 0.8], [1, 1, 1], [1, 0.6]),
    },
}


def runs(world: World, engine: Engine) -> list[OutcomeTable]:
    """Return independent runs, each without its beginning."""
    scenario = parse(
        {
            "name": "queue",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": world.rate_rps}},
            "answers": {"source": "synthetic"},
            "tiers": world.tiers,
        }
    )
    found = []
    for seed in range(RUNS):
        requests = draw(scenario, seed, REQUESTS[engine])
        out = simulate(plan(scenario), requests, decide(scenario, requests), engine)
        found.append(out.take(slice(WARMUP[engine], None)))
    return found


@pytest.mark.parametrize("engine", REQUESTS)
@pytest.mark.parametrize("name", WORLDS)
def test_the_interval_holds_the_closed_form(name: str, engine: Engine) -> None:
    world = WORLDS[name][engine]
    found = runs(world, engine)
    for measure, (value, truth) in world.truths.items():
        estimate = t_interval([value(out) for out in found], LEVEL)
        assert estimate.low <= truth <= estimate.high, (measure, truth, estimate)
        widest = 0.12 if engine == "compiled" else 0.5
        assert estimate.half_width <= widest * truth, (measure, "says nothing", estimate)


def test_as_many_intervals_as_the_level_allows() -> None:
    count = sum(len(world.truths) for worlds in WORLDS.values() for world in worlds.values())
    count += len(REQUESTS)  # King's formula, below.
    assert count * (1 - LEVEL) < 1e-3 / 2


@pytest.mark.parametrize("engine", REQUESTS)
def test_a_cache_hits_as_often_as_kings_formula_says(engine: Engine) -> None:
    # Four keys, room for two, so quick that nobody asks twice at once. King (1971): the cache holds
    # the last two keys, which are i then j with the chance p_i p_j / (1 - p_i).
    scenario = parse(
        {
            "name": "lru",
            "traffic": {
                "arrivals": {"kind": "poisson", "rate_rps": 1.0},
                "segments": [
                    {"repeats": {"repeat_share": 1.0, "distinct_keys": 4, "zipf_exponent": 0.8}}
                ],
            },
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "cache",
                    "kind": "cache",
                    "capacity": 2,
                    "lookup_s": 0.0,
                    "filled_by": ["only"],
                },
                tier("only", {"kind": "fixed", "value_s": 1e-9}, 100),
            ],
        }
    )
    p = theory.zipf(4, 0.8)
    truth = sum(
        p[i] * p[j] / (1 - p[i]) * (p[i] + p[j]) for i in range(4) for j in range(4) if i != j
    )
    shares = []
    for seed in range(RUNS):
        requests = draw(scenario, seed, REQUESTS[engine] // 3)
        out = simulate(plan(scenario), requests, decide(scenario, requests), engine)
        shares.append(float((out.hit_tier == 0).mean()))
    estimate = t_interval(shares, LEVEL)
    assert estimate.low <= truth <= estimate.high
    assert estimate.half_width < (0.02 if engine == "compiled" else 0.1) * truth
