"""What each assumption moves: every number that nobody measured, a quarter down and a quarter up.

One at a time, on the same requests, so a difference is the assumption's doing. `sensitivity` takes
the ranges that the user gives instead, and looks at all keys together too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from fallwise.analysis.money import paid_usd, wrong_answers_usd
from fallwise.analysis.predict import predict
from fallwise.engines.engine import Engine
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, override

__all__ = ["QUARTER", "factored", "moved"]

QUARTER: Final = 0.25
REQUESTS: Final = 20_000
"""A difference on the same requests is known well from so many."""
FROM_ONE: Final = {"accuracy", "auroc", "loading", "score_loading", "catch_rate"}
"""Of these the distance from 1 is moved: a quarter more errors, not a quarter less accuracy."""
NO_SIZE: Final = {"score_quantiles", "starts", "cuts", "table", "weight"}

Values = dict[str, Any]


def moved(scenario: Scenario, engine: Engine = "compiled") -> dict[str, Any]:
    """Return `base`, `tornado` and `ranges` as `sensitivity` does, without intervals.

    Measures are cost (with wrong answers too), quality and p95; of what an assumption hardly moves
    there is no row. All numbers of a distribution are moved together. `left` has the keys that are
    no number or cannot be moved, `moved_on` how many requests met every value.
    """
    once = scenario.run.model_copy(update={"replications": 1})
    scenario = scenario.model_copy(update={"run": once})
    n = min(scenario.run.requests, REQUESTS)
    points, left = {}, []
    for key in dict.fromkeys(item.key for item in scenario.assumptions):
        try:
            value = scenario.value_at(key, given=True)
            *ends, base = [dict(factored(key, value, by)) for by in (1 - QUARTER, 1 + QUARTER, 1.0)]
            found = [_point(override(scenario, end), n, engine) for end in ends if end != base]
        except (LookupError, ScenarioError):
            found = []
        if len(found) == 2:
            points[key] = found
        else:
            left.append(key)
    base_point = _point(scenario, n, engine) if points else {}
    return {
        "base": {m: {"value": x, "low": None, "high": None} for m, x in base_point.items()},
        "tornado": {m: _rows(m, x, points) for m, x in base_point.items()},
        "ranges": {key: {"low": 1 - QUARTER, "high": 1 + QUARTER, "times": True} for key in points},
        "left": left,
        "moved_on": n,
    }


def _rows(measure: str, base: float, points: dict[str, list[dict[str, float]]]) -> list[Values]:
    """Return what moves a measure, most first."""
    rows = []
    for key, (low, high) in points.items():
        swing = {"value": high[measure] - low[measure], "low": None, "high": None}
        rows.append({"key": key, "at_low": low[measure], "at_high": high[measure], "swing": swing})
    rows.sort(key=lambda row: -_size(row))
    least = max(0.02 * _size(rows[0]), 5e-4 * abs(base))
    return [row for row in rows if _size(row) > least]


def _size(row: Values) -> float:
    return abs(float(row["swing"]["value"]))


def factored(key: str, value: Any, by: float) -> Iterator[tuple[str, Any]]:
    """Yield the numbers at and below a key, times `by`, and their own keys.

    Of an accuracy and what is like it the distance from 1 is multiplied.
    """
    name = key.rpartition(".")[2]
    if isinstance(value, dict):
        for inner, item in value.items():
            if inner not in NO_SIZE and item is not None:
                yield from factored(f"{key}.{inner}", item, by)
    elif isinstance(value, list) and name not in NO_SIZE:
        if value and all(isinstance(x, int | float) for x in value):
            yield key, [x * by for x in value]
        else:
            for i, item in enumerate(value):
                if isinstance(item, dict):
                    yield from factored(f"{key}[{i}]", item, by)
    elif isinstance(value, float) and name in FROM_ONE:
        yield key, max(0.0, 1 - (1 - value) * by)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield key, round(value * by)
    elif isinstance(value, float):
        yield key, value * by


def _point(scenario: Scenario, n: int, engine: Engine) -> dict[str, float]:
    run = predict(scenario, n=n, engine=engine)
    outcomes = run.outcomes
    assert outcomes.correct is not None
    cost = float(paid_usd(scenario, outcomes).mean())
    lost = wrong_answers_usd(scenario, run.requests, outcomes)
    return {
        "cost_usd_mean": cost,
        "cost_with_wrong_answers_usd_mean": cost + float(lost.mean()),
        "quality": float(np.asarray(outcomes.correct, np.float64).mean()),
        "sojourn_s_p95": float(np.quantile(outcomes.sojourn_s, 0.95)),
    }
