"""When have we seen enough? More replications until the intervals are as narrow as asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fallwise.analysis.intervals import Estimate

__all__ = ["LEAST", "Stopped", "enough", "until"]

LEAST: Final = 10

Run = TypeVar("Run")


@dataclass(frozen=True)
class Stopped(Generic[Run]):
    """The replications that were made, what they say, and whether that is as exact as asked for."""

    runs: list[Run]
    estimates: Mapping[str, Estimate]
    met: bool


def enough(estimate: Estimate, relative: float) -> bool:
    """Return True where the half width is at most so large a part of the true value.

    The true value may be smaller than the estimate by the half width itself, so that it is
    compared with relative / (1 + relative) of the estimate. False where a bound is NaN.
    Source: Law, Simulation Modeling and Analysis (2015), section 9.4.1.
    """
    return estimate.half_width <= relative / (1 + relative) * abs(estimate.value)


def until(
    run_one: Callable[[int], Run],
    estimates: Callable[[Sequence[Run]], Mapping[str, Estimate]],
    relative: float,
    *,
    least: int = LEAST,
    most: int = 1000,
) -> Stopped[Run]:
    """Return replications 0, 1, ... as many as it takes to know every estimate to `relative`.

    run_one(r) makes replication r; estimates(runs) says what all of them together tell, by name.
    Looking after each run would stop when the noise happens to look small. So the number that is
    needed is projected from all runs so far, at most twice as many are then made before the next
    look, and never fewer than `least`. `met` is False when `most` did not do.
    """
    runs: list[Run] = []
    target = max(2, least)
    while True:
        target = min(target, most)
        runs += [run_one(r) for r in range(len(runs), target)]
        found = estimates(runs)
        if all(enough(estimate, relative) for estimate in found.values()):
            return Stopped(runs, found, met=True)
        if len(runs) >= most:
            return Stopped(runs, found, met=False)
        target = max(_needed(estimate, relative, len(runs)) for estimate in found.values())


def _needed(estimate: Estimate, relative: float, runs: int) -> int:
    """Return how many replications the estimate needs by its noise so far, at most 2 * runs."""
    goal = relative / (1 + relative) * abs(estimate.value)
    ratio = estimate.half_width / goal if goal > 0 else math.inf
    if not ratio < math.sqrt(2):
        return 2 * runs
    return max(runs + 1, math.ceil(runs * ratio**2))
