"""Where things stand in the page's drawings, in percent of their box: no text is in a drawing.

Boxes stretch with the page, and text stands beside them as text, so a phone shows it as large as a
desk does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fallwise.analysis.calibration import reliability
from fallwise.analysis.predict import Prediction
from fallwise.planning.thresholds import Point
from fallwise.report.pieces import (
    Axis,
    Line,
    Part,
    Plot,
    Section,
    linear,
    logarithmic,
    place,
    ticks,
)
from fallwise.report.words import count, dollars, how_many, scaled, seconds, share
from fallwise.scenario import Scenario

__all__ = [
    "Chart",
    "calibration",
    "curve",
    "flow",
    "latency",
    "latency_axis",
    "learning",
]

Summary = Mapping[str, Any]
Json = dict[str, Any]

MARKS: Final = {"p50": "●", "p95": "■", "p99": "▲"}
MOST: Final = 6
"""So many paths are drawn."""


@dataclass(frozen=True)
class Chart:
    """Quality against cost: lines through what was simulated, points with names, and ticks."""

    width_usd: float
    low: float
    high: float
    lines: list[tuple[str, str, list[tuple[float, float]]]]
    named: list[Json]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]

    def x(self, usd: float) -> float:
        """Return a cost's place from the left."""
        return place(100 * usd / self.width_usd)

    def y(self, quality: float) -> float:
        """Return a quality's place from the top."""
        return place(100 * (self.high - quality) / (self.high - self.low))

    def place(self, point: Point) -> Json:
        """Return where a point and the ends of its intervals are, for the page's script."""
        cost, quality = point["cost_usd_mean"], point["quality"]
        ends = [x if x is not None else cost["value"] for x in (cost["low"], cost["high"])]
        grades = [
            x if x is not None else quality["value"] for x in (quality["high"], quality["low"])
        ]
        return {
            "x": self.x(cost["value"]),
            "y": self.y(quality["value"]),
            "xs": [self.x(end) for end in ends],
            "ys": [self.y(end) for end in grades],
        }


def curve(summary: Summary, by_tier: Mapping[str, list[Point]], own: Point, many: int = 1) -> Chart:
    """Return the chart of all points; what costs far more than the points of interest is cut off.

    Costs are written for so many requests.
    """
    alone = [summary["baselines"][name] for name in ("cheapest_only", "frontier_only")]
    marks = [(p["cost_usd_mean"]["value"], p["quality"]["value"]) for p in (own, *alone)]
    moved = [
        [(p["cost_usd_mean"]["value"], p["quality"]["value"]) for p in points]
        for points in by_tier.values()
    ]
    most = max(cost for cost, _ in marks)
    right = min(max([most, *(c for line in moved for c, _ in line)]), 2 * most) * 1.06 or 1.0
    seen = [q for c, q in (*marks, *(spot for line in moved for spot in line)) if c <= right]
    room = 0.08 * (max(seen) - min(seen)) + 0.005
    low, high = max(min(seen) - room, -0.02), min(max(seen) + room, 1.02)
    chart = Chart(right, low, high, [], [], [], [])
    chart.x_ticks.extend((chart.x(t), dollars(t * many)) for t in ticks(0, right, 4)[:5])
    chart.y_ticks.extend((chart.y(t), f"{100 * t:g} %") for t in ticks(low, high))
    for name, line in zip(by_tier, moved, strict=True):
        spots = [(chart.x(c), chart.y(q)) for c, q in line]
        within = [spot for spot in spots if spot[0] <= 104]
        path = "M" + "L".join(f"{10 * x:.0f} {10 * y:.0f}" for x, y in spots)
        chart.lines.append((name, path, [spot for spot in within if spot[0] <= 100]))
    if alone[0]["tier"] != alone[1]["tier"]:
        ends = [(10 * chart.x(c), 10 * chart.y(q)) for c, q in marks[1:]]
        path = "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in ends)
        chart.lines.insert(0, ("", path, []))
    for (cost, quality), row in zip(marks[1:], alone, strict=True):
        words = f"{row['tier']} alone: {dollars(cost * many)}, {share(quality)}"
        x, y = chart.x(cost), chart.y(quality)
        chart.named.append({"x": x, "y": y, "words": words, "left": x > 55, "below": y < 50})
    return chart


def flow(point: Point, names: Sequence[str]) -> list[Json]:
    """Return for each tier the columns of requests that come to it, and where they end.

    A request keeps its place from left to right all the way down: those that end at the first
    tier stand on the left. Of those that end here, wrong answers and no answers stand last.
    """
    paths = sorted(point["paths"], key=lambda p: (p["bits"].bit_length(), p["bits"]))
    at, spans = 0.0, []
    for path in paths:
        spans.append((path, 100 * at, 100 * path["share"]))
        at += path["share"]
    rows = []
    for k, name in enumerate(names):
        tier, falls, parts = point["tiers"][k], [], []
        for path, left, width in spans:
            if not path["bits"] >> k & 1:
                continue
            falls.append((place(left), place(width)))
            if path["bits"] >> k > 1:
                parts.append(("on", place(left), place(width)))
                continue
            right, said = 100 * path["share"] * path["quality"], 100 * path["answered"]
            for kind, begin, end in (
                ("right", 0.0, right),
                ("wrong", right, said),
                ("lost", said, width),
            ):
                if end - begin > 1e-9:
                    parts.append((kind, place(left + begin), place(end - begin)))
        hit = tier["hit_share"]
        rows.append(
            {
                "k": k,
                "name": name,
                "falls": falls,
                "parts": parts,
                "asked": share(tier["visit_share"]),
                "ships": share(hit),
                "right": share(tier["right_share"] / hit) if hit else "",
                "busy": "" if tier["utilisation"] is None else share(tier["utilisation"]),
            }
        )
    return rows


