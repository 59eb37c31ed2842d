"""FrugalML's services: what one threshold saves at the accuracy of the best service.

Source of the figures: L. Chen, M. Zaharia and J. Zou, FrugalML (2020), from its published per-query
results. Two services are asked in turn, the second where the first is less sure than a threshold;
the pair and the threshold are the cheapest that reach the best service's accuracy on half of the
queries. They are reported on the other half. On one split the saving is a matter of luck (at
WAIMAI from 0 to 17 %, at SHOP from 21 to 42 %), so the mean over twenty splits is held.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fallwise.analysis.predict import predict
from fallwise.analysis.quality import threshold_curve
from fallwise.draw import EvaluationTable, read_evaluations, stream
from fallwise.scenario import parse

TABLE = Path(__file__).parents[2] / "shared/data/evals/frugalml_sentiment.parquet"
SPLITS = 20

# dataset: accuracy and USD per 10,000 of the best service; accuracy and saving of the best pair.
ROWS = {
    "yelp": (0.9580, 2.5, 0.9577, 0.015),
    "imdb": (0.8654, 2.5, 0.8647, 0.139),
    "shop": (0.9212, 3.5, 0.9211, 0.357),
    "waimai": (0.8910, 3.5, 0.8905, 0.027),
}


@dataclass(frozen=True)
class Choice:
    """The cheapest that reaches the best service's accuracy; cheap None: that service alone."""

    best: int
    cheap: int | None
    dear: int
    threshold: float


def evaluations(dataset: str) -> EvaluationTable:
    if not TABLE.exists():
        pytest.skip("needs the evaluation tables in ../shared/data")
    return read_evaluations(TABLE, dataset=dataset)


def halves(table: EvaluationTable, split: int) -> tuple[EvaluationTable, EvaluationTable]:
    order = stream(split, "frugalml").permutation(len(table))
    middle = len(table) // 2
    return table.take(order[:middle]), table.take(order[middle:])


def choose(table: EvaluationTable) -> Choice:
    usd, quality = table.columns["cost_usd"].mean(axis=0), table.correct.mean(axis=0)
    best = int(quality.argmax())
    least, choice = usd[best], Choice(best, None, best, 0.0)
    for i, j in np.argwhere(usd[:, None] < usd):
        score = table.columns["confidence"][:, i]
        curve = threshold_curve(
            score, (table.correct[:, i], table.correct[:, j]), (usd[i], usd[i] + usd[j])
        )
        # The last point keeps nothing: its threshold would be infinite.
        reach = np.flatnonzero(curve.quality[:-1] >= quality[best] - 1e-12)
        if len(reach):
            k = reach[curve.cost_usd_mean[reach].argmin()]
            if curve.cost_usd_mean[k] < least:
                least = curve.cost_usd_mean[k]
                choice = Choice(best, int(i), int(j), float(curve.threshold[k]))
    return choice


def report(table: EvaluationTable, choice: Choice) -> tuple[float, float]:
    """Return accuracy and USD a query."""
    usd, right, dear = table.columns["cost_usd"], table.correct, choice.dear
    if choice.cheap is None:
        return float(right[:, dear].mean()), float(usd[:, dear].mean())
    kept = table.columns["confidence"][:, choice.cheap] >= choice.threshold
    accuracy = np.where(kept, right[:, choice.cheap], right[:, dear]).mean()
    return float(accuracy), float((usd[:, choice.cheap] + ~kept * usd[:, dear]).mean())


@pytest.mark.parametrize("dataset", ROWS)
def test_one_threshold_saves_what_was_published(dataset: str) -> None:
    table = evaluations(dataset)
    found = []
    for split in range(SPLITS):
        tuning, reporting = halves(table, split)
        choice = choose(tuning)
        accuracy, usd = report(reporting, choice)
        best_usd = reporting.columns["cost_usd"][:, choice.best].mean()
        best = reporting.correct[:, choice.best].mean()
        found.append((best, best_usd * 1e4, accuracy, 1 - usd / best_usd))
    best, per_10k, accuracy, saving = np.mean(found, axis=0)
    published = ROWS[dataset]
    assert saving == pytest.approx(published[3], abs=0.02)
    assert per_10k == pytest.approx(published[1], rel=1e-4)
    # Which half was reported on is not known, and a half's accuracy moves by up to .002 (a standard
    # deviation); what the cascade is worse than the best service on the same half hardly moves.
    assert best == pytest.approx(published[0], abs=0.004)
    assert best - accuracy == pytest.approx(published[0] - published[2], abs=0.001)


@pytest.mark.parametrize("dataset", ["imdb", "shop"])
def test_the_other_half_is_replayed_by_the_engine(dataset: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    tuning, reporting = halves(evaluations(dataset), 0)
    choice = choose(tuning)
    assert choice.cheap is not None
    rows = pq.read_table(TABLE).filter(pc.field("dataset") == dataset)
    ids = pa.array(reporting.query_id.astype(np.int64))
    reported = pc.is_in(pc.cast(rows["query_id"], pa.int64()), value_set=ids)
    pq.write_table(rows.filter(reported), tmp_path / "half.parquet")
    api: dict[str, Any] = {
        "kind": "api",
        "service": {"kind": "fixed", "value_s": 1.0},
        "usd_column": "cost_usd",
    }
    names = {"cheap": reporting.models[choice.cheap], "dear": reporting.models[choice.dear]}
    tiers = [{"name": name, "model": model, **api} for name, model in names.items()]
    tiers[0] = {**tiers[0], "threshold": choice.threshold}
    scenario = parse(
        {
            "name": dataset,
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 10.0}},
            "answers": {"source": "replay", "table": "half.parquet", "sample": "each_once"},
            "tiers": tiers,
            "run": {"requests": len(reporting)},
        },
        tmp_path,
    )
    outcomes = predict(scenario).outcomes
    assert outcomes.correct is not None and outcomes.cost_usd is not None
    accuracy, usd = report(reporting, choice)
    assert len(outcomes) == len(reporting)
    assert outcomes.correct.mean(dtype=np.float64) == pytest.approx(accuracy, rel=1e-9)
    assert outcomes.cost_usd.mean() == pytest.approx(usd, rel=1e-9)
