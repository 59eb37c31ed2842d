"""Numbers as a reader wants them: a unit, three digits, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fallwise.plots.style import duration, percent, usd

__all__ = [
    "ABOVE",
    "apart",
    "between",
    "count",
    "dollars",
    "give_or_take",
    "how_many",
    "number",
    "points",
    "scaled",
    "seconds",
    "share",
    "short_dollars",
    "signed",
    "thresholded",
    "until",
    "within",
]

NOTHING = "–"
FIXED = "\u00a0"
"""A space at which no line ends."""
JOINED = "\u2060"
"""Between what no line parts."""
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
    return f"{low} to {high}" if low != high else ""


def within(estimate: Any, form: Callable[[float], str]) -> str:
    """Return an estimate with its interval.

    >>> within({"value": 0.5, "low": 0.25, "high": 0.75}, str), within(0.5, str)
    ('0.5 (0.25 to 0.75)', '0.5')
    """
    if estimate is None or isinstance(estimate, int | float):
        return NOTHING if estimate is None else form(estimate)
    ends = between(estimate, form)
    return number(estimate, form) + (f" ({ends})" if ends else "")


def scaled(estimate: Any, by: float, plus: float = 0.0) -> Any:
    """Return an estimate times a number, and a number more."""
    return {end: None if x is None else x * by + plus for end, x in estimate.items()}


def signed(form: Callable[[float], str]) -> Callable[[float], str]:
    """Return a form that shows a difference's sign.

    >>> signed(str)(-0.5).replace(JOINED, ""), signed(str)(0.25)
    ('−0.5', '+0.25')
    """
    return lambda x: f"{'+' if x > 0 else f'−{JOINED}' if x < 0 else ''}{form(abs(x))}"


def apart(form: Callable[[float], str]) -> Callable[[float], str]:
    """Return the form of a difference of what has this one: of shares, that is points.

    >>> apart(share)(0.047), apart(str)(0.25)
    ('+4.7 points', '+0.25')
    """
    return signed((lambda x: f"{100 * x:.1f} points") if form is share else form)


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


def how_many(many: int) -> str:
    """Return for how many requests something is said.

    >>> how_many(1), how_many(1000)
    ('a request', '1,000 requests')
    """
    return "a request" if many == 1 else f"{many:,} requests"


def until(volume: Any) -> str:
    """Return the interval of a volume from which on it pays; one without an end ends at never.

    >>> until({"value": 2e5, "low": 1e5, "high": None}), until({"value": 1, "low": None})
    ('100,000 to never', '')
    >>> until({"value": 213_000, "low": 212_345, "high": 214_321})
    '212,345 to 214,321'
    """
    if volume["value"] is None or volume["low"] is None:
        return ""
    if volume["high"] is None:
        return f"{count(volume['low'])} to never"
    ends = volume["low"], volume["high"]
    low, high = map(count, ends)
    return f"{low} to {high}" if low != high else " to ".join(f"{x:,.0f}" for x in ends)


def dollars(x: float) -> str:
    """Return dollars, with a sign where they are negative."""
    return f"−{usd(-x)}" if x < 0 else usd(x)


def short_dollars(x: float) -> str:
    """Return dollars as they stand beside an axis.

    >>> short_dollars(2e6), short_dollars(50_000.0), short_dollars(0.5)
    ('$2M', '$50k', '$0.500')
    """
    sizes = ((1e9, "B"), (1e6, "M"), (1e3, "k"))
    return next((f"${x / size:g}{unit}" for size, unit in sizes if x >= size), dollars(x))


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
