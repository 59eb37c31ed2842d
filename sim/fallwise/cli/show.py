"""A run's summary on the terminal, in tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

__all__ = [
    "blank_table",
    "percent",
    "points",
    "seconds",
    "show",
    "terminal",
    "usd",
    "value",
    "within",
]

Json = dict[str, Any]

NOTHING = "–"


def value(estimate: Any) -> float | None:
    """Return the number of an estimate, which may be one itself, or None."""
    found = estimate["value"] if isinstance(estimate, dict) else estimate
    return None if found is None else float(found)


def usd(estimate: Any) -> str:
    """Return dollars to three significant digits, or to the cent above 100.

    >>> usd(0.00123456), usd(1234.5), usd(None)
    ('$0.00123', '$1,234.50', '–')
    """
    x = value(estimate)
    if x is None:
        return NOTHING
    digits = f"{abs(x):,.2f}" if abs(x) >= 100 or x == 0 else _three(abs(x))
    return f"{'-' if x < 0 else ''}${digits}"


def percent(estimate: Any) -> str:
    """Return a share as a percentage.

    >>> percent({"value": 0.1234, "low": 0.1, "high": 0.2})
    '12.3 %'
    """
    x = value(estimate)
    return NOTHING if x is None else f"{100 * x:.1f} %"


def seconds(estimate: Any) -> str:
    """Return a time with a unit that suits it.

    >>> seconds(0.0123), seconds(1.5), seconds(90), seconds(7200), seconds(0)
    ('12.3 ms', '1.50 s', '90.0 s', '2.00 h', '0 s')
    """
    from fallwise.plots.style import duration

    x = value(estimate)
    return NOTHING if x is None else duration(x)


def _three(x: float) -> str:
    """Return a positive number with three significant digits, never with an exponent.

    >>> _three(0.000123456), _three(1.5), _three(123456.0)
    ('0.000123', '1.50', '123456')
    """
    from math import floor, log10

    return f"{x:.{max(0, 2 - floor(log10(float(f'{x:.3g}'))))}f}"


def within(estimate: Any, form: Any) -> str:
    """Return an estimate with its 95 % interval."""
    if not isinstance(estimate, dict) or estimate.get("low") is None:
        return str(form(estimate))
    return f"{form(estimate)}  ({form(estimate['low'])} to {form(estimate['high'])})"


def show(summary: Json, scenario: Scenario, folder: Path) -> None:
    """Print what a run found; the intervals are at 95 %."""
    from rich.markup import escape
    from rich.text import Text

    console = terminal()
    note = f"{summary['requests']:,} requests, {seconds(summary['seconds_simulated'])} simulated"
    console.print(f"\n[bold]{escape(scenario.name)}[/bold]  {escape(scenario.about)}".rstrip())
    console.print(f"{note}, {summary['engine']} engine, seed {summary['seed']}\n")
    tables = [_headline(summary), _baselines(summary), _tiers(summary), _paths(summary, scenario)]
    if value(summary["wrong_answers_usd_mean"]):
        tables.append(_risks(summary))
    for table in tables:
        console.print(table)
        console.print()
    console.print(points(summary["findings"]))
    if summary["targets"]:
        console.print("\nTargets:")
        said = [(_target(t), "green" if t["met"] else "bold red") for t in summary["targets"]]
        console.print(points([Text(sentence, style) for sentence, style in said]))
    if summary["assumptions"]:
        console.print("\nAssumed, not measured:")
        console.print(points([_assumed(item, scenario) for item in summary["assumptions"]]))
    console.print(f"\nWritten to {folder}; open report.html there", markup=False, soft_wrap=True)


def terminal() -> Any:
    """Return where to print: in colour on a terminal only, and not with NO_COLOR set."""
    from rich.console import Console

    return Console(highlight=False)


def points(sentences: Sequence[Any]) -> Any:
    """Return the sentences as a list."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for sentence in sentences:
        table.add_row("•", sentence if isinstance(sentence, Text) else Text(sentence))
    return table


def _assumed(item: Json, scenario: Scenario) -> str:
    found = scenario.value_at(item["key"])
    number = f" = {found:g}" if isinstance(found, int | float) else ""
    return f"{item['key']}{number}: {item['why']}"


def _target(target: Json) -> str:
    side = target["side"].replace("_", " ")
    number = NOTHING if target["value"] is None else f"{target['value']:.6g}"
    wanted = f"{target['name']} {side} {target['limit']:.6g}"
    return f"{wanted}: {'met' if target['met'] else 'NOT MET'}, it is {number}"


