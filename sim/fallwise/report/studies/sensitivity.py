"""Which assumption moves the answer most: one key at a time, and all together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fallwise.plots.tornado import over
from fallwise.report.pieces import (
    Bar,
    Bars,
    Part,
    Said,
    Section,
    Study,
    Table,
    cell,
    linear,
    place,
)
from fallwise.report.words import apart, between, dollars, number, scaled, seconds, share, within

__all__ = ["sensitivity", "tornado"]

Json = dict[str, Any]

COST: Final = "cost_usd_mean"
STAKED: Final = "cost_with_wrong_answers_usd_mean"
MEASURES: Final[dict[str, tuple[str, Callable[[float], str], float]]] = {
    "cost_usd_mean": ("cost of 1,000 requests", dollars, 1000.0),
    STAKED: ("the same, wrong answers paid for", dollars, 1000.0),
    "quality": ("quality", share, 1.0),
    "escalation_rate": ("escalated", share, 1.0),
    "sojourn_s_p50": ("half are done within", seconds, 1.0),
    "sojourn_s_p95": ("95 % are done within", seconds, 1.0),
    "sojourn_s_p99": ("99 % are done within", seconds, 1.0),
}


def sensitivity(summary: Json) -> Study:
    """Return the page of a sensitivity study."""
    known = [m for m in MEASURES if summary["base"].get(m)]
    cards = []
    for measure in known:
        title, form, scale = MEASURES[measure]
        base = scaled(summary["base"][measure], scale)
        cards.append((title, number(base, form), between(base, form)))
    sections = [tornado(summary)]
    if summary["sobol"]:
        sections.append(_together(summary, known))
    sections.append(Section("The ranges", [_ranges(summary)]))
    return Study(
        verdict=_verdict(summary, known),
        more=["The numbers below are the scenario's own."],
        cards=cards,
        sections=sections,
        how=f"{summary['runs']:,} runs of {summary['requests']:,} requests, all on the same "
        "requests, so a difference is the key's doing.",
    )


def tornado(summary: Json) -> Section:
    """Return how far each measure moves when each key goes over its range.

    The summary is that of `sensitivity`, or what `planning.movers` found.
    """
    parts: list[Part] = []
    for measure, (title, form, scale) in MEASURES.items():
        base = summary["base"].get(measure)
        rows = [r for r in summary["tornado"].get(measure, ()) if _moves(r)]
        if base is None or not rows or (measure == STAKED and base == summary["base"][COST]):
            continue
        ends = [x * scale for r in rows for x in _ends(r)]
        axis = linear([base["value"] * scale, *ends], form)
        bars = [_bar(summary, row, form, scale, axis.at) for row in rows[:8]]
        whole = scaled(base, scale)
        parts.append(Bars(f"{title}: {within(whole, form)}", bars, at=axis.at(whole["value"])))
    note = (
        "Each key at both ends of its range, one at a time. The upright line is where the "
        "scenario stands; thin lines: the 95 % interval of the difference, from the low end."
    )
    if "left" in summary:
        note = (
            "Every number that was assumed, not measured, a quarter down and a quarter up (of "
            "accuracies, their distance from 1); one at a time, on the same "
            f"{summary['moved_on']:,} requests, at the scenario's own thresholds. The upright line "
            "is where the scenario stands."
        )
        if summary["left"]:
            parts.append(Said([f"Not moved: {', '.join(summary['left'])}."]))
    nothing = [Said(["None of these keys moves anything."])]
    return Section("What moves it", parts or nothing, note, ["tornado"])


def _moves(row: Json) -> bool:
    swing = row["swing"]
    return None not in (row["at_low"], row["at_high"]) and bool(swing and swing["value"])


def _ends(row: Json) -> list[float]:
    found = [row["at_low"], row["at_high"]]
    low, high = row["swing"]["low"], row["swing"]["high"]
    return found + ([] if low is None else [row["at_low"] + low, row["at_low"] + high])


def _bar(summary: Json, row: Json, form: Any, scale: float, at: Callable[[float], float]) -> Bar:
    places = [at(x * scale) for x in _ends(row)]
    left, right = sorted(places[:2])
    ends = f"{form(row['at_low'] * scale)} to {form(row['at_high'] * scale)}"
    by = between(scaled(row["swing"], scale), apart(form))
    words = f"{over(summary, row['key'])}: {ends}" + (f"; difference {by}" if by else "")
    span = (min(places[2:]), max(places[2:])) if len(places) > 2 else None
    piece = ("p4", left, place(right - left))
    return Bar(row["key"], words, [piece], span, code=True)


def _together(summary: Json, known: list[str]) -> Section:
    found = {m: summary["sobol"][m] for m in known if summary["sobol"].get(m)}
    parts: list[Part] = []
    for measure, one in found.items():
        bars = [_shares(row) for row in one["indices"]]
        pairs = [f"{x['share']:.2f} by {' and '.join(x['keys'])}" for x in one["together"]]
        note = f"Together only: {'; '.join(pairs)}." if pairs else ""
        key = [("p0", "alone"), ("p4", "with others")] if measure == list(found)[-1] else []
        parts.append(Bars(f"Variance of: {MEASURES[measure][0]}", bars, key=key, note=note))
    total = {m: {r["key"]: r["total"] for r in one["indices"]} for m, one in found.items()}
    rows = [[key, *(cell(total[m][key], _share) for m in found)] for key in summary["ranges"]]
    if found:
        parts.append(Table(["with others", *(MEASURES[m][0] for m in found)], rows))
    note = (
        "Sobol indices: shares of the variance when all keys are uniform on their ranges. Thin "
        "lines and brackets: 95 % intervals."
    )
    return Section("All of them at once", parts, note, ["shares-of-variance"])


def _shares(row: Json) -> Bar:
    """Return a key's share of the variance, alone and with others, on a scale from 0 to 1."""
    alone, whole = (min(1.0, max(0.0, row[name]["value"])) for name in ("first", "total"))
    pieces = [("p4", 0.0, place(100 * max(alone, whole))), ("p0", 0.0, place(100 * alone))]
    words = f"alone {within(row['first'], _share)}, with others {within(row['total'], _share)}"
    low, high = (100 * min(1.0, max(0.0, row["total"][end])) for end in ("low", "high"))
    return Bar(row["key"], words, pieces, (place(low), place(high)), code=True)


def _ranges(summary: Json) -> Table:
    rows = [[key, over(summary, key)] for key in summary["ranges"]]
    return Table(["key", "range"], rows, "× is times what the scenario has.")


def _verdict(summary: Json, known: list[str]) -> str:
    """Return what moves each measure most; the first one with the interval of its swing."""
    said = []
    for measure in (m for m in known if m in ("cost_usd_mean", "quality", "sojourn_s_p95")):
        rows = [r for r in summary["tornado"][measure] if _moves(r)]
        swing = rows[0]["swing"] if rows else None
        if not swing or swing["low"] is None or swing["low"] * swing["high"] <= 0:
            continue
        title, form, scale = MEASURES[measure]
        by = within(scaled(swing, scale), apart(form))
        key = f"{rows[0]['key']} ({over(summary, rows[0]['key'])})"
        said.append(f"{key} moves the {_noun(title)} most, by {by}")
    if not said:
        return "None of these keys is seen to move cost, quality or the 95 % quantile of the time."
    return "; ".join(said) + "."


def _noun(title: str) -> str:
    return {"95 % are done within": "time within which 95 % are done"}.get(title, title)


def _share(x: float) -> str:
    return f"{x:.2f}".replace("-0.00", "0.00")
