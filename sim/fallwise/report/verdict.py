"""The answer in one sentence: does the cascade pay, what does it save, at what quality."""

from __future__ import annotations

from typing import Any

from fallwise.analysis.money import SECONDS_PER_MONTH
from fallwise.report.words import count, dollars, give_or_take, points, thresholded, until

__all__ = ["bills", "tuned_verdict", "verdict"]

Json = dict[str, Any]


def verdict(point: Json, frontier: str, rate_rps: float | None) -> str:
    """Return the sentence about one point, beside the frontier alone; rate_rps is its traffic.

    Where wrong answers have a price, they are counted, and so is upkeep.
    """
    against = f"{frontier} alone"
    quality = f"at {points(point['quality_difference'])} of quality"
    at_stake, saving, upkeep = point["saving_at_stake"], *_saving(point)
    if at_stake is not None:
        paid = f"wrong answers{' and upkeep' if upkeep else ''}"
        return f"With {paid} paid for, it {_money(at_stake, against)}, {quality}."
    if saving is None:
        return (
            f"No price is given. Quality: {points(point['quality_difference'])} against {against}."
        )
    return f"{_pays(point['pays_from'], rate_rps)}{_money(saving, against)}{upkeep}, {quality}."


def bills(point: Json, frontier: str, rate_rps: float | None, alone_usd: float, many: int) -> str:
    """Return what the verdict comes from where wrong answers have a price; '' where they have none.

    alone_usd is what a request costs with the frontier alone, its wrong answers paid for.
    """
    wrong = point["wrong_answers_usd_mean"]
    if wrong is None:
        return ""
    saving, upkeep = _saving(point)
    total = point["cost_usd_mean"]["value"] + wrong["value"] + point["upkeep_usd_mean"]
    subject = "A request comes" if many == 1 else f"{many:,} requests come"
    text = (
        f"{subject} to {dollars(total * many)}{upkeep} instead of {dollars(alone_usd * many)}. "
        "Wrong answers left out: "
    )
    if saving is None:
        return f"{text}nothing has a price."
    first = _pays(point["pays_from"], rate_rps)
    against = f"{frontier} alone"
    return f"{text}{first[0].lower()}{first[1:]}{_money(saving, against)}{upkeep}."


def _saving(point: Json) -> tuple[Json | None, str]:
    """Return what is saved, upkeep counted where there is some, and the words that say so."""
    if point["saving_with_upkeep"] is None:
        return point["saving"], ""
    return point["saving_with_upkeep"], " (upkeep counted)"


def _money(saving: Json, against: str) -> str:
    size = f"{give_or_take(saving)} %"
    if saving["low"] is not None and saving["low"] <= 0 <= saving["high"]:
        return f"costs what {against} costs (the difference is {size})"
    if saving["value"] > 0:
        return f"saves {size} against {against}"
    if saving["value"] < -2:
        times = {end: None if x is None else 1 - x for end, x in saving.items()}
        return f"costs {give_or_take(times, 1)} times as much as {against}"
    return f"costs {size} more than {against}"


def _pays(volume: Json, rate_rps: float | None) -> str:
    """Return the first half of the sentence: from which volume on the cascade pays."""
    if volume["value"] is None:
        unsure = " (but this run is too short to be sure)" if volume["low"] is not None else ""
        return f"Does not pay at any volume{unsure}: "
    if not volume["value"] and not volume["high"]:
        return "Pays at any volume: "
    span = until(volume)
    text = f"Pays from {count(volume['value'])} requests a month" + (f" ({span})" if span else "")
    now = "" if rate_rps is None else f"with today’s {count(rate_rps * SECONDS_PER_MONTH)} it "
    return f"{text}; {now}"


def tuned_verdict(tuned: Json) -> str:
    """Return what `fallwise tune` found, in the same form; the numbers are of the other half."""
    pick, labels = tuned["pick"], tuned["labels"]
    if pick is None:
        return f"Nothing gives {tuned['goal']['words']}."
    name = tuned["frontier_only"]["tier"]
    if pick["policy"] == "frontier_only":
        return f"{name} alone is the best choice for {tuned['goal']['words']}."
    saving, upkeep = _saving(pick)
    money = "" if saving is None else f"{_money(saving, f'{name} alone')}{upkeep}, "
    missed = "" if pick["met"] else " The goal was missed there."
    threshold = "The cheapest tier alone"
    if tuned.get("searched"):
        threshold = "The setting that was found"
    elif tuned["tier"]:
        threshold = f"The threshold {thresholded(pick['threshold'])} of {tuned['tier']}"
    return (
        f"{threshold} {money}at {points(pick['quality_difference'])} of quality: chosen on "
        f"{labels['tuned_on']:,} questions, measured on {labels['reported_on']:,} others.{missed}"
    )
