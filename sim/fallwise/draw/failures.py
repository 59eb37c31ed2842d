"""When replicas fail, and how long they are away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fallwise.draw.streams import stream
from fallwise.scenario import Tier
from fallwise.tables import NEVER_NS, Int64s

__all__ = ["CYCLES", "up_and_down"]

CYCLES: Final = 256
"""So many failures of a replica are drawn; then they begin again."""


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
            drawn = chance.standard_exponential((2, CYCLES)) * 1e9
            # A replica that fails at the very instant of its repair would never be done with it.
            up[j, r] = np.maximum(1, np.rint(drawn[0] * tier.failures.mean_between_s))
            down[j, r] = np.rint(drawn[1] * tier.failures.mean_repair_s)
    return up, down
