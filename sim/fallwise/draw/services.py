"""Services as ServeGen describes them, as a part of a scenario: clients, or a profile.

A folder with ServeGen's own chunk-*-trace.csv files has one client a file, whose rows are windows:
start in s, rate, cv, law of the gaps and its two parameters; an idle window has no rate. Tables
made of them have columns mean_rate_rps and rate_weighted_cv (a row a client), or window_start_s and
rate_rps (a row a window). Source: ServeGen, arXiv 2505.09999.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

import numpy as np

from fallwise.draw.columns import numbers
from fallwise.errors import Problem, TableError
from fallwise.tables import Floats
from fallwise.tables.files import read_rows

__all__ = ["service"]

CLIENTS: Final = ("mean_rate_rps", "rate_weighted_cv")
PROFILE: Final = ("window_start_s", "rate_rps")


def service(path: Path, rate_rps: float | None, top: int) -> dict[str, Any]:
    """Return the `arrivals` of a scenario: clients, or a profile.

    rate_rps: the mean rate that it shall have, by default its own. top: so many of the busiest
    clients keep their own bursts; the others are Poisson together. TableError: neither.
    """
    file = str(path)
    if path.is_dir():
        return _clients(*_chunks(path), rate_rps, top)
    rows = read_rows(path)
    if set(CLIENTS) <= set(rows.column_names):
        rate, cv = (_positive(numbers(rows, name, file), name, file) for name in CLIENTS)
        return _clients(rate, cv, rate_rps, top)
    if set(PROFILE) <= set(rows.column_names):
        start_s, rate = (numbers(rows, name, file) for name in PROFILE)
        return _profile(start_s, rate, rate_rps, file)
    rule = f"has neither {' and '.join(CLIENTS)} nor {' and '.join(PROFILE)}"
    remedy = "a trace of requests is read directly: traffic.arrivals: {kind: trace, file: …}"
    raise TableError(Problem(rule, remedy, file=file))


def _clients(rate: Floats, cv: Floats, rate_rps: float | None, top: int) -> dict[str, Any]:
    scale = 1.0 if rate_rps is None else rate_rps / rate.sum()
    order = np.argsort(-rate, kind="stable")
    first, others = order[:top], order[top:]
    return {
        "kind": "clients",
        "clients": [
            {"rate_rps": float(f"{rate[j] * scale:.6g}"), "cv": float(f"{cv[j]:.4g}")}
            for j in first
        ],
        "background_rps": float(f"{rate[others].sum() * scale:.6g}"),
    }


def _profile(start_s: Floats, rate: Floats, rate_rps: float | None, file: str) -> dict[str, Any]:
    steps = np.diff(start_s)
    even = len(steps) and (np.abs(steps - steps[0]) < 1e-6).all() and steps[0] > 0
    if not even:
        rule = "the windows must follow each other at equal steps"
        raise TableError(Problem(rule, "fill in what is missing", ("window_start_s",), file=file))
    wrong = ~((rate >= 0) & np.isfinite(rate))
    if wrong.any() or not rate.any():
        at = ("rate_rps", f"row {int(np.argmax(wrong))}")
        rule = "must be numbers that are not negative, and not all zero"
        raise TableError(Problem(rule, "correct the rates", at, file=file))
    scale = 1.0 if rate_rps is None else rate_rps / rate.mean()
    rates = [float(f"{value * scale:.6g}") for value in rate]
    return {"kind": "profile", "step_s": float(steps[0]), "rates_rps": rates}


def _chunks(folder: Path) -> tuple[Floats, Floats]:
    """Return (clients,) mean rates over the longest client's windows, and cvs weighted by rate."""
    files = sorted(folder.glob("chunk-*-trace.csv"))
    found = [_chunk(file) for file in files]
    windows = max((count for _, _, count in found), default=0)
    active = [(total / windows, cv) for total, cv, _ in found if total > 0]
    if not active:
        rule = "has no chunk-*-trace.csv with a rate above 0"
        remedy = "give ServeGen's folder of one model, such as data/language/m-small"
        raise TableError(Problem(rule, remedy, file=str(folder)))
    rate, cv = np.array(active).T
    return rate, cv


def _chunk(path: Path) -> tuple[float, float, int]:
    """Return a client's summed rates, its cv weighted by rate, and how many windows it has."""
    rates, cvs, windows = [], [], 0
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row, cells in enumerate(csv.reader(file)):
            windows += 1
            try:
                rate = float(cells[1] or 0)
                cv = float(cells[2]) if rate > 0 else 1.0
            except (ValueError, IndexError):
                rule, remedy = "must be start, rate, cv, …", "correct the row"
                key = (f"row {row}",)
                raise TableError(Problem(rule, remedy, key, ",".join(cells), str(path))) from None
            rates.append(rate)
            cvs.append(cv)
    total = sum(rates)
    weighted = sum(r * c for r, c in zip(rates, cvs, strict=True)) / total if total else 1.0
    return total, weighted, windows


def _positive(values: Floats, name: str, file: str) -> Floats:
    wrong = ~((values > 0) & np.isfinite(values))
    if wrong.any():
        row = int(np.argmax(wrong))
        key, value = (name, f"row {row}"), float(values[row])
        raise TableError(Problem("must be above 0", "correct the row", key, value, file))
    return values
