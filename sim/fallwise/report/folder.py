"""The folder of a study: its summary, tables and figures, written whole or not at all.

    summary.json                      what the command found
    requests.parquet outcomes.parquet the tables; the first run's, where there were several
    *.csv                             the tables of a command that plans, such as breakeven's curve
    predicted.parquet measured.parquet  of a check: outcomes; rows.parquet: what the client saw
    locust/                           of a check: Locust's own statistics
    figures/*.png *.svg               each figure twice
    report.html                       one page that tells it all, where the command makes one
    README.txt                        what made the folder

Nothing in it depends on the time or the place, so the same scenario, seed and engine give the same
bytes on the same machine.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fallwise import plots
from fallwise.analysis.predict import Prediction
from fallwise.errors import Problem, ScenarioError
from fallwise.report.pictures import figures

__all__ = ["flat", "refuse", "write"]

Summary = dict[str, Any]
Drawn = Iterable[tuple[str, Any]]

LONGEST: Final = 1_000_000
"""Tables of more rows are not written whole."""
TABLES: Final = {
    "breakeven": ("monthly",),
    "compare": ("differences",),
    "size": ("tried",),
    "sensitivity": ("tornado", "sobol"),
}
"""Which keys of a planning command's summary are lists of rows."""
OURS: Final = {
    *("summary.json", "README.txt", "requests.parquet", "outcomes.parquet", "figures"),
    *("predicted.parquet", "measured.parquet", "rows.parquet", "locust"),
    *("report.html", *(f"{name}.csv" for names in TABLES.values() for name in names)),
}
PAGE: Final = "report.html    all of it on one page"
PICTURES: Final = "every figure of the page, as PNG and as SVG"


def write(
    folder: Path,
    summary: Summary,
    prediction: Prediction | None,
    html: str | None = None,
    drawn: Drawn | None = None,
    fill: Callable[[Path], None] | None = None,
) -> Path:
    """Write the results of a command, and return the folder; without a prediction, no tables.

    drawn are its figures with their names; by default those of a run, or of what was planned. fill
    puts a command's own files (of those named above) into the folder that it is given.

    Older results in the folder go away just when the new ones are complete. ScenarioError where
    the folder cannot be written, or is not one of ours.
    """
    refuse(folder)
    whole = folder.resolve()
    half, old = (whole.with_name(f".{whole.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    try:
        half.mkdir(parents=True)
        if html is not None:
            (half / "report.html").write_text(html, encoding="utf-8")
        _fill(half, summary, prediction, drawn)
        if fill is not None:
            fill(half)
        if whole.exists():
            whole.rename(old)
        try:
            half.rename(whole)
        except OSError:
            if old.exists():
                old.rename(whole)
            raise
    except OSError as error:
        rule, remedy = f"cannot be written: {error.strerror}", "name another folder with --out"
        raise ScenarioError(Problem(rule, remedy, file=str(folder))) from None
    finally:
        for left in (half, old):
            shutil.rmtree(left, ignore_errors=True)
    return folder


def refuse(folder: Path) -> None:
    """Raise ScenarioError where results may not replace what is there."""
    whole, rule = folder.resolve(), ""
    if Path.cwd().is_relative_to(whole):
        rule = "is the folder that you are in, or above it"
    elif whole.exists() and not whole.is_dir():
        rule = "is a file, not a folder"
    elif whole.exists():
        there = {path.name for path in whole.iterdir()}
        others = sorted(there - OURS)
        if others:
            rule = f"holds what fallwise did not write ({others[0]})"
        elif there and "summary.json" not in there:
            rule = "is not a folder of results: it has no summary.json"
    if rule:
        remedy = "name a new or empty folder with --out"
        raise ScenarioError(Problem(rule, remedy, file=str(folder)))


def _fill(
    folder: Path, summary: Summary, prediction: Prediction | None, drawn: Drawn | None
) -> None:
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    if drawn is None:
        drawn = plots.answer(summary) if prediction is None else figures(summary, prediction)
    for name, figure in drawn:
        (folder / "figures").mkdir(exist_ok=True)
        for suffix in (".png", ".svg"):
            plots.save(figure, folder / "figures" / f"{name}{suffix}")
    if prediction is None:
        about = _answered(folder, summary)
    else:
        prediction.requests.take(slice(LONGEST)).save(folder / "requests.parquet")
        prediction.outcomes.take(slice(LONGEST)).save(folder / "outcomes.parquet")
        about = _readme(summary, prediction)
    if (folder / "report.html").exists():
        about += f"{PAGE}\n"
    (folder / "README.txt").write_text(about, encoding="utf-8")


def _answered(folder: Path, summary: Summary) -> str:
    """Write the tables of a summary alone, and return what is in the folder."""
    names = [name for name in TABLES.get(summary["command"], ()) if summary[name]]
    for name in names:
        rows = [flat(row) for row in _rows(summary[name])]
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    lines = [
        f"{summary['scenario']}: {summary['command']}\n",
        f"made by        fallwise {summary['version']}, command `{summary['command']}`",
        f"seed, engine   {summary['seed']}, {summary['engine']}\n",
        "summary.json   what was found; every estimate with its 95 % interval",
        *(["*.csv          the same, the parts that are tables"] if names else []),
        *([f"figures/       {PICTURES}"] if (folder / "figures").exists() else []),
    ]
    return "\n".join(lines) + "\n"


def _rows(table: Any) -> list[Summary]:
    """Return a table's rows; those of several measures under each other."""
    if isinstance(table, list):
        return table
    found = []
    for measure, rows in table.items():
        rows = rows["indices"] if isinstance(rows, dict) else rows
        found += [{"measure": measure} | row for row in rows or []]
    return found


def flat(row: Summary, name: str = "") -> Summary:
    """Return a row of plain values; an estimate becomes three columns: x, x_low and x_high.

    >>> flat({"units": {"pool": 2}, "quality": {"value": 0.9, "low": 0.8, "high": 1.0}})
    {'units_pool': 2, 'quality': 0.9, 'quality_low': 0.8, 'quality_high': 1.0}
    """
    cells: Summary = {}
    for key, value in row.items():
        whole = "_".join(filter(None, (name, "" if key == "value" else key)))
        cells |= flat(value, whole) if isinstance(value, dict) else {whole: value}
    return cells


def _readme(summary: Summary, prediction: Prediction) -> str:
    n, scenario = len(prediction.requests), prediction.scenario
    rows = f"all {n:,} requests" if n <= LONGEST else f"the first {LONGEST:,} of {n:,} requests"
    if prediction.further:
        rows += f" of the first of {len(prediction.runs)} runs"
    return f"""\
{scenario.name}: {scenario.about}

made by        fallwise {summary["version"]}, command `{summary["command"]}`
scenario       {scenario.name}, content {scenario.hash}
seed, engine   {prediction.seed}, {prediction.engine}

summary.json   what was found; every estimate with its 95 % interval
*.parquet      {rows}: what was drawn, and what happened
figures/       {PICTURES}
"""
