"""Columns of the tables that users bring: numbers, names, and what to say when they are missing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np

from fallwise.errors import Problem, TableError
from fallwise.tables import Floats, Int64s

__all__ = [
    "codes",
    "decimals",
    "is_numeric",
    "names_one_of",
    "no_number",
    "numbers",
    "require",
    "texts",
]


def require(rows: Any, name: str, file: str) -> None:
    """Raise TableError, with the nearest name, where a pyarrow table lacks a column."""
    if name not in rows.column_names:
        rule = f"column is missing{names_one_of(name, rows.column_names)}"
        raise TableError(Problem(rule, "add or rename it", (name,), file=file))


def names_one_of(name: str, known: Iterable[str]) -> str:
    """Return which known name is meant, or which there are, to be put behind a rule."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    if near:
        return f" (did you mean {near[0]}?)"
    more = ", …" if len(known) > 12 else ""
    return f" (there are: {', '.join(known[:12])}{more})" if known else ""


def numbers(rows: Any, name: str, file: str) -> Floats:
    """Return a column as (rows,) float64, NaN where it is empty; TableError if it is no number.

    float32 is read as the shortest decimal that it stands for: 0.9 is no less than a threshold
    of 0.9, however it was stored.
    """
    import pyarrow as pa

    kind = rows[name].type
    if not is_numeric(kind):
        raise TableError(no_number(rows, name, file))
    values = np.array(rows[name].cast(pa.float64(), safe=False).to_numpy())
    short = kind in (pa.float32(), pa.float16())
    return decimals(values.astype(kind.to_pandas_dtype())) if short else values


def decimals(values: Any) -> Floats:
    """Return (n,) float64: the shortest decimals that (n,) float32 or float16 stand for.

    >>> decimals(np.array([0.9, np.nan], np.float32)).tolist()
    [0.9, nan]
    """
    few, place = np.unique(values, return_inverse=True)
    return few.astype(np.str_).astype(np.float64)[place]


def is_numeric(kind: Any) -> bool:
    """Return True for the types of pyarrow that numbers come in; nulls are numbers that lack."""
    from pyarrow import types

    tests = (
        types.is_integer,
        types.is_floating,
        types.is_decimal,
        types.is_boolean,
        types.is_null,
    )
    return any(test(kind) for test in tests)


def no_number(rows: Any, name: str, file: str) -> Problem:
    """Return what is wrong with a column that is not of numbers: its first cell that is none."""
    import pyarrow as pa

    column, kind = rows[name], rows[name].type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    text = column.type in (pa.string(), pa.large_string(), pa.string_view())
    bad = (i for i, cell in enumerate(column) if cell.is_valid and not _parses(cell.as_py()))
    row = next(bad, None) if text else None
    if row is None:
        return Problem(f"is {kind}", "must be numbers: store it as such", (name,), file=file)
    by = f"query_id {rows['query_id'][row]}" if "query_id" in rows.column_names else f"row {row}"
    rule, remedy = "is no number", "all cells must be numbers, or empty: correct it"
    return Problem(rule, remedy, (name, by), column[row].as_py(), file)


def _parses(text: str) -> bool:
    """Return True for a number as files have it; float() reads 1_000 and other digits too."""
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text


def texts(rows: Any, name: str, file: str) -> Any:
    """Return a column as a pyarrow one of strings; TableError where it cannot be one."""
    import pyarrow as pa

    try:
        return rows[name].cast(pa.string())
    except pa.ArrowException:
        kind = rows[name].type
        rule = "is not UTF-8" if pa.types.is_binary(kind) else f"is {kind}"
        raise TableError(Problem(rule, "must be text or numbers", (name,), file=file)) from None


def codes(rows: Any, name: str, file: str) -> tuple[Int64s, list[str]]:
    """Return (rows,) positions in the sorted list of a column's values, and that list, as text.

    Whole numbers are sorted as numbers. TableError where a value is missing.
    """
    column = texts(rows, name, file)
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise TableError(Problem("is empty", "fill it in", (name, f"row {row}"), file=file))
    coded = column.combine_chunks().dictionary_encode()
    labels = np.array(coded.dictionary.to_pylist())
    try:
        order = np.argsort(labels.astype(np.int64), kind="stable")
    except (ValueError, OverflowError):
        order = np.argsort(labels, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[coded.indices.to_numpy()], [str(label) for label in labels[order]]
