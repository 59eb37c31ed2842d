"""Each tier alone and unloaded: what it takes, how good it is, whether its scores are calibrated.

A deployment is asked for every tier by itself, in turn, one request at a time, for other requests
than those that it is judged by. They come as far apart as those do: readers of a millisecond take
twice as long on a machine that has rested as they do back to back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.blocks import block_resample
from fallwise.analysis.calibration import ece
from fallwise.analysis.judge import judge
from fallwise.analysis.live import Drive
from fallwise.analysis.measures import HOP_S, SHARE, TIME, Measure
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.laws import Empirical
from fallwise.tables import (
    ACCEPTED,
    DECLINED,
    NOT_VISITED,
    WORKED_OUT,
    Bools,
    Floats,
    Int64s,
    OutcomeTable,
    RequestTable,
)

__all__ = ["FEWEST", "as_loaded", "as_profiled", "drawn_again", "profile", "scores_of", "ways_s"]

Summary = dict[str, Any]

FEWEST: Final = 20
"""Of so many requests that a tier answered times, ways and grades are taken, of fewer not."""
CUT: Final = 0.01
"""Nor are times where a larger share of the visits was cut."""


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
                "service_s_mean": float(took_s.mean()) if told.any() else None,
                "service_s_p50": float(np.median(took_s)) if told.any() else None,
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


def as_profiled(
    scenario: Scenario, alone: Sequence[int], outcomes: OutcomeTable
) -> tuple[Scenario, dict[str, str]]:
    """Return the scenario with the times that the tiers took alone, in the place of its own.

    Also returned: why a tier has the stated one, by its name.
    """
    kept = {}
    for k, tier in _taking_time(scenario):
        if k not in alone:
            kept[tier.name] = "it cannot be asked alone"
            continue
        found = outcomes.take(np.arange(alone.index(k), len(outcomes), len(alone)))
        told, why = _telling(tier, k, found, alone=True)
        scenario = _taking(scenario, k, found.busy_ns[told, k], kept, why)
    return scenario, kept


def as_loaded(
    scenario: Scenario, outcomes: OutcomeTable, known: Scenario
) -> tuple[Scenario, dict[str, str]]:
    """Return the scenario with the times that its tiers took in requests that went all its ways.

    Also returned: why a tier keeps its time in `known`, by its name.
    """
    kept: dict[str, str] = {}
    for k, tier in _taking_time(scenario):
        told, why = _telling(tier, k, outcomes)
        known = _taking(known, k, outcomes.busy_ns[told, k], kept, why)
    return known, kept


def _taking_time(scenario: Scenario) -> list[tuple[int, Tier]]:
    """Return the tiers whose time a profile can tell, with their numbers."""
    return [(k, t) for k, t in enumerate(scenario.tiers) if t.kind not in ("cache", "human")]


def _telling(
    tier: Tier, k: int, outcomes: OutcomeTable, *, alone: bool = False
) -> tuple[Bools, str | None]:
    """Return (n,) True for visits that tell how long a call of tier k takes, and why they do not.

    Those tell that had an answer from one call, outside of an outage: its time is the scenario's.
    They are not a tier's time where they are few, or where limits of time cut some of the visits or
    hedges outran them: those that are left would be the quick ones. So would they be where tiers
    were asked alone and some requests came to nothing that is known.
    """
    visit, start_s = outcomes.visit[:, k], outcomes.start_ns[:, k] / 1e9
    told = np.isin(visit, (ACCEPTED, DECLINED))
    cut = visit == WORKED_OUT
    if alone:
        cut |= visit == NOT_VISITED
    if outcomes.cut_off is not None:
        assert outcomes.attempts is not None
        assert outcomes.hedges is not None
        cut |= (outcomes.cut_off[:, k] > 0) | (outcomes.hedges[:, k] > 0)
        told &= (outcomes.attempts[:, k] <= 1) & (outcomes.hedges[:, k] == 0)
    for outage in tier.outages or ():
        outside = [not outage.covers(at_s) for at_s in start_s.tolist()]
        told, cut = told & outside, cut & outside
    few, lost, whole = (int(rows.sum()) for rows in (told, cut, told | cut))
    if few < FEWEST:
        return told, f"only {few} visits told it"
    if lost > CUT * whole:
        return told, f"of {whole} visits {lost} were cut by a time limit, hedged or lost"
    return told, None


def _taking(
    scenario: Scenario, k: int, busy_ns: Int64s, kept: dict[str, str], why: str | None
) -> Scenario:
    """Return the scenario whose tier k takes one of these times; or keep it, and why."""
    if why is not None:
        kept[scenario.tiers[k].name] = why
        return scenario
    law = Empirical(kind="empirical", values_s=(busy_ns / 1e9).tolist())
    return scenario.with_tier(k, service=law)


def ways_s(
    predicted: OutcomeTable, away_s: dict[int | None, Floats], chance: np.random.Generator
) -> Floats:
    """Return (n,) seconds of each request in no tier: those of one that was answered by the same.

    away_s has those that are known, by the tier that answered; by None those of all requests. Where
    it is empty they are 0.
    """
    u = chance.random(len(predicted))
    found = np.zeros(len(u))
    for k in np.unique(predicted.hit_tier).tolist() if away_s else ():
        among = away_s[k if k in away_s else None]
        mine = predicted.hit_tier == k
        found[mine] = among[(u[mine] * len(among)).astype(np.int64)]
    return found


def drawn_again(
    scenario: Scenario,
    predicts: Scenario,
    away_s: dict[int | None, Floats],
    chance: np.random.Generator,
) -> tuple[Scenario, dict[int | None, Floats]]:
    """Return what another profile of the same length might have told: times of tiers, and ways.

    Blocks of neighbours are drawn again of the times that predicts has from a profile, and the
    scenario itself has not. They are sorted: the same draw is then about as long by each, and what
    moves a prediction is the profile, not which of its times a request happens to meet.
    """
    for k, tier in enumerate(predicts.tiers):
        if isinstance(tier.service, Empirical) and tier.service != scenario.tiers[k].service:
            values = np.sort(block_resample(tier.service.values_s, chance)).tolist()
            predicts = predicts.with_tier(k, service=Empirical(kind="empirical", values_s=values))
    return predicts, {k: np.sort(block_resample(ways, chance)) for k, ways in away_s.items()}


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
