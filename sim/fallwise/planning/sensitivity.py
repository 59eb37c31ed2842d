"""Which assumption moves the answer most: one at a time (tornado), and all together (Sobol)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from fallwise.draw import stream
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.planning.load import scaled
from fallwise.planning.movers import factored
from fallwise.planning.runs import MEASURES, Job, Point, run_all
from fallwise.scenario import Scenario
from fallwise.tables import Floats

__all__ = ["Range", "Ranges", "sensitivity", "values_at"]

DRAWS: Final = 200
"""Resamples that the interval of an index is made of."""
TRAFFIC: Final = ("traffic", "traffic.arrivals")
"""Times these, so many times the requests come; how they come stays."""


@dataclass(frozen=True)
class Range:
    """From low to high: values of a key, or, where `times`, of what the key's value is times."""

    low: float
    high: float
    times: bool = False


Ranges = Mapping[str, Range]
Values = tuple[tuple[str, Any], ...]


def values_at(scenario: Scenario, key: str, within: Range, x: float) -> Values:
    """Return what is put into the scenario at x of a key's range.

    ScenarioError where there is no number at the key.
    """
    if key.split(".")[0] in ("run", "name", "about", "targets"):
        rule, remedy = "is nothing that was assumed of the world", "name another key"
        raise ScenarioError(Problem(rule, remedy, value=key, file="--range"))
    if not within.times:
        value = _value(scenario, key, given=False)
        if isinstance(value, dict | list):
            rule, remedy = "is no single number", f"multiply what it has: {key}=x0.5:x2"
            raise ScenarioError(Problem(rule, remedy, value=key, file="--range"))
        whole = isinstance(value, int)
        values: Values = ((key, round(x) if whole else x),)
    elif key in TRAFFIC:
        law = scaled(scenario, x).traffic.arrivals.model_dump(exclude_unset=True)
        values = (("traffic.arrivals", law),)
    else:
        values = tuple(factored(key, _value(scenario, key), x))
        if not values:
            rule, remedy = "there is no number to multiply", "name the key of a number or a law"
            raise ScenarioError(Problem(rule, remedy, value=key, file="--range"))
    return values


