"""What all tables have in common: columns of one length, checked, compared, saved and loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fallwise.errors import Problem, TableError
from fallwise.tables import files

__all__ = [
    "LONGEST_NS",
    "NEVER_NS",
    "Bools",
    "Float32s",
    "Floats",
    "Int8s",
    "Int16s",
    "Int32s",
    "Int64s",
    "Provenance",
    "Table",
    "column",
    "seconds",
]

Bools = NDArray[np.bool_]
Int8s = NDArray[np.int8]
Int16s = NDArray[np.int16]
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Floats = NDArray[np.float64]

LONGEST_NS: Final = 1 << 60
"""No time in a table is longer (36 years), so that sums of a few of them stay inside int64."""
NEVER_NS: Final = 1 << 62
"""Patience that does not end."""


def seconds(ns: Int64s) -> Floats:
    """Return nanoseconds as seconds."""
    return ns / 1e9


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a table comes from."""

    version: str = ""
    scenario: str = ""
    scenario_hash: str = ""
    seed: int = 0


def column(
    dtype: Any,
    shape: str,
    *,
    low: float | None = None,
    high: float | None = None,
    optional: bool = False,
) -> Any:
    """Declare a column: dtype, shape 'n', 'nK' or 'nC', range; optional ones may be None.

    Without a range, integers may be anything and floats anything finite.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        low = float(np.finfo(kind).min) if low is None else low
        high = float(np.finfo(kind).max) if high is None else high
    about = {"dtype": kind, "shape": shape, "low": low, "high": high, "optional": optional}
    if optional:
        return field(default=None, metadata=about)
    return field(metadata=about)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of n rows, some with one value for each of K tiers, or for each of C calls."""

    @classmethod
    def _fields(cls) -> list[Field[Any]]:
        return [f for f in fields(cls) if "dtype" in f.metadata]

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns that are there, by name."""
        named = {f.name: getattr(self, f.name) for f in self._fields()}
        return {name: values for name, values in named.items() if values is not None}

    def __len__(self) -> int:
        """Return n."""
        return len(getattr(self, self._fields()[0].name))

    @property
    def tiers(self) -> int:
        """Return K."""
        return self._width("nK")

    def _width(self, shape: str) -> int:
        """Return how many values a row has in columns of this shape; 0 where there are none."""
        named = (getattr(self, f.name) for f in self._fields() if f.metadata["shape"] == shape)
        return next((int(values.shape[1]) for values in named if values is not None), 0)

    def without(self, tiers: Sequence[int]) -> Self:
        """Return the table without some tiers; its other columns must not depend on them."""
        return self.of_tiers(np.delete(np.arange(self.tiers), tiers))

    def of_tiers(self, tiers: Any) -> Self:
        """Return the table of these tiers, in this order."""
        kept = {
            f.name: np.asfortranarray(getattr(self, f.name)[:, tiers])
            for f in self._fields()
            if _wide(f) and getattr(self, f.name) is not None
        }
        return replace(self, **kept)

    def take(self, rows: Any) -> Self:
        """Return the table of these rows: positions, a mask or a slice."""
        if isinstance(rows, slice):
            return replace(
                self, **{k: np.asfortranarray(v[rows]) for k, v in self.columns().items()}
            )
        rows = np.asarray(rows)
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        # Tier by tier, as the columns lie in memory.
        return replace(self, **{k: v.T.take(rows, axis=-1).T for k, v in self.columns().items()})

    @classmethod
    def concat(cls, tables: Sequence[Self]) -> Self:
        """Return one table of the rows of all, in order; provenance is that of the first."""
        joined = {
            name: np.concatenate([t.columns()[name].T for t in tables], axis=-1).T
            for name in tables[0].columns()
        }
        return replace(tables[0], **joined)

    def check(self) -> Self:
        """Return the table itself; TableError with column, row and value if it breaks a rule."""
        for f in self._fields():
            values = getattr(self, f.name)
            if values is None and f.metadata["optional"]:
                continue
            self._check_column(f, values)
        return self

    def _check_column(self, f: Field[Any], values: Any) -> None:
        dtype, low, high = f.metadata["dtype"], f.metadata["low"], f.metadata["high"]
        if not isinstance(values, np.ndarray) or values.dtype != dtype:
            found = getattr(values, "dtype", type(values).__name__)
            raise _broken(f.name, f"is {found}", f"must be an array of {dtype}", "convert it")
        shape = (len(self), self._width(f.metadata["shape"])) if _wide(f) else (len(self),)
        if values.shape != shape:
            raise _broken(
                f.name, f"has shape {values.shape}", f"must be {shape}", "make all columns as long"
            )
        for bound, inside, reach in ((low, np.greater_equal, "min"), (high, np.less_equal, "max")):
            # min and max carry a NaN along, and a NaN is inside of nothing.
            if bound is None or not values.size or inside(getattr(values, reach)(), bound):
                continue
            self.refuse(f.name, ~inside(values, bound), _range(f))

    def refuse(self, name: str, bad: Bools, rule: str) -> None:
        """Raise TableError about the first bad cell of a column, if there is one."""
        if not bad.any():
            return
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        value = getattr(self, name)[at].item()
        rows = int(bad.any(axis=1).sum() if bad.ndim == 2 else bad.sum())
        raise _broken(name, value, rule, f"correct it ({rows} of {len(self)} rows)", *at)

    def difference(self, other: Self) -> str | None:
        """Return where two tables differ, in one sentence, or None; provenance does not count."""
        if (len(self), self.tiers) != (len(other), other.tiers):
            mine, theirs = f"{len(self)} x {self.tiers}", f"{len(other)} x {other.tiers}"
            return f"rows x tiers differ: {mine} against {theirs}"
        found = []
        for f in self._fields():
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            if mine is None or theirs is None:
                if mine is not theirs:
                    found.append(f"{f.name} is only in the {'second' if mine is None else 'first'}")
                continue
            if mine.shape != theirs.shape:
                found.append(f"{f.name} has the shapes {mine.shape} and {theirs.shape}")
                continue
            # Only a NaN is unequal to itself, and two of them are equal here.
            unequal = (mine != theirs) & ((mine == mine) | (theirs == theirs))
            if unequal.any():
                found.append(_where(f.name, mine, theirs, unequal))
        return "; ".join(found) or None

    def equals(self, other: Self) -> bool:
        """Return True where no cell of the two tables differs."""
        return self.difference(other) is None

    def save(self, path: Path) -> None:
        """Write the table as parquet, whole or not at all; (n, K) columns as name_0 ... ."""
        cells: dict[str, NDArray[Any]] = {}
        for name, values in self.columns().items():
            wide = enumerate(values.T) if values.ndim == 2 else ()
            cells |= {f"{name}_{k}": each for k, each in wide} or {name: values}
        provenance = asdict(getattr(self, "provenance", Provenance()))
        about = {"table": type(self).__name__, "tiers": self.tiers, **provenance}
        files.write_parquet(path, cells, json.dumps(about))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return a saved table, checked; TableError if the file is not one."""
        cells, note = files.read_parquet(path)
        try:
            about = json.loads(note)
            kind, tiers = about.pop("table"), int(about.pop("tiers"))
            provenance = Provenance(**about)
        except (ValueError, KeyError, TypeError, AttributeError):
            kind, tiers, provenance = None, 0, Provenance()
        if kind != cls.__name__ or not 1 <= tiers <= len(cells):
            rule = f"does not say that it is a {cls.__name__}"
            raise TableError(Problem(rule, "give a file that fallwise saved", file=str(path)))
        columns = {}
        for f in cls._fields():
            names = [f"{f.name}_{k}" for k in range(tiers)] if _wide(f) else [f.name]
            if f.metadata["shape"] == "nC":
                names = [name for name in cells if re.fullmatch(rf"{f.name}_\d+", name)]
            absent = [name for name in names if name not in cells]
            if len(absent) == len(names) and f.metadata["optional"]:
                continue
            if absent:
                missing = Problem("is missing", "save the table again", (absent[0],))
                raise TableError(missing.at(str(path)))
            parts = [cells[name] for name in names]
            columns[f.name] = np.asfortranarray(np.stack(parts, axis=1)) if _wide(f) else parts[0]
        try:
            return cls(**columns, **{"provenance": provenance}).check()
        except TableError as error:
            raise TableError([p.at(str(path)) for p in error.problems]) from None


def _wide(f: Field[Any]) -> bool:
    return len(f.metadata["shape"]) == 2


def _range(f: Field[Any]) -> str:
    low, high, dtype = f.metadata["low"], f.metadata["high"], f.metadata["dtype"]
    if dtype.kind == "f" and low < -1:
        return "must be a finite number"
    if high is None or high == np.finfo(np.float64).max:
        return f"must be at least {low}"
    return f"must be from {low} to {high}"


def _broken(name: str, value: object, rule: str, remedy: str, *at: int) -> TableError:
    place = dict(zip(("row", "tier"), at, strict=False))
    where = tuple(f"{word} {i}" for word, i in place.items())
    return TableError(Problem(rule, remedy, (name, *where), value))


def _where(name: str, mine: NDArray[Any], theirs: NDArray[Any], unequal: Bools) -> str:
    at = tuple(int(i) for i in np.argwhere(unequal)[0])
    rows = int(unequal.any(axis=1).sum() if unequal.ndim == 2 else unequal.sum())
    tier = f", tier {at[1]}" if len(at) == 2 else ""
    return (
        f"{name} differs in {rows} of {len(mine)} rows, first in row {at[0]}{tier}: "
        f"{mine[at].item()!r} against {theirs[at].item()!r}"
    )
