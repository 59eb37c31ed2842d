"""Parquet and CSV files: read with a limit on what they may claim, written whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fallwise.errors import Problem, TableError

__all__ = ["read_parquet", "read_rows", "refuse_absent", "write_parquet"]

ROOM: Final = 1 << 28
EXPANSION: Final = 200
"""A file may unpack to ROOM bytes, or to so many times its own size if that is more. A table's
arrivals alone do not compress below 8 bytes a row, so that no real table comes near."""
NOTE: Final = b"fallwise"


def read_rows(path: Path) -> Any:
    """Return a parquet file, CSV or JSON lines (both plain or gzipped) as a pyarrow Table.

    TableError if it is none.
    """
    import pyarrow as pa

    refuse_absent(path)
    kind, read = "CSV (.csv or .csv.gz)", _csv
    if path.suffix in (".parquet", ".pq"):
        kind, read = "parquet", _parquet
    elif ".jsonl" in path.suffixes[-2:]:
        kind, read = "JSON lines", _json
    try:
        rows = read(path)
    except (pa.ArrowException, OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        rule = f"cannot be read as {kind}: {str(error).strip().splitlines()[0]}"
        raise TableError(Problem(rule, "make it again", file=str(path))) from None
    if rows.num_rows == 0:
        raise TableError(Problem("has no rows", "give a table with rows", file=str(path)))
    doubled = [name for name in rows.column_names if rows.column_names.count(name) > 1]
    if doubled:
        rule = f"{doubled.count(doubled[0])} columns have this name"
        raise TableError(Problem(rule, "rename all but one", (doubled[0],), file=str(path)))
    return rows


def read_parquet(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the columns of a parquet file that write_parquet made, and its note ('' if none)."""
    rows = read_rows(path)
    note = (rows.schema.metadata or {}).get(NOTE, b"").decode(errors="replace")
    return {name: np.array(rows[name].to_numpy()) for name in rows.column_names}, note


def write_parquet(path: Path, columns: Mapping[str, NDArray[Any]], note: str) -> None:
    """Write columns and a note as parquet; a reader never sees half a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.table(dict(columns)).replace_schema_metadata({NOTE: note.encode()})
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, half, compression="zstd")
        half.replace(path)
    except OSError as error:
        problem = Problem(f"cannot be written: {error.strerror}", "give another path")
        raise TableError(problem.at(str(path))) from None
    finally:
        half.unlink(missing_ok=True)


def refuse_absent(path: Path) -> None:
    """Raise TableError where there is no such file, or nothing in it."""
    if not path.is_file():
        rule = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise TableError(Problem(rule, "give the path of a table", file=str(path)))
    if path.stat().st_size == 0:
        raise TableError(Problem("is empty", "give a table with rows", file=str(path)))


def _parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        about = file.metadata
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        claims = [
            about.num_rows * about.num_columns * 8,
            sum(group.num_rows for group in groups) * about.num_columns * 8,
            sum(group.total_byte_size for group in groups),
        ]
        if max(claims) > _room(path) or min(claims) < 0:
            raise ValueError(f"its header claims {max(claims):,} bytes of data")
        return file.read()


def _csv(path: Path) -> Any:
    from pyarrow import csv

    return csv.read_csv(_plain(path))


def _json(path: Path) -> Any:
    from pyarrow import json

    return json.read_json(_plain(path))


def _plain(path: Path) -> Any:
    """Return the file to read from: itself, or what a gzipped one unpacks to."""
    if path.suffix != ".gz":
        return path
    with gzip.open(path) as file:
        text = file.read(_room(path) + 1)
    if len(text) > _room(path):
        raise ValueError(f"it unpacks to more than {_room(path):,} bytes")
    return io.BytesIO(text)


def _room(path: Path) -> int:
    return max(ROOM, EXPANSION * path.stat().st_size)
