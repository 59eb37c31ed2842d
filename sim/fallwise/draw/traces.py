"""Trace files: recorded arrivals, with their tokens and keys where the trace has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.draw.columns import codes, numbers, require
from fallwise.errors import Problem, TableError
from fallwise.scenario.traffic import Trace
from fallwise.tables import LONGEST_NS, Bools, Floats, Int64s
from fallwise.tables.files import read_rows

__all__ = ["Recording", "read_trace"]


@dataclass(frozen=True)
class Recording:
    """The m requests of a trace, dithered and at the speed that the scenario asks for.

    arrival_ns  (m,)  int64; never decreases
    period_ns         after which it begins again: its span and one more gap of mean length
    tokens            (m,) float64 by name, where recorded
    key         (m,)  int64 from 0 to distinct - 1, or None
    """

    file: str
    arrival_ns: Int64s
    period_ns: int
    tokens: dict[str, Floats]
    key: Int64s | None
    distinct: int

    def __len__(self) -> int:
        """Return m."""
        return len(self.arrival_ns)

    def arrivals(self, row: Int64s) -> Int64s:
        """Return the arrival of the given rows of the run, beginning again after each m."""
        lap, at = np.divmod(row, len(self))
        if lap[-1] > 0 and self.period_ns == 0:
            rule = f"{len(self)} rows that span no time cannot begin again"
            raise TableError(Problem(rule, "run.requests must not be more", file=self.file))
        if float(lap[-1]) * self.period_ns > LONGEST_NS:
            raise TableError(Problem("runs for more than 36 years", "ask for fewer requests"))
        times: Int64s = self.arrival_ns[at] + lap * self.period_ns
        return times

    def keys(self, row: Int64s) -> Int64s | None:
        """Return the keys of the given rows; every lap asks new questions.

        Otherwise a run that is longer than its trace would find all of it in the cache.
        """
        if self.key is None:
            return None
        lap, at = np.divmod(row, len(self))
        keys: Int64s = self.key[at] + lap * self.distinct
        return keys

    def column(self, name: str, row: Int64s) -> Floats:
        """Return recorded tokens of the given rows; TableError if the trace has none."""
        if name not in self.tokens:
            problem = Problem("column is missing", "add it, or name another law", (name,))
            raise TableError(problem.at(self.file))
        return self.tokens[name][row % len(self)]


def read_trace(path: Path, law: Trace, chance: np.random.Generator) -> Recording:
    """Return a trace (parquet, CSV or gzipped CSV), checked, with its uniform dither added.

    TableError: no column arrival_s, times that are not finite, negative or not sorted, token
    counts that are not whole numbers from 0 to 2**31 - 1.
    """
    file = str(path)
    rows = read_rows(path)
    require(rows, "arrival_s", file)
    arrival_s = numbers(rows, "arrival_s", file)
    longest = LONGEST_NS / 1e9 * min(law.rate_factor, 1.0) / 2
    _refuse(file, "arrival_s", arrival_s, ~(arrival_s <= longest), "must be a number of seconds")
    _refuse(file, "arrival_s", arrival_s, arrival_s < 0, "must not be negative")
    fell = np.diff(arrival_s, prepend=0.0) < 0
    _refuse(file, "arrival_s", arrival_s, fell, "must not be before the row above")
    order: Any = slice(None)
    if law.dither_s:
        arrival_s += law.dither_s * chance.random(len(arrival_s))
        order = np.argsort(arrival_s, kind="stable")
    arrival_ns = np.rint(arrival_s[order] / law.rate_factor * 1e9).astype(np.int64)
    span = int(arrival_ns[-1] - arrival_ns[0])
    tokens = {}
    for name in ("prompt_tokens", "output_tokens"):
        if name in rows.column_names:
            values = numbers(rows, name, file)
            whole = (values >= 0) & (values < 2**31) & (values == np.rint(values))
            _refuse(file, name, values, ~whole, "must be a whole number of tokens")
            tokens[name] = values[order]
    key, distinct = None, 0
    if "key" in rows.column_names:
        code, labels = codes(rows, "key", file)
        key, distinct = code[order], len(labels)
    period = span + round(span / max(len(arrival_ns) - 1, 1))
    return Recording(file, arrival_ns, period, tokens, key, distinct)


def _refuse(file: str, name: str, values: Floats, bad: Bools, rule: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        remedy = f"correct the trace ({bad.sum()} of {len(bad)} rows)"
        raise TableError(Problem(rule, remedy, (name, f"row {row}"), float(values[row]), file))
