"""Trace files: recorded arrivals, with their tokens and keys where the trace has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fallwise.draw.columns import numbers
from fallwise.draw.formats import form_of, keys_of, stamps_of
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
    """Return a trace in any form of `formats`, checked, with its uniform dither added.

    TableError: no known columns, times that are not finite, negative or (of a tidy trace) not
    sorted, token counts that are not whole numbers from 0 to 2**31 - 1.
    """
    file = str(path)
    rows = read_rows(path)
    form = form_of(rows, file)
    stamp, arrival_s = form.stamp, stamps_of(rows, form, file)
    longest = LONGEST_NS / 1e9 * min(law.rate_factor, 1.0) / 2
    _refuse(file, stamp, arrival_s, ~(arrival_s <= longest), "must be a number of seconds")
    _refuse(file, stamp, arrival_s, arrival_s < 0, "must not be negative")
    if form.name == "tidy":
        fell = np.diff(arrival_s, prepend=0.0) < 0
        _refuse(file, stamp, arrival_s, fell, "must not be before the row above")
    if law.dither_s:
        arrival_s = arrival_s + law.dither_s * chance.random(len(arrival_s))
    order = np.argsort(arrival_s, kind="stable")
    arrival_ns = np.rint(arrival_s[order] / law.rate_factor * 1e9).astype(np.int64)
    span = int(arrival_ns[-1] - arrival_ns[0])
    tokens = {}
    for name, column in vars(form).items():
        if name.endswith("_tokens") and column in rows.column_names:
            values = numbers(rows, column, file)
            whole = (values >= 0) & (values < 2**31) & (values == np.rint(values))
            _refuse(file, column, values, ~whole, "must be a whole number of tokens")
            tokens[name] = values[order]
    key, distinct = keys_of(rows, form, file), 0
    if key is not None:
        key, distinct = key[order], int(key.max()) + 1
    period = span + round(span / max(len(arrival_ns) - 1, 1))
    return Recording(file, arrival_ns, period, tokens, key, distinct)


def _refuse(file: str, name: str, values: Floats, bad: Bools, rule: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        remedy = f"correct the trace ({bad.sum()} of {len(bad)} rows)"
        raise TableError(Problem(rule, remedy, (name, f"row {row}"), float(values[row]), file))
