"""What a pick comes to when the questions are parted again and again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.planning.halves import own_splits
from fallwise.planning.knobs import knobs_of
from fallwise.planning.pairs import best_pair
from fallwise.planning.pick import Goal, pick
from fallwise.planning.reported import simulated, weighted
from fallwise.planning.runs import Point, key_of, run_all
from fallwise.planning.search import SEARCHED
from fallwise.planning.tune import TRIALS, ways_of
from fallwise.scenario import Scenario

__all__ = ["Split", "repeated"]

Json = dict[str, Any]


@dataclass(frozen=True)
class Split:
    """The questions parted once, by a seed; its point has what the pick and the best pair came to.

    Each is quality, cost, difference of quality to frontier-only, saving, and 1 where it met the
    goal on the reporting half.
    """

    scenario: Scenario
    goal: Goal
    tier: str | None
    seed: int
    engine: Engine
    trials: int

    @property
    def key(self) -> str:
        """Return what tells this job from all others."""
        how = [vars(self.goal), self.tier, self.seed, self.engine, self.trials]
        return key_of(self.scenario, "split", how)

    @property
    def requests(self) -> int:
        """Return about how many requests are simulated."""
        n, searched = self.scenario.run.requests, len(knobs_of(self.scenario)) > 1
        return 2 * n + (2 * min(n, SEARCHED) * self.trials if searched and not self.tier else 0)

    def point(self) -> Point:
        """Return what came of it; where nothing holds the goal, frontier-only is taken."""
        goal = self.goal
        tuned = ways_of(
            self.scenario, goal, self.tier, self.seed, self.engine, self.trials, lambda a, b: None
        )
        there, found = tuned.reporting, pick(goal, tuned.tuning.candidates(goal))
        at = math.nan if found is None else found.threshold
        q1, c1 = (weighted(there, x) for x in there.frontier)
        q, c = (weighted(there, x) for x in there.at(at)[:2])
        in_time = True
        if goal.p95_s is not None:
            changed = tuned.put_in(at, there.half)
            sojourn_s = simulated(changed, self.scenario, there, self.engine).sojourn_s
            in_time = goal.in_time(float(np.quantile(sojourn_s, 0.95)))
        pair = best_pair(self.scenario, goal, tuned.tuning, there, self.engine)
        q2, c2 = (pair["quality"], pair["cost_usd_mean"]) if pair else (q1, c1)

        def row(q: float, c: float, met: bool) -> list[float]:
            return [q, c, q - q1, 1 - c / c1 if c1 else 0.0, float(met)]

        return {
            "pick": row(q, c, goal.holds(q, c, q1) and in_time),
            "best_pair": row(q2, c2, goal.holds(q2, c2, q1)),
        }


def repeated(
    scenario: Scenario,
    goal: Goal,
    splits: int,
    tier: str | None = None,
    engine: Engine = "compiled",
    trials: int = TRIALS,
    scheduler: str | None = None,
    journal: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Json:
    """Return what the pick and the best pair come to when the questions are parted again and again.

    For each the mean over so many splits, the range that holds the middle 95 % of them, and the
    share that met the goal on the half they were reported on. Where nothing holds the goal on the
    tuning half, frontier-only is taken. Who runs the splits is `runs.run_all`'s business.
    ScenarioError where the table's own splits are used.
    """
    if own_splits(scenario):
        rule, remedy = "the table has splits of its own", "take one of them with --split"
        raise ScenarioError(Problem(rule, remedy, value=splits, file="--splits"))
    seeds = range(scenario.run.seed, scenario.run.seed + splits)
    jobs = [Split(scenario, goal, tier, seed, engine, trials) for seed in seeds]
    points = run_all(jobs, scheduler, journal, progress)
    several = sum(t.is_model for t in scenario.tiers) > 2
    return {
        "splits": splits,
        "pick": _over([point["pick"] for point in points]),
        "best_pair": _over([point["best_pair"] for point in points]) if several else None,
    }


def _over(rows: Sequence[Sequence[float]]) -> Json:
    names = ("quality", "cost_usd_mean", "quality_difference", "saving")
    table = np.array(rows, np.float64)
    low, high = np.quantile(table, [0.025, 0.975], axis=0)
    found: Json = {
        name: {"value": float(table[:, i].mean()), "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(names)
    }
    return found | {"met": float(table[:, -1].mean())}
