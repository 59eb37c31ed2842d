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
from fallwise.tables import Bools, Decisions, Floats, Int64s, OutcomeTable, RequestTable

__all__ = ["Curve", "Fork", "fork", "random_mix", "sweep", "threshold_curve", "unqueued"]


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
    weight: Floats | None = None,
) -> Curve:
    """Return the point of every threshold at which something changes.

    score is (n,). correct and cost_usd are pairs, of the request when its answer is kept and when
    it is sent on: (n,) arrays or single numbers; the second cost includes the first call. asked is
    True where the tier has an answer at all; elsewhere the threshold changes nothing. weight is
    (n,), how much each request counts; all alike without it.
    Equal scores move together: no threshold can part them.
    """
    n = len(score)
    asked = np.ones(n, np.bool_) if asked is None else asked
    counts, whole = (1.0, n) if weight is None else (weight, weight.sum())
    shown = score[asked]
    order = np.argsort(shown)[::-1]
    ranked = shown[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], len(ranked) > 0))

    def mean(kept: ArrayLike, sent: ArrayLike) -> Floats:
        sent_on = np.broadcast_to(np.asarray(sent, np.float64) * counts, n)
        gain = np.broadcast_to(np.asarray(kept, np.float64) * counts, n) - sent_on
        gains = np.cumsum(gain[asked][order])[last]
        # Nothing kept comes first here, everything kept last: turned round.
        means: Floats = (sent_on.sum() + np.append(0.0, gains)) / whole
        return means[::-1]

    return Curve(
        threshold=np.append(math.inf, ranked[last])[::-1],
        cost_usd_mean=mean(*cost_usd),
        quality=mean(*correct),
        escalation_rate=mean(0.0, asked),
    )


@dataclass(frozen=True)
class Fork:
    """What n requests come to when one tier keeps its answer to them, and when it sends them on.

    score, asked as in threshold_curve; correct and cost_usd are pairs of (n,) arrays, kept and sent
    """

    score: Floats
    asked: Bools
    correct: tuple[Floats, Floats]
    cost_usd: tuple[Floats, Floats]

    def curve(self, weight: Floats | None = None) -> Curve:
        """Return the point of every threshold."""
        return threshold_curve(self.score, self.correct, self.cost_usd, self.asked, weight)


def fork(
    scenario: Scenario, requests: RequestTable, tier: int, engine: Engine = "compiled"
) -> Fork:
    """Return both ways of every request at one tier, all other decisions as the scenario says."""
    kept = _at(scenario, requests, tier, -math.inf, engine)
    sent = _at(scenario, requests, tier, math.inf, engine)
    return Fork(
        requests.score[:, tier],
        sent.visit[:, tier] != 0,
        (_floats(kept.correct), _floats(sent.correct)),
        (_floats(kept.cost_usd), _floats(sent.cost_usd)),
    )


def sweep(
    scenario: Scenario, requests: RequestTable, tier: int, engine: Engine = "compiled"
) -> Curve:
    """Return the curve of one tier's threshold, all other decisions as the scenario says."""
    return fork(scenario, requests, tier, engine).curve()


def unqueued(
    scenario: Scenario,
    requests: RequestTable,
    decisions: Decisions,
    engine: Engine = "compiled",
) -> OutcomeTable:
    """Return the settled outcomes with servers for everybody, no timeout, and nothing cached.

    Each visit is one call, which does not fail.
    """
    tiers = len(scenario.tiers)
    free: Int64s = np.full(tiers, UNLIMITED, np.int64)
    limits = replace(
        plan(scenario),
        servers=free,
        queue_limit=free,
        timeout_ns=free,
        fills=np.zeros(tiers, np.bool_),
        hours=None,
        fleet=None,
        calls=None,
    )
    calls = dict.fromkeys(("call_ns", "call_fails", "error_ns", "pause_ns"))
    bare = replace(requests, patience_ns=None, **calls)  # type: ignore[arg-type]
    outcomes = simulate(limits, bare, decisions, engine)
    return settle(scenario, requests, decisions, outcomes)


def _at(
    scenario: Scenario, requests: RequestTable, tier: int, threshold: float, engine: Engine
) -> OutcomeTable:
    changed = scenario.with_tier(tier, threshold=threshold)
    return unqueued(changed, requests, decide(changed, requests), engine)


def _floats(column: ArrayLike | None) -> Floats:
    assert column is not None
    return np.asarray(column, np.float64)


def random_mix(cheap: ArrayLike, frontier: ArrayLike, share: ArrayLike) -> Floats:
    """Return any mean (cost, quality) when a share of the requests, by lot, goes to the frontier.

    The others go to the cheap tier, and nobody to both: the line that a cascade has to beat.
    """
    low, high, part = (np.asarray(x, np.float64) for x in (cheap, frontier, share))
    return low + part * (high - low)
