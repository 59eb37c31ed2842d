"""How requests fall from tier to tier, and where they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fallwise.plots.style import GREY, Summary, colours, frame, note, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["where_requests_end"]

HIGH: Final = 0.42
"""Of a tier's bar, where tiers are 1 apart."""
PALE: Final = "#e6edf6"


def where_requests_end(summary: Summary, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return the tiers one below the other, each as wide as what comes to it.

    A row is a tier: `falls` has the columns (left, width) of all requests, in percent, that come to
    it, `parts` (kind, left, width) what becomes of them: right, wrong or lost here, or on. A
    request keeps its column from top to bottom.
    """
    below = note(summary, "A request stays in its column from top to bottom.")
    with frame(_title(rows), below, 1.6 + 0.75 * len(rows)) as (figure, page):
        ax = page.subplots()
        for y, row in enumerate(rows):
            for left, width in row["falls"]:
                ax.barh(
                    y - 1 + HIGH, width, 1 - HIGH, left, facecolor=PALE, align="edge", linewidth=0
                )
            for kind, left, width in row["parts"]:
                look = _look(kind, colours(summary)[row["name"]])
                ax.barh(y, width, HIGH, left, align="edge", **look)
            words = f"{row['name']} gets {row['asked']} and ships {row['ships']}"
            words += f", {row['right']} of it right" if row["right"] else ""
            ax.text(0.5, y - 0.08, words, fontsize=9, va="bottom")
        _finish(ax, len(rows))
        _legend(page)
    return figure


def _look(kind: str, colour: Any) -> dict[str, Any]:
    if kind == "on":
        return {"facecolor": PALE, "linewidth": 0}
    edge = {"edgecolor": "black", "linewidth": 0.6}
    if kind == "right":
        return {"facecolor": colour, **edge}
    return edge | (
        {"facecolor": "white", "hatch": "//////"} if kind == "wrong" else {"facecolor": GREY}
    )


def _finish(ax: Axes, tiers: int) -> None:
    ax.set_xlim(0, 100)
    ax.set_ylim(tiers - 1 + HIGH + 0.08, HIGH - 1)
    ax.set_yticks([])
    ax.set_xlabel("share of all requests (%)")
    ax.set_ylabel("tiers, first to last")
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False)


def _legend(page: Any) -> None:
    from matplotlib.patches import Patch

    words = {"right": "ends here, right", "wrong": "ends here, wrong"}
    words |= {"lost": "ends without an answer", "on": "goes on"}
    patches = [Patch(label=text, **_look(kind, "#9fbfdf")) for kind, text in words.items()]
    page.legend(handles=patches, loc="outside lower left", ncols=len(patches))


def _title(rows: Sequence[Mapping[str, Any]]) -> str:
    ends = [(kind, width) for row in rows for kind, _, width in row["parts"] if kind != "on"]
    shares = [sum(w for kind, w in ends if kind == one) / 100 for one in ("right", "wrong", "lost")]
    words = [f"{percent(shares[0])} of all requests end right", f"{percent(shares[1])} wrong"]
    if shares[2]:
        words.append(f"{percent(shares[2])} without an answer")
    return ", ".join(words)
