"""Where the seconds went, one bar a candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fallwise.plots.style import Summary, duration, frame, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["OF", "PARTS", "latency_budget"]

PARTS: Final = {
    "cache": "cache",
    "router": "router",
    "queue": "queue",
    "unused": "answers not used",
    "service": "answers shipped",
    "retry_pauses": "pauses before retries",
    "verifier": "verifier",
}
HATCHES: Final = ("", "....", "////", "", "\\\\\\\\", "++", "xx")
OF: Final = {
    "all": "all requests",
    "sojourn_s_p95": "the slowest 5 %",
    "sojourn_s_p99": "the slowest 1 %",
}


def latency_budget(summary: Summary) -> Figure:
    """Return stacked bars of the mean seconds of each candidate: of all, and of the slowest.

    The number at the end of a bar is its sum, the mean time from arrival to end.
    """
    candidates = summary["candidates"]
    groups = [of for of in OF if any(_row(one, of) for one in candidates)]
    below = note(
        summary,
        "The mean time of a request from arrival to end, and what it went to. Queue: before a "
        "server took it; answers not used: service of a tier whose answer was declined or cut "
        "off. Each panel has its own scale.",
    )
    height_in = 2.2 + 0.36 * len(candidates)
    with frame(_title(summary), below, height_in) as (figure, page):
        axes = page.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for ax, of in zip(axes, groups, strict=True):
            _bars(ax, of, candidates)
        axes[0].set_yticks(range(len(candidates)), [one["name"] for one in candidates])
        axes[0].invert_yaxis()
        handles, names = axes[0].get_legend_handles_labels()
        page.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _row(candidate: dict[str, Any], of: str) -> dict[str, Any] | None:
    return next((row for row in candidate["budget"] if row["of"] == of), None)


def _bars(ax: Axes, of: str, candidates: list[dict[str, Any]]) -> None:
    import seaborn as sns

    colours = sns.color_palette("colorblind", len(PARTS))
    rows = [_row(one, of) for one in candidates]
    left = [0.0] * len(rows)
    used = [
        part for part in PARTS if any(_mean(r, part) for one in candidates for r in one["budget"])
    ]
    for part, colour, hatch in zip(PARTS, colours, HATCHES, strict=False):
        if part not in used:
            continue
        widths = [_mean(row, part) if row else 0.0 for row in rows]
        ax.barh(
            range(len(rows)),
            widths,
            left=left,
            color=colour,
            edgecolor="black",
            linewidth=0.5,
            hatch=hatch,
            label=PARTS[part],
        )
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for y, (row, end) in enumerate(zip(rows, left, strict=True)):
        words = duration(end) if row else "too few"
        ax.annotate(words, (end, y), (4, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xlim(0, 1.45 * max(left) or 1.0)
    ax.set_title(OF[of])
    ax.set_xlabel("mean seconds")
    ax.grid(axis="y", visible=False)
    ax.locator_params(axis="x", nbins=3)


def _mean(row: dict[str, Any], part: str) -> float:
    estimate = row[f"{part}_s_mean"]
    return float(estimate["value"]) if estimate else 0.0


def _title(summary: Summary) -> str:
    rows = {one["name"]: _row(one, "all") for one in summary["candidates"]}
    means = {name: _mean(row, "sojourn") for name, row in rows.items() if row}
    quick, slow = min(means, key=lambda n: means[n]), max(means, key=lambda n: means[n])
    if quick == slow:
        return f"{quick} takes {duration(means[quick])} on average"
    return (
        f"{quick} is the quickest on average ({duration(means[quick])}), "
        f"{slow} the slowest ({duration(means[slow])})"
    )
