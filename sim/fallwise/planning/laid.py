"""A measured distribution beside the one that a fitted law draws."""

from __future__ import annotations

from math import inf, log, sqrt
from typing import Any, Final

import numpy as np

from fallwise.analysis.intervals import order_statistic
from fallwise.tables import Floats

__all__ = ["gap", "laid"]

TOLD: Final = (0.5, 0.95, 0.99)
SHARES: Final = (np.arange(100) + 0.5) / 100


def laid(
    model: str, of: str, measured: Floats, drawn: Floats, fitted_on: float = inf
) -> dict[str, Any]:
    """Return a hundred quantiles of both, how far apart they are, and how far chance puts them.

    `ks` is the largest gap of the distribution functions (Kolmogorov and Smirnov). `chance`: so far
    apart are those of so many measured values, and of so many others that the law was fitted to,
    at most in 95 % of all cases. Source: Massart, The tight constant in the Dvoretzky-Kiefer-
    Wolfowitz inequality, Annals of Probability 18 (1990); of two samples: Wei and Dudley,
    Statistics and Probability Letters 82 (2012). `quantiles`: the p50, p95 and p99 of both, the
    measured one with its exact 95 % interval, for values that do not depend on each other.
    """
    pairs = {"measured": measured, "fitted": drawn}
    return {
        "model": model,
        "of": of,
        "n": len(measured),
        "ks": gap(measured, drawn),
        "chance": sqrt(log(2 / 0.05) / 2 * (1 / len(measured) + 1 / fitted_on)),
        "quantiles": [
            {"q": q, "measured": order_statistic(measured, q).dict(), "fitted": at}
            for q, at in zip(TOLD, np.quantile(drawn, TOLD).tolist(), strict=True)
        ],
        **{k: np.quantile(x, SHARES, method="inverted_cdf").tolist() for k, x in pairs.items()},
    }


def gap(a: Floats, b: Floats) -> float:
    """Return the largest difference of two samples' distribution functions."""
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    shares = [np.searchsorted(x, at, side="right") / len(x) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())
