"""One HTML file that tells a whole study: no network, the same bytes every time.

Everything is drawn here, for every threshold; the script in the page only puts the chosen one's
drawings in place. Without a script the page shows the scenario's own threshold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from markupsafe import Markup

from fallwise.analysis.money import SECONDS_PER_MONTH
from fallwise.analysis.predict import Prediction
from fallwise.planning.movers import moved
from fallwise.planning.thresholds import Point, Thresholds, thresholds_at
from fallwise.report.charts import calibration, curve, flow, latency, latency_axis, learning
from fallwise.report.pieces import Section, Table, cell
from fallwise.report.rendering import assumed, templates
from fallwise.report.studies.sensitivity import tornado
from fallwise.report.verdict import bills, tuned_verdict, verdict
from fallwise.report.words import (
    between,
    count,
    dollars,
    how_many,
    number,
    points,
    scaled,
    seconds,
    share,
    thresholded,
    until,
)
from fallwise.scenario import Scenario

__all__ = ["page"]

Summary = dict[str, Any]
Card = tuple[str, str, str, str]
Progress = Callable[[int, int], None]

SLIDERS: Final = 3
"""So many tiers' thresholds can be moved, the cheapest tiers'."""


def page(
    summary: Summary,
    scenario: Scenario,
    prediction: Prediction | None = None,
    tuned: Summary | None = None,
    moves: Summary | None = None,
    progress: Progress = lambda done, total: None,
) -> str:
    """Return the page of a run; tuned is what `tune` found, if the run is that of its pick.

    moves is what `sensitivity` found, or `movers`; without it every assumption is moved here.
    progress is told how many thresholds are simulated, and of how many.
    Without a prediction (of a run that was summed up in blocks) there are no thresholds to move.
    """
    template = templates().get_template("page.html")
    study: dict[str, Any] = {"tiers": {}}
    shown: dict[str, Any] = {}
    if prediction is not None and summary["baselines"]:
        study, shown = _thresholds(summary, scenario, prediction, progress)
    text: str = template.render(
        summary=summary,
        scenario=scenario,
        study=Markup(json.dumps(study, ensure_ascii=False).replace("<", "\\u003c")),
        **(_common(summary, scenario, tuned, prediction, moves) | shown),
    )
    return text


def _common(
    summary: Summary,
    scenario: Scenario,
    tuned: Summary | None,
    prediction: Prediction | None,
    moves: Summary | None,
) -> dict[str, Any]:
    """Return what does not move with a threshold."""
    many = _many(summary)
    names = [tier.name for tier in scenario.tiers]
    sections = [learning(summary, many)] if summary["cache_over_time"] else []
    if moves is None and prediction is not None:
        moves = moved(scenario, prediction.engine)
    if moves is not None and moves["ranges"]:
        sections.append(tornado(moves))
    return {
        "tuned_verdict": tuned_verdict(tuned) if tuned is not None else "",
        "otherwise": _otherwise(summary, many),
        "assumed": assumed(summary, scenario),
        "sections": sections,
        "cost_title": how_many(many),
        "shades": _shades(len(names)),
        "verdict": _plain_verdict(summary),
        "bills": "",
        "cards": _cards_of(summary, many),
        "sliders": [],
        "own": None,
        "chart": None,
        "calibrations": {},
        "frontier": names[scenario.frontier],
    }


def _thresholds(
    summary: Summary, scenario: Scenario, prediction: Prediction, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the data of the page's script, and what the page shows before it is touched."""
    many = _many(summary)
    found = Thresholds(prediction, summary["warmup_requests"])
    having = [k for k, tier in enumerate(scenario.tiers) if tier.threshold is not None][:SLIDERS]
    at = [(k, threshold) for k in having for threshold in thresholds_at(found, k)]
    by_tier: dict[str, list[Point]] = {scenario.tiers[k].name: [] for k in having}
    for i, (k, threshold) in enumerate(at):
        progress(i, len(at))
        by_tier[scenario.tiers[k].name].append(found.point(k, threshold))
    own = found.own()
    every = [own, *(point for found in by_tier.values() for point in found)]
    axis = latency_axis(every)
    charts = curve(summary, by_tier, own, many)
    render = templates().get_template("moving.html").module
    names = [tier.name for tier in scenario.tiers]
    rate = summary["rate_rps"]["value"] if summary["rate_rps"] else None

    def shown(point: Point) -> dict[str, Any]:
        alone = len(scenario.tiers) == 1
        sentence = verdict(point, names[scenario.frontier], rate)
        words = {
            "verdict": _plain_verdict(summary) if alone else sentence,
            "bills": bills(point, names[scenario.frontier], rate, found.alone_usd, many),
            "threshold": thresholded(point["threshold"]),
            **{key: text for key, _, text, _ in _cards(point, rate, scenario, many)},
            **{f"{key}_in": text for key, _, _, text in _cards(point, rate, scenario, many)},
        }
        macros: Any = render
        parts = {
            "flow": str(macros.flow(flow(point, names))),
            "latency": str(macros.latency(latency(point, names, axis))),
        }
        return {"at": point["threshold"], "words": words, "parts": parts, **charts.place(point)}

    study = {
        "tiers": {
            name: {
                "own": [p["threshold"] for p in points].index(scenario.tiers[k].threshold),
                "points": [shown(point) for point in points],
            }
            for k, (name, points) in zip(having, by_tier.items(), strict=True)
        }
    }
    first = shown(own)
    return study, {
        "sliders": list(by_tier),
        "own_threshold": thresholded(scenario.tiers[having[0]].threshold) if having else "",
        "own": first,
        "verdict": first["words"]["verdict"],
        "bills": first["words"]["bills"],
        "cards": _cards(own, rate, scenario, many),
        "chart": charts,
        "axis": axis,
        "calibrations": calibration(summary, scenario, prediction),
    }


