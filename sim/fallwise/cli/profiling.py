"""The profile of a deployment: what is known of its times before it is driven and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fallwise.analysis.judge import doubts
from fallwise.analysis.live import Drive
from fallwise.analysis.profile import Told, as_loaded, as_profiled, profile, scores_of
from fallwise.analysis.together import Took, kinds_of
from fallwise.cli.drives import Runs
from fallwise.draw import stream
from fallwise.errors import CheckError, Problem
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Batching
from fallwise.tables import ANSWERED

__all__ = ["Known", "profiled_by", "statuses"]


@dataclass(frozen=True)
class Known:
    """What a profile tells.

    predicts is the scenario to predict with, took what whole requests took; looks is True where
    their ways have what router and verifiers take in them. tiers are profile()'s two lists, doubts
    why it says nothing, findings what a reader should know of it.
    """

    predicts: Scenario
    took: Took | None = None
    looks: bool = False
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
    known = replace(known, tiers=found)
    # The first of each round has found the deployment at rest, as a request does.
    way_s = drive.way_s[:: len(tiers)]
    if not target.profiled:
        unknown_s = np.full((len(way_s), len(scenario.tiers)), np.nan)
        untold = [(tier["name"], tier["not_told"]) for tier in found[0] if tier["not_told"]]
        said = [f"How long {name} takes alone is not told: {why}." for name, why in untold]
        return replace(known, took=Took(way_s, unknown_s).told, findings=said)
    if target.deployment is not None:
        # What its client sees of a tier has the way in it.
        way_s = np.zeros(len(way_s))
    told = as_profiled(scenario, tiers, outcomes)
    said = [] if target.loaded else _taken(scenario, told, "as it was alone")
    took = Took(way_s, told.took_s).told
    return replace(known, predicts=told.predicts, took=took, findings=said)


def _loaded(runs: Runs, known: Known) -> Known:
    """Send other requests at the planned rate, and let their times be those to predict with."""
    target, first = runs.target, runs.target.profile_rows
    drive = runs.run("loaded", first, first + target.loaded, [])
    rows = runs.table.take(slice(first, first + len(drive.request)))
    outcomes, _ = runs.outcomes(rows, drive, first)
    told = as_loaded(target.scenario, outcomes, known.predicts)
    took = Took(drive.way_s, told.took_s, kinds_of(outcomes)).told
    how = (
        f"as it was in {len(drive.request)} other requests at the planned rate: what tiers on one "
        "machine cost each other is part of it, at this rate"
    )
    return replace(
        known,
        predicts=told.predicts,
        took=known.took if took is None else took,
        looks=took is not None,
        doubts=[f"in the profile at the planned rate, {why}" for why in doubts(drive)],
        findings=_taken(target.scenario, told, how),
    )


def _taken(stated: Scenario, told: Told, how: str) -> list[str]:
    """Return what is to be said of the times that the prediction takes."""
    names = [tier.name for tier in stated.tiers if tier.is_model]
    taken = ", ".join(name for name in names if name not in told.kept)
    said = f"The prediction takes the time of {taken or 'no tier'} {how}."
    for name, why in told.kept.items():
        k = stated.index(name)
        same = told.predicts.tiers[k].service == stated.tiers[k].service
        before = "as stated" if same else "as it was alone"
        said += f" Not that of {name}: {why}; it is {before}."
    for tier in stated.tiers:
        if isinstance(tier.service, Batching) and tier.name not in told.kept:
            said += f" Batches of {tier.name} are in its times as they were, and do not grow here."
    return [said] if names else []


def statuses(drives: list[Drive]) -> str:
    """Return how often each HTTP status came, in words; 0 is no connection."""
    codes, counts = np.unique(
        np.concatenate([drive.http_status for drive in drives]), return_counts=True
    )
    return ", ".join(f"HTTP {code}: {n}" for code, n in zip(codes, counts, strict=True))
