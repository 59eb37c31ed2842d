"""What changes in the course of a run: a cache that fills, and traffic that comes in bursts.

Everything here looks at whole runs, their warm-up too: that is where a cache learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import log, sqrt
from typing import Any, Final

import numpy as np

from fallwise.analysis.predict import Prediction
from fallwise.analysis.sample import estimate
from fallwise.scenario import Scenario
from fallwise.scenario.traffic import Trace
from fallwise.tables import Int64s, OutcomeTable

__all__ = ["Learned", "arrivals_of", "cache_over_time", "changes", "curve"]

Json = dict[str, Any]

PARTS: Final = 16
"""A cache learns fast at first: parts of the run are so many, of equal ratio."""
FEWEST: Final = 100
"""Requests in the first part."""
BATCHES: Final = 10
WINDOWS_S: Final = (1, 10, 60, 300, 3600)
FEWEST_WINDOWS: Final = 10
ENOUGH_WINDOWS: Final = 30
"""So many windows are needed before a dispersion is worth a sentence."""
OTHERWISE: Final = 0.1
"""Share of the first cost that may come and go by other things than hits without a word."""


class Learned:
    """How often the cache hit and what calls cost, from the first request of a run to the nth."""

    def __init__(self, n: int):
        # No part has fewer than half of the first one's.
        parts = 1 + min(PARTS - 1, int(log(max(n / FEWEST, 1)) / log(1.5)))
        at = np.geomspace(min(FEWEST, n), n, parts).round().astype(int)
        self.edges = [0, *at.tolist()]
        ends = [np.linspace(a, b, BATCHES + 1)[1:] for a, b in pairwise(self.edges)]
        self.fine = np.concatenate(ends).astype(np.int64)
        self.sums = np.zeros((3, len(self.fine)))

    def add(self, outcomes: OutcomeTable) -> None:
        """Count settled outcomes; of those from the nth on nothing is kept."""
        assert outcomes.cost_usd is not None
        batch = np.searchsorted(self.fine, outcomes.request, side="right")
        # Whole billionths of a dollar add up to the same in any order.
        nano_usd = np.rint(outcomes.cost_usd * 1e9)
        for row, values in zip(self.sums, (None, outcomes.hit_tier == 0, nano_usd), strict=True):
            row += np.bincount(batch, values, len(row) + 1)[: len(row)]


def cache_over_time(prediction: Prediction) -> list[Json]:
    """Return the curve of a prediction, over all its runs."""
    learned = []
    for run in prediction.runs if prediction.scenario.cache else ():
        learned.append(Learned(min(len(other.outcomes) for other in prediction.runs)))
        learned[-1].add(run.outcomes)
    return curve(learned)


def curve(runs: Sequence[Learned]) -> list[Json]:
    """Return how often the cache hits, and what a request costs, part after part of the runs.

    The cost is without rented capacity. Intervals are of batches of all runs.
    Empty without runs, and where they are too short.
    """
    if not runs or runs[0].edges[-1] < 2 * FEWEST:
        return []
    found = []
    for j, (first, last) in enumerate(pairwise(runs[0].edges)):
        parts = np.stack([run.sums[:, j * BATCHES : (j + 1) * BATCHES] for run in runs])
        n, hits, nano_usd = parts.swapaxes(0, 1).reshape(parts.shape[1], -1)
        shares = {"hit_share": estimate(hits, n), "cost_usd_mean": estimate(nano_usd * 1e-9, n)}
        found.append({"requests_from": first, "requests_to": last, **shares})
    return found


def arrivals_of(arrival_ns: Int64s) -> Json:
    """Return how bursty arrivals are: gap_cv, and the index of dispersion by window.

    The index is variance / mean of the counts in windows of one length, and 1 for Poisson; so is a
    cv of 1, but a cv sees neighbours only. same_instant_share is of those that came together with
    the one before, gap_s_least the shortest gap beside none at all. Null where there are too few.
    """
    gaps = np.diff(arrival_ns)
    apart = gaps if gaps.all() else gaps[gaps > 0]
    return {
        "gap_cv": float(gaps.std() / gaps.mean()) if len(apart) > 1 else None,
        "same_instant_share": 1 - len(apart) / len(gaps) if len(gaps) else None,
        "gap_s_least": float(apart.min()) / 1e9 if len(apart) else None,
        "dispersion": list(_dispersion(arrival_ns)),
    }


def _dispersion(arrival_ns: Int64s) -> Iterator[Json]:
    """Yield the index of dispersion by window, of the windows that the run has enough of."""
    seconds = np.bincount(arrival_ns // 1_000_000_000)
    for window_s in WINDOWS_S:
        windows = int(arrival_ns[-1]) // (window_s * 1_000_000_000)
        if windows >= FEWEST_WINDOWS:
            counts = seconds[: windows * window_s].reshape(windows, window_s).sum(axis=1)
            index = float(counts.var(ddof=1) / counts.mean())
            yield {"window_s": float(window_s), "windows": windows, "dispersion": index}


def changes(scenario: Scenario, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sentences about what the other functions of this module found."""
    if isinstance(scenario.traffic.arrivals, Trace):
        yield from _traced(scenario.traffic.arrivals, summary["arrivals"])
    parts = summary["cache_over_time"]
    if scenario.cache is None:
        return
    cache = summary["tiers"][0]
    if not cache["hit_share"] or not cache["hit_share"]["value"]:
        yield (
            f"{scenario.cache.name} never hits: in this scenario no question comes again while its "
            "answer is kept. Give segments `repeats`, or a trace with keys, from your own log."
        )
    elif len(parts) > 1:
        yield from _learned(scenario.cache.name, parts)


