"""Evaluation tables: what every model did with every query, one row a query and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.draw.columns import (
    codes,
    is_numeric,
    names_one_of,
    no_number,
    numbers,
    require,
    texts,
)
from fallwise.errors import Problem, TableError
from fallwise.tables import Bools, Floats, Int32s, Int64s
from fallwise.tables.files import read_rows

__all__ = ["EvaluationTable", "read_evaluations"]

NOT_NUMBERS = ("query_id", "dataset", "split", "model", "answer_id")
REMEDY = {
    "model": "name another one, or give the tier answers of its own",
    "dataset": "name another one",
    "split": "name another one, or none",
}


@dataclass(frozen=True)
class EvaluationTable:
    """m queries and what each of K models did with them; queries sorted by dataset and query_id.

    models    K names
    datasets  names; one empty name where the table has no such column
    query_id  (m,)    text as in the table
    dataset   (m,)    int64    position in datasets
    columns   (m, K)  float64  by name, every column of numbers; NaN where the table is empty
    answer    (m, K)  int32    None without answer_id; equal means the same answer, -1 none
    others    by name, why each other column cannot be read as numbers
    """

    file: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    query_id: Any
    dataset: Int64s
    columns: dict[str, Floats]
    answer: Int32s | None
    others: dict[str, Problem] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return m."""
        return len(self.dataset)

    @property
    def correct(self) -> Floats:
        """Return (m, K) grades: 0 wrong, 1 right, between: graded."""
        return self.columns["correct"]

    def column(self, name: str, model: str) -> Floats:
        """Return (m,) numbers of one model; TableError if the column is absent or has gaps."""
        self._refuse_words(name)
        if name not in self.columns:
            rule = f"column is missing{names_one_of(name, self.columns)}"
            raise TableError(Problem(rule, "add or rename it", (name,), file=self.file))
        values = self._cells(name, model)
        self._refuse_cells(name, model, ~np.isfinite(values))
        return values

    def present(self, name: str, model: str) -> tuple[Bools, Floats]:
        """Return (m,) where a model has a number, and those numbers; TableError: words, no end."""
        self._refuse_words(name)
        values = self._cells(name, model)
        self._refuse_cells(name, model, np.isinf(values))
        there = ~np.isnan(values)
        return there, values[there]

    def has(self, name: str, model: str) -> bool:
        """Return True where a model has at least one number in a column; TableError if words."""
        self._refuse_words(name)
        return not np.isnan(self._cells(name, model)).all()

    def complete(self, name: str, model: str) -> bool:
        """Return True where a model has a number in a column for every query."""
        return bool(np.isfinite(self._cells(name, model)).all())

    def _cells(self, name: str, model: str) -> Floats:
        """Return (m,) what a model has in a column; NaN where the table has no such column."""
        if name not in self.columns:
            return np.full(len(self), np.nan)
        return self.columns[name][:, self.models.index(model)]

    def _refuse_cells(self, name: str, model: str, bad: Bools) -> None:
        if bad.any():
            first = int(np.argmax(bad))
            where = (name, f"model {model}", f"query_id {self.query_id[first]}")
            rule = f"is no number for {bad.sum()} of {len(self)} queries"
            value = float(self._cells(name, model)[first])
            remedy = "fill it in or leave those queries out"
            raise TableError(Problem(rule, remedy, where, value, self.file))

    def _refuse_words(self, name: str) -> None:
        if name in self.others:
            raise TableError(self.others[name])

    def find(self, name: str, model: str) -> Floats | None:
        """Return (m,) numbers of one model, None where it has none; TableError if some lack."""
        return self.column(name, model) if self.has(name, model) else None

    def take(self, rows: Any) -> EvaluationTable:
        """Return the table of these queries: positions or a mask."""
        return replace(
            self,
            query_id=self.query_id[rows],
            dataset=self.dataset[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
            answer=None if self.answer is None else self.answer[rows],
        )


def read_evaluations(
    path: Path,
    models: Sequence[str] | None = None,
    dataset: str | Sequence[str] | None = None,
    split: str | None = None,
    leave_out: str | None = None,
) -> EvaluationTable:
    """Return the whole rows of an evaluation table (parquet, CSV or gzipped CSV), checked.

    Long format: columns query_id, model, correct and, where there, dataset, split, answer_id and
    any columns of numbers. models in the order asked for, all of the table's by default. leave_out
    is a column; rows where it is true, or not 0, are not read.
    TableError: missing columns, unknown model, dataset or split, a query twice for one model, or
    without a row for some model, correct outside [0, 1].
    """
    file = str(path)
    rows = read_rows(path)
    for name in ("query_id", "model", "correct"):
        require(rows, name, file)
    if dataset is not None:
        wanted = [dataset] if isinstance(dataset, str) else list(dataset)
        rows = _only(rows, "dataset", wanted, file)
    if split is not None:
        rows = _only(rows, "split", [split], file)
    if models is not None:
        rows = _only(rows, "model", models, file)
    if leave_out is not None:
        rows = _without(rows, leave_out, file)
    model, known = codes(rows, "model", file)
    models = tuple(known if models is None else dict.fromkeys(models))
    model = np.array([models.index(name) for name in known])[model]
    query, ids = codes(rows, "query_id", file)
    if "dataset" in rows.column_names:
        group, groups = codes(rows, "dataset", file)
    else:
        group, groups = np.zeros(len(query), np.int64), [""]
    found, place = np.unique(group * len(ids) + query, return_inverse=True)
    query_id, of_dataset = np.array(ids)[found % len(ids)], found // len(ids)
    cell = place * len(models) + model
    _refuse_gaps(cell, query_id, models, file)

    def pivot(values: Any) -> Any:
        wide = np.empty(len(found) * len(models), values.dtype)
        wide[cell] = values
        return np.asfortranarray(wide.reshape(len(found), len(models)))

    columns, others = {}, {}
    for name in (name for name in rows.column_names if name not in NOT_NUMBERS):
        if name == "correct" or is_numeric(rows[name].type):
            columns[name] = pivot(numbers(rows, name, file))
        else:
            others[name] = no_number(rows, name, file)
    answer = pivot(_answers(rows, file)) if "answer_id" in rows.column_names else None
    of_dataset = of_dataset.astype(np.int64)
    table = EvaluationTable(
        file, models, tuple(groups), query_id, of_dataset, columns, answer, others
    )
    for k, name in enumerate(models):
        _refuse_grades(table, name, table.columns["correct"][:, k])
    return table


def _only(rows: Any, name: str, wanted: Sequence[str], file: str) -> Any:
    """Return the rows where a column has one of the wanted names, each of which must occur."""
    require(rows, name, file)
    found, known = codes(rows, name, file)
    problems = [
        Problem(f"is no {name} of the table{names_one_of(w, known)}", REMEDY[name], (name,), w)
        for w in wanted
        if w not in known
    ]
    if problems:
        raise TableError([p.at(file) for p in problems])
    return rows.filter(np.isin(found, [known.index(w) for w in wanted]))


def _without(rows: Any, name: str, file: str) -> Any:
    """Return the rows where a column is not true; at least one must be left."""
    require(rows, name, file)
    rows = rows.filter(~(numbers(rows, name, file) > 0))
    if not rows.num_rows:
        raise TableError(Problem("leaves no rows", "name another column", (name,), file=file))
    return rows


def _refuse_gaps(cell: Int64s, query_id: Any, models: tuple[str, ...], file: str) -> None:
    """Raise TableError unless each query has exactly one row for each model."""
    count = np.bincount(cell, minlength=len(query_id) * len(models))
    count = count.reshape(len(query_id), len(models))
    problems = []
    for k, name in enumerate(models):
        for bad, word in ((count[:, k] > 1, "more than one row"), (count[:, k] == 0, "no row")):
            if bad.any():
                rule = f"has {word} for {bad.sum()} of {len(query_id)} queries"
                first = f"query_id {query_id[int(np.argmax(bad))]}"
                remedy = "give one row for each query and model, or name a dataset or split"
                problems.append(Problem(rule, remedy, ("model", name, first), file=file))
    if problems:
        raise TableError(problems)


def _refuse_grades(table: EvaluationTable, model: str, grades: Floats) -> None:
    bad: Bools = ~((grades >= 0) & (grades <= 1))
    if bad.any():
        first = int(np.argmax(bad))
        where = ("correct", f"model {model}", f"query_id {table.query_id[first]}")
        rule = f"must be from 0 to 1 ({bad.sum()} of {len(grades)} are not)"
        raise TableError(Problem(rule, "grade it", where, float(grades[first]), table.file))


def _answers(rows: Any, file: str) -> Int32s:
    """Return (rows,) codes of answer_id, equal where the answers are; -1 where there is none."""
    coded = texts(rows, "answer_id", file).combine_chunks().dictionary_encode()
    return np.array(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int32)
