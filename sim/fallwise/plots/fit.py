"""What a fitted scenario draws beside the data that it was fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fallwise.plots.style import BLUE, Summary, frame, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cascades", "laws"]


def laws(summary: Summary) -> Figure:
    """Return a panel for each fitted law: its distribution, and that of the data with its band.

    The summary is that of `fit`. The band is that of Dvoretzky, Kiefer and Wolfowitz at 95 %.
    """
    panels = summary["held"]["laid"]
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    words = "Line: fitted. Dots: data, 100 quantiles. Band: where chance puts such data, 95 %."
    worst = max(panels, key=lambda one: float(one["ks"]))
    title = (
        f"Fitted laws are {100 * worst['ks']:.1f} points off at most, at the {worst['of']} of "
        f"{worst['model']}; chance alone makes up to {100 * worst['chance']:.1f}"
    )
    with frame(title, note(summary, words), 1.0 + 2.8 * down) as (figure, page):
        for i, one in enumerate(panels):
            _law(page.add_subplot(down, across, i + 1), one)
    return figure


def _law(ax: Axes, one: dict[str, Any]) -> None:
    y = 100 * (np.arange(len(one["fitted"])) + 0.5) / len(one["fitted"])
    times = one["of"] == "seconds"
    measured, fitted = (
        np.maximum(one[name], 1e-6 if times else -np.inf) for name in ("measured", "fitted")
    )
    off = 100 * one["chance"]
    ax.fill_between(measured, np.clip(y - off, 0, 100), np.clip(y + off, 0, 100), color=BLUE)
    ax.collections[0].set(alpha=0.15, linewidth=0)
    ax.plot(fitted, y, color=BLUE, linewidth=2)
    ax.plot(measured, y, "o", color="black", markersize=3, markerfacecolor="white")
    if times:
        _logarithmic(ax)
    ax.set_ylim(0, 101)
    ax.set_title(f"{one['model']}, {one['n']:,} answers")
    ax.set_xlabel("time of a call (seconds, log scale)" if times else "score (0 to 1)")
    ax.set_ylabel("answers below (%)")


def _logarithmic(ax: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    left, right = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if right > 100 * left else (1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def cascades(summary: Summary) -> Figure:
    """Return quality by escalated share: predicted, and replayed with its 95 % interval."""
    held = summary["held"]
    rows = held["cascades"]
    title = (
        f"A cascade's quality is predicted to {100 * held['error_mean']:.1f} points on average, "
        f"{100 * held['error_max']:.1f} at most"
    )
    words = f"Fitted to {held['fitted_on']:,} questions, replayed on {held['compared_with']:,} more"
    with frame(title, note(summary, f"{words}. Bars: where chance puts that, 95 %."), 4.2) as (
        figure,
        page,
    ):
        ax = page.subplots()
        x = [100 * row["escalated"] for row in rows]
        ax.plot(x, [100 * row["predicted"] for row in rows], color=BLUE, lw=2, label="predicted")
        replayed = [100 * row["replayed"] for row in rows]
        ax.plot(x, replayed, "o", color="black", markerfacecolor="white", label="replayed")
        for at, row in zip(x, rows, strict=True):
            if row["low"] is not None:
                ends = [100 * row["low"], 100 * row["high"]]
                ax.plot([at, at], ends, color="black", linewidth=1.2, zorder=1)
        ax.set_xlabel("requests that go on to the last model (%)")
        ax.set_ylabel("quality: requests answered right (%)")
        page.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure
