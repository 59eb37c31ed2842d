"""What more quality costs, and what it would cost otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fallwise.analysis.quality import Curve
from fallwise.plots.style import DASHES, GREY, Summary, colours, frame, note, percent, thin, usd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quality_against_cost", "what_was_tuned"]

PLACES: Final = [
    (9, 0, "left", "center"),
    (-9, 0, "right", "center"),
    (0, 10, "center", "bottom"),
    (0, -10, "center", "top"),
    (8, 8, "left", "bottom"),
    (8, -8, "left", "top"),
    (-8, 8, "right", "bottom"),
    (-8, -8, "right", "top"),
]
"""Where a name may stand: offset in points from its point, and which part of it is there."""


class _Point(NamedTuple):
    name: str
    marker: str
    colour: Any
    cost: Mapping[str, float | None]
    quality: Mapping[str, float | None]


def quality_against_cost(summary: Summary, curves: Mapping[str, Curve]) -> Figure:
    """Return quality against cost: this cascade, its baselines, and what thresholds would do.

    curves has, by the name of a tier, the points of all its thresholds; their cost includes
    whatever the summary's does. Lines through the points are 95 % intervals.
    """
    points = _points(summary)
    top = max(float(point.cost["value"] or 0) for point in points)
    many = 1 if top >= 0.1 else 1000
    left_out = "Curves: as if nobody had to queue and nothing was cached."
    below = note(summary, *([left_out] if curves else []), money=True)
    with frame(_title(summary), below, 5.2) as (figure, page):
        ax = page.subplots()
        for (name, curve), dashes in zip(curves.items(), cycle(DASHES), strict=False):
            rows = thin(len(curve.quality))
            cost, quality = curve.cost_usd_mean[rows] * many, curve.quality[rows] * 100
            label = f"if only {name}'s threshold were moved"
            look = {"color": colours(summary)[name], "linestyle": dashes, "linewidth": 2}
            ax.plot(cost, quality, label=label, **look)
        _mix(ax, summary, many)
        _finish(figure, page, ax, points, many, top)
    return figure


def what_was_tuned(summary: Summary) -> Figure:
    """Return what can be tuned: quality against cost, the pick, and what it is measured against.

    The summary is that of `tune`. Lines through points are 95 % intervals.
    """
    points = [
        _Point(f"{summary[name]['tier']} only", marker, colours(summary)[tier], cost, quality)
        for name, marker in (("cheapest_only", "o"), ("frontier_only", "s"))
        for tier, cost, quality in [_alone(summary[name])]
    ]
    for name, marker in (("oracle", "D"), ("best_pair", "^"), ("bend", "v")):
        if (found := summary[name]) and (name != "oracle" or found["frontier_share"] > 0):
            points.append(_Point(name.replace("_", " "), marker, GREY, *_plain(found)))
    if (found := summary["pick"]) and found["policy"] == "cascade":
        points.append(_Point("the pick", "*", "black", found["cost_usd_mean"], found["quality"]))
    top = max(float(p.cost["value"] or 0) for p in points)
    many = 1 if top >= 0.1 else 1000
    curve = _best(summary)
    words = "every threshold" if not summary["searched"] else "settings that no other one beats"
    below = note(
        summary,
        f"Tuned on {summary['labels']['tuned_on']:,} questions, all shown on"
        f" {summary['labels']['reported_on']:,} others; nobody queues, nothing is cached.",
        money=True,
    )
    with frame(_picked(summary), below, 5.2) as (figure, page):
        ax = page.subplots()
        if curve:
            cost, quality = zip(*curve, strict=True)
            look: dict[str, Any] = {"color": "black", "linewidth": 1.6, "label": words}
            if summary["searched"]:
                look |= {"drawstyle": "steps-post", "marker": "."}
            ax.plot([many * x for x in cost], [100 * x for x in quality], **look)
        baselines = {name: summary[name] for name in ("cheapest_only", "frontier_only")}
        _mix(ax, {"baselines": baselines}, many)
        _finish(figure, page, ax, points, many, top)
    return figure


def _finish(figure: Any, page: Any, ax: Any, points: list[_Point], many: int, top: float) -> None:
    """Draw the points above the curves, name them and the axes, and put the legend below."""
    for point in points:
        _draw(ax, point, many)
    _limits(ax, top * many or 1.0)  # nothing may have a price
    ax.set_xlabel(f"cost of {'a request' if many == 1 else '1,000 requests'} (US dollars)")
    ax.set_ylabel("quality: requests answered right (%)")
    page.legend(*ax.get_legend_handles_labels(), loc="outside lower left")
    figure.draw_without_rendering()  # places the axes
    _name(ax, points, many)


def _alone(found: Any) -> tuple[str, Any, Any]:
    return found["tier"], found["cost_usd_mean"], found["quality"]


def _plain(found: Any) -> list[dict[str, float | None]]:
    return [{"value": found[x], "low": None, "high": None} for x in ("cost_usd_mean", "quality")]


def _best(summary: Summary) -> list[tuple[float, float]]:
    """Return cost and quality of the curve's points; of a search those that no other one beats."""
    found = [(p["cost_usd_mean"], p["quality"]) for p in summary["curve"]]
    if not summary["searched"]:
        return found
    best: list[tuple[float, float]] = []
    for cost, quality in sorted(found, key=lambda p: (p[0], -p[1])):
        if not best or quality > best[-1][1]:
            best.append((cost, quality))
    return best


