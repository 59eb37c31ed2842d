"""Numbers as a reader wants them: a unit, three digits, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fallwise.plots.style import duration, percent, usd

__all__ = [
    "ABOVE",
    "between",
    "count",
    "dollars",
    "give_or_take",
    "number",
    "points",
    "seconds",
    "share",
    "thresholded",
]

NOTHING = "–"
FIXED = "\u00a0"
"""A space at which no line ends."""
ABOVE = 1e18
"""A threshold that no score reaches."""
LARGE = ((1e9, "billion"), (1e6, "million"))


def number(estimate: Any, form: Callable[[float], str]) -> str:
    r"""Return an estimate's value.

    >>> number({"value": 0.5, "low": 0.4, "high": None}, share), number(None, share)
    ('50.0\xa0%', '–')
    """
    return NOTHING if estimate is None or estimate["value"] is None else form(estimate["value"])


def between(estimate: Any, form: Callable[[float], str]) -> str:
    r"""Return an estimate's 95 % interval, nothing where it has none.

    >>> between({"value": 0.5, "low": 0.4, "high": None}, share), between(None, share)
    ('40.0\xa0% to –', '')
    """
    ends = (None, None) if estimate is None else (estimate["low"], estimate["high"])
    if ends == (None, None) or ends == (estimate["value"],) * 2:
        return ""
    low, high = (NOTHING if x is None else form(x) for x in ends)
    return f"{low} to {high}"


def give_or_take(estimate: Any, scale: float = 100.0) -> str:
    """Return the size of a number as "54.1 ± 0.5": the wider side of its interval.

    >>> give_or_take({"value": -0.5, "low": -0.53, "high": -0.49})
    '50 ± 3'
    """
    value, ends = abs(estimate["value"]) * scale, (estimate["low"], estimate["high"])
    if None in ends:
        return f"{value:.3g}"
    half = max(abs(end - estimate["value"]) * scale for end in ends)
    digits = 0 if half >= 2 else 1 if half >= 0.15 else 2
    return f"{value:.{digits}f} ± {half:.{digits}f}" if half >= 0.005 else f"{value:.1f}"


def points(estimate: Any) -> str:
    """Return a difference of quality in points, with its sign.

    >>> points({"value": -0.006, "low": -0.008, "high": -0.004})
    '−0.6 ± 0.2 points'
    """
    sign = "−" if estimate["value"] < 0 else "+"
    return f"{sign}{give_or_take(estimate)} points"


def count(x: float) -> str:
    """Return a number of requests, to three digits.

    >>> count(210_345.0), count(204_222_104.0), count(12.0)
    ('210,000', '204 million', '12')
    """
    for size, name in LARGE:
        if x >= size:
            return f"{x / size:.3g} {name}"
    return f"{float(f'{x:.3g}'):,.0f}" if x < 1000 else f"{float(f'{x:.2g}'):,.0f}"


def dollars(x: float) -> str:
    """Return dollars, with a sign where they are negative."""
    return f"−{usd(-x)}" if x < 0 else usd(x)


def share(x: float) -> str:
    """Return a share in percent, with a sign where it is negative."""
    return (f"−{percent(-x)}" if x < 0 else percent(x)).replace(" ", FIXED)


def seconds(x: float) -> str:
    """Return a time with a unit that suits it."""
    return duration(x).replace(" ", FIXED)


def thresholded(threshold: float | None) -> str:
    """Return a threshold in words; None and ABOVE are above every score."""
    high = threshold is None or threshold >= ABOVE
    return "above every score" if high else f"{threshold:.6g}"
