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
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Empirical
from fallwise.tables import (
    ACCEPTED,
    DECLINED,
    WORKED_OUT,
    Floats,
    Int64s,
    OutcomeTable,
    RequestTable,
)

__all__ = ["FEWEST", "as_loaded", "as_profiled", "drawn_again", "profile", "scores_of", "ways_s"]

Summary = dict[str, Any]

FEWEST: Final = 20
"""Of so many requests that one tier answered their own ways and times are taken, of fewer not."""
CUT: Final = 0.01
"""Nor are times of which a larger share was cut by a time limit."""


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
        name, done = scenario.tiers[k].name, found.hit_tier == k
        took_s, says_s = found.busy_ns[done, k] / 1e9, says.service_ns[done, k] / 1e9
        hop_s = float(np.clip(np.median(took_s - says_s), 0, HOP_S)) if done.any() else 0.0
        stated = replace(
            found, busy_ns=says.service_ns + round(hop_s * 1e9), correct=says.correct[:, k]
        )
        measures = [_service(name, k)] + ([_accuracy(name, k)] if graded else [])
        rows += judge(measures, stated, found, None, chance)
        assert found.correct is not None
        scored = done & ~np.isnan(scores[mine])
        grade = found.correct[scored]
        tiers.append(
            {
                "name": name,
                "requests": len(mine),
                "failed": int((~done).sum()),
                "service_s_mean": float(took_s.mean()) if done.any() else None,
                "service_s_p50": float(np.median(took_s)) if done.any() else None,
                "stated_s_p50": float(np.median(says_s)) if done.any() else None,
                "hop_s": hop_s,
                "accuracy": float(found.correct[done].mean()) if graded and done.any() else None,
                "stated_accuracy": float(says.correct[:, k].mean()),
                "score_mean": float(scores[mine][scored].mean()) if scored.any() else None,
                "ece": ece(scores[mine][scored], grade) if graded and scored.any() else None,
            }
        )
    return tiers, rows


def scores_of(drive: Drive) -> Floats:
    """Return (n,) the scores that the responses say; NaN where they say none."""
    said = (found.get("x-fallwise-score") for found in drive.headers)
    return np.array([np.nan if score is None else float(score) for score in said])


def as_profiled(scenario: Scenario, alone: Sequence[int], outcomes: OutcomeTable) -> Scenario:
    """Return the scenario with the times that the tiers took alone, in the place of its own."""
    for at, k in enumerate(alone):
        found = outcomes.take(np.arange(at, len(outcomes), len(alone)))
        scenario = _taking(scenario, k, found.busy_ns[found.hit_tier == k, k])
    return scenario


def as_loaded(
    scenario: Scenario, outcomes: OutcomeTable, known: Scenario
) -> tuple[Scenario, dict[str, str]]:
    """Return the scenario with the times that its tiers took in requests that went all its ways.

    Only visits with an answer tell how long one takes, and only those of one call outside of an
    outage. A tier keeps its time in `known` where these are few, or where time limits cut some of
    them: those that were left would be the quick ones. Also returned: why, by the tier's name.
    """
    kept = {}
    for k, tier in enumerate(scenario.tiers):
        if tier.kind in ("cache", "human"):
            continue
        visit, start_s = outcomes.visit[:, k], outcomes.start_ns[:, k] / 1e9
        done = np.isin(visit, (ACCEPTED, DECLINED))
        cut = visit == WORKED_OUT
        if outcomes.attempts is not None and outcomes.cut_off is not None:
            done &= outcomes.attempts[:, k] <= 1
            cut |= outcomes.cut_off[:, k] > 0
        for outage in tier.outages or ():
            done &= [not outage.covers(at_s) for at_s in start_s.tolist()]
        told, lost, whole = (int(rows.sum()) for rows in (done, cut, done | cut))
        if told < FEWEST:
            kept[tier.name] = f"only {told} visits told it"
        elif lost > CUT * whole:
            kept[tier.name] = f"a time limit cut {lost} of {whole} visits"
        else:
            known = _taking(known, k, outcomes.busy_ns[done, k])
    return known, kept


def _taking(scenario: Scenario, k: int, busy_ns: Int64s) -> Scenario:
    """Return the scenario whose tier k takes one of these times; as it is where there are none."""
    if not len(busy_ns):
        return scenario
    law = Empirical(kind="empirical", values_s=(busy_ns / 1e9).tolist())
    return scenario.with_tier(k, service=law)


def ways_s(
    predicted: OutcomeTable, away_s: dict[int | None, Floats], chance: np.random.Generator
) -> Floats:
    """Return (n,) seconds of each request in no tier: those of one that was answered by the same.

    away_s has those that are known, by the tier that answered; by None those of all requests.
    """
    u = chance.random(len(predicted))
    found = np.empty(len(u))
    for k in np.unique(predicted.hit_tier).tolist():
        among = away_s[k if len(away_s.get(k, ())) >= FEWEST else None]
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
    scenario itself has not.
    """
    for k, tier in enumerate(predicts.tiers):
        if isinstance(tier.service, Empirical) and tier.service != scenario.tiers[k].service:
            values = block_resample(tier.service.values_s, chance).tolist()
            predicts = predicts.with_tier(k, service=Empirical(kind="empirical", values_s=values))
    return predicts, {k: block_resample(ways, chance) for k, ways in away_s.items()}


def _service(name: str, k: int) -> Measure:
    return Measure(
        f"profile.{name}.service_s_mean",
        lambda o: o.busy_ns[:, k] / 1e9,
        lambda o: (o.hit_tier == k).astype(np.float64),
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
