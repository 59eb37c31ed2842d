"""Replayed answers: which rows of an evaluation table the requests stand for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fallwise.draw.evaluations import EvaluationTable, read_evaluations
from fallwise.draw.streams import Streams
from fallwise.errors import Problem, ScenarioError, TableError
from fallwise.scenario import Scenario, Tier
from fallwise.tables import Floats, Int16s, Int64s

__all__ = ["Replay", "model_of", "open_replay"]


def model_of(tier: Tier) -> str | None:
    """Return the tier's model in the evaluation table; None for a cache or with own answers."""
    if tier.kind == "cache" or (tier.answers is not None and tier.model is None):
        return None
    return tier.model or tier.name


@dataclass(frozen=True)
class Replay:
    """An evaluation table, and the queries that each segment may ask.

    pools    rows of the table, one array for each of G segments
    order    (m,) int64  each_once: the rows in the order in which they are asked
    segment  (rows,) int16  each_once: the segment of each row of the table
    """

    table: EvaluationTable
    pools: list[Int64s]
    order: Int64s | None = None
    segment: Int16s | None = None
    checked: dict[tuple[str, str], Floats] = field(default_factory=dict)

    def pick(self, u: Floats, segment: Int16s) -> Int64s:
        """Return a row of its segment's pool for each number in [0, 1)."""
        size = np.array([len(pool) for pool in self.pools])
        first = np.concatenate([[0], np.cumsum(size)[:-1]])
        row: Int64s = first[segment] + (u * size[segment]).astype(np.int64)
        return np.concatenate(self.pools)[row]

    def column(self, name: str, model: str) -> Floats:
        """Return the table's column of one model, checked once: (rows,) float64."""
        if (name, model) not in self.checked:
            self.checked[name, model] = self.table.column(name, model)
        return self.checked[name, model]

    def shared_column(self, name: str) -> Floats:
        """Return a column that says the same for every model of a query: (rows,) float64."""
        models = self.table.models
        values = self.column(name, models[0])
        for other in models[1:]:
            differ = self.column(name, other) != values
            if differ.any():
                rule = f"must be the same for all models of a query ({differ.sum()} are not)"
                query = f"query_id {self.table.query_id[int(np.argmax(differ))]}"
                problem = Problem(rule, "correct the column", (name, query), file=self.table.file)
                raise TableError(problem)
        return values


def open_replay(scenario: Scenario, chance: Streams) -> Replay | None:
    """Return the evaluation table of a scenario, checked against it; None for synthetic answers."""
    answers, segments = scenario.answers, scenario.traffic.segments
    if answers.source != "replay":
        return None
    assert answers.table is not None
    models = [model for tier in scenario.tiers if (model := model_of(tier)) is not None]
    if not models:
        rule = "no tier takes its answers from the table"
        raise ScenarioError(Problem(rule, "name a model at a tier", ("answers", "table")))
    named = [segment.dataset for segment in segments if segment.dataset is not None]
    wanted: str | list[str] | None = answers.dataset
    if wanted is None and len(named) == len(segments):
        wanted = sorted(set(named))
    file = scenario.path_of(answers.table)
    table = read_evaluations(file, models, wanted, answers.split, answers.leave_out)
    pools = []
    for g, segment in enumerate(segments):
        rows = np.arange(len(table))
        if segment.dataset is not None:
            known = segment.dataset in table.datasets
            code = table.datasets.index(segment.dataset) if known else -1
            rows = np.flatnonzero(table.dataset == code)
        if not len(rows):
            key = ("traffic", "segments", g, "dataset")
            rule = f"the table has no such rows (there are: {', '.join(table.datasets)})"
            raise ScenarioError(Problem(rule, "name another dataset", key, segment.dataset))
        pools.append(rows)
    replay = Replay(table, pools)
    return _each_once(replay, scenario, chance) if answers.sample == "each_once" else replay


def _each_once(replay: Replay, scenario: Scenario, chance: Streams) -> Replay:
    segments = scenario.traffic.segments
    rows = np.concatenate(replay.pools)
    repeats = any(segment.repeats for segment in segments)
    if repeats or len(np.unique(rows)) < len(rows):
        rule = "each_once cannot ask a query again" if repeats else "segments share their queries"
        remedy = "sample: resample, or take repeats away and give each segment its own dataset"
        raise ScenarioError(Problem(rule, remedy, ("answers", "sample"), "each_once"))
    segment = np.zeros(len(replay.table), np.int16)
    for g, pool in enumerate(replay.pools):
        segment[pool] = g
    return Replay(replay.table, replay.pools, chance["row"].permutation(rows), segment)
