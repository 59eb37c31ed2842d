"""What other thresholds of one tier would do to the same requests, each of them simulated.

Every point is a run of its own, with queues, timeouts and cache; nothing is read off between two.
Requests, warm-up, batches and intervals are those of the summary, so the point at the scenario's
own threshold says what the summary says, and two points differ by the threshold alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fallwise.analysis.baselines import alone
from fallwise.analysis.intervals import pooled_quantile
from fallwise.analysis.money import rent_usd, upkeep_usd_per_s, wrong_answers_usd
from fallwise.analysis.predict import Prediction
from fallwise.analysis.sample import Json, enough, held_ns, warmup
from fallwise.analysis.settle import settle
from fallwise.analysis.tally import escalated, work_ns
from fallwise.engines import plan, simulate
from fallwise.planning.again import again, unlimited
from fallwise.planning.breakeven import costs_of
from fallwise.planning.groups import Paid, groups_of
from fallwise.planning.rent import Follows, rented_for
from fallwise.planning.resample import DRAWS, outer, ranged, weights
from fallwise.planning.volume import Costs, pays_from
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, NOT_VISITED, Floats, OutcomeTable, RequestTable

__all__ = ["POINTS", "Point", "Thresholds", "paths_of", "thresholds_at"]

Point = dict[str, Any]

POINTS: Final = 33
"""Thresholds of one tier; fewer where there are very many requests."""
FEWEST: Final = 9
ROWS: Final = 4_000_000
"""So many rows are simulated for one tier's points, as long as there are enough of them."""
FEWER: Final = 100
"""Resamples for the interval of a volume at a threshold that is not the scenario's own."""
TAILS: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class _Run:
    """The measured rows of one run; `cut` came before them and are simulated all the same."""

    requests: RequestTable
    cut: int


