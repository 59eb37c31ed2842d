"""The cheapest plan that holds the targets, what breaks first, and how far that is off."""

from __future__ import annotations

from typing import Any, Final

from fallwise.plots.headroom import used
from fallwise.report.pieces import Line, Part, Plot, Said, Section, Study, Table, linear
from fallwise.report.words import between, dollars, number, share, within

__all__ = ["size"]

Json = dict[str, Any]

TRIED: Final = 15
"""So many of the plans that were tried are shown, the cheapest that hold first."""


def size(summary: Json) -> Study:
    """Return the page of a plan, and of the one for more traffic where that was asked for."""
    sections = _sections(summary, "")
    grown = summary["grown"]
    more = []
    if grown:
        times = f"With {grown['traffic'] / summary['traffic']:g} times this traffic"
        sections += _sections(grown, f"{times}: ")
        more.append(f"{times}: {_verdict(grown)}")
    confirmed = summary.get("confirmed_on")
    fresh = (
        f" The plan was confirmed on {confirmed['requests']:,} fresh requests, seed "
        f"{confirmed['seed']:,}."
        if confirmed
        else ""
    )
    peak = summary["peak_factor"]
    return Study(
        verdict=_verdict(summary),
        more=more,
        cards=_cards(summary),
        sections=sections,
        how=f"Every plan was simulated on the same {summary['requests']:,} requests, at "
        f"{summary['traffic']:g} times the scenario's traffic"
        + (f" and all the time at its peak, {peak:g} times that" if peak > 1 else "")
        + "; a plan holds where the worse end of every target's 95 % interval does."
        + fresh,
    )


def _verdict(summary: Json) -> str:
    if summary["pick"] is None:
        return f"No plan holds the targets: {summary['why']}."
    head = summary["headroom"]
    money = within(summary["cost_usd_per_month"], dollars)
    words = f"{_plan(summary['pick'])} for {money} a month hold every target, "
    words += f"up to {head['traffic_factor']:g} times this traffic"
    return words + (f"; then {head['breaks'][0]}." if head["breaks"] else ".")


def _plan(units: Json) -> str:
    return " and ".join(f"{count} × {name}" for name, count in units.items())


def _cards(summary: Json) -> list[tuple[str, str, str]]:
    if summary["pick"] is None:
        return [("plans tried", f"{len(summary['tried']):,}", "")]
    head, month = summary["headroom"], summary["cost_usd_per_month"]
    at = " at its peak" if summary["peak_factor"] > 1 else ""
    return [
        ("a month costs", number(month, dollars), between(month, dollars)),
        ("holds up to, times this traffic", f"{head['traffic_factor']:g}", ""),
        ("then requests wait at", head["gives_way"] or "–", ""),
        *(
            (f"{name} busy{at}", number(x, share), between(x, share))
            for name, x in summary["utilisation"].items()
            if name in summary["pick"]
        ),
        ("plans tried", f"{len(summary['tried']):,}", ""),
    ]


def _sections(summary: Json, before: str) -> list[Section]:
    tried = (
        [Section(_capital(f"{before}what was tried"), [_tried(summary)])]
        if summary["tried"]
        else []
    )
    if summary["pick"] is None:
        return tried
    plan: list[Part] = [_units(summary)]
    if summary["offers"]:
        plan.append(Said([f"{key} = {value}" for key, value in summary["offers"].items()]))
    head: list[Part] = [_headroom(summary)]
    if summary["headroom"]["breaks"]:
        head.append(Said(summary["headroom"]["breaks"]))
    first = _capital(f"{before}the plan")
    file = "headroom-grown" if before else "headroom"
    return [
        Section(first, plan),
        Section(_capital(f"{before}the targets"), [_targets(summary)]),
        Section(_capital(f"{before}what breaks first"), head, files=[file]),
        *tried,
    ]


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _units(summary: Json) -> Table:
    busy = "busy at the peak" if summary["peak_factor"] > 1 else "busy"
    rows = []
    for name, units in summary["pick"].items():
        used_up = summary["utilisation"][name]
        rows.append([name, f"{units:,}", (number(used_up, share), between(used_up, share))])
    return Table(["tier", "units", busy], rows)


def _targets(summary: Json) -> Table:
    at = (("", summary["targets"]), (" at the peak", summary["targets_at_peak"] or []))
    rows = [
        [
            f"{target['name']}{when}",
            f"{target['side'].replace('_', ' ')} {target['limit']:g}",
            (f"{target['value']:.4g}", between(target, lambda x: f"{x:.4g}")),
            "holds" if target["met"] else "missed",
        ]
        for when, targets in at
        for target in targets
    ]
    return Table(["target", "wanted", "is", ""], rows)


def _headroom(summary: Json) -> Plot:
    head = summary["headroom"]
    curve, lines, bands, ends = head["curve"], [], [], [0.0, 100.0]
    for i, target in enumerate(curve[0]["targets"]):
        rows = []
        for step in curve:
            one = next(t for t in step["targets"] if t["name"] == target["name"])
            if None not in (one["value"], one["low"], one["high"]):
                span = sorted(used(one, end) for end in ("low", "high"))
                rows.append((step["traffic_factor"], used(one, "value"), *span))
        side = target["side"].replace("_", " ")
        name = f"{target['name']} {side} {target['limit']:g}"
        lines.append(Line(f"l{i % 4}", name, [(x, min(y, 250.0)) for x, y, *_ in rows]))
        capped = [(x, min(a, 250.0), min(b, 250.0)) for x, _, a, b in rows]
        bands.append((f"l{i % 4}", capped))
        ends += [y for _, *ys in capped for y in ys]
    x = linear([step["traffic_factor"] for step in curve], lambda t: f"×{t:g}")
    lines.append(Line("limit", "the limit", [(x.low, 100.0), (x.high, 100.0)]))
    held = head["traffic_factor"]
    return Plot(
        title="",
        about="How much of each target's limit is used up as the traffic grows",
        x=x,
        y=linear(ends, lambda t: f"{t:g} %"),
        lines=[line for line in lines if line.points],
        bands=[band for band in bands if band[1]],
        uprights=[(held, f"holds up to ×{held:g}")] if head["breaks_at"] else [],
        note="Across: times the traffic. Up: how much of each limit is used, with 95 % intervals; "
        "the plan breaks where one leaves its limit.",
    )


def _tried(summary: Json) -> Table:
    order = sorted(summary["tried"], key=lambda r: (not r["holds"], r["cost_usd_per_month"]))
    rows = []
    for row in order[:TRIED]:
        offered = "".join(f", {key} = {value}" for key, value in row["offers"].items())
        verdict = "holds" if row["holds"] else row["missed"]
        rows.append([_plan(row["units"]) + offered, dollars(row["cost_usd_per_month"]), verdict])
    left = len(order) - len(rows)
    note = f"And {left:,} more: tried.csv." if left > 0 else ""
    return Table(["plan", "$ a month", ""], rows, note)
