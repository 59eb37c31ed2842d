"""What rented capacity adds to the cost of a request.

What is there by the clock costs the same whatever is decided. An autoscaler rents for what comes to
its tier: the scenario's own run, as `fallwise run` would have it, says how much, with the setting
in question put in. Between what is simulated, rent is a straight line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fallwise.analysis.baselines import alone
from fallwise.analysis.money import rent_usd_per_s, unit_usd_per_s
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.tally import work_ns
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.planning.halves import Half
from fallwise.planning.load import scaled
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import Decisions, Floats, RequestTable

__all__ = ["Follows", "Rents", "flat", "follows", "rent_usd", "rented_for", "rents_of"]

Follows = dict[int, tuple[tuple[float, float], ...]]
"""Of each autoscaled tier, points of what it rents for how much work."""

FEWEST: Final = 9
MOST: Final = 41
"""So many thresholds are simulated, evenly spread over what they send on."""
ROWS: Final = 1_600_000
"""So many rows are simulated for them, as long as there are enough of them."""
FACTORS: Final = (0.25, 1.0, 4.0)
"""Times the traffic, at which what is rented for it is simulated."""


@dataclass(frozen=True)
class Rents:
    """What rent adds to a request at every threshold of a tier.

    usd (m,) at (m,) shares of the scores, ascending, that are below the threshold.
    """

    score: Floats
    share: Floats
    usd: Floats

    def at(self, threshold: Any) -> Any:
        """Return what rent adds to a request at these thresholds."""
        below = np.searchsorted(self.score, threshold) / max(len(self.score), 1)
        return np.interp(below, self.share, self.usd)


def flat(usd: float) -> Rents:
    """Return rents that no threshold changes."""
    return Rents(np.zeros(0), np.zeros(1), np.array([usd]))


def follows(scenario: Scenario) -> bool:
    """Return True where what is decided changes the rent."""
    return bool(_scaled(scenario))


def rent_usd(
    scenario: Scenario,
    half: Half,
    engine: Engine,
    requests: RequestTable | None = None,
    decisions: Decisions | None = None,
) -> float:
    """Return what rented capacity adds to the cost of a request.

    requests are those of the half's own run, as the scenario needs them if it was changed; without
    decisions, the scenario's own are taken.
    """
    tiers, run = scenario.tiers, half.run if requests is None else requests
    usd = sum(rent_usd_per_s(t) for t in tiers if t.autoscale is None) * half.gap_s
    if scaled := _scaled(scenario):
        decided = decide(scenario, run) if decisions is None else decisions
        seed = 0 if half.drawn is None else half.drawn[1]
        rented_ns = simulate(plan(scenario, seed), run, decided, engine).rented_ns
        assert rented_ns is not None
        for k in scaled:
            usd += rented_ns[:, k].sum(dtype=np.float64) / 1e9 / len(run) * unit_usd_per_s(tiers[k])
    return usd


def rents_of(
    scenario: Scenario,
    k: int,
    half: Half,
    engine: Engine,
    requests: RequestTable | None = None,
    knots: int | None = None,
) -> Rents:
    """Return the rents of tier k's thresholds, all else as the scenario says."""
    if not follows(scenario):
        return flat(rent_usd(scenario, half, engine, requests))
    run = half.run if requests is None else requests
    score = np.sort(run.score[:, k])
    knots = min(MOST, max(FEWEST, ROWS // len(run))) if knots is None else knots
    at = np.linspace(0, len(score), knots).astype(np.int64)[:-1]
    thresholds = np.unique(np.append(score[at], np.inf))
    changed = (scenario.with_tier(k, threshold=t) for t in thresholds.tolist())
    usd = [rent_usd(one, half, engine, run) for one in changed]
    return Rents(score, np.searchsorted(score, thresholds) / len(score), np.array(usd))


def rented_for(prediction: Prediction) -> tuple[Follows, Follows]:
    """Return the replicas that each autoscaled tier rents on average for the work that comes in.

    Of the cascade, and of its frontier alone; as Rent.follows has it. Simulated at some factors of
    the traffic, with as many times the replicas allowed where it is more.
    """
    scenario = prediction.scenario
    found: tuple[Follows, Follows] = ({}, {})
    if not follows(scenario):
        return found
    runs = [_at(prediction, factor) for factor in FACTORS]
    for side, many in zip(found, (runs, [alone(r, scenario.frontier) for r in runs]), strict=True):
        for k in _scaled(many[0].scenario):
            scale = scenario.tiers[k].autoscale
            assert scale is not None
            points = sorted(point for run in many if (point := _rented(run, k))[0] > 0)
            side[k] = ((0.0, float(scale.min_replicas)), *points)
    return found


def _at(prediction: Prediction, factor: float) -> Prediction:
    """Return the prediction's first run at so many times its traffic."""
    scenario = scaled(prediction.scenario, factor)
    for k in _scaled(scenario):
        scale = scenario.tiers[k].autoscale
        assert scale is not None
        most = {"max_replicas": math.ceil(scale.max_replicas * max(factor, 1.0))}
        scenario = scenario.with_tier(k, autoscale=scale.model_copy(update=most))
    run = scenario.run.model_copy(update={"replications": 1})
    scenario = scenario.model_copy(update={"run": run})
    return predict(scenario, prediction.seed, None, prediction.engine)


def _rented(run: Prediction, k: int) -> tuple[float, float]:
    """Return a tier's work that comes in, in servers kept busy by it, and its replicas rented."""
    outcomes = run.outcomes
    assert outcomes.rented_ns is not None
    seconds = float(outcomes.arrival_ns[-1])
    work = work_ns(run.requests, outcomes, k).sum()
    return float(work) / seconds, float(outcomes.rented_ns[:, k].sum()) / seconds


def _scaled(scenario: Scenario) -> Sequence[int]:
    tiers = enumerate(scenario.tiers)
    return [k for k, tier in tiers if tier.autoscale is not None and unit_usd_per_s(tier)]
