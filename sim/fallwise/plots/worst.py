"""The longest time that each candidate's own limits allow, by what adds up to it."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from fallwise.plots.style import Summary, duration, frame, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["worst_case"]

HATCHES: Final = ("", "////", "....", "\\\\\\\\", "xx", "++", "oo")


def worst_case(summary: Summary) -> Figure:
    """Return stacked bars of the longest path's limits; the summary is that of `compare`.

    What has no bound has no bar, and its reason stands in its place.
    """
    ones = summary["candidates"]
    words = "The sum of what the limits allow on the longest path, whatever the traffic is."
    height = 1.7 + 0.42 * len(ones) + 0.2 * (len(_names(ones)) // 3)
    with frame(_title(ones), note(summary, words), height) as (figure, page):
        ax = page.subplots()
        _bars(ax, ones)
        ax.set_yticks(range(len(ones)), [one["name"] for one in ones])
        ax.set_ylim(len(ones) - 0.5, -0.5)
        ax.set_xlabel("seconds")
        ax.grid(axis="y", visible=False)
        handles, names = ax.get_legend_handles_labels()
        if names:
            page.legend(handles, names, loc="outside lower left", ncols=3)
    return figure


def _names(ones: list[dict[str, Any]]) -> list[str]:
    """Return what adds up to any bound, as the candidates name it."""
    bounded = [one["worst_case"] for one in ones if one["worst_case"]["seconds"] is not None]
    return list(dict.fromkeys(p["part"] for case in bounded for p in case["parts"] if p["seconds"]))


def _bars(ax: Axes, ones: list[dict[str, Any]]) -> None:
    import seaborn as sns

    names = _names(ones)
    looks = dict(zip(names, zip(cycle(sns.color_palette("colorblind")), cycle(HATCHES))))  # noqa: B905
    most = max((one["worst_case"]["seconds"] or 0.0 for one in ones), default=0.0) or 1.0
    ax.set_xlim(0, 1.2 * most)
    seen = set()
    for y, one in enumerate(ones):
        case, left = one["worst_case"], 0.0
        bounded = case["seconds"] is not None
        for part in case["parts"] if bounded else ():
            name = part["part"]
            if not part["seconds"]:
                continue
            colour, hatch = looks[name]
            look: dict[str, Any] = {"facecolor": colour, "hatch": hatch, "edgecolor": "black"}
            label = "" if name in seen else name
            ax.barh(y, part["seconds"], 0.6, left, linewidth=0.5, label=label, **look)
            seen.add(name)
            left += part["seconds"]
        said = duration(case["seconds"]) if bounded else f"no bound: {case['unbounded'][0]}"
        ax.annotate(said, (left, y), (4, 0), textcoords="offset points", va="center", fontsize=9)


def _title(ones: list[dict[str, Any]]) -> str:
    known = {one["name"]: one["worst_case"]["seconds"] for one in ones}
    bounded = {name: s for name, s in known.items() if s is not None}
    free = len(known) - len(bounded)
    if not bounded:
        return "Nothing here has a bound on how long a request may take"
    least = min(bounded, key=lambda name: bounded[name])
    words = f"At worst {least} takes {duration(bounded[least])}"
    slow = max(bounded, key=lambda name: bounded[name])
    if bounded[slow] > bounded[least]:
        words += f", {slow} {duration(bounded[slow])}"
    return words + (f"; {free} of {len(known)} have no bound" if free else "")
