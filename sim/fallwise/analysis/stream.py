"""The summary of a run that does not fit into memory: drawn, scheduled and summed block by block.

Means and shares are exact, as in memory. Quantiles come from a histogram whose bins are 0.27 %
wide: within 0.14 % of the value of that rank. The warm-up, where none is given, is the first
twentieth. Utilisation is left out where a queue grows. Nothing depends on the size of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.baselines import accept_all, only
from fallwise.analysis.intervals import BATCHES, batch_ratio
from fallwise.analysis.learning import Learned, curve
from fallwise.analysis.sample import Json, Sample, batch_edges, enough, waited_ns
from fallwise.analysis.settle import settle
from fallwise.analysis.summary import SCORED, baselines_of, calibrate, describe, in_time
from fallwise.analysis.tally import Tally, add, tally
from fallwise.draw import blocks
from fallwise.engines import Plan, plan
from fallwise.engines.blocks import simulate_blocks
from fallwise.errors import Problem, ScenarioError
from fallwise.policies import decide
from fallwise.scenario import Scenario
from fallwise.tables import Decisions, Int64s, OutcomeTable, RequestTable

__all__ = ["RELATIVE_ERROR", "summarise_stream"]

RELATIVE_ERROR: Final = 2 ** (1 / 512) - 1
"""Of a quantile: half a bin."""
PER_OCTAVE: Final = 256
BINS: Final = 64 * PER_OCTAVE

Block = tuple[RequestTable, Decisions]


def summarise_stream(
    scenario: Scenario,
    seed: int | None = None,
    n: int | None = None,
    block: int = 1 << 17,
    baselines: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return what summarise() would of predict(), in memory for a block and what is under way.

    Whether a failure stays when its cause has gone is not looked for.
    Each baseline draws the requests again; progress is told how many are drawn, and of how many.
    ScenarioError where the run is not one long one.
    """
    _refuse(scenario)
    seed = scenario.run.seed if seed is None else seed
    n = scenario.run.requests if n is None else n
    given = scenario.run.warmup
    usual = 0 if scenario.by_the_clock else n // BATCHES
    cut = usual if given == "auto" else min(given, n - 1)
    edges = cut + batch_edges(1, n - cut)
    first = next(blocks(scenario, seed, n, min(SCORED, n)))

    others = baselines_of(scenario) if baselines else {}
    done, total = 0, n * (1 + len(others))

    def drawn(decided: Callable[[RequestTable], Block]) -> Iterator[Block]:
        nonlocal done
        for requests in blocks(scenario, seed, n, block):
            yield decided(requests)
            done += len(requests)
            progress(done, total)

    learned = Learned(n) if scenario.cache else None
    decided = drawn(lambda r: (r, decide(scenario, r)))
    sample = _streamed(scenario, plan(scenario, seed), decided, edges, learned)
    compared = {}
    for name, k in others.items():
        alone = drawn(lambda r, k=k: (replace(r, router_ns=None), accept_all(r, k)))  # type: ignore[misc]
        other = only(scenario, k)
        compared[name] = _streamed(other, plan(other, seed), alone, edges)
    if compared:
        compared["paired"] = compared["frontier_only"]
    about = {"scenario": scenario.name, "command": "run", "seed": seed, "engine": "compiled"}
    about["quantile_relative_error"] = RELATIVE_ERROR
    summary = about | describe(sample, compared) | {"calibration": calibrate(scenario, first)}
    return in_time(summary, scenario, first, curve([learned] if learned else []))


def _refuse(scenario: Scenario) -> None:
    if scenario.run.replications > 1:
        rule = "a run in blocks is one long run"
        remedy = "set it to 1, or ask for fewer requests"
        key = ("run", "replications")
        raise ScenarioError(Problem(rule, remedy, key, scenario.run.replications))
    if scenario.answers.sample == "each_once":
        rule = "a table that is used once is never too long for memory"
        remedy = "set it to resample, or ask for fewer requests"
        raise ScenarioError(Problem(rule, remedy, ("answers", "sample"), "each_once"))


