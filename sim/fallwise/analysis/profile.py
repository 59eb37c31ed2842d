"""Each tier alone and unloaded: what it takes, how good it is, whether its scores are calibrated.

A deployment is asked for every tier by itself, in turn, one request at a time, for other requests
than those that it is judged by. They come as far apart as those do: readers of a millisecond take
twice as long on a machine that has rested as they do back to back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.calibration import ece
from fallwise.analysis.judge import judge
from fallwise.analysis.live import Drive
from fallwise.analysis.measures import HOP_S, SHARE, TIME, Measure
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.laws import Batching, Empirical
from fallwise.tables import (
    ACCEPTED,
    DECLINED,
    NOT_VISITED,
    REFUSED,
    WORKED_OUT,
    Bools,
    Floats,
    Int64s,
    OutcomeTable,
    RequestTable,
)

__all__ = ["FEWEST", "Told", "as_loaded", "as_profiled", "profile", "scores_of"]

Summary = dict[str, Any]

FEWEST: Final = 20
"""Of so many requests that a tier answered times, ways and grades are taken, of fewer not."""
CUT: Final = 0.001
"""Nor are times where a larger share of the visits was cut: they are what a p99 hangs on."""


def profile(
    scenario: Scenario,
    alone: Sequence[int],
    requests: RequestTable,
    outcomes: OutcomeTable,
    scores: Floats,
    chance: np.random.Generator,
    *,
    graded: bool,
) -> tuple[list[Summary], list[Summary]]:
    """Return what is known of each tier in `alone`, and rows: stated against measured.

    The rows of the tables are of these tiers in turn. requests holds what the scenario states;
    scores are (n,), NaN where none was said.
    """
    tiers: list[Summary] = []
    rows: list[Summary] = []
    for at, k in enumerate(alone):
        mine = np.arange(at, len(requests), len(alone))
        found, says = outcomes.take(mine), requests.take(mine)
        assert found.correct is not None
        name, done = scenario.tiers[k].name, found.hit_tier == k
        told, why = _telling(scenario.tiers[k], k, found, alone=True)
        took_s, says_s = found.busy_ns[told, k] / 1e9, says.service_ns[told, k] / 1e9
        hop_s = float(np.clip(np.median(took_s - says_s), 0, HOP_S)) if told.any() else 0.0
        stated = replace(
            found, busy_ns=says.service_ns + round(hop_s * 1e9), correct=says.correct[:, k]
        )
        measures = [] if why else [_service(name, k, told)]
        if graded and done.sum() >= FEWEST:
            measures.append(_accuracy(name, k))
        rows += judge(measures, stated, found, None, chance)
        scored = done & ~np.isnan(scores[mine])
        grade = found.correct[scored]
        tiers.append(
            {
                "name": name,
                "requests": len(mine),
                "failed": int((~done).sum()),
                "service_s_mean": None if why else float(took_s.mean()),
                "service_s_p50": None if why else float(np.median(took_s)),
                "not_told": why,
                "stated_s_p50": float(np.median(says_s)) if told.any() else None,
                "hop_s": hop_s,
                "accuracy": float(found.correct[done].mean()) if graded and done.any() else None,
                "stated_accuracy": float(says.correct[:, k].mean()) if len(mine) else None,
                "score_mean": float(scores[mine][scored].mean()) if scored.any() else None,
                "ece": ece(scores[mine][scored], grade) if graded and scored.any() else None,
            }
        )
    return tiers, rows


def scores_of(drive: Drive) -> Floats:
    """Return (n,) the scores that the responses say; NaN where they say none."""
    said = (found.get("x-fallwise-score") for found in drive.headers)
    return np.array([np.nan if score is None else float(score) for score in said])


@dataclass(frozen=True)
class Told:
    """What a profile tells of times.

    predicts is the scenario with them, kept why a tier has its own, by its name. took_s (m, K) is
    how long each request was in each tier, NaN where that is not told.
    """

    predicts: Scenario
    kept: dict[str, str]
    took_s: Floats

    def keeping(self, k: int, why: str) -> Told:
        """Return it with one more tier that keeps its time."""
        return replace(self, kept=self.kept | {self.predicts.tiers[k].name: why})

    def also(self, k: int, busy_ns: Int64s, told: Bools, why: str | None) -> Told:
        """Return it with the time of tier k of the first requests, unless there is a reason why."""
        if why is not None:
            return self.keeping(k, why)
        law = Empirical(kind="empirical", values_s=(busy_ns[told] / 1e9).tolist())
        took_s = self.took_s.copy()
        took_s[: len(told), k] = np.where(told, busy_ns / 1e9, np.nan)
        return replace(self, predicts=self.predicts.with_tier(k, service=law), took_s=took_s)


def as_profiled(scenario: Scenario, alone: Sequence[int], outcomes: OutcomeTable) -> Told:
    """Return the times that the tiers took alone; the same requests were put to each in turn."""
    rounds = -(-len(outcomes) // max(1, len(alone)))
    found = Told(scenario, {}, np.full((rounds, len(scenario.tiers)), np.nan))
    for k, tier in _taking_time(scenario):
        if k not in alone:
            found = found.keeping(k, "it cannot be asked alone")
        elif isinstance(tier.service, Batching):
            found = found.keeping(k, "its batches take longer the more is in them")
        else:
            mine = outcomes.take(np.arange(alone.index(k), len(outcomes), len(alone)))
            found = found.also(k, mine.busy_ns[:, k], *_telling(tier, k, mine, alone=True))
    return found


def as_loaded(scenario: Scenario, outcomes: OutcomeTable, known: Scenario) -> Told:
    """Return the times that tiers took in requests that went all ways; else they have known's."""
    found = Told(known, {}, np.full(outcomes.busy_ns.shape, np.nan))
    for k, tier in _taking_time(scenario):
        found = found.also(k, outcomes.busy_ns[:, k], *_telling(tier, k, outcomes))
    return found


