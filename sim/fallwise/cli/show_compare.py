"""Candidates beside each other on the terminal, in tables that fit 80 columns."""

from __future__ import annotations

from typing import Any

from fallwise.cli.show import blank_table, percent, points, seconds, usd, within

__all__ = ["show_compared"]

Json = dict[str, Any]

OF = {"all": "all", "sojourn_s_p95": "slowest 5 %", "sojourn_s_p99": "slowest 1 %"}
PARTS = {"queue": "queue", "unused": "not used", "service": "shipped"} | {
    "retry_pauses": "pauses",
    **{part: part for part in ("verifier", "router", "cache")},
}
MOST_PATHS = 4
SAVED = "(x 3: two runs of other requests each need 3 times as many to be as sure)"


def show_compared(console: Any, summary: Json) -> None:
    """Print what `compare` found; the intervals are at 95 %."""
    candidates = summary["candidates"]
    for shown in (part(candidates) for part in (_points, _times, _paths, _budget)):
        console.print(shown)
        console.print()
    warned = [f"{one['name']}: {said}" for one in candidates for said in one["warnings"]]
    if warned:
        console.print("Mind:")
        console.print(points(warned))
        console.print()
    console.print("How each is made:")
    console.print(points([f"{one['name']}: {one['how']}" for one in candidates if one["how"]]))
    missing = [f"{one['name']}: {one['why']}" for one in summary["not_possible"]]
    if missing:
        console.print("\nNot possible here:")
        console.print(points(missing))
    console.print("\nWorst case, whatever the traffic (the sum of what the limits allow):")
    console.print(points([_worst(one) for one in candidates]))
    console.print()
    for row in summary["differences"]:
        console.print(f"{row['a']} against {row['b']}, the same requests:", markup=False)
        for line in _differences(row):
            console.print(line, markup=False)
    console.print(SAVED)
    console.print()


def _points(candidates: list[Json]) -> Any:
    shown = blank_table("", "a request", "quality, 95 % interval")
    for one in candidates:
        quality = within(one["quality"], percent)
        shown.add_row(one["name"], usd(one["cost_usd_mean"]), quality)
    return shown


def _times(candidates: list[Json]) -> Any:
    shown = blank_table("time", "p50", "p95", "p99", "p99.9", "worst")
    for one in candidates:
        times = [seconds(one[f"sojourn_s_{at}"]) for at in ("p50", "p95", "p99", "p999")]
        worst = one["worst_case"]["seconds"]
        times.append("none" if worst is None else seconds(worst))
        shown.add_row(one["name"], *times)
    return shown


def _paths(candidates: list[Json]) -> Any:
    shown = blank_table("path", "share", "p50", "p95", "p99", "p99.9")
    for one in candidates:
        shown.add_row(f"{one['name']}:")
        for path in one["paths"][:MOST_PATHS]:
            times = [seconds(path[f"sojourn_s_{at}"]) for at in ("p50", "p95", "p99", "p999")]
            name = " > ".join(path["path"]) or "(none)"
            shown.add_row(f"  {name}", percent(path["share"]), *times)
    return shown


def _budget(candidates: list[Json]) -> Any:
    used = [p for p in PARTS if any(_mean(r, p) for one in candidates for r in one["budget"])]
    shown = blank_table("where the seconds went", *(PARTS[part] for part in used), "in all")
    for one in candidates:
        for row in one["budget"]:
            if row["of"] in OF:
                name = f"{one['name']}, mean" if row["of"] == "all" else f"  {OF[row['of']]}"
                parts = [seconds(row[f"{part}_s_mean"]) for part in used]
                shown.add_row(name, *parts, seconds(row["sojourn_s_mean"]))
    return shown


def _mean(row: Json, part: str) -> float:
    estimate = row[f"{part}_s_mean"]
    return float(estimate["value"]) if estimate else 0.0


def _worst(one: Json) -> str:
    case = one["worst_case"]
    if case["seconds"] is None:
        return f"{one['name']}: no bound, because {'; '.join(case['unbounded'])}"
    parts = [f"{p['part']} {seconds(p['seconds'])}" for p in case["parts"] if p["seconds"]]
    return f"{one['name']}: {seconds(case['seconds'])} = {' + '.join(parts) or 'nothing'}"


def _differences(row: Json) -> list[str]:
    """Return a line for each measure: the difference, its interval, the variance reduction."""
    lines = []
    for name, measure, form in (
        ("cost of a request", "cost_usd_mean", usd),
        ("and its wrong answers", "cost_with_wrong_answers_usd_mean", usd),
        ("quality, points", "quality", _hundredths),
        ("mean time", "sojourn_s_mean", seconds),
        ("p95", "sojourn_s_p95", seconds),
        ("p99", "sojourn_s_p99", seconds),
        ("p99.9", "sojourn_s_p999", seconds),
    ):
        d = row[measure]
        if d is None or (name.startswith("and") and d == row["cost_usd_mean"]):
            continue
        ends = [_signed(d[end], form) for end in ("low", "high") if d[end] is not None]
        within = f"({ends[0]} to {ends[1]})" if len(ends) == 2 else ""
        times = d.get("variance_reduction")
        saved = f"x {times:.3g}" if times is not None and within else ""
        line = f"  {name:<22}{_signed(d['value'], form):>12}  {within:<30}{saved}"
        lines.append(line.rstrip())
    return lines


def _hundredths(share: float) -> str:
    return f"{100 * share:.2f}"


def _signed(x: float, form: Any) -> str:
    """Return a difference with its sign.

    >>> _signed(-0.5, seconds), _signed(0.25, usd), _signed(0.0, usd)
    ('-500 ms', '+$0.250', '$0.00')
    """
    return f"{'+' if x > 0 else '-' if x < 0 else ''}{form(abs(x))}"
