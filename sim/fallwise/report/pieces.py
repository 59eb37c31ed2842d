"""What a page is put together from: tables, bars and plots, placed in percent of their box.

No text is in a drawing, as in `charts`; `templates/pieces.html` has the HTML of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fallwise.report.words import NOTHING, between, number

__all__ = [
    "Axis",
    "Bar",
    "Bars",
    "Card",
    "Cell",
    "Line",
    "Part",
    "Plot",
    "Said",
    "Section",
    "Study",
    "Table",
    "cell",
    "forest",
    "linear",
    "logarithmic",
    "place",
    "stacked",
    "ticks",
]

Json = dict[str, Any]
Form = Callable[[float], str]
Card = tuple[str, str, str]
"""A title, a number and its interval."""
Cell = str | tuple[str, str]
"""Words, or a number and its interval."""


@dataclass(frozen=True)
class Table:
    """Rows below heads; on a phone each row stands as a block."""

    kind: ClassVar[str] = "table"
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Said:
    """Sentences, one below the other."""

    kind: ClassVar[str] = "said"
    sentences: Sequence[str]


@dataclass(frozen=True)
class Bar:
    """One line of bars: coloured pieces (class, left, width), an interval, and a point on it."""

    name: str
    words: str
    pieces: Sequence[tuple[str, float, float]] = ()
    span: tuple[float, float] | None = None
    point: float | None = None
    code: bool = False


@dataclass(frozen=True)
class Bars:
    """Bars on one scale, with an upright line where they all start from."""

    kind: ClassVar[str] = "bars"
    title: str
    bars: Sequence[Bar]
    at: float | None = None
    key: Sequence[tuple[str, str]] = ()
    note: str = ""


@dataclass(frozen=True)
class Axis:
    """Where values stand between two ends, in percent, and which of them are named."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def at(self, value: float) -> float:
        """Return a value's place, from the low end."""
        ends = self.low, self.high
        if self.log:
            value, ends = math.log(max(value, self.low)), (math.log(self.low), math.log(self.high))
        return place(100 * (value - ends[0]) / (ends[1] - ends[0]))


@dataclass(frozen=True)
class Line:
    """A line through points; kind is its look, and a name puts it into the key below."""

    look: str
    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """Lines, bands (low and high at each x), dots, upright lines with words, and marked spans."""

    kind: ClassVar[str] = "plot"
    title: str
    about: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    note: str
    bands: Sequence[tuple[str, Sequence[tuple[float, float, float]]]] = ()
    dots: Sequence[tuple[float, float]] = ()
    uprights: Sequence[tuple[float, str]] = ()
    spans: Sequence[tuple[float, float, float]] = ()

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        """Return the path of a line in a box of 1000 by 1000."""
        return "M" + "L".join(
            f"{10 * self.x.at(x):.0f} {1000 - 10 * self.y.at(y):.0f}" for x, y in points
        )

    def area(self, band: Sequence[tuple[float, float, float]]) -> str:
        """Return the closed path between a band's ends."""
        there = [(x, low) for x, low, _ in band]
        return self.path([*there, *((x, high) for x, _, high in reversed(band))]) + "Z"


Part = Table | Said | Bars | Plot


@dataclass(frozen=True)
class Section:
    """A part of the page with a title; files are the names of its figures in the folder."""

    title: str
    parts: Sequence[Part]
    note: str = ""
    files: Sequence[str] = ()


@dataclass(frozen=True)
class Study:
    """What a page says of a study: the verdict, what stands below it, numbers, and the rest."""

    verdict: str
    more: Sequence[str]
    cards: Sequence[Card]
    sections: Sequence[Section]
    how: str = field(default="")


def place(x: float) -> float:
    """Return percent to a hundredth: finer than a pixel, and few bytes."""
    return round(float(x), 2)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers between two, about so many.

    >>> ticks(0.0, 1.0), ticks(0.62, 0.84)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.65, 0.7, 0.75, 0.8])
    """
    raw = (high - low) / about
    ten = 10.0 ** math.floor(math.log10(raw))
    step = next(m * ten for m in (1, 2, 5, 10) if m * ten >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def linear(values: Iterable[float], form: Form, about: int = 4) -> Axis:
    """Return an axis with room for the values."""
    low, high = _ends(values)
    room = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    low, high = (0.0 if low == 0 else low - room), high + room
    found = Axis(low, high, [])
    return Axis(low, high, [(found.at(t), form(t)) for t in ticks(low, high, about)])


def logarithmic(values: Iterable[float], form: Form, most: int = 4) -> Axis:
    """Return an axis with room for the values above 0; powers of ten are named, or 1, 2 and 5."""
    low, high = _ends(x for x in values if x > 0)
    low, high = (low / 1.05, high * 1.05)
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    named = [10.0**i for i in tens if low <= 10.0**i <= high]
    if len(named) < 3:
        named = [m * 10.0**i for i in tens for m in (1, 2, 5) if low <= m * 10.0**i <= high]
    named = named[:: max(1, -(-len(named) // most))]
    found = Axis(low, high, [], log=True)
    return Axis(low, high, [(found.at(t), form(t)) for t in named], log=True)


def _ends(values: Iterable[float]) -> tuple[float, float]:
    found = [x for x in values if math.isfinite(x)]
    return (min(found), max(found)) if found else (0.5, 1.0)


def cell(estimate: Any, form: Form) -> Cell:
    """Return an estimate as a table has it: the number, and its interval."""
    if not isinstance(estimate, dict):
        return NOTHING if estimate is None else form(estimate)
    return number(estimate, form), between(estimate, form)


def forest(title: str, rows: Sequence[tuple[str, Json]], form: Form, note: str = "") -> Bars:
    """Return differences, each with its interval, around an upright line at none."""
    ends = [x for _, e in rows for x in (e["value"], e["low"], e["high"]) if x is not None]
    most = max(map(abs, ends), default=0.0) or 1.0

    def x(value: float) -> float:
        return place(50 + 48 * value / most)

    bars = []
    for name, one in rows:
        span = None if None in (one["low"], one["high"]) else (x(one["low"]), x(one["high"]))
        inside = between(one, form)
        words = number(one, form) + (f" ({inside})" if inside else "")
        bars.append(Bar(name, words, span=span, point=x(one["value"])))
    return Bars(title, bars, at=50.0, note=note)


def stacked(
    title: str,
    rows: Sequence[tuple[str, str, Sequence[tuple[str, float]]]],
    key: Sequence[tuple[str, str]],
    note: str = "",
) -> Bars:
    """Return bars of parts (class, size) one after another, all on the longest one's scale."""
    most = max((sum(size for _, size in parts) for *_, parts in rows), default=0.0) or 1.0
    bars = []
    for name, words, parts in rows:
        at, pieces = 0.0, []
        for look, size in parts:
            pieces.append((look, place(at), place(100 * size / most)))
            at += 100 * size / most
        bars.append(Bar(name, words, pieces))
    return Bars(title, bars, key=key, note=note)
