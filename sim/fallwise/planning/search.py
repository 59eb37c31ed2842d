"""Tiers, thresholds, verifiers and a router's cuts at once: what no other setting beats.

Beyond two values a grid has too many points, so a genetic algorithm looks for settings that no
other one beats in quality, cost, p95 and sure wrong answers together; the pick for a goal then
takes small steps, exact along one threshold at a time. A search may miss the very best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from fallwise.analysis.quality import fork, unqueued
from fallwise.analysis.settle import settle
from fallwise.analysis.tally import SURE, escalated
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.planning.halves import Half, first, halves
from fallwise.planning.knobs import Knob, Setting, knobs_of, own, turned
from fallwise.planning.pick import Candidates, Goal, listed, pick
from fallwise.planning.rent import rent_usd, rents_of
from fallwise.planning.runs import Point, Run, here, key_of
from fallwise.planning.side import Side
from fallwise.planning.waits import p95_s, waits_of
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, Floats, OutcomeTable, RequestTable

__all__ = [
    "Attempt",
    "Tried",
    "Weighed",
    "frontier_of",
    "polished",
    "search",
    "searched",
    "tried",
    "wrong_but_sure",
]

SEARCHED: Final = 20_000
"""A search looks at so many requests of the tuning half; each of its trials runs them twice."""

POPULATION: Final = 50
MOST: Final = 150
"""So many settings are looked at on both halves."""
ROUNDS: Final = 8
COARSE: Final = 4
"""Thresholds at which small steps have an autoscaler's rent simulated."""
STEPS: Final = (-0.1, -0.03, -0.01, 0.01, 0.03, 0.1)


class Weighed(NamedTuple):
    """A setting, and what it comes to on the tuning half."""

    setting: Setting
    cost_usd_mean: float
    quality: float
    sojourn_s_p95: float
    wrong_but_sure: float


@dataclass(frozen=True)
class Tried:
    """The ways of a search: its settings by their number. quality, cost_usd, escalated (m, n)."""

    half: Half
    cheapest: tuple[Floats, Floats]
    frontier: tuple[Floats, Floats]
    quality: Any
    cost_usd: Any
    escalated: Any
    p95_s: Any = None

    def candidates(self, goal: Goal, rows: Any = slice(None)) -> Candidates:
        """Return what can be picked, judged by all rows or by some."""
        alone = self.frontier[0][rows], self.frontier[1][rows]
        ways = self.quality[:, rows], self.cost_usd[:, rows]
        question, weight = self.half.question[rows], self.half.weight[rows]
        return listed(goal, ways, alone, question, weight, self.p95_s, self.half.upkeep_usd)

    def at(self, number: float) -> tuple[Floats, Floats, Floats]:
        """Return quality, cost and escalation of every request; NaN is frontier-only."""
        if math.isnan(number):
            return *self.frontier, np.ones(len(self.half))
        i = int(number)
        quality, cost, on = (x[i].astype(np.float64) for x in self._arrays)
        return quality, cost, on

    @property
    def _arrays(self) -> tuple[Any, Any, Any]:
        return self.quality, self.cost_usd, self.escalated


def wrong_but_sure(scenario: Scenario, requests: RequestTable, outcomes: OutcomeTable) -> Floats:
    """Return (n,) 1 where a wrong answer is shipped with a score above SURE.

    Answers that no score decided about are not counted.
    """
    assert outcomes.correct is not None
    judged = np.array([tier.threshold is not None for tier in scenario.tiers])
    tier = np.maximum(outcomes.hit_tier, 0)
    sure = requests.score[np.arange(len(tier)), tier] > SURE
    wrong = (outcomes.status == ANSWERED) & (outcomes.correct < 0.5)
    found: Floats = (wrong & sure & judged[tier]).astype(np.float64)
    return found


@dataclass(frozen=True)
class Attempt:
    """One setting to be tried on the tuning half; its point has the numbers of a Weighed."""

    scenario: Scenario
    seed: int
    engine: Engine
    setting: Setting

    @property
    def key(self) -> str:
        """Return what tells this job from all others."""
        return key_of(self.scenario, "attempt", self.seed, self.engine, self.setting)

    @property
    def requests(self) -> int:
        """Return about how many requests are simulated."""
        return 2 * min(self.scenario.run.requests, SEARCHED)

    def point(self) -> Point:
        """Return what the setting comes to."""
        half, knobs = searched(self.scenario, self.seed)
        return _trial(self.scenario, half, knobs, self.setting, self.engine)._asdict()


