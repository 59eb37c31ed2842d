"""How a cache fills, and what that makes of the cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallwise.plots.style import Summary, colours, frame, note, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cache_over_time"]


def cache_over_time(summary: Summary) -> Figure:
    """Return the share of hits and the cost of a request, part after part of the run.

    Bands are 95 % intervals. The run is drawn from its first request on, the warm-up too.
    """
    curve, name = summary["cache_over_time"], summary["tiers"][0]["name"]
    first, last = (part["hit_share"]["value"] for part in (curve[0], curve[-1]))
    title = (
        f"{name} hits {percent(first)} of the first {curve[0]['requests_to']:,} requests and "
        f"{percent(last)} of the last {curve[-1]['requests_to'] - curve[-1]['requests_from']:,}"
    )
    money = any(part["cost_usd_mean"]["value"] for part in curve)
    below = note(summary, "Costs are of calls, without rented capacity.", money=True)
    with frame(title, below if money else note(summary), 5.4 if money else 3.2) as (figure, page):
        panels = page.subplots(2 if money else 1, 1, sharex=True, squeeze=False)[:, 0]
        colour = colours(summary)[name]
        _steps(panels[0], summary, "hit_share", 100.0, colour)
        panels[0].set_ylabel(f"{name} hits (%)")
        if money:
            _steps(panels[1], summary, "cost_usd_mean", 1.0, colour)
            panels[1].set_ylabel("a request costs (US dollars)")
        panels[-1].set_xlabel("requests since the start of the run")
        panels[-1].set_xscale("log")
    return figure


def _steps(
    ax: Axes, summary: Summary, name: str, scale: float, colour: tuple[float, float, float]
) -> None:
    for part in summary["cache_over_time"]:
        ends = [part["requests_from"] or part["requests_to"] / 3, part["requests_to"]]
        value, low, high = (part[name][x] for x in ("value", "low", "high"))
        if low is not None:
            ax.fill_between(ends, scale * max(low, 0), scale * high, color=colour, alpha=0.3, lw=0)
        ax.plot(ends, [scale * value] * 2, color="black", linewidth=1.6)
    ax.set_ylim(bottom=0)
