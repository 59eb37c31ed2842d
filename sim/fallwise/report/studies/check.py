"""Predicted against measured: the rows and their verdicts, and the times laid over each other."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np

from fallwise.plots.check import often
from fallwise.report.pieces import (
    Cell,
    Line,
    Part,
    Plot,
    Said,
    Section,
    Study,
    Table,
    cell,
    linear,
    logarithmic,
)
from fallwise.report.words import between, dollars, seconds, share, signed
from fallwise.tables import Floats, OutcomeTable

__all__ = ["WORDS", "check"]

Json = dict[str, Any]

MOST_FAULTS: Final = 3
"""So many have a line where they begin and end."""
WORDS: Final = {True: "agree", False: "DIFFER", None: "undecided"}


def check(summary: Json, predicted: OutcomeTable, measured: OutcomeTable) -> Study:
    """Return the page of a check; row i of both tables is the same request."""
    rows = summary["rows"]
    counts = {words: sum(row["agree"] is so for row in rows) for so, words in WORDS.items()}
    sections = [
        Section("Row by row", [_rows(rows)]),
        Section(
            "Times, laid over each other",
            _times(summary, predicted, measured),
            "Line: predicted. Dots: measured, 50 quantiles. The same requests on both sides.",
            ["check"],
        ),
        Section(
            "Over time",
            _over_time(summary),
            "Who answered those who came in each window of time. Line: predicted. Dots: measured.",
            ["check-over-time"],
        ),
    ]
    alone = summary["profile"]["rows"]
    if alone:
        sections.append(Section("Each tier alone, before", [_rows(alone)]))
    missing = [f"{one['measure']}: {one['why']}." for one in summary["not_judged"]]
    found = [*summary["findings"], *(f"Not judged: {said}" for said in missing)]
    if found:
        sections.append(Section("What there is to know", [Said(found)]))
    but = "Perhaps only for that: " if summary["doubts"] else ""
    return Study(
        verdict=_verdict(summary),
        more=[
            *(f"No verdict: {said}." for said in summary["doubts"]),
            *(f"{but}{one['said']}." for one in summary["culprits"]),
            *_money(summary),
        ],
        cards=[
            *((f"measures that {w.lower()}", f"{n}", "") for w, n in counts.items() if n),
            ("requests", f"{summary['requests']:,}", f"{summary['lost']:,} lost"),
            ("sent, a second", f"{summary['achieved_rps']:.4g}", _offered(summary)),
            ("sent late, 99 % less than", seconds(summary["send_lag_s_p99"]), ""),
        ],
        sections=sections,
        how=f"Locust sent the predicted requests to {summary['host']}. A row differs where the "
        "99 % interval of measured less predicted (block bootstrap, both sides drawn together) "
        "lies outside the tolerance, agrees where the difference is within it, and is undecided "
        "otherwise. The noise floor is what two drives of the same requests differ by: no less is "
        "held against anybody.",
    )


def _verdict(summary: Json) -> str:
    """Return the verdict, and the difference that says most of it, with its interval."""
    rows = summary["rows"]
    wrong = [row for row in rows if row["agree"] is False]
    named = {row["measure"]: row for row in rows}
    shown = wrong[0] if wrong else named.get("sojourn_s_p95", rows[0] if rows else None)
    words = {
        "agree": f"Prediction and deployment agree in all {len(rows)} measures",
        "differ": f"Prediction and deployment differ in {len(wrong)} of {len(rows)} measures",
        "inconclusive": "Whether prediction and deployment agree cannot be told",
    }[summary["verdict"]]
    if summary["lost"]:
        words += f", and {summary['lost']:,} requests were lost"
    if shown is None:
        return f"{words}."
    form = partial(_form, shown["measure"])
    said, so = (form(shown[side]["value"]) for side in ("predicted", "measured"))
    apart = between(shown["difference"], signed(form))
    inside = f" (difference {apart})" if apart else ""
    return f"{words}: {shown['measure']} was predicted {said} and measured {so}{inside}."


def _form(measure: str, x: float) -> str:
    if "_usd" in measure:
        return dollars(x)
    if "_s_" in measure:
        return seconds(x)
    return share(x) if measure.endswith(("quality", "accuracy", "_rate", "_share")) else f"{x:.4g}"


def _rows(rows: list[Json]) -> Table:
    cells: list[list[Cell]] = []
    for row in rows:
        name, floor = row["measure"], row["noise_floor"]
        form = partial(_form, name)
        cells.append(
            [
                name,
                cell(row["predicted"], form),
                cell(row["measured"], form),
                cell(row["difference"], signed(form)),
                "±" + form(row["tolerance"]),
                "–" if floor is None else form(floor),
                WORDS[row["agree"]],
            ]
        )
    heads = [
        "measure",
        "predicted",
        "measured",
        "difference",
        "tolerance",
        "noise floor",
        "verdict",
    ]
    return Table(heads, cells, "Small: 95 % intervals, of differences 99 %.")


def _times(summary: Json, predicted: OutcomeTable, measured: OutcomeTable) -> list[Part]:
    found: list[Part] = []
    for label, here, there in often(summary, predicted, measured):
        said, so = predicted.sojourn_s[here], measured.sojourn_s[there]
        shares = f"{share(here.mean())} predicted, {share(there.mean())} measured"
        title = label if here.all() else f"{label}: {shares}"
        found.append(_plot(title, said, so))
    return found


def _plot(title: str, predicted_s: Floats, measured_s: Floats) -> Plot:
    line, some = np.linspace(0.0025, 0.9975, 200), np.linspace(0.01, 0.99, 50)
    x = np.quantile(predicted_s, line, method="inverted_cdf").tolist()
    dots = np.quantile(measured_s, some, method="inverted_cdf").tolist() if len(measured_s) else []
    return Plot(
        title=title,
        about=f"Share of requests that are done within a time, predicted and measured: {title}",
        x=logarithmic([*x, *dots], seconds),
        y=linear([0.0, 100.0], lambda t: f"{t:g} %"),
        lines=[Line("l0", "predicted", list(zip(x, (100 * line).tolist(), strict=True)))],
        dots=list(zip(dots, (100 * some[: len(dots)]).tolist(), strict=True)),
        note="Across: time from arrival to end, logarithmic. Up: requests done. ● measured",
    )


def _over_time(summary: Json) -> list[Part]:
    windows = summary["over_time"]
    at = [(window["from_s"] + window["to_s"]) / 2 for window in windows]
    found: list[Part] = []
    for j, name in enumerate([*(tier["name"] for tier in summary["tiers"]), "no tier"]):
        said = [100 * window["predicted"]["hit_share"][j] for window in windows]
        so = [100 * window["measured"]["hit_share"][j][0] for window in windows]
        if not any(said) and not any(so):
            continue
        found.append(
            Plot(
                title=f"Answered by {name}",
                about=f"Share of requests answered by {name} over time, predicted and measured",
                x=linear([windows[0]["from_s"], windows[-1]["to_s"]], seconds),
                y=linear([0.0, 100.0], lambda t: f"{t:g} %"),
                lines=[Line("l0", "predicted", list(zip(at, said, strict=True)))],
                dots=list(zip(at, so, strict=True)),
                uprights=[
                    (fault[end], f"{fault['tier']} {words}")
                    for fault in summary["faults"][:MOST_FAULTS]
                    for end, words in (("from_s", "goes"), ("to_s", "is back"))
                ],
                note="Across: when requests came. Up: share of them. ● measured",
            )
        )
    return found


def _money(summary: Json) -> list[str]:
    if not summary["billing_differs"]:
        return []
    billed, ledger = (dollars(summary[name]) for name in ("billed_usd", "ledger_usd"))
    return [f"The gateway billed {billed}, the stub's ledger says {ledger}."]


def _offered(summary: Json) -> str:
    return f"of {summary['offered_rps']:.4g} wanted"