_known: dict[str, tuple[Half, list[Knob]]] = {}


def searched(scenario: Scenario, seed: int) -> tuple[Half, list[Knob]]:
    """Return the tuning half that a search looks at, and what may be turned; kept for the next."""
    key = key_of(scenario, seed)
    found = _known.get(key)
    if found is None:
        half = first(scenario, halves(scenario, seed)[0], SEARCHED)
        found = half, knobs_of(scenario, half.requests)
        _known.clear()
        _known[key] = found
    return found


def search(
    scenario: Scenario,
    trials: int,
    seed: int,
    engine: Engine = "compiled",
    progress: Callable[[int, int], None] = lambda done, total: None,
    run: Run = here,
) -> list[Weighed]:
    """Return all settings that were tried on a half; the same for the same seed, whoever runs them.

    A generation is asked for at once, and told when all of it is known.
    Source: Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II (2002).
    """
    import optuna

    knobs = searched(scenario, seed)[1]
    found: dict[Setting, Weighed] = {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["minimize", "maximize", "minimize", "minimize"],
        sampler=optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed % 2**32),
    )
    for shares in _starts(scenario, knobs):
        study.enqueue_trial({knob.key: share for knob, share in zip(knobs, shares, strict=True)})
    for begin in range(0, trials, POPULATION):
        asked = [study.ask() for _ in range(min(POPULATION, trials - begin))]
        settings = [_suggested(trial, knobs) for trial in asked]
        new = [setting for setting in dict.fromkeys(settings) if setting not in found]
        known = begin + len(asked) - len(new)
        jobs = [Attempt(scenario, seed, engine, setting) for setting in new]
        points = run(jobs, partial(_told, progress, known, trials))
        for setting, point in zip(new, points, strict=True):
            found[setting] = Weighed(setting, **{k: v for k, v in point.items() if k != "setting"})
        for trial, setting in zip(asked, settings, strict=True):
            study.tell(trial, found[setting][1:])
    return list(found.values())


def _told(
    progress: Callable[[int, int], None], known: int, trials: int, done: int, total: int
) -> None:
    progress(known + done, trials)


def _suggested(trial: Any, knobs: list[Knob]) -> Setting:
    shares = [
        trial.suggest_int(knob.key, 0, 1)
        if knob.scores is None
        else trial.suggest_float(knob.key, 0.0, 1.0)
        for knob in knobs
    ]
    return tuple(knob.value(share) for knob, share in zip(knobs, shares, strict=True))


def _starts(scenario: Scenario, knobs: list[Knob]) -> list[list[float]]:
    """Return where to begin: as the scenario says, and the same share sent on by every tier."""
    mine = own(scenario, knobs)
    starts = [[knob.share(value) for knob, value in zip(knobs, mine, strict=True)]]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        starts.append([share if knob.scores is not None else 1.0 for knob in knobs])
    # And each pair of a tier with those that cannot be left out.
    tiers = [knob.tier for knob in knobs if knob.kind == "tier"]
    for kept in tiers:
        out = [float(knob.kind != "tier" or knob.tier == kept) for knob in knobs]
        for share in (0.25, 0.5, 0.75):
            pairs = zip(knobs, out, strict=True)
            starts.append([x if knob.scores is None else share for knob, x in pairs])
    return [
        [int(x) if knob.scores is None else x for knob, x in zip(knobs, start, strict=True)]
        for start in starts
    ]


def _trial(
    scenario: Scenario, half: Half, knobs: list[Knob], setting: Setting, engine: Engine
) -> Weighed:
    changed, requests = turned(scenario, half.requests, knobs, setting)
    weight = half.weight
    decisions = decide(changed, requests)
    ends = unqueued(changed, requests, decisions, engine)
    queued = settle(
        changed, requests, decisions, simulate(plan(changed), requests, decisions, engine)
    )
    sure = wrong_but_sure(changed, requests, queued)
    cost, quality, sure_mean = (
        float(np.average(np.asarray(x, np.float64), weights=weight))
        for x in (ends.cost_usd, ends.correct, sure)
    )
    p95 = float(np.quantile(queued.sojourn_s, 0.95))
    cost += _rent_usd(scenario, half, knobs, setting, engine)
    return Weighed(setting, cost, quality, p95, sure_mean)


def _rent_usd(
    scenario: Scenario, half: Half, knobs: list[Knob], setting: Setting, engine: Engine
) -> float:
    """Return what rent adds to a request with a setting put in."""
    changed, run = turned(scenario, half.run, knobs, setting)
    return rent_usd(changed, half, engine, run)


