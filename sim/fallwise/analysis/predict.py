"""From a scenario to settled outcomes: draw, decide, schedule, settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fallwise.analysis.settle import settle
from fallwise.draw import draw
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import Decisions, OutcomeTable, RequestTable

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True)
class Prediction:
    """One run of a scenario, its outcomes settled, and the further independent runs of it."""

    scenario: Scenario
    requests: RequestTable
    decisions: Decisions
    outcomes: OutcomeTable
    seed: int
    engine: Engine
    further: tuple[Prediction, ...] = ()

    @property
    def runs(self) -> tuple[Prediction, ...]:
        """Return all runs, this one first."""
        return (self, *self.further)


def predict(
    scenario: Scenario,
    seed: int | None = None,
    n: int | None = None,
    engine: Engine = "compiled",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prediction:
    """Return what would happen to n requests; seed and n are the scenario's own unless given.

    Replication r (from 0) has the seed `seed + r`. progress is told how many requests are done, of
    how many: by the reference engine as they come, else run by run.
    """
    seed = scenario.run.seed if seed is None else seed
    count, runs = scenario.run.replications, []
    each = scenario.run.requests if n is None else n
    for r in range(count):

        def told(arrived: int, before: int = r * each) -> None:
            progress(before + arrived, count * each)

        runs.append(_run(scenario, seed + r, n, engine, told))
        told(each)
    return replace(runs[0], further=tuple(runs[1:]))


def _run(
    scenario: Scenario, seed: int, n: int | None, engine: Engine, told: Callable[[int], None]
) -> Prediction:
    requests = draw(scenario, seed, n)
    decisions = decide(scenario, requests)
    outcomes = simulate(plan(scenario, seed), requests, decisions, engine, told)
    settled = settle(scenario, requests, decisions, outcomes)
    return Prediction(scenario, requests, decisions, settled, seed, engine)
