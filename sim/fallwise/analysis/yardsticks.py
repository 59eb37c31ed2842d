"""What a cascade is measured against: requests sent by lot, an oracle, and the literature's areas.

Here `weak` and `strong` are two tiers alone; nobody pays for both. Shares are of requests that go
to the strong one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fallwise.tables import Floats

__all__ = ["Ladder", "aiq", "apgr", "by_lot", "cpt", "oracle", "pgr"]


@dataclass(frozen=True)
class Ladder:
    """Ever more requests to the strong tier, those first that it helps most.

    share, cost_usd_mean, quality  (n + 1,)  from none to all of them
    """

    share: Floats
    cost_usd_mean: Floats
    quality: Floats

    def at_quality(self, wanted: float) -> tuple[float, float] | None:
        """Return share and cost of the first step that reaches a quality; None where none does."""
        enough = np.flatnonzero(self.quality >= wanted - 1e-12)
        if not len(enough):
            return None
        return float(self.share[enough[0]]), float(self.cost_usd_mean[enough[0]])


def oracle(
    correct: tuple[Floats, Floats], cost_usd: tuple[Floats, Floats], weight: Floats | None = None
) -> Ladder:
    """Return what a router could do that knows every answer's grade; weak first in each pair.

    The strong tier gets the requests where it is better by most, of equals the cheaper one first.
    """
    counts = np.ones(len(correct[0])) if weight is None else weight
    gain, extra = correct[1] - correct[0], cost_usd[1] - cost_usd[0]
    order = np.lexsort((extra, -gain))
    moved = counts[order] / counts.sum()

    def steps(start: float, each: Floats) -> Floats:
        return start + np.append(0.0, np.cumsum(each[order] * moved))

    return Ladder(
        steps(0.0, np.ones(len(gain))),
        steps(float(np.average(cost_usd[0], weights=counts)), extra),
        steps(float(np.average(correct[0], weights=counts)), gain),
    )


def by_lot(weak: float, strong: float, wanted: float) -> float | None:
    """Return the share by lot that reaches a quality (or a cost) between; None where none does."""
    if wanted <= weak:
        return 0.0
    return None if wanted > strong else (wanted - weak) / (strong - weak)


def pgr(quality: ArrayLike, weak: float, strong: float) -> Floats:
    """Return the share of the gap between weak and strong that a quality recovers.

    Source: Ong et al., RouteLLM (2024), section 3 (performance gap recovered).
    """
    return (np.asarray(quality, np.float64) - weak) / (strong - weak)


def apgr(share: ArrayLike, quality: ArrayLike, weak: float, strong: float) -> float:
    """Return the mean of pgr over the share of strong calls, from 0 to 1; by lot it is one half.

    share (m,) ascends; before its first and after its last point come the two tiers alone.
    Source: Ong et al., RouteLLM (2024), section 3: an area, here by trapezoids.
    """
    x = np.concatenate([[0.0], np.asarray(share, np.float64), [1.0]])
    y = np.concatenate([[0.0], pgr(quality, weak, strong), [1.0]])
    return float(np.trapezoid(y, x))


def cpt(
    share: ArrayLike, quality: ArrayLike, weak: float, strong: float, wanted: float
) -> float | None:
    """Return the least share of strong calls that recovers `wanted` of the gap; None if none does.

    Source: Ong et al., RouteLLM (2024), section 3 (call-performance threshold).
    """
    enough = np.asarray(share, np.float64)[pgr(quality, weak, strong) >= wanted - 1e-12]
    return float(enough.min()) if len(enough) else None


def aiq(cost_usd: ArrayLike, quality: ArrayLike) -> float | None:
    """Return the mean quality over cost along the points' upper hull; None without a range of cost.

    The hull never falls: beyond the best point its quality stays. The range of cost is that of the
    points. Source: Hu et al., RouterBench (2024), section 3.2 (average improvement in quality).
    """
    points = sorted(zip(np.asarray(cost_usd).tolist(), np.asarray(quality).tolist(), strict=True))
    if not points or points[-1][0] <= points[0][0]:
        return None
    hull: list[tuple[float, float]] = []
    best = -np.inf
    for x, y in points:
        best = max(best, y)
        while hull and hull[-1][0] == x:
            hull.pop()
        # The last point goes where it lies below the line from the one before it to this one.
        while len(hull) > 1 and _turns_left(hull[-2], hull[-1], (x, best)):
            hull.pop()
        hull.append((x, best))
    x, y = np.array(hull).T
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def _turns_left(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) >= 0
