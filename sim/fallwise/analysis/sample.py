"""What a summary is made of: sums of consecutive batches, and quantiles of times.

Batches are parts of the runs or, where there are many runs, each run is one. Intervals come from
how much the batches differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from fallwise.analysis.intervals import (
    BATCHES,
    batch_ratio,
    batch_share,
    edges,
    mser5,
    pooled_quantile,
)
from fallwise.analysis.money import unit_usd_per_s, units_mean
from fallwise.analysis.predict import Prediction
from fallwise.analysis.ranked import Ranked
from fallwise.analysis.tally import Tally, add, exact_sum, in_units, rows, tally
from fallwise.scenario import Scenario
from fallwise.tables import LONGEST_NS, NOT_VISITED, Floats, Int16s, Int64s, OutcomeTable, seconds

__all__ = [
    "FEWEST_BEYOND",
    "QUANTILES",
    "Json",
    "Sample",
    "Times",
    "batch_edges",
    "collect",
    "enough",
    "estimate",
    "held_ns",
    "waited_ns",
    "warmup",
]

Json = dict[str, float | None]

FEWEST_BEYOND: Final = 10
"""So many values must lie beyond a tail quantile before it is printed."""


MANY_RUNS: Final = 10
"""From so many on each run is one batch: what changes by the hour is then the same in all. Fewer
means would tell too little of their own spread, so fewer runs are parted as one run is."""

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}

NEIGHBOURS: Final = 1 << 14
"""Rows whose servers are looked at together."""


class Times(Protocol):
    """Seconds that were measured, by name.

    `sojourn`; the same of `path5` (bits of tiers) and `segment1`; `wait2` (at a tier).
    """

    def quantile(self, name: str, q: float) -> Json | None:
        """Return the estimate; None where there are too few values for it."""

    def above(self, name: str, value_s: float) -> int:
        """Return how many are above the value."""


@dataclass(frozen=True)
class Sample:
    """One scenario's measured requests; cuts are the rows of each run that came before."""

    scenario: Scenario
    batches: Sequence[Tally]
    total: Tally
    times: Times
    cuts: Sequence[int]
    requests: int
    seconds_simulated: float

    def ratio(self, over: str, under: str, scale: float = 1.0) -> Json | None:
        """Return the estimate of scale * sum(over) / sum(under); None where that is 0 / 0."""
        return estimate(self.column(over) * scale, self.column(under))

    def share(self, part: str, whole: str) -> Json | None:
        """Return the estimate of a ratio that is between 0 and 1; None where it is 0 / 0."""
        events, trials = self.column(part), self.column(whole)
        if not trials.sum() > 0:
            return None
        return batch_share(events, trials, batches=len(trials)).dict()

    def column(self, name: str) -> Floats:
        """Return (batches,) the sums of this name, in dollars, seconds and grades."""
        return np.array([in_units(name, batch.get(name, 0)) for batch in self.batches])

    def rented_s(self, k: int) -> Floats:
        """Return (batches,) seconds of the replicas or agents that tier k paid for."""
        tier = self.scenario.tiers[k]
        if tier.elastic and f"tier{k}.rented_s" in self.total:
            return self.column(f"tier{k}.rented_s")
        return self.column("gap_s") * units_mean(tier)

    def rent_usd(self, k: int) -> Floats:
        """Return (batches,) what that cost."""
        return self.rented_s(k) * unit_usd_per_s(self.scenario.tiers[k])


def estimate(over: Floats, under: Floats) -> Json | None:
    """Return the ratio of the sums of two columns of batches; None where the divisor is nothing."""
    if not under.sum() > 0:
        return None
    return batch_ratio(over, under, batches=len(over)).dict()


def warmup(prediction: Prediction) -> list[int]:
    """Return for each run how many of its first requests are not measured."""
    given = prediction.scenario.run.warmup
    if given != "auto":
        return [min(given, len(run.outcomes) - 1) for run in prediction.runs]
    if prediction.scenario.by_the_clock:
        return [0 for _ in prediction.runs]
    return [mser5(run.outcomes.sojourn_s) for run in prediction.runs]