def latency_axis(every: Sequence[Point]) -> Axis:
    """Return an axis that has room for the times of all points."""
    times = [
        path[name]
        for point in every
        for path in point["paths"]
        for name in MARKS
        if path[name] is not None and path[name] > 0
    ]
    return logarithmic(times, seconds)


def latency(point: Point, names: Sequence[str], axis: Axis) -> list[Json]:
    """Return the most frequent paths, with the places of their quantiles."""
    rows = []
    for path in point["paths"][:MOST]:
        taken = [name for k, name in enumerate(names) if path["bits"] >> k & 1]
        marks = [(mark, axis.at(path[q])) for q, mark in MARKS.items() if path[q] is not None]
        words = [f"{MARKS[q]} {q} {seconds(path[q])}" for q in MARKS if path[q] is not None]
        rows.append(
            {
                "name": " → ".join(taken) or "no tier at all",
                "k": path["bits"].bit_length() - 1,
                "share": share(path["share"]),
                "marks": marks,
                "words": "  ".join(words) or "too few to tell",
            }
        )
    return rows


def calibration(summary: Summary, scenario: Scenario, prediction: Prediction) -> dict[str, Json]:
    """Return each scored tier's reliability diagram: what scores say, and what is so."""
    found = {}
    for row in summary["calibration"]:
        k, n = scenario.index(row["tier"]), row["requests"]
        requests = prediction.requests
        score, correct = requests.score[:n, k], requests.correct[:n, k]
        # Rows of a table that were drawn again tell nothing new.
        again = scenario.answers.source == "replay"
        pairs = np.stack([score, requests.answer[:n, k]], axis=1)
        known = len(np.unique(pairs, axis=0)) / n if again else 1.0
        groups = reliability(score, correct, known=known)
        spots = [
            {
                "x": place(100 * groups.score_mean[i]),
                "y": place(100 - 100 * groups.quality[i]),
                "low": place(100 - 100 * groups.low[i]),
                "high": place(100 - 100 * groups.high[i]),
            }
            for i in range(len(groups.count))
        ]
        threshold = scenario.tiers[k].threshold
        auroc = "–" if row["auroc"] is None else f"{row['auroc']:.3f}"
        found[row["tier"]] = {
            "spots": spots,
            "threshold": None if threshold is None else place(100 * min(1.0, max(0.0, threshold))),
            "words": f"Mean score {row['score_mean']:.3f}, right {share(row['quality'])}; "
            f"AUROC {auroc}, expected calibration error {row['ece']:.3f}",
        }
    return found


def learning(summary: Summary, many: int = 1) -> Section:
    """Return how often the cache hits, and what calls cost, from the first request to the last."""
    parts, name = summary["cache_over_time"], summary["tiers"][0]["name"]
    forms = {
        "hit_share": (f"{name} hits", share, 1.0),
        "cost_usd_mean": (
            f"calls of {how_many(many)}",
            dollars,
            many,
        ),
    }
    first, last = (part["hit_share"]["value"] for part in (parts[0], parts[-1]))
    shown: list[Part] = []
    for measure, (title, form, scale) in forms.items():
        line, band = [], []
        for part in parts:
            one = scaled(part[measure], scale)
            low, high = (one["value"] if x is None else x for x in (one["low"], one["high"]))
            for x in (part["requests_from"] or part["requests_to"] / 3, part["requests_to"]):
                line.append((float(x), one["value"]))
                band.append((float(x), low, high))
        if any(y for _, y in line):
            shown.append(
                Plot(
                    title=title[0].upper() + title[1:],
                    about=f"{title}, by how many requests came before: {share(first)} of the first "
                    f"requests hit, {share(last)} of the last",
                    x=logarithmic([x for x, _ in line], count),
                    y=linear([0.0, *(y for row in band for y in row[1:])], form),
                    lines=[Line("l0", "", line)],
                    bands=[("l0", band)],
                    note="Across: requests since the start of the run, logarithmic; band: 95 %.",
                )
            )
    note = (
        f"{share(first)} of the first {parts[0]['requests_to']:,} requests hit, and {share(last)} "
        f"of the last {parts[-1]['requests_to'] - parts[-1]['requests_from']:,}. Warm-up too; "
        "costs are without rented capacity, at the scenario's own thresholds."
    )
    return Section("How the cache learns", shown, note, ["cache-over-time"])
