"""Two sets of requests that share no question: one to choose a threshold on, one to judge it on.

A number that was chosen on the same labels that it is reported on is too good to be true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fallwise.analysis.money import unit_usd_per_s, upkeep_usd_per_s
from fallwise.draw import draw, questions, stream, table_of
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario import Scenario
from fallwise.scenario.laws import FromTrace
from fallwise.scenario.traffic import Trace
from fallwise.tables import Floats, Int64s, RequestTable
from fallwise.tables.files import read_rows

__all__ = ["Half", "first", "halves", "own_splits", "query_ids", "whole"]

APART: Final = 104_729
"""Added to the seed for the other half of synthetic requests."""
ALL: Final = 1 << 40
SPLITS: Final = ("train", "test")


@dataclass(frozen=True)
class Half:
    """Requests, and what they count for.

    question  (n,)  int64    rows with the same number ask the same question
    weight    (n,)  float64  how much a request counts
    run                      the requests of the scenario's own run, as far as rent needs them
    drawn                    the scenario and the seed that all of it was drawn with, and how many
    """

    requests: RequestTable
    question: Int64s
    weight: Floats
    run: RequestTable
    drawn: tuple[Scenario, int, int] | None = None

    def __len__(self) -> int:
        """Return n."""
        return len(self.weight)

    @property
    def gap_s(self) -> float:
        """Return the mean time between the arrivals of the whole run."""
        return float(self.run.arrival_ns[-1]) / 1e9 / len(self.run)

    @property
    def upkeep_usd(self) -> float:
        """Return what keeping up a cascade costs a request, whatever it answers."""
        return 0.0 if self.drawn is None else self.gap_s * upkeep_usd_per_s(self.drawn[0])

    @property
    def labels(self) -> int:
        """Return how many different questions there are: so many answers had to be graded."""
        return len(np.unique(self.question))


def halves(scenario: Scenario, seed: int | None = None) -> tuple[Half, Half]:
    """Return the requests to tune on and those to report on; no question is in both.

    Synthetic answers: two independent draws. An evaluation table: its own splits `train` and
    `test` where it has them and the scenario names none, else its questions parted by lot.
    Arrivals come at the scenario's rate in both. ScenarioError: fewer than two questions.
    """
    seed = scenario.run.seed if seed is None else seed
    if scenario.answers.source == "synthetic":
        return whole(scenario, seed), whole(scenario, seed + APART)
    if own_splits(scenario):
        first, other = (
            scenario.model_copy(
                update={"answers": scenario.answers.model_copy(update={"split": name})}
            )
            for name in SPLITS
        )
        return whole(first, seed), whole(other, seed)
    all_of_it = whole(scenario, seed)
    numbers = np.unique(all_of_it.question)
    if len(numbers) < 2:
        rule = "one question cannot be parted into two halves"
        raise ScenarioError(Problem(rule, "give a larger table", ("answers", "table")))
    chosen = stream(seed, "tune.half").permutation(numbers)[: len(numbers) // 2]
    mask = np.isin(all_of_it.question, chosen)
    return _part(scenario, all_of_it, mask), _part(scenario, all_of_it, ~mask)


def whole(scenario: Scenario, seed: int) -> Half:
    """Return all requests of a scenario.

    Of an evaluation table each question once where that is possible (no repeats, no trace,
    segments with questions of their own): then segments count by their share, whatever the table
    has of them.
    """
    own = scenario
    scenario, once = _once(scenario)
    requests = draw(scenario, seed)
    rented = any(unit_usd_per_s(tier) for tier in scenario.tiers)
    run = draw(own, seed) if once and rented else requests
    if once:
        question = np.arange(len(requests))
    elif scenario.answers.source == "synthetic":
        question = requests.key
    else:
        question = questions(scenario, seed, len(requests))
    drawn = scenario, seed, len(requests)
    return Half(requests, question, _weights(scenario, requests, once), run, drawn)


def query_ids(half: Half, rows: Int64s) -> list[dict[str, Any] | None]:
    """Return dataset and query_id of some requests of a half; None where answers are synthetic."""
    if half.drawn is None or half.drawn[0].answers.source == "synthetic" or not len(rows):
        return [None] * len(rows)
    scenario, seed, n = half.drawn
    number = half.question[rows]
    if scenario.answers.sample == "each_once":
        number = questions(scenario, seed, n)[number]
    table = table_of(scenario, seed)
    return [
        {"dataset": table.datasets[table.dataset[i]], "query_id": str(table.query_id[i])}
        for i in number.tolist()
    ]


def first(scenario: Scenario, half: Half, n: int) -> Half:
    """Return the first n requests of a half, all of them where it has no more."""
    return half if len(half) <= n else _part(scenario, half, np.arange(len(half)) < n)


def own_splits(scenario: Scenario) -> bool:
    """Return True where the halves are the `train` and `test` rows of the evaluation table."""
    answers = scenario.answers
    if answers.table is None or answers.split is not None:
        return False
    rows = read_rows(scenario.path_of(answers.table))
    if "split" not in rows.column_names:
        return False
    return set(SPLITS) <= {str(name) for name in rows["split"].unique().to_pylist()}


def _once(scenario: Scenario) -> tuple[Scenario, bool]:
    answers, traffic = scenario.answers, scenario.traffic
    datasets = [segment.dataset for segment in traffic.segments]
    laws: list[Any] = [s.prompt_tokens for s in traffic.segments]
    laws += [s.output_tokens for s in traffic.segments]
    apart = len(datasets) == 1 or (None not in datasets and len(set(datasets)) == len(datasets))
    simple = (
        apart
        and not isinstance(traffic.arrivals, Trace)
        and not any(segment.repeats for segment in traffic.segments)
        and not any(isinstance(law, FromTrace) for law in laws)
    )
    if answers.source == "synthetic" or not (simple or answers.sample == "each_once"):
        return scenario, False
    changed = {
        "answers": answers.model_copy(update={"sample": "each_once"}),
        "run": scenario.run.model_copy(update={"requests": ALL}),
    }
    return scenario.model_copy(update=changed), True


def _weights(scenario: Scenario, requests: RequestTable, once: bool) -> Floats:
    weight = np.ones(len(requests))
    if once and len(scenario.traffic.segments) > 1:
        share = np.array([segment.share for segment in scenario.traffic.segments])
        count = np.bincount(requests.segment, minlength=len(share))
        weight = (share / np.maximum(count, 1))[requests.segment] * len(requests)
    return weight


def _part(scenario: Scenario, half: Half, mask: Any) -> Half:
    """Return a part of the rows; they arrive one after the other, at the rate of the whole."""
    requests = half.requests.take(mask)
    arrival_ns = half.requests.arrival_ns[: len(requests)]
    requests = replace(requests, arrival_ns=np.ascontiguousarray(arrival_ns))
    _, once = _once(scenario)
    weights = _weights(scenario, requests, once)
    return replace(half, requests=requests, question=half.question[mask], weight=weights)