def batch_edges(runs: int, n: int) -> Int64s:
    """Return the edges of the batches of a run of n rows, one of so many runs."""
    return edges(n, 1 if runs >= MANY_RUNS else -(-BATCHES // runs))


def collect(prediction: Prediction, cuts: Sequence[int]) -> Sample:
    """Return the sample of a prediction, without the first cuts[r] requests of run r."""
    runs = prediction.runs
    ends = [(run, cut, len(run.outcomes)) for run, cut in zip(runs, cuts, strict=True)]
    measured = [rows(run.outcomes, *cut) for run, *cut in ends]
    times = _Measured(measured, [run.requests.segment[cut:] for run, cut, _ in ends])
    batches: list[Tally] = []
    with ThreadPoolExecutor(1) as beside:  # Neither sorting nor summing holds the interpreter.
        sorted_too = beside.submit(times.prepare, len(prediction.scenario.traffic.segments))
        for run, cut, n in ends:
            batches += _batches(run, (cut + batch_edges(len(runs), n - cut)).tolist())
        sorted_too.result()
    return Sample(
        scenario=prediction.scenario,
        batches=batches,
        total=add(batches),
        times=times,
        cuts=cuts,
        requests=sum(len(run.outcomes) for run in runs),
        seconds_simulated=sum(float(run.outcomes.end_ns.max()) / 1e9 for run in runs),
    )


def _batches(run: Prediction, at: list[int]) -> list[Tally]:
    """Return the tallies of consecutive parts of one run, and how long each held the servers.

    Servers are looked at by the clock, between the arrivals that part the batches: where a queue
    grows, the work of the requests that came in a time is not the work that was done in it.
    """
    requests, outcomes = run.requests, run.outcomes
    times = np.array([outcomes.arrival_ns[i - 1] if i else 0 for i in at])
    clock = {
        f"tier{k}.held_s": held_ns(outcomes.start_ns[:, k], outcomes.busy_ns[:, k], times)
        for k in range(outcomes.tiers)
    } | {"gap_s": np.diff(times).tolist()}
    return [
        tally(run.scenario, rows(requests, at[b], at[b + 1]), rows(outcomes, at[b], at[b + 1]))
        | {name: values[b] for name, values in clock.items()}
        for b in range(len(at) - 1)
    ]


def held_ns(start_ns: Int64s, busy_ns: Int64s, times_ns: Int64s) -> list[int]:
    """Return the server-nanoseconds that were held between each two of m ascending times.

    start_ns (n,) is -1 where no server started; busy_ns (n,) is how long one was held.
    """
    held = [0] * (len(times_ns) - 1)
    for i in range(0, len(start_ns), NEIGHBOURS):
        start, busy = start_ns[i : i + NEIGHBOURS], busy_ns[i : i + NEIGHBOURS]
        end, nobody = start + busy, busy == 0
        begins, ends = (start + nobody * LONGEST_NS).min(), end.max()
        first = max(0, int(np.searchsorted(times_ns, begins, side="right")) - 1)
        last = min(len(held), int(np.searchsorted(times_ns, ends)))
        for b in range(first, last):
            low, high = times_ns[b : b + 2]
            whole = low <= begins and ends <= high  # As with most, since they are neighbours.
            held[b] += exact_sum(busy if whole else end.clip(low, high) - start.clip(low, high))
    return held


class _Measured:
    """Times in memory, exactly; one entry a run."""

    def __init__(self, runs: list[OutcomeTable], segments: list[Int16s]):
        self.runs = runs
        self.segments = segments
        self._found: dict[str, dict[float, Json | None]] = {}

    def prepare(self, segments: int) -> None:
        """Work out what a summary of a scenario with so many segments will ask for."""
        paths = {bits for run in self.runs for bits in np.flatnonzero(np.bincount(run.path))}
        names = [f"wait{k}" for k in range(self.runs[0].tiers)]
        names += ["sojourn", *(f"path{bits}" for bits in sorted(paths))]
        names += [f"segment{j}" for j in range(segments)] if segments > 1 else []
        for name in names:
            self.quantile(name, 0.99)

    def _values(self, name: str) -> list[Floats]:
        """Return each run's values, in the order of the arrivals."""
        # A mask without a pattern takes four times as long in brackets as by compress.
        if name == "sojourn":
            return [run.sojourn_s for run in self.runs]
        if name.startswith("segment"):
            runs, j = zip(self.runs, self.segments, strict=True), int(name[7:])
            return [run.sojourn_s.compress(segment == j) for run, segment in runs]
        if name.startswith("path"):
            return [run.sojourn_s.compress(run.path == int(name[4:])) for run in self.runs]
        return [seconds(waited_ns(run, int(name.removeprefix("wait")))) for run in self.runs]

    def quantile(self, name: str, q: float) -> Json | None:
        if name not in self._found:
            asked = [0.99] if name.startswith("wait") else QUANTILES.values()
            values = [x for x in self._values(name) if len(x)]
            ranked = Ranked(np.concatenate([np.zeros(0), *values]))
            self._found[name] = {
                q: pooled_quantile(values, q, ranked=ranked).dict()
                if enough(len(ranked), q)
                else None
                for q in asked
            }
        return self._found[name][q]

    def above(self, name: str, value_s: float) -> int:
        return sum(int(np.count_nonzero(x > value_s)) for x in self._values(name))


def enough(count: int, q: float) -> bool:
    """Return True where the q-quantile of so many values can be printed."""
    return count * (1 - q) >= (FEWEST_BEYOND if q > 0.5 else 0.5) * (1 - 1e-9)


def waited_ns(outcomes: OutcomeTable, k: int) -> Int64s:
    """Return how long each visit of tier k waited: outcomes.waited_ns, without the other rows."""
    visited = outcomes.visit[:, k] != NOT_VISITED
    if outcomes.queued_ns is not None:
        return outcomes.waited_ns(k).compress(visited)
    enter, start, finish = (
        x[:, k] for x in (outcomes.enter_ns, outcomes.start_ns, outcomes.finish_ns)
    )
    if not visited.all():
        enter, start, finish = (x.compress(visited) for x in (enter, start, finish))
    served = start >= 0
    waited: Int64s = (start if served.all() else np.where(served, start, finish)) - enter
    return waited
