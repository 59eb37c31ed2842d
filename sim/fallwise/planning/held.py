"""How well a fitted scenario holds on questions that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import Any, Final

import numpy as np

from fallwise.analysis.intervals import Estimate, batch_mean, batch_share
from fallwise.analysis.quality import threshold_curve
from fallwise.draw import EvaluationTable, draw
from fallwise.planning.fit import RIGHT, FittedTier
from fallwise.planning.laid import laid
from fallwise.scenario import Scenario
from fallwise.tables import Floats, RequestTable

__all__ = ["held"]

SHARES: Final = tuple(i / 10 for i in range(1, 10))
"""Escalated shares at which predicted and replayed cascades are compared."""
MARGIN: Final = 0.01


def held(
    table: EvaluationTable,
    tiers: Sequence[FittedTier],
    scenario: Scenario,
    score_column: str,
    fitted_on: float = inf,
) -> dict[str, Any]:
    """Return how well the fitted scenario holds, in grades: predicted against replayed.

    `cascades`: for the first model before the last, quality at nine escalated shares. `pick`: the
    threshold that is predicted to be a point below the last model alone, and what it comes to.
    `together`: for each two models the share that both get right. `laid`: each model's scores and
    seconds beside those that the scenario draws. low and high: where chance puts
    what is replayed in 95 % of all cases, that of fitted_on questions too. The table should be of
    other questions than those that were fitted.
    """
    requests, wider = draw(scenario), sqrt(1 + len(table) / fitted_on)
    together = _together(table, requests.correct)
    beside = []
    for k, tier in enumerate(tiers):
        for of, column, known, drawn in (
            ("score", score_column, tier.score_quantiles, requests.score[:, k]),
            ("seconds", "seconds", tier.service, requests.service_ns[:, k] / 1e9),
        ):
            measured = table.present(column, tier.model)[1]
            if known is not None and len(measured):
                of_fit = fitted_on - tier.gaps.get(column, 0)
                beside.append(laid(tier.model, of, measured, drawn, of_fit))
    found: dict[str, Any] = {"laid": beside, "together": together, "pick": None}
    found |= {"cascades": [], "error_mean": None, "error_max": None}
    if tiers[0].score_quantiles is None or len(tiers) < 2:
        return found
    last = len(tiers) - 1
    right = (table.correct >= RIGHT).astype(np.float64)
    score = table.column(score_column, tiers[0].model)
    curves = [
        threshold_curve(s, (c[:, 0], c[:, last]), (0.0, 1.0))
        for s, c in ((score, right), (requests.score[:, 0], requests.correct.astype(np.float64)))
    ]
    for share in SHARES:
        # By share, not by threshold: an atom would have to be parted to have the same of both.
        q = [float(np.interp(share, curve.escalation_rate, curve.quality)) for curve in curves]
        sent = np.zeros(len(score), np.bool_)
        sent[np.argsort(score, kind="stable")[: round(share * len(score))]] = True
        row = {"escalated": share, "replayed": q[0], "predicted": q[1]}
        found["cascades"].append(
            row | _around(q[0], np.where(sent, right[:, last], right[:, 0]), wider)
        )
    errors = [abs(row["replayed"] - row["predicted"]) for row in found["cascades"]]
    found["pick"] = _pick(table, tiers, requests, score, wider)
    return found | {"error_mean": float(np.mean(errors)), "error_max": max(errors)}


def _around(value: float, right: Floats, wider: float) -> dict[str, float | None]:
    """Return the ends of a share's 95 % interval: that of (n,) answers, so many times as wide."""
    known = batch_share(right, np.ones(len(right)))
    return _ends(value, known, wider)


def _ends(value: float, known: Estimate, wider: float) -> dict[str, float | None]:
    low, high = (value + wider * (end - known.value) for end in (known.low, known.high))
    return {end: x for end, x in Estimate(value, low, high).dict().items() if end != "value"}


def _together(table: EvaluationTable, drawn: Any) -> list[dict[str, Any]]:
    right = table.correct >= RIGHT
    return [
        {
            "models": [table.models[i], table.models[j]],
            "replayed": float((right[:, i] & right[:, j]).mean()),
            "predicted": float(((drawn[:, i] >= RIGHT) & (drawn[:, j] >= RIGHT)).mean()),
        }
        for i in range(len(table.models))
        for j in range(i + 1, len(table.models))
    ]


def _pick(
    table: EvaluationTable,
    tiers: Sequence[FittedTier],
    requests: RequestTable,
    score: Floats,
    wider: float,
) -> dict[str, Any] | None:
    """Return predicted and replayed quality and saving at one threshold; None without prices."""
    cheap, dear = tiers[0].usd, tiers[-1].usd
    if cheap is None or not dear:
        return None
    drawn, right = requests.correct.astype(np.float64), (table.correct >= RIGHT).astype(np.float64)
    curve = threshold_curve(
        requests.score[:, 0], (drawn[:, 0], drawn[:, -1]), (cheap, cheap + dear)
    )
    enough = np.flatnonzero(curve.quality >= drawn[:, -1].mean() - MARGIN)
    if not len(enough):
        return None
    at = enough[curve.cost_usd_mean[enough].argmin()]
    kept = score >= curve.threshold[at]
    ours = np.where(kept, right[:, 0], right[:, -1])
    usd = table.columns["cost_usd"][:, [0, -1]]
    priced = ~np.isnan(usd).any(axis=1)
    (low, high), sent = usd[priced].T, ~kept[priced]
    if not high.any():
        return None
    spent = low + sent * high
    quality, saving = float(ours.mean()), 1 - float(spent.mean() / high.mean())
    # A ratio is as uncertain as what is left of it in each question (delta method).
    rest = batch_mean(((1 - saving) * high - spent) / high.mean())
    around = _ends(saving, rest, wider)
    return {
        "threshold": float(curve.threshold[at]) if np.isfinite(curve.threshold[at]) else None,
        "quality": {"predicted": float(curve.quality[at]), "replayed": quality}
        | _around(quality, ours, wider),
        "saving": {
            "predicted": 1 - float(curve.cost_usd_mean[at]) / dear,
            "replayed": saving,
        }
        | around,
    }
