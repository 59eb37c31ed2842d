"""Candidates on the same requests: side by side, worst cases, where the seconds went, paired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fallwise.plots.budget import OF, PARTS
from fallwise.report.pieces import (
    Bars,
    Cell,
    Part,
    Said,
    Section,
    Study,
    Table,
    cell,
    forest,
    stacked,
)
from fallwise.report.words import between, dollars, number, points, scaled, seconds, share, signed

__all__ = ["compare"]

Json = dict[str, Any]

MOST_PATHS: Final = 6
TAILS: Final = ("p50", "p95", "p99", "p999")
STAKED: Final = "cost_with_wrong_answers_usd_mean"
MEASURES: Final[tuple[tuple[str, str, Callable[[float], str], float], ...]] = (
    ("cost_usd_mean", "cost of 1,000 requests", dollars, 1000.0),
    (STAKED, "the same, wrong answers paid for", dollars, 1000.0),
    ("quality", "quality, points", lambda x: f"{x:.2f}", 100.0),
    ("sojourn_s_mean", "mean time", seconds, 1.0),
    ("sojourn_s_p95", "time within which 95 % are done", seconds, 1.0),
    ("sojourn_s_p99", "time within which 99 % are done", seconds, 1.0),
    ("sojourn_s_p999", "time within which 99.9 % are done", seconds, 1.0),
)


def compare(summary: Json) -> Study:
    """Return the page of a comparison; the first candidate is what the others are set against."""
    ones, rows = summary["candidates"], summary["differences"]
    staked = any(row[STAKED] != row["cost_usd_mean"] for row in rows)
    notes = [f"{one['name']}: {said}" for one in ones for said in one["warnings"]]
    how = [f"{one['name']}: {one['how']}." for one in ones if one["how"]]
    missing = [f"{one['name']}: {one['why']}." for one in summary["not_possible"]]
    sections = [
        Section("All of them, on the same requests", [_points(ones, staked), _times(ones)]),
        Section(
            f"Against {ones[0]['name']}, request by request",
            _differences(rows, staked),
            "Dots: the difference; lines: its 95 % interval. Left of the upright line is less.",
            ["differences"],
        ),
        _worst(ones),
        _budget(ones),
        Section("By path", [_paths(ones)]),
        Section("How each is made", [Said(how)] if how else []),
    ]
    if missing:
        sections.append(Section("Not possible here", [Said(missing)]))
    first = ones[0]
    return Study(
        verdict=_verdict(first["name"], rows, STAKED if staked else "cost_usd_mean"),
        more=notes,
        cards=_cards(ones, STAKED if staked else "cost_usd_mean"),
        sections=[s for s in sections if s.parts],
        how=f"All meet the same {summary['requests']:,} requests; the first "
        f"{', '.join(map(str, first['warmup_requests']))} are left out as warm-up of all. "
        "Differences are paired, so that the chance that they share drops out.",
    )


def _verdict(first: str, rows: list[Json], measure: str) -> str:
    """Return which one is the cheapest, and no surer than its interval is."""
    if not rows:
        return f"There is nothing to compare {first} with."
    best = min(rows, key=lambda row: row[measure]["value"])
    cost, counted = best[measure], ", wrong answers paid for" if measure == STAKED else ""
    known = cost["low"] is not None
    by = scaled(cost, 1000)
    quality = f"{points(best['quality'])} of quality"
    if known and cost["high"] < 0:
        less = {"value": -by["value"], "low": -by["high"], "high": -by["low"]}
        saved = f"{number(less, dollars)} ({between(less, dollars)})"
        return (
            f"{best['a']} costs least{counted}: it saves {saved} in 1,000 requests against "
            f"{first}, at {quality}."
        )
    inside = between(by, signed(dollars))
    size = number(by, signed(dollars)) + (f" ({inside})" if inside else "")
    if known and cost["low"] > 0:
        return (
            f"{first} costs least{counted}: the next, {best['a']}, costs {size} in 1,000 "
            f"requests, at {quality}."
        )
    return (
        f"None is seen to be cheaper than {first}{counted}: {best['a']} differs by {size} in "
        f"1,000 requests, at {quality}."
    )


def _cards(ones: list[Json], measure: str) -> list[tuple[str, str, str]]:
    """Return what each candidate costs; the tables below have the rest."""
    more = ", with wrong answers" if measure == STAKED else ""
    found = []
    for one in ones:
        cost = scaled(one[measure], 1000)
        title = f"{one['name']}: 1,000 requests{more}"
        found.append((title, number(cost, dollars), between(cost, dollars)))
    return found


def _points(ones: list[Json], staked: bool) -> Table:
    heads = ["", "1,000 requests, $", *(["with wrong answers, $"] if staked else [])]
    rows: list[list[Cell]] = []
    for one in ones:
        row: list[Cell] = [one["name"], cell(scaled(one["cost_usd_mean"], 1000), dollars)]
        if staked:
            row.append(cell(scaled(one[STAKED], 1000), dollars))
        row += [cell(one[name], share) for name in ("quality", "escalation_rate")]
        rows.append(row)
    return Table([*heads, "quality", "escalated"], rows)


def _times(ones: list[Json]) -> Table:
    rows = [[one["name"], *(cell(one[f"sojourn_s_{q}"], seconds) for q in TAILS)] for one in ones]
    return Table(["time", "p50", "p95", "p99", "p99.9"], rows)


def _differences(rows: list[Json], staked: bool) -> list[Part]:
    parts: list[Part] = []
    for measure, title, form, scale in MEASURES:
        if measure == STAKED and not staked:
            continue
        known = [(row["a"], _plain(row[measure], scale)) for row in rows if row[measure]]
        if known:
            parts.append(forest(title, known, signed(form)))
    return parts


def _plain(difference: Json, scale: float) -> Json:
    found: Json = scaled({end: difference[end] for end in ("value", "low", "high")}, scale)
    return found


def _worst(ones: list[Json]) -> Section:
    """Return the longest time that each one's own limits allow, and what adds up to it."""
    names = list(dict.fromkeys(p["part"] for one in ones for p in one["worst_case"]["parts"]))
    looks = {name: f"p{i % 6}" for i, name in enumerate(names)}
    bars, said = [], []
    for one in ones:
        case = one["worst_case"]
        if case["seconds"] is None:
            said.append(f"{one['name']}: no bound, because {'; '.join(case['unbounded'])}.")
            continue
        parts = [p for p in case["parts"] if p["seconds"]]
        sums = " + ".join(f"{p['part']} {seconds(p['seconds'])}" for p in parts) or "nothing"
        pieces = [(looks[p["part"]], p["seconds"]) for p in parts]
        bars.append((one["name"], f"{seconds(case['seconds'])} = {sums}", pieces))
    shown: list[Part] = []
    if bars:
        seen = [
            (looks[n], n) for n in names if any(looks[n] == k for *_, ps in bars for k, _ in ps)
        ]
        shown.append(stacked("", bars, seen))
    files = ["worst-case"] if bars else []
    note = "Whatever the traffic: the sum of what the limits allow on the longest path."
    return Section("Worst case", [*shown, *([Said(said)] if said else [])], note, files)


