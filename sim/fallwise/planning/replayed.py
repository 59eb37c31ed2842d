"""An evaluation table as a scenario of its own: its rows are the requests, its models the tiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from fallwise.draw import EvaluationTable, read_evaluations
from fallwise.errors import Problem, TableError
from fallwise.scenario import Scenario, parse

__all__ = ["TABLES", "flow", "lacks", "named", "replayed"]

TABLES: Final = (".parquet", ".pq", ".csv", ".csv.gz")
"""How the names of evaluation tables end."""


def replayed(
    path: Path,
    models: Sequence[str] | None = None,
    dataset: str | None = None,
    split: str | None = None,
    leave_out: str | None = None,
    score_column: str = "confidence",
    prices: Sequence[float] | None = None,
) -> Scenario:
    """Return the scenario that asks each query of a table once, of its models in order.

    models: by default all, cheapest first, but the one that is right most often last. prices are
    of a call, for each model, where the table has no column cost_usd. All but the last model have a
    threshold where the table has their scores. TableError: no prices, or not one for each model.
    """
    table = read_evaluations(path, models, dataset, split, leave_out)
    unpriced = [model for model in table.models if not table.has("cost_usd", model)]
    if prices is None and unpriced:
        rule = lacks("cost_usd", unpriced[0], len(unpriced) < len(table.models))
        problem = Problem(rule, "say what a call of each costs: --prices", ("cost_usd",))
        raise TableError(problem.at(str(path)))
    if prices is not None and (models is None or len(prices) != len(models)):
        rule, remedy = "needs one price for each tier", "name the tiers too: --tiers small,big"
        raise TableError(Problem(rule, remedy, value=len(prices), file="--prices"))
    order = range(len(table.models)) if models is not None else _order(table)
    names = named([table.models[k] for k in order])
    tiers: list[dict[str, Any]] = []
    for i, (k, name) in enumerate(zip(order, names, strict=True)):
        tier: dict[str, Any] = {"name": name, "kind": "api", "model": table.models[k]}
        timed = table.find("seconds", table.models[k]) is not None
        tier["service"] = {"kind": "table"} if timed else {"kind": "fixed", "value_s": 1.0}
        if prices is None:
            tier["usd_column"] = "cost_usd"
        else:
            tier["usd_per_request"] = float(prices[i])
        # The last model's scores decide nothing, whatever they lack.
        score = table.find(score_column, table.models[k]) if i < len(names) - 1 else None
        if score is not None:
            tier["threshold"] = float(np.median(score))
        tiers.append(tier)
    answers = {"source": "replay", "table": path.name, "score_column": score_column}
    answers |= {k: v for k, v in (("split", split), ("leave_out", leave_out)) if v is not None}
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(filter(None, (path.stem, dataset, split))))
    data = {
        "name": "replayed-" + stem.strip("-."),
        "traffic": {
            "arrivals": {"kind": "poisson", "rate_rps": 1.0},
            "segments": [{"dataset": dataset} if dataset is not None else {}],
        },
        "answers": answers,
        "tiers": tiers,
        "assumptions": [{"key": key, "why": why} for key, why in _assumed(tiers)],
    }
    return parse(data, path.parent)


def _assumed(tiers: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = [("traffic.arrivals.rate_rps", "an evaluation table says nothing about traffic")]
    untimed = [tier for tier in tiers if tier["service"]["kind"] == "fixed"]
    for tier in untimed:
        key = f"tiers.{tier['name']}.service.value_s"
        found.append((key, lacks("seconds", tier["model"], len(untimed) < len(tiers))))
    return found


def lacks(column: str, model: str, others: bool) -> str:
    """Return what a table lacks: a column, or one model's numbers in it where others have some."""
    return (
        f"the table has no {column} of {model}" if others else f"the table has no column {column}"
    )


def _order(table: EvaluationTable) -> list[int]:
    """Return the models, cheapest first, the best one last."""
    cost = np.array([table.column("cost_usd", model).mean() for model in table.models])
    best = int(table.correct.mean(axis=0).argmax())
    return [k for k in np.argsort(cost, kind="stable").tolist() if k != best] + [best]


def named(models: Sequence[str]) -> list[str]:
    """Return names that tiers may have, each a different one."""
    found: list[str] = []
    for i, model in enumerate(models):
        name = re.sub(r"[^A-Za-z0-9_]+", "-", Path(model).name).strip("-_")
        name = name if name[:1].isalpha() else f"tier-{name}".strip("-")
        found.append(name if name not in found else f"{name}-{i}")
    return found


def flow(value: Any) -> str:
    """Return plain data as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {flow(x)}" for name, x in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return repr(value) if isinstance(value, float) else str(value)
