"""Which assumption moves the answer most: one at a time (tornado), and all together (Sobol)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.draw import stream
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.planning.runs import MEASURES, Job, Point, run_all
from fallwise.scenario import Scenario
from fallwise.tables import Floats

__all__ = ["sensitivity"]

Ranges = Mapping[str, tuple[float, float]]


def sensitivity(
    scenario: Scenario,
    ranges: Ranges,
    sobol: int = 0,
    seed: int | None = None,
    engine: Engine = "compiled",
    scheduler: str | None = None,
    journal: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return how far each measure moves when each key goes over its range.

    All runs meet the same requests (the same seed), so a difference is the key's doing. `tornado`:
    for every measure the keys, the one that moves it most first. sobol is the number of base
    samples (a power of 2; 0: none), each of which takes len(ranges) + 2 runs; `sobol` then has
    first-order and total indices. Total minus first is what a key does together with others.
    """
    if not ranges:
        rule, remedy = "no range was given", "name at least one: KEY=LOW:HIGH"
        raise ScenarioError(Problem(rule, remedy, file="--range"))
    seed = scenario.run.seed if seed is None else seed

    def runs(values: list[dict[str, float]]) -> list[Point]:
        jobs = [Job(scenario, tuple(v.items()), seed, engine) for v in values]
        return run_all(jobs, scheduler, journal, progress)

    ends = [{key: end} for key, pair in ranges.items() for end in pair]
    base, *moved = runs([{}, *ends])
    found: dict[str, Any] = {
        "ranges": {key: list(pair) for key, pair in ranges.items()},
        "base": base,
        "tornado": {m: _tornado(m, ranges, moved) for m in MEASURES},
        "sobol": None,
    }
    if sobol:
        found["sobol"] = _sobol(ranges, sobol, seed, runs)
    return found


def _tornado(measure: str, ranges: Ranges, moved: list[Point]) -> list[dict[str, Any]]:
    rows = [
        {"key": key, "at_low": moved[2 * j][measure], "at_high": moved[2 * j + 1][measure]}
        for j, key in enumerate(ranges)
    ]

    def swing(row: dict[str, Any]) -> float:
        pair = row["at_low"], row["at_high"]
        return 0.0 if None in pair else abs(pair[1] - pair[0])

    return sorted(rows, key=swing, reverse=True)


def _sobol(
    ranges: Ranges, n: int, seed: int, runs: Callable[[list[dict[str, float]]], list[Point]]
) -> dict[str, Any]:
    """Return first-order and total Sobol indices of every measure, each key uniform on its range.

    Source: Saltelli et al., Computer Physics Communications 181 (2010), by scipy.stats.
    """
    from scipy.stats import sobol_indices, uniform

    if n & (n - 1):
        rule, remedy = "must be a power of 2", "take 64 or 128"
        raise ScenarioError(Problem(rule, remedy, value=n, file="--sobol"))

    def measures(x: Floats) -> Floats:
        """Return (measures, m) for keys at x, (keys, m)."""
        points = runs([dict(zip(ranges, column.tolist(), strict=True)) for column in x.T])
        rows = [[np.nan if p[m] is None else float(p[m] or 0) for p in points] for m in MEASURES]
        return np.array(rows)

    laws = [uniform(low, high - low) for low, high in ranges.values()]
    found = sobol_indices(func=measures, n=n, dists=laws, rng=stream(seed, "sobol"))
    return {
        measure: [
            {"key": key, "first": _number(first), "total": _number(total)}
            for key, first, total in zip(
                ranges, found.first_order[i], found.total_order[i], strict=True
            )
        ]
        for i, measure in enumerate(MEASURES)
    }


def _number(value: float) -> float | None:
    """Return None where a measure does not move at all, and has no shares to hand out."""
    return float(value) if np.isfinite(value) else None
