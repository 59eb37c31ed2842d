"""Which assumption moves the answer most: bars from one end of a range to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fallwise.plots.style import BLUE, GREY, Summary, frame, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["over", "shares_of_variance", "tornado"]

STAKED: Final = "cost_with_wrong_answers_usd_mean"
PANELS: Final = {
    "cost_usd_mean": ("cost of 1,000 requests (US dollars)", 1000.0),
    STAKED: ("the same, wrong answers paid for (US dollars)", 1000.0),
    "quality": ("quality: requests answered right (%)", 100.0),
    "escalation_rate": ("escalated (%)", 100.0),
    "sojourn_s_p50": ("half of the requests end within (seconds)", 1.0),
    "sojourn_s_p95": ("95 % of the requests end within (seconds)", 1.0),
    "sojourn_s_p99": ("99 % of the requests end within (seconds)", 1.0),
}
MOST: Final = 12
"""Keys that a panel has room for."""
LOW, HIGH = "#9ecae1", BLUE


def tornado(summary: Summary) -> Figure:
    """Return a bar for each key from the measure at its low end to that at its high end.

    The summary is that of `sensitivity`; or a run's, with what `planning.movers` found in it.
    Whiskers are 95 % intervals of the high end, of the difference on the same requests.
    """
    panels = _panels(summary)
    rows = [len(_rows(summary, m)) for m in panels]
    words = "One key at a time. Whiskers: 95 % intervals of the difference between both ends."
    if "left" in summary:
        words = "What was assumed, a quarter down and up (of accuracies, their distance from 1)."
    below = note(summary, words, money=True)
    height = 1.2 + sum(0.75 + 0.34 * n for n in rows)
    with frame(_title(summary), below, height) as (figure, page):
        axes = page.subplots(len(panels), 1, squeeze=False, height_ratios=rows)[:, 0]
        for ax, measure in zip(axes, panels, strict=True):
            _panel(ax, summary, measure)
        handles = [_patch(LOW, "at the low end of the range"), _patch(HIGH, "at its high end")]
        page.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure


def _panels(summary: Summary) -> list[str]:
    """Return the measures that something moves; wrong answers only where they cost something."""
    base = summary["base"]
    found = [m for m in PANELS if base.get(m) and _rows(summary, m)]
    if STAKED in found and base[STAKED] == base["cost_usd_mean"]:
        found.remove(STAKED)
    return found


def _rows(summary: Summary, measure: str) -> list[dict[str, Any]]:
    rows = summary["tornado"].get(measure, ())
    return [row for row in rows if None not in (row["at_low"], row["at_high"])][:MOST]


def _panel(ax: Axes, summary: Summary, measure: str) -> None:
    label, scale = PANELS[measure]
    base, rows = summary["base"][measure]["value"] * scale, _rows(summary, measure)
    for y, row in enumerate(rows):
        for end, colour in (("at_low", LOW), ("at_high", HIGH)):
            ax.barh(y, row[end] * scale - base, left=base, color=colour, height=0.6)
        swing = row["swing"]
        if swing and swing["low"] is not None:
            ends = [(row["at_low"] + swing[end]) * scale for end in ("low", "high")]
            ax.plot(ends, [y, y], color="black", linewidth=1.5)
    ax.axvline(base, color=GREY, linewidth=1)
    ax.set_yticks(range(len(rows)), [_name(summary, row["key"]) for row in rows], fontsize=8)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(label)


def over(summary: Summary, key: str) -> str:
    """Return the range of a key; × is times what the scenario has."""
    within = summary["ranges"][key]
    x = "×" if within["times"] else ""
    return f"{x}{within['low']:g} to {x}{within['high']:g}"


def _name(summary: Summary, key: str) -> str:
    return f"{key.removeprefix('tiers.')}\n{over(summary, key)}"


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)


def _title(summary: Summary) -> str:
    """Return what moves the measures most, no surer than the intervals are."""
    words = {"cost_usd_mean": "the cost", "quality": "the quality", "sojourn_s_p95": "p95"}
    moved = []
    for measure, what in words.items():
        rows = summary["tornado"].get(measure, ())
        if rows and _seen(summary, rows[0]["swing"]):
            moved.append(f"{what} most by {rows[0]['key'].removeprefix('tiers.')}")
    return "Moved: " + ", ".join(moved) if moved else "None of these keys is seen to move anything"


def _seen(summary: Summary, swing: Any) -> bool:
    if not swing or swing["low"] is None:
        return bool(swing) and "left" in summary  # movers: only what moves has a row
    return bool(swing["low"] * swing["high"] > 0)


def shares_of_variance(summary: Summary) -> Figure:
    """Return each key's share of the variance when all keys move at once: alone, and with others.

    The summary is that of `sensitivity` with Sobol indices.
    """
    panels = [m for m in PANELS if summary["sobol"].get(m)]
    most = max((len(summary["sobol"][m]["indices"]) for m in panels), default=1)
    words = "All keys are uniform on their ranges. Whiskers: 95 % intervals of the whole bar."
    below = note(summary, words, money=True)
    height = 1.2 + max(1, len(panels)) * (0.75 + 0.34 * min(most, MOST))
    with frame(_together(summary), below, height) as (figure, page):
        for ax, measure in zip(np.atleast_1d(page.subplots(len(panels), 1)), panels, strict=True):
            _shares(ax, summary, measure)
        handles = [_patch(HIGH, "alone"), _patch(LOW, "together with others")]
        page.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure


def _shares(ax: Axes, summary: Summary, measure: str) -> None:
    rows = summary["sobol"][measure]["indices"][:MOST]
    label = PANELS[measure][0].partition(" (")[0].partition(":")[0]
    for y, row in enumerate(rows):
        first, total = (max(0.0, row[name]["value"]) for name in ("first", "total"))
        ax.barh(y, max(first, total), color=LOW, height=0.6)
        ax.barh(y, first, color=HIGH, height=0.6)
        ends = [max(0.0, row["total"][end]) for end in ("low", "high")]
        ax.plot(ends, [y, y], color="black", linewidth=1.5)
    ax.set_yticks(range(len(rows)), [_name(summary, row["key"]) for row in rows], fontsize=8)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, None)
    ax.set_xlabel(f"share of the variance of: {label}")


def _together(summary: Summary) -> str:
    pairs = [
        (pair["share"], measure, pair["keys"])
        for measure in PANELS
        if summary["sobol"].get(measure)
        for pair in summary["sobol"][measure]["together"]
    ]
    if not pairs or max(pairs)[0] < 0.02:
        return "No two keys do 2 % or more of the variance together only"
    share, measure, keys = max(pairs)
    names = " and ".join(key.removeprefix("tiers.") for key in keys)
    return f"{names} act together: {100 * share:.0f} % of the variance of {measure}"
