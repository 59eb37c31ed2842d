"""Columns of the tables that users bring: numbers, names, and what to say when they are missing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np

from fallwise.errors import Problem, TableError
from fallwise.tables import Floats, Int64s

__all__ = ["codes", "names_one_of", "numbers", "require"]


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
    """Return a column as (rows,) float64, NaN where it is empty; TableError if it is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = rows[name].type
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return np.array(rows[name].cast(pa.float64()).to_numpy())
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        example = pc.cast(rows[name], pa.string())[0].as_py() if len(rows) else None
        raise TableError(Problem(f"is {kind}", "must be numbers", (name,), example, file))
    return np.array(rows[name].cast(pa.float64(), safe=False).to_numpy())


def codes(rows: Any, name: str, file: str) -> tuple[Int64s, list[str]]:
    """Return (rows,) positions in the sorted list of a column's values, and that list, as text.

    Whole numbers are sorted as numbers. TableError where a value is missing.
    """
    import pyarrow as pa

    column = rows[name].cast(pa.string())
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
