"""What stays when its cause has gone: a crowd or an outage that a cascade does not recover from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from fallwise.analysis.intervals import wilson
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, Bools, OutcomeTable

__all__ = ["stayed"]

DROP: Final = 0.1
"""So much smaller must the share of answered requests be, long after, to be worth a word."""
FEWEST: Final = 100
"""Requests before and long after, below which nothing is said."""
LONG: Final = 3
"""So many times as long as the cause must the run go on after it."""
AGAIN: Final = 1.5
"""Attempts a visit, long after, from which on retries are what keeps it up."""


def stayed(scenario: Scenario, runs: Sequence[OutcomeTable]) -> Iterator[str]:
    """Yield what is to be said of the second half of the time after all surges and outages.

    Nothing where the load changes by itself, by the week or by growth, or what serves it by the
    hour. Source: Bronson et al., Metastable Failures in Distributed Systems, HotOS (2021).
    """
    begin_s, end_s = _span_s(scenario)
    by_itself = scenario.traffic.week or scenario.traffic.growth_per_month
    if by_itself or any(tier.hours for tier in scenario.tiers) or not end_s > begin_s:
        return
    last_s = min(float(run.arrival_ns.max()) / 1e9 for run in runs)
    if last_s - end_s < LONG * (end_s - begin_s):
        return
    from_s = (end_s + last_s) / 2
    shares, ends = [], []
    here: list[Bools] = []
    for begin, end in ((0.0, begin_s), (from_s, last_s)):
        here = [(run.arrival_ns >= begin * 1e9) & (run.arrival_ns < end * 1e9) for run in runs]
        n = sum(int(rows.sum()) for rows in here)
        if n < FEWEST:
            return
        answered = sum(
            int((run.status[rows] == ANSWERED).sum()) for run, rows in zip(runs, here, strict=True)
        )
        shares.append(answered / n)
        ends.append(wilson(answered / n, n))
    if shares[1] > shares[0] - DROP or ends[1][1] > ends[0][0]:
        return
    why, attempts = "", _attempts(runs, here)
    if attempts >= AGAIN:
        why = (
            f" Each visit makes {attempts:.2f} attempts there: what is tried again keeps it up. A "
            "retry budget, a breaker, or work that ends when nobody waits for it lets it end."
        )
    yield (
        f"What came from {begin_s:g} to {end_s:g} s has gone, and the failure has stayed: "
        f"{100 * shares[0]:.3g} % of the requests before it were answered, and "
        f"{100 * shares[1]:.3g} % of those from {from_s:,.0f} s on.{why}"
    )


def _span_s(scenario: Scenario) -> tuple[float, float]:
    """Return from when to when there are surges and outages; (0, 0) where one comes again."""
    outages = [outage for tier in scenario.tiers for outage in tier.outages or ()]
    causes = [(surge.from_s, surge.to_s) for surge in scenario.traffic.surges if surge.factor > 1]
    causes += [(outage.from_s, outage.to_s) for outage in outages]
    if not causes or any(outage.every_s is not None for outage in outages):
        return 0.0, 0.0
    return min(begin for begin, _ in causes), max(end for _, end in causes)


def _attempts(runs: Sequence[OutcomeTable], here: Sequence[Bools]) -> float:
    """Return how many attempts a visit makes, at the tier where they are most."""
    made = [
        run.attempts[rows] for run, rows in zip(runs, here, strict=True) if run.attempts is not None
    ]
    if not made:
        return 0.0
    attempts = np.concatenate(made)
    visits = np.maximum((attempts > 0).sum(axis=0), 1)
    return float((attempts.sum(axis=0, dtype=np.int64) / visits).max())
