"""How long requests take, path by path."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fallwise.plots.style import DASHES, GREY, Summary, colours, duration, frame, note, percent
from fallwise.tables import Floats, Int64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["latency_by_path"]

MOST: Final = 5
"""So many paths have a curve of their own."""
MARKS: Final = {"p50": (0.5, "o", "●"), "p95": (0.95, "s", "■"), "p99": (0.99, "^", "▲")}
NOWHERE: Final = "no tier at all"
GRID: Final = np.concatenate([np.linspace(0, 0.98, 400), np.linspace(0.98, 1, 201)[1:]])
"""Shares at which a distribution is drawn: 600 exact quantiles, closer together in the tail."""


def latency_by_path(summary: Summary, sojourn_s: Floats, path: Int64s) -> Figure:
    """Return the distribution of the time from arrival to end, of all requests and by path.

    sojourn_s and path are (n,) columns of the requests that were measured; bit k of a path is set
    where tier k was visited. Times close to 0 are drawn at the left edge of the logarithmic axis.
    """
    with frame(_title(summary), note(summary), 6.2) as (figure, page):
        ax = page.subplots()
        ax.set_xscale("log")
        some = sojourn_s[sojourn_s > 0]
        floor = float(np.quantile(some, 0.0005)) / 2 if len(some) else 1e-3
        ax.set_xlim(floor / 1.5, 1.5 * max(2 * floor, float(sojourn_s.max())))
        everything: dict[str, Any] = {"color": "black", "linewidth": 5, "alpha": 0.2}
        _curve(ax, sojourn_s, floor, "100 %  all requests", summary, everything)
        names = [tier["name"] for tier in summary["tiers"]]
        shown = np.zeros(len(path), np.bool_)
        for row, dashes in zip(summary["paths"][:MOST], DASHES, strict=False):
            taken = path == sum(1 << names.index(name) for name in row["path"])
            shown |= taken
            last = row["path"][-1] if row["path"] else NOWHERE
            style = {"color": colours(summary).get(last, GREY), "linestyle": dashes}
            words = f"{percent(row['share']['value'])}  {' → '.join(row['path']) or NOWHERE}"
            _curve(ax, sojourn_s[taken], floor, words, row, style | {"linewidth": 2})
        if not shown.all():
            label = f"{percent(1 - shown.mean())}  {len(summary['paths']) - MOST} other paths"
            style = {"color": GREY, "linestyle": ":", "linewidth": 1.5}
            _curve(ax, sojourn_s[~shown], floor, label, {}, style)
        _label(ax)
        page.legend(*ax.get_legend_handles_labels(), loc="outside lower left")
    return figure


def _curve(
    ax: Axes,
    times_s: Floats,
    floor: float,
    label: str,
    about: Mapping[str, Any],
    style: Mapping[str, Any],
) -> None:
    """Draw one distribution, and mark those of its quantiles that could be measured."""
    import seaborn as sns

    found = {at: about[f"sojourn_s_{at}"] for at in MARKS if about.get(f"sojourn_s_{at}")}
    if found:
        words = [f"{MARKS[at][2]} {at} {duration(x['value'])}" for at, x in found.items()]
        label = f"{'  '.join(words)}    {label}"

    x = np.quantile(times_s, GRID, method="inverted_cdf")
    kept = {"ax": ax, "estimator": None, "sort": False, "drawstyle": "steps-post"}
    sns.lineplot(
        x=np.maximum(x, floor),
        y=100 * GRID,
        label=textwrap.fill(label, 104),
        legend=False,
        **kept,
        **style,
    )
    for at, estimate in found.items():
        share, marker, _ = MARKS[at]
        spot = max(estimate["value"], floor), 100 * share
        ax.plot(*spot, marker, color=style["color"], markeredgecolor="white", zorder=3)


def _label(ax: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xlabel("time from arrival to the end of the request (seconds, log scale)")
    ax.set_ylabel("share of requests that are done (%)")
    ax.set_ylim(0, 101)
    ax.set_yticks([0, 25, 50, 75, 95])
    left, right = ax.get_xlim()
    subs = (1.0,) if right > 1000 * left else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _title(summary: Summary) -> str:
    known = {at: summary[f"sojourn_s_{at}"] for at in ("p50", "p95", "p99")}
    words = [f"{at[1:]} % within {duration(x['value'])}" for at, x in known.items() if x]
    if not words:
        return "How long requests take"
    whole = ", ".join(words).replace("within", "of all requests are done within", 1)
    paths = [row for row in summary["paths"][:MOST] if row["path"] and row["sojourn_s_p50"]]
    if len(paths) < 2:
        return whole
    slow = max(paths, key=lambda row: float(row["sojourn_s_p50"]["value"]))
    half = f"half take over {duration(slow['sojourn_s_p50']['value'])}"
    return f"{whole}; slowest are those that go on to {slow['path'][-1]}, where {half}"