class Thresholds:
    """A prediction's requests, and what any threshold of any tier does to them."""

    def __init__(self, prediction: Prediction, cuts: Sequence[int]):
        self.scenario, self.engine = prediction.scenario, prediction.engine
        self.runs = [_Run(r.requests, c) for r, c in zip(prediction.runs, cuts, strict=True)]
        self.groups = groups_of(prediction, cuts)
        free = again(prediction, unlimited(self.scenario))
        cuts = warmup(free)
        self.free = free.scenario
        self.free_runs = [_Run(r.requests, c) for r, c in zip(free.runs, cuts, strict=True)]
        frontier = alone(prediction, self.scenario.frontier)
        self.frontier_scenario = frontier.scenario
        # What is rented is the scenario's own: replicas that fail, pools that follow their load.
        self.follows, theirs = rented_for(prediction)
        others = [run.outcomes for run in alone(free, self.scenario.frontier).runs]
        self.free_groups = groups_of(free, cuts)
        self.weights = [weights(len(n), prediction.seed) for n in self.free_groups.sums(self.each)]
        self.free_alone = self._sides(frontier.scenario, others, theirs, DRAWS)
        self.frontier = [run.outcomes for run in frontier.runs]
        self.outcomes = [run.outcomes for run in prediction.runs]

    def own(self) -> Point:
        """Return what the scenario's own thresholds gave, or give where there are none to move."""
        found = self._described(self.scenario, self.outcomes)
        return {"threshold": None, "pays_from": self._pays_from(DRAWS), **found}

    @property
    def alone_usd(self) -> float:
        """Return what a request costs with the frontier alone, its wrong answers paid for."""
        paid = self._paid(self.frontier_scenario, self.frontier)
        return float(sum(map(np.mean, paid)) + self._lost(self.frontier).mean())

    def _paid(self, scenario: Scenario, outcomes: list[OutcomeTable]) -> Paid:
        """Return (n,) what was paid for calls, and for what is rented."""
        rent = [rent_usd(scenario, x)[r.cut :] for x, r in zip(outcomes, self.runs, strict=True)]
        return _column(outcomes, "cost_usd", self.runs), np.concatenate(rent)

    def _upkeep(self) -> Floats:
        """Return (n,) what upkeep came to since the request before each one."""
        gaps = [np.diff(r.requests.arrival_ns, prepend=0)[r.cut :] for r in self.runs]
        found: Floats = np.concatenate(gaps) / 1e9 * upkeep_usd_per_s(self.scenario)
        return found

    def _lost(self, outcomes: list[OutcomeTable]) -> Floats:
        """Return (n,) what each request's wrong answer costs; that none came costs nothing."""
        pairs = zip(outcomes, self.runs, strict=True)
        lost = [wrong_answers_usd(self.scenario, r.requests, x)[r.cut :] for x, r in pairs]
        return np.concatenate(lost)

    def point(self, tier: int, threshold: float | None) -> Point:
        """Return what a threshold gives; None sends every answer of the tier on.

        Estimates as in a run's summary. Differences are paired with frontier-only: `saving` is the
        share of its cost, `saving_with_upkeep` the same when upkeep is paid for too (None where
        there is none), `saving_at_stake` when that and wrong answers are (None where those cost
        nothing), `quality_difference` in grades, `pays_from` the monthly volume as
        `planning.breakeven` counts it (its interval is rougher where the threshold is not the
        scenario's own). `paths` have the bits of the tiers, shares of all requests, and plain
        quantiles.
        """
        at = math.inf if threshold is None else threshold
        scenario = self.scenario.with_tier(tier, threshold=at)
        outcomes = [self._simulated(scenario, run) for run in self.runs]
        found = self._described(scenario, outcomes)
        draws = DRAWS if threshold == self.scenario.tiers[tier].threshold else FEWER
        return {"threshold": threshold, "pays_from": self._pays_from(draws, tier, at), **found}

    def _simulated(self, scenario: Scenario, run: _Run) -> OutcomeTable:
        decisions = decide(scenario, run.requests)
        outcomes = simulate(plan(scenario), run.requests, decisions, self.engine)
        return settle(scenario, run.requests, decisions, outcomes)

    def _described(self, scenario: Scenario, outcomes: list[OutcomeTable]) -> Point:
        groups = self.groups
        cost = self._paid(scenario, outcomes)
        other = self._paid(self.frontier_scenario, self.frontier)
        grade, other_grade = (_column(x, "correct", self.runs) for x in (outcomes, self.frontier))
        on = np.concatenate(
            [
                escalated(scenario, x.visit[r.cut :])
                for x, r in zip(outcomes, self.runs, strict=True)
            ]
        )
        kept = self._upkeep()
        with_upkeep = (cost[0], cost[1] + kept)
        lost, other_lost = self._lost(outcomes), self._lost(self.frontier)
        at_stake = any(segment.wrong_answer_usd for segment in scenario.traffic.segments)
        sojourn = [x.sojourn_s[r.cut :] for x, r in zip(outcomes, self.runs, strict=True)]
        return {
            "cost_usd_mean": groups.mean(*cost),
            "quality": groups.share(grade),
            "escalation_rate": groups.share(on),
            "saving": groups.saving(other, cost),
            "saving_with_upkeep": groups.saving(other, with_upkeep) if kept.any() else None,
            "upkeep_usd_mean": float(kept.mean()),
            "quality_difference": groups.mean(grade - other_grade),
            "wrong_answers_usd_mean": groups.mean(lost) if at_stake else None,
            "saving_at_stake": groups.saving(
                (other[0] + other_lost, other[1]), (cost[0] + lost, with_upkeep[1])
            )
            if at_stake
            else None,
            **{f"sojourn_s_{name}": _quantile(sojourn, q) for name, q in TAILS.items()},
            "tiers": [self._tier(scenario, outcomes, k) for k in range(len(scenario.tiers))],
            "paths": _paths(outcomes, self.runs),
        }

    @property
    def each(self) -> Floats:
        """Return (n,) ones, for the measured rows of the runs in which nobody waits."""
        return np.ones(sum(len(run.requests) - run.cut for run in self.free_runs))

    def _pays_from(self, draws: int, tier: int = 0, threshold: float | None = None) -> Json:
        """Return the volume from which on it pays: calls and work without waits."""
        free = self.free
        if threshold is not None:
            free = free.with_tier(tier, threshold=threshold)
        outcomes = [self._simulated(free, run) for run in self.free_runs]
        found = []
        for ours, theirs in zip(
            self._sides(self.scenario, outcomes, self.follows, draws), self.free_alone, strict=True
        ):
            value, *drawn = [pays_from(a, b) for a, b in zip(ours, theirs, strict=False)]
            found.append(ranged(value, drawn))
        return outer(found)

    def _sides(
        self, scenario: Scenario, outcomes: list[OutcomeTable], follows: Follows, draws: int
    ) -> list[list[Costs]]:
        """Return the costs of all rows and of so many resamples: of batches and of questions."""
        columns = [self.each, _column(outcomes, "cost_usd", self.free_runs)]
        for k in range(len(scenario.tiers)):
            rows = [
                work_ns(run.requests, x, k)[run.cut :]
                for run, x in zip(self.free_runs, outcomes, strict=True)
            ]
            columns.append(np.concatenate(rows) / 1e9)
        found = []
        for sums, weight in zip(
            zip(*map(self.free_groups.sums, columns), strict=True), self.weights, strict=True
        ):
            whole = np.ones((1, weight.shape[1]))
            n, usd, *work_s = np.array(sums) @ np.concatenate([whole, weight[:draws]]).T
            each = np.maximum(0.0, np.array(work_s) / n).T
            found.append(
                [
                    costs_of(scenario, x, w.tolist(), follows)
                    for x, w in zip((usd / n).tolist(), each, strict=True)
                ]
            )
        return found

    def _tier(self, scenario: Scenario, outcomes: list[OutcomeTable], k: int) -> Point:
        rows = [(x, r.cut) for x, r in zip(outcomes, self.runs, strict=True)]
        visit = np.concatenate([x.visit[cut:, k] for x, cut in rows]) != NOT_VISITED
        hit = np.concatenate([x.hit_tier[cut:] for x, cut in rows]) == k
        grade = _column(outcomes, "correct", self.runs)
        spec = scenario.tiers[k]
        held, there = 0.0, 0.0
        for x, cut in rows:
            ends = x.arrival_ns[np.array([cut - 1, len(x) - 1])]
            ends[0] = ends[0] if cut else 0
            held += sum(held_ns(x.start_ns[:, k], x.busy_ns[:, k], ends))
            if spec.elastic and x.rented_ns is not None:
                there += float(x.rented_ns[cut:, k].sum()) * (spec.slots or 1)
            else:
                there += float(ends[1] - ends[0]) * (spec.servers or 0)
        return {
            "visit_share": float(visit.mean()),
            "hit_share": float(hit.mean()),
            "right_share": float((hit * grade).mean()),
            "utilisation": held / there if there else None,
        }