def _taking_time(scenario: Scenario) -> list[tuple[int, Tier]]:
    """Return the tiers whose time a profile can tell, with their numbers."""
    return [(k, t) for k, t in enumerate(scenario.tiers) if t.is_model]


def _telling(
    tier: Tier, k: int, outcomes: OutcomeTable, *, alone: bool = False
) -> tuple[Bools, str | None]:
    """Return (n,) True for visits that tell how long a call of tier k takes, and why they do not.

    Those tell that had an answer from one call, outside of an outage: its time is the scenario's.
    They are not a tier's time where they are few, or where limits of time cut some of the visits or
    hedges outran them: those that are left would be the quick ones. So would they be where tiers
    were asked alone, outside of all outages, and some requests came to nothing that is known.
    """
    visit, start_s = outcomes.visit[:, k], outcomes.start_ns[:, k] / 1e9
    told = np.isin(visit, (ACCEPTED, DECLINED))
    cut = visit == WORKED_OUT
    if alone:
        cut |= (visit == NOT_VISITED) & (outcomes.status != REFUSED)
    if outcomes.cut_off is not None:
        assert outcomes.attempts is not None
        assert outcomes.hedges is not None
        cut |= (outcomes.cut_off[:, k] > 0) | (outcomes.hedges[:, k] > 0)
        told &= (outcomes.attempts[:, k] <= 1) & (outcomes.hedges[:, k] == 0)
    for outage in (not alone and tier.outages) or ():
        outside = np.array([not outage.covers(at_s) for at_s in start_s.tolist()], np.bool_)
        told, cut = told & outside, cut & outside
    few, lost, whole = (int(rows.sum()) for rows in (told, cut, told | cut))
    if few < FEWEST:
        return told, f"only {few} visits told it"
    if lost > CUT * whole:
        return told, f"of {whole} visits {lost} were cut by a time limit, hedged or lost"
    return told, None


def _service(name: str, k: int, told: Bools) -> Measure:
    return Measure(
        f"profile.{name}.service_s_mean",
        lambda o: o.busy_ns[:, k] / 1e9,
        lambda _: told.astype(np.float64),
        0,
        TIME,
        HOP_S,
    )


def _accuracy(name: str, k: int) -> Measure:
    def grade(o: OutcomeTable) -> Floats:
        assert o.correct is not None
        return o.correct.astype(np.float64)

    label = f"profile.{name}.accuracy"
    return Measure(label, grade, lambda o: (o.hit_tier == k).astype(np.float64), 0, 0, SHARE)
