"""The profile of a deployment: what is known of its times before it is driven and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fallwise.analysis.judge import doubts
from fallwise.analysis.live import Drive
from fallwise.analysis.profile import FEWEST, as_loaded, as_profiled, profile, scores_of
from fallwise.cli.drives import Runs
from fallwise.draw import stream
from fallwise.errors import CheckError, Problem
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, Floats

__all__ = ["Known", "profiled_by", "statuses"]


@dataclass(frozen=True)
class Known:
    """What a profile tells.

    predicts is the scenario to predict with; away_s (m,) how long requests were in no tier: of
    all, by None, and where it is known by the tier that answered; empty where nothing is. tiers are
    profile()'s two lists, doubts why it says nothing, findings what a reader should know of it.
    """

    predicts: Scenario
    away_s: dict[int | None, Floats] = field(default_factory=dict)
    tiers: tuple[list[Any], list[Any]] = ([], [])
    doubts: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def profiled_by(runs: Runs, tell: Callable[[str], None]) -> Known:
    """Ask each tier alone, then all of them at the planned rate, as far as the target says so."""
    known = Known(runs.target.scenario)
    if runs.target.profile_rows:
        tell("profile: each tier alone")
        known = _alone(runs, known)
    if runs.target.loaded:
        tell("profile: at the planned rate")
        known = _loaded(runs, known)
    return known


def _alone(runs: Runs, known: Known) -> Known:
    """Ask each tier alone, by the first requests of the table."""
    target, scenario = runs.target, runs.target.scenario
    drive = runs.run("profile", 0, target.profile_rows, [])
    head = runs.table.take(slice(0, len(drive.request)))
    outcomes, graded = runs.outcomes(head, drive, 0)
    if not (outcomes.status == ANSWERED).any():
        rule = f"answered no request of the profile ({statuses([drive])})"
        remedy = "see that it takes the key and knows the models"
        raise CheckError(Problem(rule, remedy, value=runs.host))
    chance = stream(scenario.run.seed, "profile")
    tiers = list(target.alone)
    found = profile(scenario, tiers, head, outcomes, scores_of(drive), chance, graded=graded)
    ways = known.away_s
    if target.deployment is None:
        # The first of each round has found the deployment at rest, as a request does.
        ways = ways | _ways_s(drive.way_s[:: len(tiers)], None)
    known = replace(known, away_s=ways, tiers=found)
    if not target.profiled:
        return known
    predicts, kept = as_profiled(scenario, tiers, outcomes)
    said = _taken(scenario, predicts, kept, "as it was alone")
    return replace(known, predicts=predicts, findings=[] if target.loaded else [said])


def _loaded(runs: Runs, known: Known) -> Known:
    """Send other requests at the planned rate, and let their times be those to predict with."""
    target, first = runs.target, runs.target.profile_rows
    drive = runs.run("loaded", first, first + target.loaded, [])
    rows = runs.table.take(slice(first, first + len(drive.request)))
    outcomes, _ = runs.outcomes(rows, drive, first)
    predicts, kept = as_loaded(target.scenario, outcomes, known.predicts)
    ways = _ways_s(drive.way_s, None)
    for k in np.unique(outcomes.hit_tier[outcomes.status == ANSWERED]).tolist():
        ways |= _ways_s(drive.way_s[outcomes.hit_tier == k], k)
    how = (
        f"as it was in {len(drive.request)} other requests at the planned rate: what tiers on one "
        "machine cost each other is part of it, at this rate"
    )
    return replace(
        known,
        predicts=predicts,
        away_s=known.away_s | ways,
        doubts=[f"in the profile at the planned rate, {why}" for why in doubts(drive)],
        findings=[_taken(target.scenario, predicts, kept, how)],
    )


def _taken(stated: Scenario, predicts: Scenario, kept: dict[str, str], how: str) -> str:
    """Return what is to be said of the times that the prediction takes."""
    names = [tier.name for tier in stated.tiers if tier.kind not in ("cache", "human")]
    taken = [name for name in names if name not in kept]
    said = f"The prediction takes the time of {', '.join(taken)} {how}." if taken else ""
    for name, why in kept.items():
        k = stated.index(name)
        same = predicts.tiers[k].service == stated.tiers[k].service
        before = "as stated" if same else "as it was alone"
        said += f" Not that of {name}: {why}; it is {before}."
    return said.strip()


def _ways_s(way_s: Floats, k: int | None) -> dict[int | None, Floats]:
    """Return the ways that were told, by the tier that answered; nothing where they are few."""
    told = way_s[~np.isnan(way_s)]
    return {k: told} if len(told) >= FEWEST else {}


def statuses(drives: list[Drive]) -> str:
    """Return how often each HTTP status came, in words; 0 is no connection."""
    codes, counts = np.unique(
        np.concatenate([drive.http_status for drive in drives]), return_counts=True
    )
    return ", ".join(f"HTTP {code}: {n}" for code, n in zip(codes, counts, strict=True))
