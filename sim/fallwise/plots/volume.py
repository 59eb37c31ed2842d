"""What a month costs, by how many requests come in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fallwise.planning.volume import costs_from, volumes
from fallwise.plots.style import GREY, Summary, frame, note, usd
from fallwise.tables import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cost_against_volume", "with_wrong_answers"]

LOOK: Final[dict[str, dict[str, Any]]] = {
    "cascade": {"color": "black", "linewidth": 2.0, "label": "this cascade"},
    "frontier_only": {"color": "#1f78b4", "linewidth": 2.0, "linestyle": "--"},
}


def cost_against_volume(summary: Summary) -> Figure:
    """Return both monthly totals against volume, and where the cascade is the cheaper one.

    The summary is that of `breakeven`. Where no more than a few dozen whole units are rented,
    their steps are seen.
    """
    busy = f"Rented units are at most {100 * summary['utilisation']:g} % busy."
    below = note(summary, busy, "Dollars and requests are on logarithmic scales.", money=True)
    volume = _volumes(summary)
    with frame(_title(summary), below, 4.8) as (figure, page):
        ax = page.subplots()
        for name, plain in summary["sides"].items():
            look = LOOK[name]
            if name == "frontier_only":
                look = look | {"label": f"{summary['frontier']} alone"}
            ax.plot(volume, costs_from(plain).monthly_usd(volume), **look)
        _ranges(ax, summary, volume)
        ax.set_xscale("log")
        ax.set_xlim(volume[0], volume[-1])
        if any(line.get_ydata().max() > 0 for line in ax.lines):  # type: ignore[union-attr]
            ax.set_yscale("log")
        now = summary["requests_per_month_now"]
        if now:
            ax.axvline(
                now, color=GREY, linewidth=1.2, linestyle=":", label="this scenario's traffic"
            )
        ax.set_xlabel("requests a month")
        ax.set_ylabel("US dollars a month")
        page.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def with_wrong_answers(summary: Summary) -> Summary:
    """Return the summary of `breakeven` as it is when wrong answers are paid for too."""
    staked = summary["with_wrong_answers"]
    sides = {
        name: side | {"usage_usd": side["usage_usd"] + staked["wrong_answers_usd"][name]}
        for name, side in summary["sides"].items()
    }
    return {**summary, **staked, "sides": sides, "staked": True}


def _volumes(summary: Summary) -> Floats:
    low, high = (summary["monthly"][at]["requests_per_month"] for at in (0, -1))
    first = summary["requests_per_month"]
    if first and first["value"]:
        low, high = min(low, first["value"] / 10), max(high, first["value"] * 10)
    return volumes(low, high, [costs_from(plain) for plain in summary["sides"].values()])


def _ranges(ax: Axes, summary: Summary, volume: Floats) -> None:
    """Shade where the cascade pays, and draw the interval of where that begins for good."""
    label = "the cascade is not dearer"
    for one in summary["pays_in"]:
        end = volume[-1] if one["to"] is None else one["to"]
        if end > volume[0] and one["from"] < volume[-1]:
            ax.axvspan(
                max(one["from"], volume[0]), end, color="#2a9d3a", alpha=0.13, lw=0, label=label
            )
            label = ""
    pays = summary["requests_per_month"]
    if pays and pays["value"] and pays["low"] is not None:
        high = volume[-1] if pays["high"] is None else pays["high"]
        look: dict[str, Any] = {
            "color": "#2a9d3a",
            "linewidth": 3,
            "zorder": 4,
            "solid_capstyle": "butt",
        }
        at = costs_from(summary["sides"]["cascade"]).monthly_usd(np.array([pays["value"]]))[0]
        ax.plot(pays["value"], at, "o", color="#2a9d3a", markersize=9, markeredgecolor="white")
        ax.plot([pays["low"], high], [at, at], label="from here on it pays, 95 % interval", **look)


def _title(summary: Summary) -> str:
    pays = summary["requests_per_month"]
    staked = "With wrong answers paid for, t" if "staked" in summary else "T"
    if pays is None:
        return f"{staked}here is no volume from which on the cascade pays"
    if not pays["value"]:
        return f"{staked}he cascade pays from the first request on"
    now = summary["requests_per_month_now"]
    words = f"{staked}he cascade pays from {pays['value']:,.0f} requests a month on"
    if not now:
        return words
    side = costs_from(summary["sides"]["cascade"]), costs_from(summary["sides"]["frontier_only"])
    totals = [float(one.monthly_usd(np.array([now]))[0]) for one in side]
    return f"{words}; now, at {now:,.0f}, it is {usd(totals[0])} against {usd(totals[1])}"
