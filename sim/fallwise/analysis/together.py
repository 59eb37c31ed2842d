"""Whole requests of a profile: what one took in all its tiers and between them belongs together.

A long question is long for every tier, and a machine that is busy slows all that a request does.
Drawn one by one, as if they had nothing to do with each other, such times add up to too few that
are long.
"""

from __future__ import annotations

import numpy as np

from fallwise.analysis.blocks import block_rows
from fallwise.analysis.profile import FEWEST
from fallwise.scenario import Scenario
from fallwise.scenario.laws import Empirical
from fallwise.tables import Floats, Int64s, OutcomeTable

__all__ = ["Took", "drawn_again", "drawn_together", "told_together"]

Took = dict[int | None, Floats]
"""Seconds (m, 1 + K) of requests: in no tier, then in each; NaN where that is not told.

By the tier that answered them and, of those that another one answers, by None.
"""


def told_together(way_s: Floats, took_s: Floats, hit_tier: Int64s | None = None) -> Took:
    """Return what is known of whole requests: (n,) seconds in no tier, (n, K) in each.

    Requests with a way that is NaN tell nothing. Without hit_tier they are of all tiers; with it,
    of one that answered few no more is known than the way.
    """
    rows, told = np.column_stack([way_s, took_s]), ~np.isnan(way_s)
    if hit_tier is None:
        return {None: rows[told]} if told.sum() >= FEWEST else {}
    found: Took = {}
    for k in np.unique(hit_tier[told & (hit_tier >= 0)]).tolist():
        mine = rows[told & (hit_tier == k)]
        if len(mine) >= FEWEST:
            found[k] = mine
    if told.sum() >= FEWEST:
        found[None] = np.column_stack([way_s, np.full_like(took_s, np.nan)])[told]
    return found


def drawn_together(predicted: OutcomeTable, took: Took, chance: np.random.Generator) -> Floats:
    """Return (n, 1 + K) seconds of each request: those of one that the same tier answered.

    The same draw is about as long by any profile: the requests are in order of all that they took.
    Where nothing is known the way is 0, and the tiers' times are NaN.
    """
    u, tiers = chance.random(len(predicted)), predicted.visit.shape[1]
    found = np.full((len(u), 1 + tiers), np.nan)
    found[:, 0] = 0.0
    for k in np.unique(predicted.hit_tier).tolist() if took else ():
        among = took[k if k in took else None]
        among = among[np.argsort(np.nansum(among, axis=1), kind="stable")]
        mine = predicted.hit_tier == k
        found[mine] = among[(u[mine] * len(among)).astype(np.int64)]
    return found


def drawn_again(
    scenario: Scenario, predicts: Scenario, took: Took, chance: np.random.Generator
) -> tuple[Scenario, Took]:
    """Return what another profile of the same length might have told.

    Blocks of neighbours are drawn again, of whole requests and of the times that predicts has from
    a profile and the scenario itself has not. These are sorted: what moves a prediction is then the
    profile, not which of its times a request happens to meet.
    """
    for k, tier in enumerate(predicts.tiers):
        if isinstance(tier.service, Empirical) and tier.service != scenario.tiers[k].service:
            values = np.array(tier.service.values_s)
            values = np.sort(values[block_rows(values, chance)])
            law = Empirical(kind="empirical", values_s=values.tolist())
            predicts = predicts.with_tier(k, service=law)
    return predicts, {
        k: rows[block_rows(np.nansum(rows, axis=1), chance)] for k, rows in took.items()
    }