def thresholds_at(found: Thresholds, tier: int) -> list[float | None]:
    """Return the thresholds of a tier to look at, ascending; the last is None: all is sent on.

    They are scores that came up, evenly spread over what they escalate and over the
    scores themselves; the scenario's own is among them.
    """
    own = found.scenario.tiers[tier].threshold
    assert own is not None
    score = np.concatenate([run.requests.score[run.cut :, tier] for run in found.runs])
    rows = sum(len(run.requests) for run in found.runs)
    points = min(POINTS, max(FEWEST, ROWS // rows))
    distinct, count = np.unique(score, return_counts=True)
    below = np.append(0, np.cumsum(count)[:-1]) / len(score)
    by_share = np.searchsorted(below, np.linspace(0, 1, points - points // 4)).clip(
        max=len(below) - 1
    )
    by_rank = np.linspace(0, len(distinct) - 1, points // 4).round().astype(np.int64)
    chosen = np.unique(np.concatenate([distinct[by_share], distinct[by_rank], [own]]))
    return [*chosen.tolist(), None]


def _column(outcomes: list[OutcomeTable], name: str, runs: list[_Run]) -> Floats:
    columns = [getattr(x, name)[run.cut :] for x, run in zip(outcomes, runs, strict=True)]
    return np.asarray(np.concatenate(columns), np.float64)


def _quantile(runs: list[Floats], q: float) -> Json | None:
    return pooled_quantile(runs, q).dict() if enough(sum(map(len, runs)), q) else None


def paths_of(prediction: Prediction, cuts: Sequence[int]) -> list[Point]:
    """Return the paths that were taken, as a point has them."""
    runs = [_Run(run.requests, cut) for run, cut in zip(prediction.runs, cuts, strict=True)]
    return _paths([run.outcomes for run in prediction.runs], runs)


def _paths(outcomes: list[OutcomeTable], runs: list[_Run]) -> list[Point]:
    """Return the paths that were taken, the most frequent first."""
    path, status, grade, sojourn = (
        _column(outcomes, name, runs) for name in ("path", "status", "correct", "sojourn_s")
    )
    found: list[Point] = []
    for bits, count in zip(*np.unique(path, return_counts=True), strict=True):
        taken = path == bits
        times = np.quantile(sojourn[taken], list(TAILS.values()))
        found.append(
            {
                "bits": int(bits),
                "share": float(taken.mean()),
                "answered": float((status[taken] == ANSWERED).sum() / len(path)),
                "quality": float(grade[taken].mean()),
                **{
                    name: float(t) if enough(int(count), q) else None
                    for (name, q), t in zip(TAILS.items(), times, strict=True)
                },
            }
        )
    return sorted(found, key=lambda row: (-row["share"], row["bits"]))
