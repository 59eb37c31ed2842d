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
    all, by None, and where it is known by the tier that answered. tiers are profile()'s two lists,
    doubts why it says nothing, findings what a reader should know of it.
    """

    predicts: Scenario
    away_s: dict[int | None, Floats]
    tiers: tuple[list[Any], list[Any]] = ([], [])
    doubts: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def profiled_by(runs: Runs, tell: Callable[[str], None]) -> Known:
    """Ask each tier alone, then all of them at the planned rate, as far as the target says so."""
    known = Known(runs.target.scenario, {None: np.zeros(1)})
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
    predicts = as_profiled(scenario, tiers, outcomes) if target.profiled else scenario
    return replace(known, predicts=predicts, away_s=ways, tiers=found)


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
    said = (
        f"The prediction takes each tier's time as it was in {len(drive.request)} other requests "
        "at the planned rate, not as the scenario states it: what tiers on one machine cost each "
        "other is part of it, at this rate."
    )
    before = "alone" if target.profile_rows else "stated"
    said += "".join(f" Not that of {name}: {why}; it is as {before}." for name, why in kept.items())
    return replace(
        known,
        predicts=predicts,
        away_s=known.away_s | ways,
        doubts=[f"in the profile at the planned rate, {why}" for why in doubts(drive)],
        findings=[said],
    )


def _ways_s(way_s: Floats, k: int | None) -> dict[int | None, Floats]:
    """Return the ways that were told, by the tier that answered; nothing where they are few."""
    told = way_s[~np.isnan(way_s)]
    return {k: told} if len(told) >= (1 if k is None else FEWEST) else {}


def statuses(drives: list[Drive]) -> str:
    """Return how often each HTTP status came, in words; 0 is no connection."""
    codes, counts = np.unique(
        np.concatenate([drive.http_status for drive in drives]), return_counts=True
    )
    return ", ".join(f"HTTP {code}: {n}" for code, n in zip(codes, counts, strict=True))
