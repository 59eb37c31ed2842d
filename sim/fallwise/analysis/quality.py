"""Quality against cost for every threshold of one tier, exactly, by one sort. Nobody queues here.

A request's answer depends on a tier's threshold only through its own score: it is kept there when
score >= threshold, and sent on otherwise. So two evaluations (all kept, all sent on) and one
sort by score give every threshold's point. Queues, timeouts and cache hits are left out: they
change who is served by whom a little, and the time people wait a lot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from fallwise.analysis.settle import settle
from fallwise.engines import plan, simulate
from fallwise.engines.engine import Engine
from fallwise.engines.plan import UNLIMITED
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import Bools, Floats, Int64s, OutcomeTable, RequestTable

__all__ = ["Curve", "random_mix", "sweep", "threshold_curve"]


@dataclass(frozen=True)
class Curve:
    """One point a distinct score, thresholds ascending; the last one, infinity, keeps nothing.

    threshold        (m + 1,)
    cost_usd_mean    (m + 1,)  a request, without rented capacity
    quality          (m + 1,)  mean grade
    escalation_rate  (m + 1,)  share of all requests that the tier was asked about and sent on
    """

    threshold: Floats
    cost_usd_mean: Floats
    quality: Floats
    escalation_rate: Floats


def threshold_curve(
    score: Floats,
    correct: tuple[ArrayLike, ArrayLike],
    cost_usd: tuple[ArrayLike, ArrayLike],
    asked: Bools | None = None,
) -> Curve:
    """Return the point of every threshold at which something changes.

    score is (n,). correct and cost_usd are pairs, of the request when its answer is kept and when
    it is sent on: (n,) arrays or single numbers; the second cost includes the first call. asked is
    True where the tier has an answer at all; elsewhere the threshold changes nothing.
    Equal scores move together: no threshold can part them.
    """
    n = len(score)
    asked = np.ones(n, np.bool_) if asked is None else asked
    shown = score[asked]
    order = np.argsort(shown)[::-1]
    ranked = shown[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], len(ranked) > 0))

    def mean(kept: ArrayLike, sent: ArrayLike) -> Floats:
        sent_on = np.broadcast_to(np.asarray(sent, np.float64), n)
        gain = np.broadcast_to(np.asarray(kept, np.float64), n) - sent_on
        gains = np.cumsum(gain[asked][order])[last]
        # Nothing kept comes first here, everything kept last: turned round.
        means: Floats = (sent_on.sum() + np.append(0.0, gains)) / n
        return means[::-1]

    return Curve(
        threshold=np.append(math.inf, ranked[last])[::-1],
        cost_usd_mean=mean(*cost_usd),
        quality=mean(*correct),
        escalation_rate=mean(0.0, asked),
    )


def sweep(
    scenario: Scenario, requests: RequestTable, tier: int, engine: Engine = "compiled"
) -> Curve:
    """Return the curve of one tier's threshold, all other decisions as the scenario says."""
    kept = _unqueued(scenario, requests, tier, -math.inf, engine)
    sent = _unqueued(scenario, requests, tier, math.inf, engine)
    assert kept.correct is not None and sent.correct is not None
    assert kept.cost_usd is not None and sent.cost_usd is not None
    return threshold_curve(
        requests.score[:, tier],
        (kept.correct, sent.correct),
        (kept.cost_usd, sent.cost_usd),
        asked=sent.visit[:, tier] != 0,
    )


def _unqueued(
    scenario: Scenario, requests: RequestTable, tier: int, threshold: float, engine: Engine
) -> OutcomeTable:
    """Return the settled outcomes with servers for everybody, no timeout, and nothing cached."""
    tiers = list(scenario.tiers)
    tiers[tier] = tiers[tier].model_copy(update={"threshold": threshold})
    changed = scenario.model_copy(update={"tiers": tiers})
    limits = plan(changed)
    free: Int64s = np.full(len(tiers), UNLIMITED, np.int64)
    limits = replace(
        limits,
        servers=free,
        queue_limit=free,
        timeout_ns=free,
        fills=np.zeros(len(tiers), np.bool_),
    )
    decisions = decide(changed, requests)
    outcomes = simulate(limits, replace(requests, patience_ns=None), decisions, engine)
    return settle(changed, requests, decisions, outcomes)


def random_mix(cheap: ArrayLike, frontier: ArrayLike, share: ArrayLike) -> Floats:
    """Return any mean (cost, quality) when a share of the requests, by lot, goes to the frontier.

    The others go to the cheap tier, and nobody to both: the line that a cascade has to beat.
    """
    low, high, part = (np.asarray(x, np.float64) for x in (cheap, frontier, share))
    return low + part * (high - low)
