"""Intervals of what is worked out of many sums at once: the batches of a run, drawn again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from fallwise.analysis.sample import Json
from fallwise.draw import stream
from fallwise.tables import Floats

__all__ = ["DRAWS", "outer", "ranged", "weights"]

DRAWS: Final = 400
"""Resamples that an interval is made of."""


def weights(batches: int, seed: int) -> Floats:
    """Return (DRAWS, batches) how often each batch counts in a resample; none of a single one.

    Few batches are alike by chance, so resamples are drawn apart as Student's t would have it.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), sections 8 and 12.
    """
    from scipy.stats import norm, t

    if batches < 2:
        return np.empty((0, batches))
    chance = stream(seed, "breakeven")
    drawn = chance.multinomial(batches, np.full(batches, 1 / batches), DRAWS)
    wider = t.ppf(0.975, batches - 1) / norm.ppf(0.975) * math.sqrt(batches / (batches - 1))
    counts: Floats = 1 + wider * (drawn - 1)
    return counts


def ranged(value: float, drawn: Sequence[float]) -> Json:
    """Return a number and what its resamples span; None stands for no end, and for never."""
    ends = [math.nan, math.nan]
    if len(drawn) > 1:
        ends = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf").tolist()
    found = zip(("value", "low", "high"), (value, *ends), strict=True)
    return {name: float(x) if math.isfinite(x) else None for name, x in found}


def outer(estimates: Sequence[Json]) -> Json:
    """Return the first of the estimates, with an interval that holds those of all."""
    lows, highs = ([one[end] for one in estimates] for end in ("low", "high"))
    low = None if None in lows else min(x for x in lows if x is not None)
    high = None if None in highs else max(x for x in highs if x is not None)
    return {"value": estimates[0]["value"], "low": low, "high": high}