def _budget(ones: list[Json]) -> Section:
    """Return the mean seconds of all requests, and of the slowest, by what they went to."""
    looks = {part: f"p{i}" for i, part in enumerate(("service", "unused", "queue"))}
    others = ("verifier", "router", "cache", "retry_pauses")
    looks |= {part: f"p{3 + i}" for i, part in enumerate(others)}
    parts, used = [], set()
    for of, title in OF.items():
        bars = []
        for one in ones:
            row = next((r for r in one["budget"] if r["of"] == of), None)
            if row is None:
                continue
            sizes = [(part, (row[f"{part}_s_mean"] or {"value": 0.0})["value"]) for part in looks]
            sizes = [(part, size) for part, size in sizes if size > 0]
            used |= {part for part, _ in sizes}
            words = ", ".join(f"{PARTS[part]} {seconds(size)}" for part, size in sizes)
            pieces = [(looks[part], size) for part, size in sizes]
            words = f"{number(row['sojourn_s_mean'], seconds)}: {words}"
            bars.append((one["name"], words, pieces))
        if bars:
            parts.append((title, bars))
    key = [(look, PARTS[part]) for part, look in looks.items() if part in used]
    found: list[Bars] = [
        stacked(title, bars, key if i == len(parts) - 1 else ())
        for i, (title, bars) in enumerate(parts)
    ]
    note = "Mean time from arrival to end; each group has its own scale. Answers not used: service "
    note += "of a tier whose answer was declined or cut off."
    return Section("Where the seconds went", found, note, ["latency-budget"])


def _paths(ones: list[Json]) -> Table:
    rows: list[list[Cell]] = []
    for one in ones:
        for path in one["paths"][:MOST_PATHS]:
            name = f"{one['name']}: {' → '.join(path['path']) or 'no tier at all'}"
            times = [cell(path[f"sojourn_s_{q}"], seconds) for q in TAILS]
            rows.append([name, cell(path["share"], share), *times])
    return Table(["path", "share", "p50", "p95", "p99", "p99.9"], rows)
