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
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from fallwise import plots
from fallwise.analysis.predict import Prediction
from fallwise.analysis.quality import Curve, sweep
from fallwise.analysis.summary import SCORED
from fallwise.draw.replay import model_of
from fallwise.errors import Problem, ScenarioError
from fallwise.tables import RequestTable

__all__ = ["figures", "flat", "refuse", "write"]

Summary = dict[str, Any]

LONGEST: Final = 1_000_000
"""Tables of more rows are not written whole, and curves are not made of more requests."""
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


def write(
    folder: Path,
    summary: Summary,
    prediction: Prediction | None,
    html: str | None = None,
    fill: Callable[[Path], None] | None = None,
) -> Path:
    """Write the results of a command, and return the folder; without a prediction, no tables.

    fill puts a command's own files (of those named above) into the folder that it is given.

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
        _fill(half, summary, prediction)
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


def figures(summary: Summary, prediction: Prediction) -> Iterator[tuple[str, Any]]:
    """Yield the matplotlib figures that have something to show, with their names.

    Without money there is no quality against cost; without thresholds on probabilities there is no
    reliability diagram.
    """
    runs = list(zip(prediction.runs, summary["warmup_requests"], strict=True))
    if summary["baselines"] and summary["saving"] and summary["saving"]["value"] is not None:
        yield "quality-cost", plots.quality_against_cost(summary, _curves(summary, prediction))
    yield "tier-hits", plots.tier_hits(summary)
    sojourn_s = np.concatenate([run.outcomes.sojourn_s[cut:] for run, cut in runs])
    path = np.concatenate([run.outcomes.path[cut:] for run, cut in runs])
    yield "latency", plots.latency_by_path(summary, sojourn_s, path)
    if summary["cache_over_time"]:
        yield "cache-over-time", plots.cache_over_time(summary)
    if summary["calibration"]:
        names = [tier["tier"] for tier in summary["calibration"]]
        yield "reliability", plots.reliability_diagram(summary, _scored(names, prediction))


def _scored(names: list[str], prediction: Prediction) -> list[plots.Scored]:
    """Return what the summary's calibration is taken from."""
    scenario = prediction.scenario
    requests = prediction.requests.take(slice(SCORED))
    replayed = [k for k, tier in enumerate(scenario.tiers) if model_of(tier) is not None]
    rows = np.concatenate([requests.score[:, replayed], requests.answer[:, replayed]], axis=1)
    found = []
    for name in names:
        k = scenario.index(name)
        threshold = scenario.tiers[k].threshold
        assert threshold is not None
        again = scenario.answers.source == "replay" and k in replayed
        distinct = len(np.unique(rows, axis=0)) if again else len(requests)
        score, correct = requests.score[:, k], requests.correct[:, k]
        found.append(plots.Scored(name, threshold, score, correct, distinct))
    return found


def _curves(summary: Summary, prediction: Prediction) -> dict[str, Curve]:
    """Return the curve of each tier's threshold, on the requests that the summary measured.

    A sweep counts calls only. Rented capacity does not depend on thresholds, so the summary's is
    added to every point.
    """
    scenario, cuts = prediction.scenario, summary["warmup_requests"]
    runs = list(zip(prediction.runs, cuts, strict=True))
    calls = np.concatenate([run.outcomes.cost_usd[cut:] for run, cut in runs])  # type: ignore[index]
    rent = summary["cost_usd_mean"]["value"] - float(calls.mean())
    measured = RequestTable.concat([run.requests.take(slice(cut, LONGEST)) for run, cut in runs])
    measured = measured.take(slice(LONGEST))
    # Nobody queues in a sweep: runs may follow each other as if they were one.
    measured = replace(measured, arrival_ns=np.arange(len(measured), dtype=np.int64))
    curves = {}
    for k, tier in enumerate(scenario.tiers):
        if tier.threshold is not None:
            curve = sweep(scenario, measured, k)
            curves[tier.name] = replace(curve, cost_usd_mean=curve.cost_usd_mean + rent)
    return curves


def _fill(folder: Path, summary: Summary, prediction: Prediction | None) -> None:
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    if prediction is None:
        _fill_answer(folder, summary)
        return
    prediction.requests.take(slice(LONGEST)).save(folder / "requests.parquet")
    prediction.outcomes.take(slice(LONGEST)).save(folder / "outcomes.parquet")
    _draw(folder, figures(summary, prediction))
    about = _readme(summary, prediction)
    if (folder / "report.html").exists():
        about += f"{PAGE}\n"
    (folder / "README.txt").write_text(about, encoding="utf-8")


def _draw(folder: Path, drawn: Iterator[tuple[str, Any]]) -> None:
    for name, figure in drawn:
        (folder / "figures").mkdir(exist_ok=True)
        for suffix in (".png", ".svg"):
            plots.save(figure, folder / "figures" / f"{name}{suffix}")


def _fill_answer(folder: Path, summary: Summary) -> None:
    """Write the tables and figures of a command that plans."""
    names = [name for name in TABLES.get(summary["command"], ()) if summary[name]]
    for name in names:
        rows = [flat(row) for row in _rows(summary[name])]
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    drawn = list(plots.answer(summary))
    _draw(folder, iter(drawn))
    lines = [
        f"{summary['scenario']}: {summary['command']}\n",
        f"made by        fallwise {summary['version']}, command `{summary['command']}`",
        f"seed, engine   {summary['seed']}, {summary['engine']}\n",
        "summary.json   what was found; every estimate with its 95 % interval",
        *(["*.csv          the same, the parts that are tables"] if names else []),
        *(["figures/       the pictures, as PNG and as SVG"] if drawn else []),
        *([PAGE] if (folder / "report.html").exists() else []),
    ]
    (folder / "README.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


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
figures/       the pictures, as PNG and as SVG
"""
