"""What the answer of `tune` means, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fallwise.planning.pick import Goal
from fallwise.scenario import Scenario

__all__ = ["advice"]

Json = dict[str, Any]


def advice(scenario: Scenario, found: Json, goal: Goal) -> Iterator[str]:
    """Yield what there is to say of a pick, and of what it was made from."""
    pick, whole = found["pick"], found["frontier_only"]
    name = scenario.tiers[scenario.frontier].name
    if pick is None:
        yield f"No threshold, and not {name} alone, gives {goal.words()}: nothing was picked."
        return
    if not found["labels"]["tuned_on"]:
        yield "No tier has a threshold (no scores): the choice is between two tiers, each alone."
    elif pick["policy"] == "frontier_only":
        yield f"{name} alone is the best choice for {goal.words()}: no threshold is cheaper."
    if not pick["met"]:
        yield (
            f"The goal ({goal.words()}) held on the tuning half, but not on the other one. "
            + ("" if goal.sure else "--sure picks with a margin for that.")
        ).rstrip()
    elif not goal.sure and goal.usd is None and not found["tuned"]["certain"]:
        yield (
            "The pick aims at the goal exactly, and its own half cannot tell that it holds: with "
            "other questions about half of such picks miss it. --sure takes one that does not."
        )
    cheaper = pick["cost_usd_mean"]["value"] < whole["cost_usd_mean"]["value"]
    if pick["policy"] == "cascade" and found["bend"] is None and cheaper:
        yield f"No threshold beats sending requests by lot to {name}: its score tells too little."
    if pick["policy"] == "cascade" and not cheaper:
        yield f"The pick costs more than {name} alone, which is not good enough for the goal."
    off = abs(pick["quality_simulated"] - pick["quality"]["value"])
    if off > 0.002:
        yield (
            f"With queues, timeouts and cached answers quality is {pick['quality_simulated']:.4f} "
            f"instead of {pick['quality']['value']:.4f}: see `fallwise run` with this threshold."
        )
    for one in found["calibration"]:
        row, best = one["believed"][0], one["believed"][-1]
        if abs(row["points"]) >= 1 and not row["frontier_only"]:
            yield (
                f"Who takes {one['tier']}'s score for a probability is promised "
                f"{100 * row['promised']:.1f} % and gets {100 * row['quality']:.1f} %; made "
                f"isotonic, {100 * best['promised']:.1f} % and {100 * best['quality']:.1f} %."
            )
    labels = found["labels"]
    if labels["needed"] and labels["needed"] > labels["tuned_on"]:
        yield (
            f"Tuned on {labels['tuned_on']:,} graded questions; about {labels['needed']:,} are "
            "needed for a promised quality within 1 point of the real one."
        )
    wide = whole["quality"]["high"] - whole["quality"]["low"]
    if wide > 0.1:
        yield f"Intervals are wide (quality ± {50 * wide:.1f} points): grade more questions."
