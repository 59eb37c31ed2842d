"""Where the seconds went: a request's time in parts that add up to it, to the nanosecond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fallwise.analysis.predict import Prediction
from fallwise.analysis.sample import Json, enough, estimate
from fallwise.analysis.tally import rows
from fallwise.scenario import Scenario
from fallwise.tables import ACCEPTED, NOT_VISITED, Bools, Floats, Int64s, OutcomeTable

__all__ = ["PARTS", "Stretch", "budget", "stretches"]

PARTS: Final = ("cache", "router", "queue", "unused", "service", "retry_pauses", "verifier")
"""What a request's time goes to."""

TAILS: Final = {"sojourn_s_p95": 0.95, "sojourn_s_p99": 0.99}
BATCHES: Final = 20


class Stretch(NamedTuple):
    """One part of the time at one tier (None: the router), in nanoseconds; ns is (n,)."""

    part: str
    tier: int | None
    ns: Int64s


def stretches(scenario: Scenario, outcomes: OutcomeTable) -> Iterator[Stretch]:
    """Yield the parts of each request's time; their sum is end_ns - arrival_ns, exactly.

    queue is the time before a server took the request, service the time that one was held for an
    answer that was shipped, unused for one that was declined or cut off; verifier is the time until
    the answer was judged. Of a visit of several calls queue is the time in it, again and again,
    retry_pauses are those between two attempts, and the attempts that failed are service (or
    unused) like the last one. Of two tiers side by side the one that finished later counts, and
    verifier is the wait for the pair.
    """
    at = outcomes.arrival_ns
    there = _counted(scenario, outcomes)
    last = np.full(len(outcomes), -1, np.int64)  # the tier before, no cache
    for k, tier in enumerate(scenario.tiers):
        mine = there[:, k]
        if not mine.any():
            continue
        enter, finish = outcomes.enter_ns[:, k], outcomes.finish_ns[:, k]
        yield from _before(np.where(mine, enter - at, 0), last)
        if tier.kind == "cache":
            yield Stretch("cache", k, np.where(mine, finish - enter, 0))
        else:
            waited = outcomes.waited_ns(k)
            served = finish - enter - waited
            yield Stretch("queue", k, np.where(mine, waited, 0))
            if tier.calls and outcomes.paused_ns is not None:
                paused = outcomes.paused_ns[:, k]
                yield Stretch("retry_pauses", k, np.where(mine, paused, 0))
                served -= paused
            shipped = outcomes.visit[:, k] == ACCEPTED
            yield Stretch("unused", k, np.where(mine & ~shipped, served, 0))
            yield Stretch("service", k, np.where(mine & shipped, served, 0))
            last = np.where(mine, k, last)
        at = np.where(mine, finish, at)
    yield from _before(outcomes.end_ns - at, last)


def _before(gap_ns: Int64s, last: Int64s) -> Iterator[Stretch]:
    """Yield the time between two visits: the router's before the first one, then a verifier's."""
    for k in np.unique(last[gap_ns > 0]).tolist():
        ns = np.where(last == k, gap_ns, 0)
        yield Stretch("router", None, ns) if k < 0 else Stretch("verifier", k, ns)


def _counted(scenario: Scenario, outcomes: OutcomeTable) -> Bools:
    """Return (n, K) the visits that follow each other: of a pair, the one that finished later."""
    there: Bools = outcomes.visit != NOT_VISITED
    for k, tier in enumerate(scenario.tiers):
        if tier.agree_with is not None:
            both = there[:, k - 1] & there[:, k]
            second = outcomes.finish_ns[:, k] > outcomes.finish_ns[:, k - 1]
            there[:, k - 1] &= ~(both & second)
            there[:, k] &= ~(both & ~second)
    return there


def budget(
    prediction: Prediction, cuts: Sequence[int], most_paths: int = 8
) -> list[dict[str, Any]]:
    """Return the mean seconds of each part: of all requests, of the slowest, and by path.

    `of` is `all`, `sojourn_s_p95` or `sojourn_s_p99` (the requests at or above it; not there where
    too few lie beyond) or `path`, the most frequent first. The parts of a row add up to its
    sojourn_s_mean; under `tiers` they are those of one tier. The first cuts[r] requests of run r
    are left out.
    """
    scenario = prediction.scenario
    parts = [
        rows(run.outcomes, cut, len(run.outcomes))
        for run, cut in zip(prediction.runs, cuts, strict=True)
    ]
    outcomes = OutcomeTable.concat(parts)
    ns = outcomes.end_ns - outcomes.arrival_ns
    groups: list[tuple[dict[str, Any], Bools]] = [({"of": "all"}, np.ones(len(ns), np.bool_))]
    for name, q in TAILS.items():
        if enough(len(ns), q):
            groups.append(({"of": name}, outcomes.sojourn_s >= np.quantile(outcomes.sojourn_s, q)))
    names = [tier.name for tier in scenario.tiers]
    bits, counts = np.unique(outcomes.path, return_counts=True)
    for path in bits[np.argsort(-counts, kind="stable")][:most_paths].tolist():
        visited = [name for k, name in enumerate(names) if path >> k & 1]
        groups.append(({"of": "path", "path": visited}, outcomes.path == path))
    batch = np.arange(len(ns)) * min(BATCHES, len(ns)) // len(ns)
    whole: dict[str, Int64s] = {part: np.zeros_like(ns) for part in PARTS}
    own: list[dict[str, Int64s]] = [{} for _ in names]
    for part, k, taken in stretches(scenario, outcomes):
        whole[part] += taken
        if k is not None:
            own[k][part] = own[k][part] + taken if part in own[k] else taken

    def means(mask: Bools, taken: dict[str, Int64s]) -> dict[str, Json | None]:
        return {f"{part}_s_mean": _mean(x, mask, batch) for part, x in taken.items()}

    return [
        about
        | {"requests": int(mask.sum())}
        | means(mask, {"sojourn": ns} | whole)
        | {
            "tiers": [
                {"tier": name} | means(mask, taken)
                for name, taken in zip(names, own, strict=True)
                if any(x[mask].any() for x in taken.values())
            ]
        }
        for about, mask in groups
    ]


def _mean(ns: Int64s, mask: Bools, batch: Int64s) -> Json | None:
    """Return the mean seconds of the masked requests, from batches in the order of arrival."""
    over: Floats = np.bincount(batch, np.where(mask, ns, 0)) / 1e9
    return estimate(over, np.bincount(batch, mask).astype(np.float64))
