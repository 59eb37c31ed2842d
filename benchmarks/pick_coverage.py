"""How often does the 95 % interval of a pick's quality hold the truth? Over many repeated splits.

    python benchmarks/pick_coverage.py                   the table of docs/validation.md
    python benchmarks/pick_coverage.py --splits 200

Each time questions are drawn for a tuning half and, apart from it, for a reporting half; a
threshold is picked on the first, its interval made on the second. The truth of a table is its own
mean: the questions are drawn from it with replacement. The truth of a synthetic cascade is a run of
a million.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fallwise.analysis.bootstrap import bounds, resampled
from fallwise.analysis.quality import Fork
from fallwise.draw import stream
from fallwise.planning.halves import whole
from fallwise.planning.pick import Goal, pick
from fallwise.planning.reported import evidence
from fallwise.planning.side import Side, side_of
from fallwise.scenario import parse
from fallwise.tables import Floats

TABLE = Path(__file__).parents[2] / "shared/data/evals/frugalml_sentiment.parquet"
PAIRS = {"yelp": ("Amazon", "Google"), "imdb": ("Amazon", "Google"), "shop": ("Amazon", "Baidu")}
LABELS = (200, 500, 1000)
GOAL = Goal(margin=0.01)


def case(dataset: str | None) -> Side:
    """Return all that is known about a cascade: of a table, or of a million synthetic requests."""
    api: dict[str, Any] = {"kind": "api", "service": {"kind": "fixed", "value_s": 1.0}}
    tiers: list[dict[str, Any]] = [{"name": "small", "threshold": 0.5}, {"name": "big"}]
    for k, tier in enumerate(tiers):
        tier |= api | {"usd_per_request": (0.1, 1.0)[k]}
        if dataset is None:
            tier["answers"] = {"accuracy": (0.74, 0.86)[k], "loading": 0.7, "auroc": (0.8, 0.5)[k]}
        else:
            tier["model"] = PAIRS[dataset][k]
    traffic: dict[str, Any] = {"arrivals": {"kind": "poisson", "rate_rps": 1.0}}
    answers: dict[str, Any] = {"source": "synthetic"}
    if dataset is not None:
        traffic["segments"] = [{"dataset": dataset}]
        answers = {"source": "replay", "table": str(TABLE)}
    run = {"requests": 1_000_000}
    scenario = parse(
        {"name": "coverage", "traffic": traffic, "answers": answers, "tiers": tiers, "run": run}
    )
    return side_of(scenario, whole(scenario, 1), 0, "compiled")


def part(side: Side, rows: Any) -> Side:
    """Return a side of these rows, each a question of its own."""
    assert side.fork is not None

    def of(pair: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        return pair[0][rows], pair[1][rows]

    ways = side.fork
    fork = Fork(ways.score[rows], ways.asked[rows], of(ways.correct), of(ways.cost_usd))
    half = replace(side.half, question=np.arange(len(rows)), weight=np.ones(len(rows)))
    return Side(half, fork, of(side.cheapest), of(side.frontier), side.rents)


def coverage(side: Side, labels: int, splits: int) -> tuple[float, float]:
    """Return the share of splits whose intervals hold the truth: of quality, and of the saving."""
    chance = stream(labels, "pick_coverage")
    held = np.zeros((splits, 2), np.bool_)
    for i in range(splits):
        halves = chance.integers(0, len(side.half), (2, labels))
        tuning, reporting = (part(side, rows) for rows in halves)
        found = pick(GOAL, tuning.candidates(GOAL))
        assert found is not None, "frontier-only holds this goal"
        values, more = evidence(reporting, found.threshold)
        half = reporting.half
        means = resampled(values, half.question, half.weight, chance, more=more)
        dear, quality, cost = means.T[3:6]
        truth = [float(x.mean()) for x in (*side.at(found.threshold)[:2], side.frontier[1])]
        pairs = (bounds(quality), truth[0]), (bounds(1 - cost / dear), 1 - truth[1] / truth[2])
        held[i] = [b["low"] - 1e-12 <= t <= b["high"] + 1e-12 for b, t in pairs]
    quality_held, saving_held = held.mean(axis=0).tolist()
    return quality_held, saving_held


def main() -> None:
    """Print the table."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--splits", type=int, default=1000)
    splits = ask.parse_args().splits
    print("| cascade | labels in each half | quality | saving |\n|---|---|---|---|")
    for dataset in (None, *(PAIRS if TABLE.exists() else ())):
        side = case(dataset)
        for labels in LABELS:
            held = [f"{100 * x:.1f} %" for x in coverage(side, labels, splits)]
            print(f"| {dataset or 'synthetic'} | {labels} | {held[0]} | {held[1]} |", flush=True)


if __name__ == "__main__":
    main()
