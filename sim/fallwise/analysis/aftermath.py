"""What stays when its cause has gone: a crowd or an outage that a cascade does not recover from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from fallwise.analysis.predict import Prediction, predict
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, Floats, OutcomeTable

__all__ = ["stayed"]

MORE: Final = 0.1
"""So much more of the requests must have been answered without the cause, to be worth a word."""
FEWEST: Final = 100
"""Requests, or visits of a tier, long after, below which nothing is said of them."""
LONG: Final = 3
"""So many times as long as the cause must the run go on after it."""
AGAIN: Final = 1.5
"""So many times the attempts a visit makes without the cause are what keeps it up."""


def stayed(prediction: Prediction) -> Iterator[str]:
    """Yield what is to be said of the second half of the time after all surges and outages.

    It is held against the same time of a run without these: whatever else changes the load, or is
    too much by itself, is so there too. Source: Bronson et al., Metastable Failures in
    Distributed Systems, HotOS (2021).
    """
    scenario, runs = prediction.scenario, prediction.runs
    begin_s, end_s = _span_s(scenario)
    last_s = min(float(run.outcomes.arrival_ns.max()) / 1e9 for run in runs)
    if not end_s > begin_s or last_s - end_s < LONG * (end_s - begin_s):
        return
    from_s = (end_s + last_s) / 2
    late = [_between(run.outcomes, from_s, last_s) for run in runs]
    share = _answered(late)
    if share is None or share > 1 - MORE:
        return
    calm = _calm(scenario)
    again = (predict(calm, run.seed, len(run.requests), run.engine).outcomes for run in runs)
    # By their time: where surges are gone the same rows come at another one.
    without = [_between(run, from_s, last_s) for run in again]
    could = _answered(without)
    if could is None or share > could - MORE:
        return
    yield (
        f"What came from {begin_s:,.10g} to {end_s:,.10g} s has gone, and the failure has stayed: "
        f"from {from_s:,.0f} s to the end {100 * share:.3g} % of the requests were answered; "
        f"without it, {100 * could:.3g} % would have been.{_why(scenario, late, without)}"
    )


def _span_s(scenario: Scenario) -> tuple[float, float]:
    """Return from when to when there are surges and outages; (0, 0) where one comes again."""
    outages = [outage for tier in scenario.tiers for outage in tier.outages or ()]
    causes = [(surge.from_s, surge.to_s) for surge in scenario.traffic.surges if surge.factor > 1]
    causes += [(outage.from_s, outage.to_s) for outage in outages]
    if not causes or any(outage.every_s is not None for outage in outages):
        return 0.0, 0.0
    return min(begin for begin, _ in causes), max(end for _, end in causes)


def _calm(scenario: Scenario) -> Scenario:
    """Return one run of the scenario without outages, and without surges but lulls."""
    lulls = [surge for surge in scenario.traffic.surges if surge.factor <= 1]
    return scenario.model_copy(
        update={
            "traffic": scenario.traffic.model_copy(update={"surges": lulls}),
            "tiers": [tier.model_copy(update={"outages": None}) for tier in scenario.tiers],
            "run": scenario.run.model_copy(update={"replications": 1}),
        }
    )


def _between(run: OutcomeTable, from_s: float, to_s: float) -> OutcomeTable:
    """Return the requests that come in this time."""
    return run.take(
        np.flatnonzero((run.arrival_ns >= from_s * 1e9) & (run.arrival_ns <= to_s * 1e9))
    )


def _answered(runs: list[OutcomeTable]) -> float | None:
    """Return the share of the requests that are answered; None where they are few."""
    status = np.concatenate([run.status for run in runs])
    return None if len(status) < FEWEST else float((status == ANSWERED).mean())


def _why(scenario: Scenario, runs: list[OutcomeTable], without: list[OutcomeTable]) -> str:
    """Return what is to be said of the tier whose attempts have grown most, if they have."""
    made, usual = _attempts(runs), _attempts(without)
    k = int(np.argmax(np.nan_to_num(made / usual)))
    if not made[k] >= AGAIN * usual[k]:
        return ""
    return (
        f" A visit of {scenario.tiers[k].name} makes {made[k]:.2f} attempts there, {usual[k]:.2f} "
        "without it: what is tried again keeps it up. A retry budget, a breaker, or work that ends "
        "when nobody waits for it lets it end."
    )


def _attempts(runs: list[OutcomeTable]) -> Floats:
    """Return (K,): how many attempts a visit of each tier makes; NaN where few make any."""
    made = [np.zeros_like(run.visit) if run.attempts is None else run.attempts for run in runs]
    attempts = np.concatenate(made)
    visits = (attempts > 0).sum(axis=0)
    mean: Floats = attempts.sum(axis=0, dtype=np.int64) / np.maximum(visits, 1)
    return np.where(visits < FEWEST, np.nan, mean)
