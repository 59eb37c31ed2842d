"""Do scores mean what they say?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fallwise.analysis.calibration import reliability
from fallwise.plots.style import GREY, Colours, Summary, colours, frame, note, percent
from fallwise.tables import Float32s, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Scored", "believed", "reliability_diagram"]

BINS: Final = 10
MAPS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "as_it_is": ("as it is", {"color": "#d95f02", "fmt": "o-"}),
    "temperature": ("by temperature", {"color": "#1f78b4", "fmt": "s--"}),
    "isotonic": ("isotonic", {"color": "black", "fmt": "^:"}),
}
"""The maps that are drawn; what they are called, and how they look."""
SMALL: Final = 0.03
"""An average gap between score and truth that nobody would notice."""


class Scored(NamedTuple):
    """A tier's answers: what their scores, in [0, 1], say and what is so. Both (n,).

    distinct is how many of them were measured, where the same ones were drawn again and again.
    """

    tier: str
    threshold: float
    score: Floats
    correct: Float32s
    distinct: int


def reliability_diagram(summary: Summary, scored: Sequence[Scored]) -> Figure:
    """Return for each tier the share of right answers against the score, and how many there are.

    Answers are grouped by score into tenths; the lines through the points are 95 % intervals.
    """
    across = 2 if len(scored) == 4 else min(len(scored), 3)
    down = -(-len(scored) // across)
    asked = "Dashed: scores that mean what they say. Every request counts, asked here or not."
    with frame(_title(summary), note(summary, asked), 1.4 + 3.4 * down) as (figure, page):
        grid = page.add_gridspec(2 * down, across, height_ratios=[3, 1] * down)
        below = None
        for i, tier in enumerate(scored):
            row, column = 2 * (i // across), i % across
            above = page.add_subplot(grid[row, column])
            below = page.add_subplot(grid[row + 1, column], sharex=above, sharey=below)
            _panel(above, below, tier, colours(summary))
            if column == 0:
                above.set_ylabel("right answers (%)")
                below.set_ylabel("answers (%)")
    return figure


def believed(summary: Summary) -> Figure:
    """Return for each tuned tier the share of right answers against what its score says.

    As it is, and after two of the maps that were learnt on the other half. Lines through the points
    are 95 % intervals. The summary is that of `tune`.
    """
    tiers = summary["calibration"]
    across = min(len(tiers), 3)
    down = -(-len(tiers) // across)
    below = note(
        summary, "Dashed: scores that mean what they say. Maps were learnt on other questions."
    )
    with frame(_came(tiers), below, 1.6 + 3.4 * down) as (figure, page):
        axes = page.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for ax in axes.ravel()[len(tiers) :]:
            ax.set_visible(False)
        for i, tier in enumerate(tiers):
            ax = axes.ravel()[i]
            ax.plot([0, 1], [0, 100], color=GREY, linestyle="--", linewidth=1)
            for one in tier["maps"]:
                if one["name"] in MAPS:
                    _groups(ax, one)
            ax.set_title(
                f"{tier['tier']}: mean score {percent(tier['score_mean']['value'])},"
                f"\nright {percent(tier['quality']['value'])}"
            )
            ax.set_xlabel("score (0 to 1)")
            ax.set_ylim(-2, 102)
            if i % across == 0:
                ax.set_ylabel("right answers (%)")
        page.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def _groups(ax: Axes, one: Any) -> None:
    columns = ("score_mean", "quality", "low", "high")
    x, y, low, high = (np.array([group[name] for group in one["groups"]]) for name in columns)
    label, look = MAPS[one["name"]]
    spread = 100 * np.stack([y - low, high - y]).clip(0)
    more: dict[str, Any] = {"label": f"{label}", "elinewidth": 1, "capsize": 2, **look}
    ax.errorbar(x, 100 * y, spread, **more)


def _came(tiers: Any) -> str:
    """Say what came of believing the score that promised most beyond what it kept."""
    worst = min(tiers, key=lambda tier: float(tier["believed"][0]["points"]))
    row = worst["believed"][0]
    if abs(row["points"]) < 0.5:
        return f"Believing {worst['tier']}'s score would give what it promises"
    came = percent(row["quality"])
    return f"Believing {worst['tier']}'s score promises {percent(row['promised'])}; {came} came"


def _panel(above: Axes, below: Axes, tier: Scored, of: Colours) -> None:
    known = tier.distinct / len(tier.score)
    groups = reliability(tier.score, tier.correct, BINS, equal="width", known=known)
    x, y = groups.score_mean, 100 * groups.quality
    spread = np.abs(100 * np.stack([groups.low, groups.high]) - y)
    above.plot([0, 1], [0, 100], color=GREY, linestyle="--", linewidth=1)
    look: dict[str, Any] = {"color": of[tier.tier], "markeredgecolor": "black", "capsize": 2}
    above.errorbar(x, y, spread, fmt="o-", ecolor="black", elinewidth=1, **look)
    above.set_title(f"{tier.tier}\nthreshold {tier.threshold:g} (dotted)")
    above.set_ylim(-2, 102)
    above.tick_params(labelbottom=False)
    edges = np.linspace(0, 1, BINS + 1)
    count, _ = np.histogram(tier.score, edges)
    shares = 100 * count / len(tier.score)
    below.bar(edges[:-1], shares, 1 / BINS, align="edge", color=of[tier.tier], edgecolor="black")
    below.set_xlim(-0.02, 1.02)
    below.set_xticks(np.linspace(0, 1, 6))
    below.set_xlabel("score, the tier's own (0 to 1)")
    at = float(np.clip(tier.threshold, -0.02, 1.02))
    for ax in (above, below):
        ax.axvline(at, color="black", linestyle=":", linewidth=1.6)


def _title(summary: Summary) -> str:
    """Say which tier is the surest beyond what is right; that one does the damage."""
    tiers = summary["calibration"]
    worst = max(tiers, key=_over)
    if _over(worst) < SMALL:
        worst = max(tiers, key=lambda tier: float(tier["ece"]))
    if worst["ece"] < SMALL:
        return f"Scores mean what they say: off by {percent(worst['ece'])} at most, on average"
    if abs(_over(worst)) < SMALL:
        return f"{worst['tier']}'s scores are off by {percent(worst['ece'])} on average"
    how = "surer" if _over(worst) > 0 else "less sure"
    said, so = percent(worst["score_mean"]), percent(worst["quality"])
    words = f"its scores promise {said}, and {so} of its answers are right"
    return f"{worst['tier']} is {how} than it is right: {words}"


def _over(tier: Summary) -> float:
    return float(tier["score_mean"] - tier["quality"])