def blank_table(*columns: str) -> Any:
    """Return an empty table with these columns, the first one to the left."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    return table


def _headline(summary: Json) -> Any:
    table = blank_table("", "estimate, 95 % interval")
    rows = [
        ("cost of a request", "cost_usd_mean", usd),
        ("cost of a month at this rate", "cost_usd_per_month", usd),
        ("quality (no answer is wrong)", "quality", percent),
        ("escalated", "escalation_rate", percent),
        ("half are done within", "sojourn_s_p50", seconds),
        ("95 % are done within", "sojourn_s_p95", seconds),
        ("99 % are done within", "sojourn_s_p99", seconds),
    ]
    for name, key, form in rows:
        table.add_row(name, within(summary[key], form))
    for status, count in summary["status"].items():
        if count and status != "answered":
            table.add_row(f"{status.replace('_', ' ')}", f"{count:,}")
    frontier = summary["frontier"]
    _saved(table, f"{frontier['name']} only", summary["saving"])
    _saved(table, f"{frontier['name']} only", summary["saving_with_upkeep"], end=", with upkeep")
    if value(summary["wrong_answers_usd_mean"]):
        _counted(table, summary)
    confident = summary["risk"]["confident_wrong_share"]
    if value(confident):
        table.add_row("passed all checks, but wrong", within(confident, percent))
    table.add_row(f"{frontier['name']} right on all", within(frontier["quality_overall"], percent))
    if value(frontier["quality_escalated"]) is not None:
        escalated = within(frontier["quality_escalated"], percent)
        table.add_row(f"{frontier['name']} right on the escalated", escalated)
    return table


def _saved(table: Any, against: str, saving: Json | None, *, end: str = "") -> None:
    """Add the share saved or, where it is negative, the share that is paid more."""
    if saving is None or value(saving) is None:
        return
    words = f"saved against {against}{end}"
    if saving["value"] < 0:
        names = {"value": "value", "low": "high", "high": "low"}
        flipped = {a: None if saving[b] is None else -saving[b] for a, b in names.items()}
        saving, words = flipped, f"dearer than {against}{end}"
    table.add_row(words, within(saving, percent))


def _counted(table: Any, summary: Json) -> None:
    """Add what a request costs when wrong answers are counted at their stakes."""
    whole = "cost_with_wrong_answers_usd_mean"
    table.add_row("cost with its wrong answers", within(summary[whole], usd))
    alone = summary["baselines"].get("frontier_only")
    if alone:
        name = summary["frontier"]["name"]
        table.add_row(f"the same, {name} only", within(alone[whole], usd))


def _risks(summary: Json) -> Any:
    """Return who ships wrong answers, and what they cost; `checked` ones passed every check."""
    table = blank_table("wrong answers shipped", "wrong", "$ a request", "checked", "$ a request")
    risk = summary["risk"]
    rows = [("all requests", risk), *((f"made by {row['name']}", row) for row in risk["tiers"])]
    rows += [(f"segment {row['name']}", row) for row in risk["segments"]]
    for name, row in rows:
        cells = []
        for kind in ("wrong", "confident_wrong"):
            cells += [percent(row[f"{kind}_share"]), usd(row[f"{kind}_usd_mean"])]
        table.add_row(name, *cells)
    return table


def _baselines(summary: Json) -> Any:
    table = blank_table("the same requests", "$ a request", "quality", "p50", "p95", "p99")
    rows = [("this cascade", summary)]
    for name, baseline in summary["baselines"].items():
        rows.append((f"{name.replace('_', ' ')} ({baseline['tier']})", baseline))
    for name, point in rows:
        times = [seconds(point[f"sojourn_s_{at}"]) for at in ("p50", "p95", "p99")]
        table.add_row(name, usd(point["cost_usd_mean"]), percent(point["quality"]), *times)
    return table


def _tiers(summary: Json) -> Any:
    table = blank_table("tier", "visited", "shipped", "quality", "busy", "wait p99", "$ a request")
    for tier in summary["tiers"]:
        shares = [percent(tier[name]) for name in ("visit_share", "hit_share", "quality")]
        busy = percent(tier["utilisation"])
        wait = seconds(tier["wait_s_p99"])
        table.add_row(tier["name"], *shares, busy, wait, usd(tier["cost_usd_mean"]))
    return table


def _paths(summary: Json, scenario: Scenario, most: int = 8) -> Any:
    from fallwise.analysis.money import unit_usd_per_s

    # What is rented is nobody's in particular: a path has only the price of its calls.
    rented = any(unit_usd_per_s(tier) for tier in scenario.tiers)
    paid = "$ of calls" if rented else "$ a request"
    table = blank_table("path", "share", "quality", paid, "p50", "p95", "p99")
    for path in summary["paths"][:most]:
        times = [seconds(path[f"sojourn_s_{at}"]) for at in ("p50", "p95", "p99")]
        point = percent(path["share"]), percent(path["quality"]), usd(path["cost_usd_mean"])
        table.add_row(" > ".join(path["path"]), *point, *times)
    return table
