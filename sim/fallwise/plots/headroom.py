"""How near a plan comes to its targets as the traffic grows."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from fallwise.plots.style import BLUE, DASHES, GREY, Summary, frame, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["headroom", "used"]

COLOURS: Final = (BLUE, "#d95f02", "#2a9d3a", "#7b3294", "#8c510a")


def headroom(summary: Summary) -> Figure:
    """Return how much of each target's limit is used up at growing traffic, up to where it breaks.

    The summary is that of `size` with a pick. 100 % is the limit: of what must stay below, the
    measure over it; of what must stay above, what is missing to 1 over what may be. Bands are 95 %
    intervals; a plan holds while they are below.
    """
    head = summary["headroom"]
    below = note(summary, "Bands: 95 % intervals. The plan breaks where one leaves its limit.")
    with frame(_title(summary), below, 4.6) as (figure, page):
        ax = page.subplots()
        looks = zip(cycle(COLOURS), cycle(DASHES), strict=False)
        for target, (colour, dashes) in zip(head["curve"][0]["targets"], looks, strict=False):
            rows = [(r["traffic_factor"], _of(r["targets"], target["name"])) for r in head["curve"]]
            x = [factor for factor, _ in rows]
            parts = [[used(of, end) for _, of in rows] for end in ("value", "low", "high")]
            ax.plot(x, parts[0], color=colour, linestyle=dashes, linewidth=2, label=_label(target))
            ax.fill_between(x, parts[1], parts[2], color=colour, alpha=0.15, linewidth=0)
        ax.axhline(100, color="black", linewidth=1)
        if head["breaks_at"]:
            ax.axvline(head["traffic_factor"], color=GREY, linewidth=1.2, linestyle=":")
        ax.set_ylim(0, min(ax.get_ylim()[1], 250))
        ax.set_xlabel("times the traffic")
        ax.set_ylabel("part of the limit used (%)")
        page.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def _of(targets: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(target for target in targets if target["name"] == name)


def used(target: dict[str, Any], end: str) -> float:
    """Return the percentage of the limit that is used up; NaN where it was not measured."""
    value, limit = target[end], target["limit"]
    if value is None:
        return float("nan")
    if target["side"] == "at_least" and limit < 1:
        value, limit = 1 - value, 1 - limit
    elif target["side"] == "at_least":
        value, limit = limit, max(value, 1e-12)
    return 100 * value / limit if limit else 0.0


def _label(target: dict[str, Any]) -> str:
    return f"{target['name']} {target['side'].replace('_', ' ')} {target['limit']:g}"


def _title(summary: Summary) -> str:
    head = summary["headroom"]
    plan = ", ".join(f"{name} {units}" for name, units in summary["pick"].items())
    words = f"{plan}: holds up to {head['traffic_factor']:g} times the traffic"
    return words + (f"; then {head['gives_way']} gives way" if head["gives_way"] else "")
