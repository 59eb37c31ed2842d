"""Which tier answers how many requests, and how many of its answers are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallwise.plots.style import GREY, Summary, colours, frame, note, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["tier_hits"]


def tier_hits(summary: Summary) -> Figure:
    """Return bars of the shares of all requests that each tier answered, right and wrong.

    The last bar is of those without an answer. Lines at the ends are 95 % intervals.
    """
    rows = [tier["name"] for tier in summary["tiers"]]
    with frame(_title(summary), note(summary), 2.0 + 0.42 * (len(rows) + 1)) as (figure, page):
        ax = page.subplots()
        for y, tier in enumerate(summary["tiers"]):
            _bar(ax, y, tier, colours(summary)[tier["name"]])
        _unanswered(ax, len(rows), summary)
        ax.set_yticks(range(len(rows) + 1), [*rows, "no answer"])
        ax.invert_yaxis()
        ax.set_ylabel("answered by")
        right = 1.75 * ax.dataLim.x1  # room for the words at the end of a long bar
        ax.set_xlim(0, right)
        ax.set_xticks([x for x in ax.get_xticks() if x <= min(right, 100)])
        ax.set_xlabel("share of all requests (%)")
        ax.grid(axis="y", visible=False)
        _legend(ax)
    return figure


def _bar(ax: Axes, y: int, tier: Summary, colour: tuple[float, float, float]) -> None:
    share, low, high = (100 * (tier["hit_share"][x] or 0) for x in ("value", "low", "high"))
    quality = tier["quality"]["value"] if tier["quality"] else 0.0
    wrong = share * (1 - quality)
    ax.barh(y, share - wrong, color=colour, edgecolor="black", linewidth=0.6)
    left = share - wrong
    ax.barh(y, wrong, left=left, color="white", edgecolor=colour, hatch="//////", linewidth=0)
    ax.barh(y, wrong, left=left, color="none", edgecolor="black", linewidth=0.6)
    ends = share
    if tier["hit_share"]["low"] is not None and share:
        low, high = max(low, 0), min(high, 100)
        ax.plot([low, high], [y, y], color="black", linewidth=1.2, marker="|", markersize=6)
        ends = high
    words = f"{percent(share / 100)}, {percent(1 - quality)} of them wrong" if share else "none"
    ax.annotate(words, (ends, y), (6, 0), textcoords="offset points", va="center")


def _unanswered(ax: Axes, y: int, summary: Summary) -> None:
    counts = {name: n for name, n in summary["status"].items() if name != "answered" and n}
    total = sum(summary["status"].values())
    share = sum(counts.values()) / total
    ax.barh(y, 100 * share, color=GREY, edgecolor="black", linewidth=0.6)
    each = ", ".join(f"{name.replace('_', ' ')} {percent(n / total)}" for name, n in counts.items())
    ax.annotate(each or "none", (100 * share, y), (6, 0), textcoords="offset points", va="center")


def _legend(ax: Axes) -> None:
    from matplotlib.patches import Patch

    right = Patch(facecolor=GREY, edgecolor="black", linewidth=0.6, label="right")
    wrong = Patch(facecolor="white", edgecolor="black", hatch="//////", linewidth=0.6)
    wrong.set_label("wrong")
    ax.legend(handles=[right, wrong], loc="lower right", ncols=2)


def _title(summary: Summary) -> str:
    most = max(summary["tiers"], key=lambda tier: float(tier["hit_share"]["value"]))
    if not most["hit_share"]["value"]:
        return "No request was answered"
    said = f"{most['name']} answers {percent(most['hit_share']['value'])} of the requests"
    wrong = 1 - summary["quality_answered"]["value"]
    return f"{said}; {percent(wrong)} of all the answers given are wrong"