def _picked(summary: Summary) -> str:
    pick, name = summary["pick"], summary["frontier_only"]["tier"]
    if pick is None:
        return f"Nothing gives {summary['goal']['words']}"
    if pick["policy"] == "frontier_only":
        return f"{name} alone is the best choice for {summary['goal']['words']}"
    saved, points = pick["saving"], 100 * pick["quality_difference"]["value"]
    money = "The pick" if saved is None else f"The pick saves {percent(saved['value'])} and"
    if saved is not None and saved["value"] < 0:
        money = f"The pick costs {percent(-saved['value'])} more than {name} alone and"
    side = "more" if points > 0 else "less"
    than = "" if name in money else f" than {name} alone"
    return f"{money} is right {abs(points):.1f} points {side} often{than}"


def _points(summary: Summary) -> list[_Point]:
    """Return this cascade, and the baselines that are not the same tier."""
    found = [_Point("this cascade", "*", "black", summary["cost_usd_mean"], summary["quality"])]
    for name, marker in (("cheapest_only", "o"), ("frontier_only", "s")):
        alone = summary["baselines"][name]
        words, colour = f"{alone['tier']} only", colours(summary)[alone["tier"]]
        if words not in [point.name for point in found]:
            found.append(_Point(words, marker, colour, alone["cost_usd_mean"], alone["quality"]))
    return found


def _mix(ax: Axes, summary: Summary, many: int) -> None:
    """Draw what a lottery between the two baselines would give: a cascade has to be above it."""
    low, high = (summary["baselines"][name] for name in ("cheapest_only", "frontier_only"))
    if low["tier"] == high["tier"]:
        return
    cost, quality = (
        [low[measure]["value"] * scale, high[measure]["value"] * scale]
        for measure, scale in (("cost_usd_mean", many), ("quality", 100))
    )
    words = f"{high['tier']} for a share of requests drawn by lot, {low['tier']} for the others"
    ax.plot(cost, quality, color=GREY, linewidth=1, label=words)


def _draw(ax: Axes, point: _Point, many: int) -> None:
    x, y = float(point.cost["value"] or 0) * many, float(point.quality["value"] or 0) * 100
    for of, scale, along in ((point.cost, many, "x"), (point.quality, 100, "y")):
        if of["low"] is not None and of["high"] is not None:
            ends = [of["low"] * scale, of["high"] * scale]
            line = (ends, [y, y]) if along == "x" else ([x, x], ends)
            ax.plot(*line, color="black", linewidth=1.2, zorder=3)
    size = 15 if point.marker == "*" else 9
    ax.plot(
        x, y, point.marker, color=point.colour, markersize=size, markeredgecolor="white", zorder=4
    )


def _limits(ax: Axes, top: float) -> None:
    """Show what is near the points; a curve may run on to people's wages, far to the right."""
    right = min(ax.get_xlim()[1], 1.6 * top)
    seen = [
        y
        for line in ax.lines
        for x, y in zip(*(np.asarray(d, np.float64) for d in line.get_data()), strict=True)
        if x <= right
    ]
    room = 0.08 * (max(seen) - min(seen)) + 0.5
    ax.set_xlim(-0.03 * right, right)
    ax.set_ylim(max(min(seen) - room, -2), min(max(seen) + room, 104))


def _name(ax: Axes, points: list[_Point], many: int) -> None:
    """Write each point's name beside it, where it hides the least."""
    lines = [ax.transData.transform(_dense(line.get_xydata())) for line in ax.lines]
    hidden = np.concatenate(lines)
    for point in points:
        at = float(point.cost["value"] or 0) * many, float(point.quality["value"] or 0) * 100
        words = f"{point.name}\n{usd(at[0] / many)}, {percent(at[1] / 100)}"
        tries = []
        for dx, dy, ha, va in PLACES:
            text = ax.annotate(
                words, at, (dx, dy), textcoords="offset points", ha=ha, va=va, size=9, zorder=5
            )
            box = text.get_window_extent().padded(3)
            out = not ax.bbox.padded(2).contains(box.x0, box.y0) or not ax.bbox.padded(2).contains(
                box.x1, box.y1
            )
            inside = (hidden > (box.x0, box.y0)) & (hidden < (box.x1, box.y1))
            tries.append((1000 * out + int(inside.all(axis=1).sum()), text, box))
        best = min(tries, key=lambda found: found[0])
        for _, text, _ in tries:
            if text is not best[1]:
                text.remove()
        corners = np.stack(np.meshgrid(*np.linspace(best[2].min, best[2].max, 12).T), -1)
        hidden = np.concatenate([hidden, np.repeat(corners.reshape(-1, 2), 5, axis=0)])


def _dense(points: Any) -> Any:
    """Return points along a line, close enough to each other that no text falls between them."""
    steps = np.linspace(0, len(points) - 1, 400)
    return np.stack([np.interp(steps, np.arange(len(points)), c) for c in points.T], axis=1)


def _title(summary: Summary) -> str:
    alone, saving = summary["baselines"]["frontier_only"], summary["saving"]
    ours = "The cascade"
    if summary["saving_with_upkeep"] is not None:
        ours = "Upkeep left out, the cascade"
    name, share = alone["tier"], saving and saving["value"]
    if share is None:
        money = "Nothing has a price; the cascade"
    elif None in saving.values() or saving["low"] <= 0 <= saving["high"]:
        money = f"It is open whether the cascade costs less than {name} alone; it"
    elif share < -1:
        money = f"{ours} costs {1 - share:.1f} times as much as {name} alone, and"
    else:
        side = "less" if share > 0 else "more"
        money = f"{ours} costs {percent(abs(share))} {side} than {name} alone, and"
    points = 100 * (summary["quality"]["value"] - alone["quality"]["value"])
    if abs(points) < 0.05:
        return f"{money} is right as often"
    return f"{money} is right {abs(points):.1f} points {'more' if points > 0 else 'less'} often"
