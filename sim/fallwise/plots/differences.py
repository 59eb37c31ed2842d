"""What each candidate has more than the first, with intervals, one panel a measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fallwise.plots.style import BLUE, GREY, Summary, frame, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["differences"]

PANELS: Final = {
    "cost_usd_mean": ("US dollars more, 1,000 requests", 1000.0),
    "cost_with_wrong_answers_usd_mean": ("the same, wrong answers paid for", 1000.0),
    "quality": ("points of quality more", 100.0),
    "sojourn_s_mean": ("seconds more, mean", 1.0),
    "sojourn_s_p95": ("seconds more, p95", 1.0),
    "sojourn_s_p99": ("seconds more, p99", 1.0),
    "sojourn_s_p999": ("seconds more, p99.9", 1.0),
}


def differences(summary: Summary) -> Figure:
    """Return the paired differences of a comparison; the summary is that of `compare`."""
    rows = summary["differences"]
    panels = [name for name in PANELS if any(row[name] for row in rows)]
    if all(row["cost_with_wrong_answers_usd_mean"] == row["cost_usd_mean"] for row in rows):
        panels.remove("cost_with_wrong_answers_usd_mean")
    first = summary["candidates"][0]["name"]
    title = f"What each has more than {first}, on the same requests"
    below = note(summary, "Dots: paired differences. Lines: their 95 % intervals.", money=True)
    down = -(-len(panels) // 2)
    with frame(title, below, 1.0 + down * (0.9 + 0.32 * len(rows))) as (figure, page):
        axes = page.subplots(down, 2, sharey=True, squeeze=False).ravel()
        for ax, name in zip(axes, panels, strict=False):
            _panel(ax, name, rows)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        axes[0].invert_yaxis()
    return figure


def _panel(ax: Axes, name: str, rows: list[dict[str, Any]]) -> None:
    label, scale = PANELS[name]
    for y, row in enumerate(rows):
        one = row[name]
        if one is None:
            continue
        if one["low"] is not None:
            ax.plot([one["low"] * scale, one["high"] * scale], [y, y], color="black", linewidth=1.5)
        ax.plot(one["value"] * scale, y, "o", color=BLUE, markersize=6)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set_yticks(range(len(rows)), [row["a"] for row in rows], fontsize=8)
    ax.set_xlabel(label)
    ax.margins(y=0.3)
    ax.grid(axis="y", visible=False)
    ax.locator_params(axis="x", nbins=4)