def _cards(point: Point, rate_rps: float | None, scenario: Scenario, many: int) -> list[Card]:
    """Return the figures at the top: key, title, number and interval."""
    month = None
    if rate_rps is not None:
        upkeep, cost = scenario.money.upkeep_usd_per_month, point["cost_usd_mean"]
        month = scaled(cost, rate_rps * SECONDS_PER_MONTH, upkeep)
    pays, wrong = point["pays_from"], point["wrong_answers_usd_mean"]
    better = point["quality_difference"]
    any_ = pays["value"] == 0 and not pays["high"]
    volume = "never" if pays["value"] is None else "any" if any_ else count(pays["value"])
    rows: list[tuple[str, str, Any, Any]] = [
        ("cost_usd_mean", *_cost(point, many)),
        ("month", "a month at this traffic", month, dollars),
        _saved(point),
        ("quality", "quality (no answer is wrong)", point["quality"], share),
        ("escalation_rate", "escalated", point["escalation_rate"], share),
        *_times(point),
    ]
    if wrong is not None:
        title = f"wrong answers, {how_many(many)}"
        rows.insert(5, ("wrong", title, scaled(wrong, many), dollars))
        also = " and upkeep" if point["saving_with_upkeep"] else ""
        title = f"saved, wrong answers{also} paid for"
        rows.insert(3, ("saving_at_stake", title, point["saving_at_stake"], share))
    cards = [(key, title, number(x, form), between(x, form)) for key, title, x, form in rows]
    cards.insert(
        3, ("pays_from", "pays from, requests a month", volume, "" if any_ else until(pays))
    )
    ends = between(better, lambda x: points({"value": x, "low": None, "high": None})[:-7])
    middle = points({**better, "low": None})
    cards.insert(5, ("quality_difference", "quality against frontier-only", middle, ends))
    return cards


def _cost(point: Summary, many: int) -> tuple[str, Any, Any]:
    title = f"{how_many(many)} cost{'s' if many == 1 else ''}"
    return title, scaled(point["cost_usd_mean"], many), dollars


def _times(point: Summary) -> list[tuple[str, str, Any, Any]]:
    names = {"p50": "half are", "p95": "95 % are", "p99": "99 % are"}
    return [
        (f"sojourn_s_{q}", f"{name} done within", point[f"sojourn_s_{q}"], seconds)
        for q, name in names.items()
    ]


def _saved(point: Summary) -> tuple[str, str, Any, Any]:
    title, counted = "saved against frontier-only", point["saving_with_upkeep"]
    if counted is None:
        return "saving", title, point["saving"], share
    return "saving", f"{title}, upkeep counted", counted, share


def _cards_of(summary: Summary, many: int) -> list[Card]:
    """Return the figures of a summary alone."""
    rows: list[tuple[str, str, Any, Any]] = [
        ("cost_usd_mean", *_cost(summary, many)),
        ("month", "a month at this traffic", summary["cost_usd_per_month"], dollars),
        _saved(summary),
        ("quality", "quality (no answer is wrong)", summary["quality"], share),
        ("escalation_rate", "escalated", summary["escalation_rate"], share),
        *_times(summary),
    ]
    return [(key, title, number(x, form), between(x, form)) for key, title, x, form in rows]


def _many(summary: Summary) -> int:
    """Return for how many requests costs are said: so many that they are no tiny numbers."""
    return 1 if summary["cost_usd_mean"]["value"] >= 0.1 else 1000


def _plain_verdict(summary: Summary) -> str:
    quality = number(summary["quality"], share)
    title, cost, form = _cost(summary, _many(summary))
    subject = title[0].upper() + title[1:]
    p95 = number(summary["sojourn_s_p95"], seconds)
    return (
        f"{subject} {number(cost, form)}; {quality} of all end with the right answer, "
        f"95 % within {p95}."
    )


def _otherwise(summary: Summary, many: int) -> Section:
    """Return the cascade beside its baselines."""
    rows = [("this cascade", summary)]
    for name, baseline in summary["baselines"].items():
        rows.append((f"{name.replace('_', ' ')} ({baseline['tier']})", baseline))
    cells = [
        [
            name,
            cell(scaled(one["cost_usd_mean"], many), dollars),
            cell(one["quality"], share),
            *(cell(one[f"sojourn_s_{q}"], seconds) for q in ("p50", "p95", "p99")),
        ]
        for name, one in rows
    ]
    heads = ["", f"{how_many(many)}, $", "quality", "p50", "p95", "p99"]
    return Section("The same requests, otherwise", [Table(heads, cells)])


def _shades(tiers: int) -> list[tuple[str, str]]:
    """Return each tier's colour on white and on black: one hue, told apart by lightness."""
    steps = [k / max(tiers - 1, 1) for k in range(tiers)]
    return [(f"hsl(212 62% {76 - 46 * x:.0f}%)", f"hsl(212 62% {34 + 44 * x:.0f}%)") for x in steps]