def frontier_of(trials: Sequence[Weighed], most: int = MOST) -> list[Weighed]:
    """Return the trials that no other one beats in all four measures, by cost.

    Where there are too many, those that nothing beats in cost and quality come first.
    """
    points = np.array([(t.cost_usd_mean, -t.quality, *t[3:]) for t in trials])
    four, two = _unbeaten(points), _unbeaten(points[:, :2])
    order = np.flatnonzero(four | two)
    if len(order) > most:
        others = order[~two[order]]
        room = max(most - int(two.sum()), 0)
        others = others[np.linspace(0, len(others) - 1, room).astype(int)] if room else others[:0]
        order = np.concatenate([np.flatnonzero(two), others])
    order = order[np.lexsort((points[order, 1], points[order, 0]))]
    return [trials[i] for i in order.tolist()]


def _unbeaten(points: Floats) -> Any:
    """Return (m,) True where no other point is at most as large everywhere, and smaller once."""
    no_worse = (points[:, None] <= points[None]).all(axis=2)
    better = (points[:, None] < points[None]).any(axis=2)
    return ~(no_worse & better).any(axis=0)


def polished(
    scenario: Scenario, side: Side, knobs: list[Knob], start: Setting, goal: Goal, engine: Engine
) -> Setting:
    """Return a setting near start that is better for the goal, as far as small steps find one.

    Each step moves one threshold by a share of its scores, and then makes one, this or another,
    the exact best of all its values; the best step is taken, until none helps.
    """
    names = {tier.name for tier in turned(scenario, side.half.requests, knobs, start)[0].tiers}
    moving = [i for i, k in enumerate(knobs) if k.kind == "threshold" and k.tier in names]

    def exact(setting: Setting, i: int) -> tuple[tuple[float, float], Setting] | None:
        changed, requests = turned(scenario, side.half.requests, knobs, setting)
        ways = fork(changed, requests, changed.index(knobs[i].tier), engine)
        run = turned(scenario, side.half.run, knobs, setting)[1]
        rents = rents_of(changed, changed.index(knobs[i].tier), side.half, engine, run, COARSE)
        one = Side(side.half, ways, side.cheapest, side.frontier, rents)
        if side.waits is not None:
            tier, frontier_s = changed.index(knobs[i].tier), side.waits.frontier_s
            waits = waits_of(changed, tier, requests, engine, goal, frontier_s, COARSE)
            one = replace(one, waits=waits)
        found = pick(goal, one.candidates(goal))
        if found is None or found.frontier_only:
            return None
        worth = found.whole_usd, -found.quality
        if goal.usd is not None:
            worth = worth[1], worth[0]
        return worth, _with(setting, i, found.threshold)

    best = (math.inf, math.inf), start
    for _ in range(ROUNDS):
        steps = [exact(best[1], i) for i in moving]
        for i in moving:
            share = knobs[i].share(best[1][i])
            for step in STEPS:
                moved = _with(best[1], i, knobs[i].value(min(max(share + step, 0.0), 1.0)))
                steps += [exact(moved, j) for j in moving if j != i]
        found = min((step for step in steps if step is not None), default=best)
        if found[0] >= best[0]:
            break
        best = found
    return best[1]


def _with(setting: Setting, i: int, value: float) -> Setting:
    return (*setting[:i], value, *setting[i + 1 :])


def tried(
    scenario: Scenario,
    side: Side,
    knobs: list[Knob],
    settings: Sequence[Setting],
    engine: Engine,
    goal: Goal,
) -> Tried:
    """Return what each setting comes to on a half."""
    took: list[float] = []
    shape = len(settings), len(side.half)
    quality, cost = np.zeros(shape, np.float32), np.zeros(shape)
    on = np.zeros(shape, np.bool_)
    for i, setting in enumerate(settings):
        changed, requests = turned(scenario, side.half.requests, knobs, setting)
        ends = unqueued(changed, requests, decide(changed, requests), engine)
        assert ends.correct is not None and ends.cost_usd is not None
        quality[i], cost[i] = ends.correct, ends.cost_usd
        cost[i] += _rent_usd(scenario, side.half, knobs, setting, engine)
        on[i] = escalated(changed, ends.visit)
        if side.waits is not None:
            took.append(p95_s(changed, requests, engine, goal))
    seconds = None if side.waits is None else np.array([*took, side.waits.frontier_s])
    return Tried(side.half, side.cheapest, side.frontier, quality, cost, on, seconds)
