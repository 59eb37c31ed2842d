"""Whole requests of a profile: what one took in all its tiers and between them belongs together.

A long question is long for every tier, and a machine that is busy slows all that a request does.
Drawn one by one, as if they had nothing to do with each other, such times add up to too few that
are long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.blocks import block_rows
from fallwise.analysis.profile import FEWEST
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Empirical
from fallwise.tables import Floats, Int64s, OutcomeTable

__all__ = ["Took", "drawn_again", "drawn_together", "kinds_of"]

NOBODY: Final = 0
MOST_TIERS: Final = 64
"""More than a scenario has, so that a path and a tier make one number."""


@dataclass(frozen=True)
class Took:
    """What whole requests of a profile took, in the order in which they came.

    way_s (m,) is how long one was in no tier, tiers_s (m, K) how long in each; NaN where it is not
    told. kinds (m, 2) are those of kinds_of(); None where they were put to each tier alone. own are
    the kinds that were many enough in the profile to stand for themselves.
    """

    way_s: Floats
    tiers_s: Floats
    kinds: Int64s | None = None
    own: frozenset[int] = frozenset()

    def take(self, rows: Any) -> Took:
        """Return some of the requests."""
        kinds = None if self.kinds is None else self.kinds[rows]
        return Took(self.way_s[rows], self.tiers_s[rows], kinds, self.own)

    @property
    def told(self) -> Took | None:
        """Return those that have a way; None where they are few."""
        rows = np.flatnonzero(~np.isnan(self.way_s))
        if len(rows) < FEWEST:
            return None
        found = self.take(rows)
        if found.kinds is None:
            return found
        kinds, counts = np.unique(found.kinds, return_counts=True)
        return replace(found, own=frozenset(kinds[counts >= FEWEST].tolist()))

    def like(self, kinds: Int64s) -> Floats:
        """Return (j, 1 + K) the ways and the tiers' times of requests of the first kind there is.

        Where there is none, or nobody answered, of as many as there are, and the ways alone.
        """
        rows: Floats = np.column_stack([self.way_s, self.tiers_s])
        if self.kinds is None:
            return rows
        there = [k for k in kinds.tolist() if k in self.own and (self.kinds == k).any()]
        if there:
            rows = rows[(self.kinds == there[0]).any(axis=1)]
        if not there or kinds[1] == NOBODY:
            rows[:, 1:] = np.nan
        return rows


def kinds_of(outcomes: OutcomeTable) -> Int64s:
    """Return (n, 2) numbers: of the tiers that a request visits and the one that answers; of this.

    Who passed by a verifier, or was refused before any tier, has another way between its tiers than
    who was answered by the same tier at once.
    """
    by = outcomes.hit_tier.astype(np.int64) + 1
    return np.column_stack([(outcomes.path + 1) * MOST_TIERS + by, by])


def drawn_together(predicted: OutcomeTable, took: Took | None, chance: np.random.Generator) -> Took:
    """Return what each request takes: what one took that went the same way, to the same tier.

    By any profile the same draw is about as long in all: the requests are in order of that. Where
    nothing is known the way is 0, and the tiers' times are NaN.
    """
    u = chance.random(len(predicted))
    found = np.full((len(u), 1 + predicted.visit.shape[1]), np.nan)
    found[:, 0] = 0.0
    if took is not None:
        kinds = kinds_of(predicted)
        for kind in np.unique(kinds, axis=0):
            among = took.like(kind)
            among = among[np.argsort(np.nansum(among, axis=1), kind="stable")]
            mine = kinds[:, 0] == kind[0]
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
