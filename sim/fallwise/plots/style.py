"""What all figures share: colours, fonts, the title and the note below, words for numbers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

__all__ = [
    "BLUE",
    "GREY",
    "Colours",
    "Summary",
    "colours",
    "duration",
    "frame",
    "note",
    "percent",
    "save",
    "thin",
    "usd",
]

Summary = Mapping[str, Any]
Colours = dict[str, tuple[float, float, float]]

BLUE: Final = "#1f5f99"
"""Of what the figure is about, where no tier is."""
GREY: Final = "#767676"
"""Of what is no tier: what was not answered, baselines that mix, notes."""
DASHES: Final[list[Any]] = ["-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3))]
"""Lines beside each other differ in more than colour."""
WIDTH_IN: Final = 8.0
"""At 100 dots an inch a figure is 800 pixels wide, and its smallest text 11 pixels high."""
DOTS: Final = 150
MOST: Final = 10
"""So many assumptions are named below a figure."""
LOOK: Final = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": "#dddddd",
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    # The same figure gives the same bytes.
    "svg.hashsalt": "fallwise",
}


def colours(summary: Summary) -> Colours:
    """Return the colour of each tier: viridis, from light for the cheapest to dark for the last.

    They differ in lightness, so that they can be told apart in grey and by the colour-blind.
    """
    import seaborn as sns

    names = [tier["name"] for tier in summary["tiers"]]
    return dict(zip(names, sns.color_palette("viridis_r", len(names)), strict=True))


@contextmanager
def frame(title: str, below: str, height_in: float) -> Iterator[tuple[Figure, SubFigure]]:
    """Give a figure and the part to draw in, in our look whatever the user's own settings are.

    No figure is registered with pyplot, and no setting is changed after it.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", LOOK]):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        foot_in = 0.05 + 0.16 * len(below.splitlines())
        heights = [height_in - foot_in, foot_in]
        page, foot = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
        # Two dollar signs are two amounts, and no formula between them.
        plain: dict[str, Any] = {"parse_math": False}
        page.suptitle(textwrap.fill(title, 88), x=0.012, ha="left", fontsize=12, **plain)
        foot.text(0.012, 0.95, below, va="top", fontsize=8, color=GREY, **plain)
        yield figure, page


def note(summary: Summary, *sentences: str, money: bool = False) -> str:
    """Return the sentences, and what was assumed; prices only where the figure shows money."""
    keys = [item["key"] for item in summary["assumptions"]]
    shown = [k.removeprefix("tiers.") for k in keys if money or "usd" not in k]
    if len(shown) > MOST:
        shown[MOST - 1 :] = [f"{len(shown) - MOST + 1} more (summary.json)"]
    assumed = ["Assumed, not measured: " + ", ".join(shown) + "."] if shown else []
    return textwrap.fill(" ".join([*sentences, *assumed]), 130, break_on_hyphens=False)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the name's suffix; the same figure gives the same bytes."""
    import matplotlib.style

    unstamped = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
    with matplotlib.style.context(["default", LOOK]):
        figure.savefig(path, dpi=DOTS, metadata=unstamped[path.suffix])


def percent(share: float) -> str:
    """Return a share in words.

    >>> percent(0.1234), percent(0.0), percent(0.0001)
    ('12.3 %', '0.0 %', 'under 0.1 %')
    """
    return "under 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def usd(dollars: float) -> str:
    """Return dollars to three digits, never with an exponent.

    >>> usd(0.01), usd(0.00012345), usd(12.0), usd(0.0), usd(123456.0), usd(0.009999999)
    ('$0.0100', '$0.000123', '$12.0', '$0', '$123,456', '$0.0100')
    """
    return f"${dollars:,.0f}" if dollars == 0 or dollars >= 100 else f"${_three(dollars)}"


def duration(seconds: float) -> str:
    """Return a time with a unit that suits it.

    >>> duration(0.000407), duration(0.9999), duration(89.5), duration(7200.0), duration(0.0)
    ('407 µs', '1.00 s', '89.5 s', '2.00 h', '0 s')
    """
    units = ((3600.0, "h"), (600.0, "min"), (0.9995, "s"), (0.9995e-3, "ms"), (0.0, "µs"))
    unit = next(unit for least, unit in units if seconds >= least)
    size = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6}[unit]
    return f"{_three(seconds / size)} {unit}" if seconds else "0 s"


def _three(x: float) -> str:
    rounded = float(f"{x:.3g}")
    return f"{rounded:.{max(0, 2 - math.floor(math.log10(rounded)))}f}"


def thin(n: int, most: int = 500) -> Sequence[int]:
    """Return at most so many of the positions 0 ... n - 1, evenly spread, both ends among them."""
    rows: list[int] = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()
    return rows
