"""When replicas fail, and how long they are away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fallwise.draw.streams import stream
from fallwise.scenario import Tier
from fallwise.tables import NEVER_NS, Floats, Int64s

__all__ = ["CYCLES", "up_and_down"]

CYCLES: Final = 256
"""So many failures of a replica are drawn; then they begin again."""


def _times(chance: np.random.Generator) -> Floats:
    """Return (CYCLES,) exponential times of mean 1, one from each of CYCLES equal parts of the law.

    What comes again and again would else be off by the same amount in however long a run: the mean
    of 256 that are drawn freely by 6 %, and what a long repair does to waits by 14 %.
    Source: stratified sampling (Asmussen and Glynn, Stochastic Simulation, 2007, chapter V.7).
    """
    part = chance.permutation(CYCLES)
    times: Floats = -np.log1p(-(part + chance.random(CYCLES)) / CYCLES)
    return times


def up_and_down(tiers: Sequence[Tier], replicas: Sequence[int], seed: int) -> tuple[Int64s, Int64s]:
    """Return (m, R, CYCLES) nanoseconds that replicas are up, and down after that; exponential.

    Each replica has its own stream, so that one more moves no old number. Where a tier's replicas
    do not fail, up is 2 ** 62; where none do, there are no cycles.
    """
    cycles = CYCLES if any(tier.failures for tier in tiers) else 0
    up = np.full((len(tiers), max(replicas), cycles), NEVER_NS, np.int64)
    down = np.zeros(up.shape, np.int64)
    for j, (tier, count) in enumerate(zip(tiers, replicas, strict=True)):
        for r in range(count if tier.failures else 0):
            assert tier.failures is not None
            chance = stream(seed, f"failures:{tier.name}:{r}")
            drawn = _times(chance) * 1e9, _times(chance) * 1e9
            # A replica that fails at the very instant of its repair would never be done with it.
            up[j, r] = np.maximum(1, np.rint(drawn[0] * tier.failures.mean_between_s))
            down[j, r] = np.rint(drawn[1] * tier.failures.mean_repair_s)
    return up, down