def _streamed(
    scenario: Scenario,
    limits: Plan,
    drawn: Iterator[Block],
    edges: Int64s,
    learned: Learned | None = None,
) -> Sample:
    """Return the sample of the requests from edges[0] on, in batches between the edges."""
    tallies: list[Tally] = [{} for _ in edges[1:]]
    times = _Histograms(len(tallies))
    edge_ns: Int64s = np.zeros(len(edges), np.int64)
    end_ns = 0
    watched = _watched(drawn, edges, edge_ns)
    for part in simulate_blocks(limits, watched, lambda requests: requests.correct):
        outcomes = settle(scenario, part.requests, part.decisions, part.outcomes, part.grade)
        end_ns = max(end_ns, int(outcomes.end_ns.max()))
        if learned is not None:
            learned.add(outcomes)
        batch = np.searchsorted(edges, outcomes.request, side="right") - 1
        for b in np.unique(batch[batch >= 0]).tolist():
            mine = slice(None) if (batch == b).all() else batch == b
            here = outcomes.take(mine)
            asked = part.requests.take(mine)
            tallies[b] = add([tallies[b], tally(scenario, asked, here)])
            times.add(b, here, asked.segment if len(scenario.traffic.segments) > 1 else None)
    for b, gap_ns in enumerate(np.diff(edge_ns).tolist()):
        tallies[b]["gap_s"] = gap_ns
    total = add(tallies)
    servers = [tier.servers_mean for tier in scenario.tiers]
    loads = [(total[f"tier{k}.work_s"], c) for k, c in enumerate(servers) if c is not None]
    if all(work < c * total["gap_s"] for work, c in loads):
        # Where no queue grows, the work of the requests that came in a time is that done in it.
        for sums in (*tallies, total):
            sums |= {f"tier{k}.held_s": sums[f"tier{k}.busy_s"] for k in range(len(servers))}
    return Sample(
        scenario=scenario,
        batches=tallies,
        total=total,
        times=times,
        cuts=[int(edges[0])],
        requests=int(edges[-1]),
        seconds_simulated=end_ns / 1e9,
    )


def _watched(drawn: Iterator[Block], edges: Int64s, edge_ns: Int64s) -> Iterator[Block]:
    """Yield the blocks, and note when the last request before each edge arrived; 0 before all."""
    begin = 0
    for requests, decisions in drawn:
        last = edges - 1 - begin
        here = (last >= 0) & (last < len(requests))
        edge_ns[here] = requests.arrival_ns[last[here]]
        begin += len(requests)
        yield requests, decisions


class _Histograms:
    """Times by name and batch, in bins of equal ratio; the first bin is no time at all."""

    def __init__(self, batches: int):
        self.batches = batches
        self.counts: dict[str, Int64s] = {}

    def add(self, b: int, outcomes: OutcomeTable, segment: Any = None) -> None:
        """Count the times of outcomes of batch b; segment (n,) is that of each, if any has one."""
        sojourn = _bins(outcomes.end_ns - outcomes.arrival_ns)
        self._count("sojourn", b, sojourn)
        for j in [] if segment is None else np.flatnonzero(np.bincount(segment)).tolist():
            self._count(f"segment{j}", b, sojourn.compress(segment == j))
        path = outcomes.path
        for bits in np.flatnonzero(np.bincount(path)).tolist():
            self._count(f"path{bits}", b, sojourn.compress(path == bits))
        for k in range(outcomes.tiers):
            self._count(f"wait{k}", b, _bins(waited_ns(outcomes, k)))

    def _count(self, name: str, b: int, bins: Int64s) -> None:
        if name not in self.counts:
            self.counts[name] = np.zeros((self.batches, BINS), np.int64)
        self.counts[name][b] += np.bincount(bins, minlength=BINS)

    def quantile(self, name: str, q: float) -> Json | None:
        """Return the quantile; its interval is that of the share below it, read backwards.

        Source: Woodruff (1952), Journal of the American Statistical Association 47.
        """
        counts = self.counts.get(name)
        if counts is None or not enough(int(counts.sum()), q):
            return None
        below = np.cumsum(counts.sum(axis=0)) / counts.sum()
        at = int(np.searchsorted(below, q))
        share = batch_ratio(counts[:, : at + 1].sum(axis=1), counts.sum(axis=1), self.batches)
        half = share.half_width
        if not np.isfinite(half):
            return {"value": _middle_s(at), "low": None, "high": None}
        low, high = np.searchsorted(below, np.clip([q - half, q + half], below[0], 1.0)).tolist()
        return {"value": _middle_s(at), "low": _edge_s(low - 1), "high": _edge_s(high)}

    def above(self, name: str, value_s: float) -> int:
        """Return how many are in bins above that of the value."""
        counts = self.counts[name].sum(axis=0)
        return int(counts[int(_bins(np.array([round(value_s * 1e9)]))[0]) + 1 :].sum())


def _bins(ns: Int64s) -> Int64s:
    # The logarithm of no time is put in the first bin by the mask; that of 1 is as good as any.
    bins: Int64s = 1 + (np.log2(np.maximum(ns, 1)) * PER_OCTAVE).astype(np.int64)
    return bins * (ns > 0)


def _middle_s(at: float) -> float:
    return _edge_s(at - 0.5)


def _edge_s(at: float) -> float:
    """Return where a bin ends; the first one has no width."""
    return 0.0 if at <= 0 else float(2 ** (at / PER_OCTAVE) / 1e9)
