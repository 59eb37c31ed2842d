"""Whole requests of a profile: what one took in all its tiers and between them belongs together.

A long question is long for every tier, and a machine that is busy slows all that a request does.
Drawn one by one, as if they had nothing to do with each other, such times add up to too few that
are long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fallwise.analysis.blocks import block_rows
from fallwise.analysis.profile import FEWEST
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Empirical
from fallwise.tables import Floats, Int64s, OutcomeTable

__all__ = ["Took", "drawn_again", "drawn_together"]


@dataclass(frozen=True)
class Took:
    """What whole requests of a profile took, in the order in which they came.

    way_s (m,) is how long one was in no tier, tiers_s (m, K) how long in each; NaN where it is not
    told. hit_tier (m,) has who answered; None where they were put to each tier alone.
    """

    way_s: Floats
    tiers_s: Floats
    hit_tier: Int64s | None = None

    def take(self, rows: Any) -> Took:
        """Return some of the requests."""
        by = None if self.hit_tier is None else self.hit_tier[rows]
        return Took(self.way_s[rows], self.tiers_s[rows], by)

    @property
    def told(self) -> Took | None:
        """Return those that have a way; None where they are few."""
        rows = np.flatnonzero(~np.isnan(self.way_s))
        return self.take(rows) if len(rows) >= FEWEST else None

    def answered_by(self, k: int) -> Floats:
        """Return (j, 1 + K) the way and the tiers' times of those that tier k answered.

        Where these are few, of all requests, of which it tells no more than the way.
        """
        rows: Floats = np.column_stack([self.way_s, self.tiers_s])
        if self.hit_tier is None:
            return rows
        mine: Floats = rows[self.hit_tier == k]
        if k >= 0 and len(mine) >= FEWEST:
            return mine
        rows[:, 1:] = np.nan
        return rows


def drawn_together(predicted: OutcomeTable, took: Took | None, chance: np.random.Generator) -> Took:
    """Return what each request takes: what one took that the same tier answered.

    By any profile the same draw is about as long in all: the requests are in order of that. Where
    nothing is known the way is 0, and the tiers' times are NaN.
    """
    u = chance.random(len(predicted))
    found = np.full((len(u), 1 + predicted.visit.shape[1]), np.nan)
    found[:, 0] = 0.0
    if took is None:
        return Took(found[:, 0], found[:, 1:])
    for k in np.unique(predicted.hit_tier).tolist():
        among = took.answered_by(k)
        among = among[np.argsort(np.nansum(among, axis=1), kind="stable")]
        mine = predicted.hit_tier == k
        found[mine] = among[(u[mine] * len(among)).astype(np.int64)]
    return Took(found[:, 0], found[:, 1:])


def drawn_again(
    scenario: Scenario, predicts: Scenario, took: Took | None, chance: np.random.Generator
) -> tuple[Scenario, Took | None]:
    """Return what another profile of the same length might have told.

    Blocks of neighbours are drawn again, of whole requests and of the times that predicts has from
    a profile and the scenario itself has not. These are sorted: what moves a prediction is then
    mostly the profile, not which of its times a request happens to meet.
    """
    for k, tier in enumerate(predicts.tiers):
        if isinstance(tier.service, Empirical) and tier.service != scenario.tiers[k].service:
            values = np.array(tier.service.values_s)
            values = np.sort(values[block_rows(values, chance)])
            law = Empirical(kind="empirical", values_s=values.tolist())
            predicts = predicts.with_tier(k, service=law)
    if took is not None:
        whole_s = took.way_s + np.nansum(took.tiers_s, axis=1)
        took = took.take(block_rows(whole_s, chance))
    return predicts, took