def _value(scenario: Scenario, key: str, given: bool = True) -> Any:
    try:
        return scenario.value_at(key, given)
    except LookupError as error:
        part, known = error.args
        rule = f"the scenario has no such value: {part}"
        remedy = f"it has {', '.join(known) or 'nothing there'}"
        raise ScenarioError(Problem(rule, remedy, value=key, file="--range")) from None


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

    All runs meet the same requests (the same seed), so a difference is the key's doing. `base` has
    the scenario's own estimates. `tornado` has for every measure the keys, the one that moves it
    most first: at_low, at_high and the swing between them, an estimate. sobol is the number of base
    samples (a power of 2; 0: none), each of which takes len(ranges) + 2 runs; `sobol` then has for
    every measure `indices` (first and total, estimates: total less first is what a key does
    together with others) and `together`, the pairs of keys and their share of the variance.
    """
    if not ranges:
        rule, remedy = "no range was given", "name at least one: KEY=LOW:HIGH"
        raise ScenarioError(Problem(rule, remedy, file="--range"))
    if sobol & (sobol - 1) or sobol == 1:
        rule, remedy = "must be a power of 2, above 1", "take 64 or 128"
        raise ScenarioError(Problem(rule, remedy, value=sobol, file="--sobol"))
    seed = scenario.run.seed if seed is None else seed

    def at(point: Mapping[str, float]) -> Values:
        return tuple(
            pair for key, x in point.items() for pair in values_at(scenario, key, ranges[key], x)
        )

    jobs = [Job(scenario, (), seed, engine)]
    for key, within in ranges.items():
        ends = at({key: within.low}), at({key: within.high})
        jobs.append(Job(scenario, ends[0], seed, engine, against=ends[1]))
    cube = _samples(len(ranges), sobol, seed)
    for row in cube.reshape(-1, len(ranges)):
        point = {
            key: r.low + (r.high - r.low) * u
            for (key, r), u in zip(ranges.items(), row.tolist(), strict=True)
        }
        jobs.append(Job(scenario, at(point), seed, engine))
    base, *points = run_all(jobs, scheduler, journal, progress)
    moved, sampled = points[: len(ranges)], points[len(ranges) :]
    return {
        "ranges": {
            key: {"low": r.low, "high": r.high, "times": r.times} for key, r in ranges.items()
        },
        "base": base,
        "tornado": {measure: _tornado(measure, ranges, moved) for measure in MEASURES},
        "sobol": _sobol(list(ranges), cube, sampled, seed) if sobol else None,
        "runs": len(jobs) + len(ranges),
    }


def _tornado(measure: str, ranges: Ranges, moved: list[Point]) -> list[dict[str, Any]]:
    rows = [
        {
            "key": key,
            "at_low": point["at_low"][measure],
            "at_high": point["at_high"][measure],
            "swing": point["swing"][measure],
        }
        for key, point in zip(ranges, moved, strict=True)
    ]

    def size(row: dict[str, Any]) -> float:
        return abs(row["swing"]["value"]) if row["swing"] else 0.0

    return sorted(rows, key=size, reverse=True)


def _samples(keys: int, n: int, seed: int) -> Floats:
    """Return (2 + keys, n, keys) in the unit cube: A, B, and A with each column of B in turn.

    Source: Saltelli et al., Computer Physics Communications 181 (2010), on Sobol' points.
    """
    if not n:
        return np.empty((0, 0, keys))
    from scipy.stats.qmc import Sobol

    points = Sobol(2 * keys, rng=stream(seed, "sobol")).random(n)
    a, b = points[:, :keys], points[:, keys:]
    mixed = [np.where(np.arange(keys) == j, b, a) for j in range(keys)]
    return np.array([a, b, *mixed])


def _sobol(
    keys: list[str], cube: Floats, points: list[Point], seed: int
) -> dict[str, dict[str, Any] | None]:
    """Return the indices of every measure; None where it could not be measured everywhere."""
    found: dict[str, dict[str, Any] | None] = {}
    for measure in MEASURES:
        values = [p[measure]["value"] if p[measure] else None for p in points]
        if None in values:
            found[measure] = None
            continue
        y = np.array(values, np.float64).reshape(cube.shape[:2])
        found[measure] = {
            "indices": _indices(keys, y, stream(seed, f"sobol.{measure}")),
            "together": _together(keys, cube, y),
        }
    return found


def _indices(keys: list[str], y: Floats, chance: np.random.Generator) -> list[dict[str, Any]]:
    """Return first and total indices, the key with the highest total first; y (2 + keys, n).

    Intervals are percentiles of resamples of the base points. 0 where the measure never moves.
    """
    from scipy.stats import sobol_indices

    n = y.shape[1]

    def indices(rows: Any) -> Floats:
        part = y[:, rows]
        # Of one key and one measure scipy makes scalars, and fails; so the measure is there twice.
        twice = np.stack([part, part], axis=1)
        func = {"f_A": twice[0], "f_B": twice[1], "f_AB": twice[2:]}
        result = sobol_indices(func=func, n=n)
        shape = (2, len(keys))
        orders = (result.first_order, result.total_order)
        return np.array([np.reshape(x, shape)[0] for x in orders])

    whole = indices(np.arange(n))
    drawn = np.array([indices(chance.integers(0, n, n)) for _ in range(DRAWS)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    rows = [
        {
            "key": key,
            **{
                name: {
                    "value": float(whole[i, j]),
                    "low": float(low[i, j]),
                    "high": float(high[i, j]),
                }
                for i, name in enumerate(("first", "total"))
            },
        }
        for j, key in enumerate(keys)
    ]
    return sorted(rows, key=lambda row: row["total"]["value"], reverse=True)


def _together(keys: list[str], cube: Floats, y: Floats) -> list[dict[str, Any]]:
    """Return the pairs of keys with what they do only together, as a share of the variance.

    A polynomial of second degree in each key, and in each pair, is fitted to all runs; the
    squares of its coefficients are the shares. Pairs below 1 % are left out, and all of them where
    there are fewer than twice as many runs as coefficients.
    Source: Sudret, Reliability Engineering and System Safety 93 (2008).
    """
    x = 2 * cube.reshape(-1, len(keys)) - 1
    values, pairs = y.ravel(), list(combinations(range(len(keys)), 2))
    # Legendre polynomials, of mean square 1 on [-1, 1].
    first, second = np.sqrt(3) * x, np.sqrt(5) * (3 * x**2 - 1) / 2
    alone = [np.ones(len(x)), *first.T, *second.T]
    both = [u[:, i] * v[:, j] for i, j in pairs for u in (first, second) for v in (first, second)]
    if not pairs or len(x) < 2 * (len(alone) + len(both)) or values.var() == 0:
        return []
    fitted = np.linalg.lstsq(np.column_stack([*alone, *both]), values, rcond=None)[0]
    total = (fitted[1:] ** 2).sum()
    shares = (fitted[len(alone) :].reshape(-1, 4) ** 2).sum(axis=1) / total
    rows = [
        {"keys": [keys[i], keys[j]], "share": float(share)}
        for (i, j), share in zip(pairs, shares, strict=True)
        if share >= 0.01
    ]
    return sorted(rows, key=lambda row: row["share"], reverse=True)
