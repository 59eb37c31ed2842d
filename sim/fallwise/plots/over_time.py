"""A check over time: who answered, and how long it took, predicted and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fallwise.plots.style import GREY, Summary, colours, frame, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["shape_over_time"]


def shape_over_time(summary: Summary) -> Figure:
    """Return, window by window, the shares answered by each tier, calls made again, and times.

    Lines are predicted, dots measured with 95 % intervals. What the scenario says goes wrong has a
    grey ground.
    """
    windows = summary["over_time"]
    again = any(window["predicted"]["retried"] for window in windows)
    again = again or any(window["measured"]["retried"] for window in windows)
    below = note(
        summary,
        "Line: predicted. Dots: measured, with 95 % intervals of shares. Grey ground: outages of "
        f"the scenario. Windows of {windows[0]['to_s'] - windows[0]['from_s']:.3g} s.",
    )
    ratios = [3.0, 1.2, 1.2] if again else [3.0, 1.2]
    with frame(_title(summary), below, 6.6 if again else 5.4) as (figure, page):
        axes = page.subplots(len(ratios), 1, sharex=True, gridspec_kw={"height_ratios": ratios})
        _shares(axes[0], summary)
        if again:
            _line(axes[1], windows, "retried", "calls made again,\na request")
        _line(axes[-1], windows, "sojourn_s_p50", "median time (s)")
        for ax in axes:
            for fault in summary["faults"]:
                ax.axvspan(fault["from_s"], fault["to_s"], color="#eeeeee", zorder=0)
            ax.set_ylim(bottom=0)
        axes[-1].set_xlim(windows[0]["from_s"], windows[-1]["to_s"])
        axes[-1].set_xlabel("time of coming (seconds from the start)")
        handles, labels = axes[0].get_legend_handles_labels()
        page.legend(handles, labels, loc="outside lower left", ncols=len(labels))
    return figure


def _middles(windows: list[Any]) -> Any:
    return np.array([(window["from_s"] + window["to_s"]) / 2 for window in windows])


def _shares(ax: Axes, summary: Summary) -> None:
    windows, tints = summary["over_time"], colours(summary)
    names = [*(tier["name"] for tier in summary["tiers"]), "no answer"]
    at = _middles(windows)
    for j, name in enumerate(names):
        said = 100 * np.array([window["predicted"]["hit_share"][j] for window in windows])
        so = 100 * np.array([window["measured"]["hit_share"][j] for window in windows])
        if name == "no answer" and not said.any() and not so[:, 0].any():
            continue
        colour = tints.get(name, GREY)
        ax.plot(at, said, color=colour, linewidth=2.5, alpha=0.75, label=name)
        value, low, high = so.T
        ends = np.array([value - low, high - value])
        look: Any = {"markersize": 4, "markerfacecolor": "white", "linewidth": 0.8}
        ax.errorbar(at, value, ends, fmt="o", color=colour, ecolor=colour, **look)
    ax.set_ylabel("answered by (%)")


def _line(ax: Axes, windows: list[Any], name: str, label: str) -> None:
    at = _middles(windows)
    for side, look in (("predicted", "-"), ("measured", "o")):
        values = [np.nan if w[side][name] is None else w[side][name] for w in windows]
        ax.plot(at, values, look, color="black", markersize=4, markerfacecolor="white", alpha=0.75)
    ax.set_ylabel(label)


def _title(summary: Summary) -> str:
    named = ", ".join(dict.fromkeys(f"{fault['tier']}" for fault in summary["faults"]))
    about = f", with outages of {named}" if named else ""
    return f"Who answered, over time{about}: predicted and measured"
