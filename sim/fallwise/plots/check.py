"""Predicted and measured times, laid over each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fallwise.plots.style import GREY, Summary, colours, duration, frame, note, percent
from fallwise.tables import Bools, OutcomeTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["often", "predicted_and_measured"]

MOST: Final = 4
"""So many paths have a panel of their own."""
FEWEST: Final = 20


def predicted_and_measured(
    summary: Summary, predicted: OutcomeTable, measured: OutcomeTable
) -> Figure:
    """Return the distributions of the time from arrival to end, of all requests and by path.

    Row i of the tables is the same request. The paths with most requests have a panel of their own.
    """
    panels = often(summary, predicted, measured)
    across = min(len(panels), 2)
    down = -(-len(panels) // across)
    below = note(summary, "Line: predicted. Dots: measured, 50 quantiles.")
    with frame(_title(summary), below, 1.0 + 2.7 * down) as (figure, page):
        for i, (label, here, there) in enumerate(panels):
            ax = page.add_subplot(down, across, i + 1)
            colour = colours(summary).get(label.rpartition(" → ")[2], GREY) if i else "black"
            _panel(ax, predicted.sojourn_s[here], measured.sojourn_s[there], colour)
            shares = f"{percent(here.mean())} predicted, {percent(there.mean())} measured"
            ax.set_title(label if i == 0 else f"{label}\n{shares}")
            if i >= len(panels) - across:
                ax.set_xlabel("time from arrival to end (seconds, log scale)")
            if i % across == 0:
                ax.set_ylabel("requests that are done (%)")
    return figure


def often(
    summary: Summary, predicted: OutcomeTable, measured: OutcomeTable
) -> list[tuple[str, Bools, Bools]]:
    """Return what has a panel: all requests and, where there are several, the usual paths.

    Each with a name and, (n,), which rows of either side are meant.
    """
    found = [("all requests", np.ones(len(predicted), bool), np.ones(len(measured), bool))]
    paths, counts = np.unique(predicted.path, return_counts=True)
    usual = paths[np.argsort(-counts)][: (counts >= FEWEST).sum()].tolist()
    for bits in usual[:MOST] if len(usual) > 1 else ():
        visited = [t["name"] for k, t in enumerate(summary["tiers"]) if bits >> k & 1]
        label = " → ".join(visited) or "no tier at all"
        found.append((label, predicted.path == bits, measured.path == bits))
    return found


def _panel(ax: Axes, predicted_s: Any, measured_s: Any, colour: Any) -> None:
    import seaborn as sns
    from matplotlib.ticker import LogLocator, NullFormatter

    look = {"ax": ax, "estimator": None, "sort": False}
    share = np.linspace(0.0025, 0.9975, 400)
    x = np.quantile(predicted_s, share, method="inverted_cdf")
    sns.lineplot(x=x, y=100 * share, color=colour, linewidth=2.5, alpha=0.75, **look)
    if len(measured_s):
        some = np.linspace(0.01, 0.99, 50)
        dots = np.quantile(measured_s, some, method="inverted_cdf")
        ax.plot(dots, 100 * some, "o", color="black", markersize=3, markerfacecolor="white")
    ax.set_xscale("log")
    left, right = ax.get_xlim()
    subs = (1.0,) if right > 100 * left else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(0, 101)


def _title(summary: Summary) -> str:
    rows = {row["measure"]: row for row in summary["rows"]}
    words = []
    for at in ("p50", "p99"):
        row = rows.get(f"sojourn_s_{at}")
        if row is not None:
            said, so = (duration(row[side]["value"]) for side in ("predicted", "measured"))
            words.append(f"{at} predicted {said}, measured {so}")
    verdict = {"agree": "agree", "differ": "differ", "inconclusive": "cannot be judged"}
    return f"Predicted and measured {verdict[summary['verdict']]}: {'; '.join(words)}"
