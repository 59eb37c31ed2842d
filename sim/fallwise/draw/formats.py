"""Traces in the forms in which they are published, recognised by their columns.

    tidy        arrival_s, and where there prompt_tokens, output_tokens, key or repeat_of
    Azure       TIMESTAMP, ContextTokens, GeneratedTokens (CSV; AzurePublicDataset, 2023 and 2024)
    Mooncake    timestamp in ms, input_length, output_length, hash_ids (JSON lines; FAST 2025)
    BurstGPT    Timestamp in s, Request tokens, Response tokens (CSV; arXiv 2401.17644)

Rows of published traces are put in the order of their stamps. Azure's stamps are dates: the first
one is second 0. Requests of Mooncake's trace with the same list of blocks ask the same. BurstGPT's
failed requests (no response tokens) came all the same, and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fallwise.draw.columns import codes, numbers, require
from fallwise.errors import Problem, TableError
from fallwise.tables import Floats, Int64s

__all__ = ["Form", "form_of", "keys_of", "stamps_of"]


@dataclass(frozen=True)
class Form:
    """How a trace is written: its columns, and the seconds that one unit of its stamps has."""

    name: str
    stamp: str
    prompt_tokens: str
    output_tokens: str
    unit_s: float = 1.0


TIDY: Final = Form("tidy", "arrival_s", "prompt_tokens", "output_tokens")
PUBLISHED: Final = (
    Form("Azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    Form("Mooncake", "timestamp", "input_length", "output_length", 1e-3),
    Form("BurstGPT", "Timestamp", "Request tokens", "Response tokens"),
)


def form_of(rows: Any, file: str) -> Form:
    """Return the form of a trace; TableError where it has the columns of none."""
    for form in PUBLISHED:
        if {form.stamp, form.prompt_tokens, form.output_tokens} <= set(rows.column_names):
            return form
    require(rows, TIDY.stamp, file)
    return TIDY


def stamps_of(rows: Any, form: Form, file: str) -> Floats:
    """Return (rows,) the seconds at which requests came, not yet checked nor in order."""
    import pyarrow as pa

    column = rows[form.stamp]
    if form.name != "Azure":
        seconds: Floats = numbers(rows, form.stamp, file) * form.unit_s
        return seconds
    try:
        dates = column.cast(pa.timestamp("ns")).cast(pa.int64())
    except (pa.ArrowException, ValueError):
        example = str(column[0].as_py())
        remedy = "write it like 2023-11-16 18:15:46.6805900"
        problem = Problem(f"is {column.type}, not a date and time", remedy, (form.stamp,), example)
        raise TableError(problem.at(file)) from None
    since = np.array(dates.to_numpy())
    since -= np.nanmin(since)
    return np.asarray(since / 1e9, np.float64)


def keys_of(rows: Any, form: Form, file: str) -> Int64s | None:
    """Return (rows,) numbers from 0 on, equal for the same question; None where nothing tells."""
    names = rows.column_names
    if form.name == "Mooncake" and "hash_ids" in names:
        blocks = [str(ids) for ids in rows["hash_ids"].to_pylist()]
        return np.unique(np.array(blocks), return_inverse=True)[1].astype(np.int64)
    if form is TIDY and "key" in names:
        return codes(rows, "key", file)[0]
    if form is TIDY and "repeat_of" in names:
        return _first_asked(numbers(rows, "repeat_of", file), file)
    return None


def _first_asked(repeat_of: Floats, file: str) -> Int64s:
    """Return the number of each row's question; a repeat names an earlier row, counted from 0."""
    row = np.arange(len(repeat_of))
    again = ~np.isnan(repeat_of)
    wrong = again & ~((repeat_of >= 0) & (repeat_of < row) & (repeat_of == np.rint(repeat_of)))
    if wrong.any():
        at = int(np.argmax(wrong))
        key = ("repeat_of", f"row {at}")
        problem = Problem(
            "must be the number of an earlier row", "correct it", key, float(repeat_of[at])
        )
        raise TableError(problem.at(file))
    first = row.copy()
    first[again] = repeat_of[again].astype(np.int64)
    while (first[first] != first).any():  # A repeat of a repeat.
        first = first[first]
    return np.unique(first, return_inverse=True)[1].astype(np.int64)
