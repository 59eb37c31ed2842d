"""From which volume on it pays: both totals against volume, and what a month is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fallwise.planning.volume import Costs, costs_from, volumes
from fallwise.report.pieces import Line, Plot, Section, Study, Table, logarithmic
from fallwise.report.words import (
    between,
    count,
    dollars,
    number,
    share,
    short_dollars,
    until,
    within,
)

__all__ = ["breakeven", "pays"]

Json = dict[str, Any]


def breakeven(summary: Json) -> Study:
    """Return the page of a break-even; where wrong answers have a price, the verdict counts it."""
    staked, now = summary["with_wrong_answers"], summary["requests_per_month_now"]
    frontier, found = summary["frontier"], staked or summary
    plain = pays(summary, "The cascade")
    verdict, more = plain, []
    if staked:
        verdict = pays(staked, "With wrong answers paid for, the cascade")
        more = [pays(summary, "Without them, it")]
    sides = {name: costs_from(plain) for name, plain in summary["sides"].items()}
    plots = [_curve(summary, sides, summary, "" if not staked else "Wrong answers left out")]
    files = ["cost-volume"]
    if staked:
        lost = staked["wrong_answers_usd"]
        dearer = {n: replace(s, usage_usd=s.usage_usd + lost[n]) for n, s in sides.items()}
        plots.insert(0, _curve(summary, dearer, staked, "Wrong answers paid for"))
        files.insert(0, "cost-volume-with-wrong-answers")
    usd = [float(side.monthly_usd(np.array([now]))[0]) for side in sides.values()]
    first = found["requests_per_month"]
    cards = [
        ("pays from, requests a month", _from(first), ""),
        ("traffic now, requests a month", count(now), ""),
        ("cascade, a month at this traffic", dollars(usd[0]), ""),
        (f"{frontier} alone, the same", dollars(usd[1]), ""),
        _card("quality", summary["quality"]),
        _card(f"quality, {frontier} alone", summary["quality_frontier_only"]),
        _card(f"kept from {frontier}", summary["kept_share"]["simulated"]),
        _card("needed, so that calls pay", summary["kept_share"]["needed"]),
    ]
    if first:
        cards[0] = (*cards[0][:2], until(first))
    return Study(
        verdict=verdict,
        more=more,
        cards=cards,
        sections=[
            Section("What a month costs, by volume", plots, files=files),
            Section("The same in numbers", [_monthly(summary), _made_of(summary, staked)]),
        ],
        how=f"Calls and work a request are those of {summary['requests']:,} simulated requests in "
        "which nobody waits; rented units are whole ones, so many that none is more than "
        f"{100 * summary['utilisation']:g} % busy at {summary['peak_factor']:g} times the mean "
        "traffic. Intervals: the run's batches drawn again, and its questions where they repeat. "
        "What people wait is left out: see fallwise size.",
    )


def pays(summary: Json, who: str) -> str:
    """Return from where on it pays, in a sentence with its interval."""
    first, ranges = summary["requests_per_month"], summary["pays_in"]
    if first is None:
        return f"{who} never pays: {summary['why']}."
    if not first["value"] and first["high"] == 0:
        return f"{who} pays from the first request on."
    low, high = first["low"], first["high"]
    if low is None:
        span = "too short a run for an interval"
    else:
        span = f"{low:,.0f} to " + ("never" if high is None else f"{high:,.0f}")
    words = f"{who} pays from {first['value']:,.0f} requests a month on ({span})."
    if len(ranges) > 1:
        begin = ranges[0]
        words += f" Below that also from {begin['from']:,.0f} to {begin['to']:,.0f}"
        words += "." if len(ranges) == 2 else f", and in {len(ranges) - 2} more ranges."
    return words


def _from(first: Json | None) -> str:
    if first is None:
        return "never"
    return number(first, count) if first["value"] or first["high"] else "any"


def _card(title: str, estimate: Json) -> tuple[str, str, str]:
    return title, number(estimate, share), between(estimate, share)


def _curve(summary: Json, sides: dict[str, Costs], found: Json, title: str) -> Plot:
    low, high = (summary["monthly"][at]["requests_per_month"] for at in (0, -1))
    first, now = found["requests_per_month"], summary["requests_per_month_now"]
    if first and first["value"]:
        low, high = min(low, first["value"] / 10), max(high, first["value"] * 10)
    at = volumes(low, high, list(sides.values()))
    usd = {name: side.monthly_usd(at) for name, side in sides.items()}
    looks = {"cascade": ("l0", "this cascade"), "frontier_only": ("l1", summary["frontier"])}
    some = np.unique(np.linspace(0, len(at) - 1, 600).astype(int))
    spans = []
    if first and first["value"]:
        total = float(sides["cascade"].monthly_usd(np.array([first["value"]]))[0])
        if first["low"] is not None:
            spans.append((max(first["low"], low), min(first["high"] or high, high), total))
    uprights = [(now, f"now: {count(now)}")] if low < now < high else []
    if first and first["value"]:
        uprights.insert(0, (first["value"], f"pays from {count(first['value'])}"))
    return Plot(
        title=title,
        about="A month's cost against its requests, of the cascade and of the frontier alone; "
        "the table below has the numbers.",
        x=logarithmic([low, high], count),
        y=logarithmic([x for y in usd.values() for x in y.tolist()], short_dollars),
        lines=[
            Line(*looks[name], list(zip(at[some].tolist(), y[some].tolist(), strict=True)))
            for name, y in usd.items()
        ],
        spans=spans,
        uprights=uprights,
        note="Across: requests a month. Up: US dollars a month; both logarithmic."
        + (" The thick line: the 95 % interval of where it begins to pay." if spans else ""),
    )


def _monthly(summary: Json) -> Table:
    rows = [
        [
            f"{row['requests_per_month']:,.0f}",
            dollars(row["cascade_usd"]),
            dollars(row["frontier_only_usd"]),
            dollars(row["frontier_only_usd"] - row["cascade_usd"]),
        ]
        for row in summary["monthly"][::4]
    ]
    heads = ["requests a month", "this cascade", f"{summary['frontier']} alone", "saved"]
    return Table(heads, rows, "Without what wrong answers cost. All volumes: monthly.csv.")


def _made_of(summary: Json, staked: Json | None) -> Table:
    ours, theirs = (summary["sides"][name] for name in ("cascade", "frontier_only"))
    rented = {one["name"]: one for one in ours["rented"]}
    beside = {one["name"]: one for one in theirs["rented"]}
    rows = [
        ["calls, a request", dollars(ours["usage_usd"]), dollars(theirs["usage_usd"])],
        ["upkeep, a month", *(dollars(x["upkeep_usd_per_month"]) for x in (ours, theirs))],
    ]
    for name in rented | beside:
        units = [_unit(side.get(name)) for side in (rented, beside)]
        rows.append([f"a unit of {name}, a month", *units])
    if staked:
        lost = staked["wrong_answers_usd"]
        rows.append(["wrong answers, a request", *(dollars(x) for x in lost.values())])
    saved = within(summary["call_saving_usd"], dollars)
    note = f"Calls saved, a request: {saved}."
    return Table(["", "this cascade", f"{summary['frontier']} alone"], rows, note)


def _unit(rent: Json | None) -> str:
    if rent is None:
        return "–"
    room = rent["requests_per_month"]
    return f"{dollars(rent['usd_per_month'])} for " + (f"{count(room)} requests" if room else "all")