def _traced(law: Trace, arrivals: Json) -> Iterator[str]:
    share, least = arrivals["same_instant_share"], arrivals["gap_s_least"]
    if not law.dither_s and share is not None and share >= 0.5 and least:
        yield (
            f"{100 * share:.3g} % of the trace's requests come at the same instant as the one "
            f"before: its stamps are in steps of {least:.3g} s, and such batches never "
            f"happened. Set traffic.arrivals.dither_s: {least:.3g}."
        )
    # For Poisson, (windows - 1) times the index is chi-squared: its standard deviation is this.
    wide = [
        row
        for row in arrivals["dispersion"]
        if row["windows"] >= ENOUGH_WINDOWS
        and row["dispersion"] > 1 + 4 * sqrt(2 / (row["windows"] - 1))
    ]
    if wide:
        row = wide[-1]
        yield (
            f"The traffic is burstier than Poisson: in windows of {row['window_s']:g} s its "
            f"index of dispersion is {row['dispersion']:.3g}, where Poisson has 1. Servers that "
            "are enough for Poisson arrivals of its mean rate may be too few for its bursts."
        )


def _learned(name: str, parts: list[Json]) -> Iterator[str]:
    first, last = parts[0], parts[-1]
    hits = [part["hit_share"] for part in (first, last)]
    if any(x is None or x["low"] is None for x in hits) or hits[1]["low"] <= hits[0]["high"]:
        return
    usd = [part["cost_usd_mean"]["value"] for part in (first, last)]
    money = (
        f"; a request costs ${usd[0]:.3g} at first and ${usd[1]:.3g} in the end" if usd[0] else ""
    )
    missed = [1 - x["value"] for x in hits]
    by_hits = usd[0] * missed[1] / missed[0] if missed[0] else 0.0
    if abs(by_hits - usd[1]) > OTHERWISE * usd[0]:
        money += (
            f", but not by its hits alone, which would make that ${by_hits:.3g}: what it misses "
            "costs another price than at first"
        )
    yield (
        f"{name} learns: it hits {100 * hits[0]['value']:.3g} % of the first "
        f"{first['requests_to']:,} requests and {100 * hits[1]['value']:.3g} % of the last "
        f"{last['requests_to'] - last['requests_from']:,}{money}."
    )
