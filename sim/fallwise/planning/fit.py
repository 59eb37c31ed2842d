"""From an evaluation table to synthetic answers with the same numbers, and how well they hold.

The model is that of `draw.latent`: one difficulty that all tiers share. What it does not know:
topics, scores whose trust differs by topic, more than one kind of difficulty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np

from fallwise.analysis.calibration import auroc
from fallwise.analysis.quality import threshold_curve
from fallwise.draw import EvaluationTable, draw
from fallwise.draw.latent import ability
from fallwise.errors import FallwiseError, Problem, TableError
from fallwise.planning.latency import Fitted, latency_law
from fallwise.scenario import Scenario
from fallwise.scenario.tiers import SyntheticAnswers
from fallwise.tables import Bools, Floats, RequestTable

__all__ = ["FittedTier", "fit", "held", "tetrachoric"]

STEPS: Final = 200
"""Steps of the score's quantile function; an atom of less than half a step is lost."""
SHARES: Final = tuple(i / 10 for i in range(1, 10))
"""Escalated shares at which predicted and replayed cascades are compared."""
HIGHEST: Final = 0.98
MARGIN: Final = 0.01
RIGHT: Final = 0.5


@dataclass(frozen=True)
class FittedTier:
    """What was read off the table about one model; None where it has no such column.

    score_quantiles are the score's at equal steps of probability. service is the law of its
    seconds. usd is the mean price of a call, tokens its lengths' p50 and p99.
    """

    model: str
    accuracy: float
    loading: float
    auroc: float | None = None
    score_loading: float | None = None
    score_quantiles: tuple[float, ...] | None = None
    service: Fitted | None = None
    usd: float | None = None
    output_tokens: tuple[float, float] | None = None


def fit(table: EvaluationTable, score_column: str = "confidence") -> list[FittedTier]:
    """Return each model's numbers, in the table's order of models.

    Graded answers count as right from 0.5 on. TableError: a model that is always right or always
    wrong (nothing can be told about its difficulty), scores outside [0, 1].
    """
    right = table.correct >= RIGHT
    for k, model in enumerate(table.models):
        if right[:, k].all() or not right[:, k].any():
            rule = "is always right, or always wrong: nothing tells what is hard for it"
            problem = Problem(rule, "leave it out", ("correct", f"model {model}"))
            raise TableError(problem.at(table.file))
    loadings = _loadings(right)
    return [_tier(table, k, right, loadings, score_column) for k in range(len(table.models))]


def _tier(
    table: EvaluationTable, k: int, right: Bools, loadings: Floats, score_column: str
) -> FittedTier:
    model, loading = table.models[k], float(loadings[k])

    def numbers(name: str) -> Floats | None:
        column = table.columns.get(name)
        if column is None or not np.isfinite(column[:, k]).all():
            return None
        return column[:, k]

    score, seconds = numbers(score_column), numbers("seconds")
    usd, tokens = numbers("cost_usd"), numbers("output_tokens")
    known: dict[str, Any] = {}
    if score is not None and np.ptp(score) > 0:
        if score.min() < 0 or score.max() > 1:
            rule = "must be from 0 to 1 to be a synthetic score"
            key = (score_column, f"model {model}")
            raise TableError(Problem(rule, "map it to [0, 1]", key, file=table.file))
        known = _score(score, right, loadings, k)
    if seconds is not None:
        known["service"] = latency_law(seconds, tokens)
    if usd is not None:
        known["usd"] = float(usd.mean())
    if tokens is not None:
        known["output_tokens"] = tuple(np.quantile(tokens, [0.5, 0.99]).tolist())
    return FittedTier(model, float(right[:, k].mean()), loading, **known)


def _score(score: Floats, right: Bools, loadings: Floats, k: int) -> dict[str, Any]:
    """Return AUROC, quantiles, and how much the score sees of the shared difficulty.

    The score's correlation with the last other model's margin is score_loading times that model's
    loading; it is read off the score's AUROC for that model's answers.
    """
    quantiles = np.quantile(score, np.arange(STEPS + 1) / STEPS, method="inverted_cdf")
    steps = tuple(quantiles.tolist())
    own = max(auroc(score, right[:, k]) or 0.5, 0.5)
    # No score of the model separates better than this: atoms hold it back.
    rho = _rho(float(right[:, k].mean()), own, steps)
    while rho is None:
        own = 0.5 + 0.99 * (own - 0.5)
        rho = _rho(float(right[:, k].mean()), own, steps)
    loading = float(loadings[k])
    others = [j for j in range(right.shape[1]) if j != k and loadings[j] > 0.05]
    seen = rho * loading
    if others:
        j = others[-1]
        about = max(auroc(score, right[:, j]) or 0.5, 0.5)
        seen = (_rho(float(right[:, j].mean()), about, steps) or 0.0) / float(loadings[j])
    # Beyond these the score would have to vary more than it does.
    reach = sqrt((1 - loading**2) * (1 - rho**2)) * 0.999
    seen = min(max(seen, rho * loading - reach, 0.0), rho * loading + reach, HIGHEST)
    return {"auroc": own, "score_loading": seen, "score_quantiles": steps}


def _rho(accuracy: float, wanted: float, steps: tuple[float, ...]) -> float | None:
    """Return the correlation of score and margin that has this AUROC; None where none has."""
    answers = SyntheticAnswers(accuracy=accuracy, auroc=wanted, score_quantiles=list(steps))
    try:
        return ability(answers, ()).rho
    except FallwiseError:
        return None


def _loadings(right: Bools) -> Floats:
    """Return each model's correlation with one shared difficulty, from all pairs of models.

    Least squares of the tetrachoric correlations, without their diagonal. Two models cannot be told
    apart: each gets the root. Source: one-factor model by minres (Harman and Jones, 1966).
    """
    models = right.shape[1]
    if models < 2:
        return np.zeros(models)
    pairs = [(i, j) for i in range(models) for j in range(i)]
    r = np.array([max(0.0, tetrachoric(right[:, i], right[:, j])) for i, j in pairs])
    if models == 2:
        return np.full(2, min(sqrt(r[0]), HIGHEST))
    from scipy.optimize import least_squares

    first, second = np.array(pairs).T
    start = np.full(models, min(sqrt(float(r.mean())), 0.9))
    fitted = least_squares(lambda x: x[first] * x[second] - r, start, bounds=(0.0, HIGHEST))
    found: Floats = fitted.x
    return found


def tetrachoric(a: Any, b: Any) -> float:
    """Return the correlation of the two normals whose signs two models' correctness would be.

    Source: Pearson, Philosophical Transactions A 195 (1900), by quadrature and bisection.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    a, b = np.asarray(a, np.bool_), np.asarray(b, np.bool_)
    both, cuts = float((a & b).mean()), [float(ndtri(x.mean())) for x in (a, b)]
    x = np.linspace(-cuts[0], 9.0, 4001)
    density = np.exp(-x * x / 2) / sqrt(2 * np.pi)

    def excess(r: float) -> float:
        return float(np.trapezoid(density * ndtr((cuts[1] + r * x) / sqrt(1 - r * r)), x)) - both

    if excess(-0.999) > 0:
        return -0.999
    return 0.999 if excess(0.999) < 0 else float(brentq(excess, -0.999, 0.999))


def held(
    table: EvaluationTable, tiers: Sequence[FittedTier], scenario: Scenario, score_column: str
) -> dict[str, Any]:
    """Return how well the fitted scenario holds, in grades: predicted against replayed.

    `cascades`: for the first model before the last, quality at nine escalated shares. `pick`: the
    threshold that is predicted to be a point below the last model alone, and what it comes to.
    `together`: for each two models the share that both get right. `scores_ks`: the largest gap of
    the score's distribution functions (Kolmogorov and Smirnov), by model. The table should be of
    other questions than those that were fitted.
    """
    requests = draw(scenario)
    together = _together(table, requests.correct)
    ks = {}
    for k, tier in enumerate(tiers):
        if tier.score_quantiles is not None:
            ks[tier.model] = _ks(table.columns[score_column][:, k], requests.score[:, k])
    found: dict[str, Any] = {"scores_ks": ks, "together": together, "pick": None}
    found |= {"cascades": [], "error_mean": None, "error_max": None}
    if tiers[0].score_quantiles is None or len(tiers) < 2:
        return found
    last = len(tiers) - 1
    right = (table.correct >= RIGHT).astype(np.float64)
    score = table.columns[score_column][:, 0]
    curves = [
        threshold_curve(s, (c[:, 0], c[:, last]), (0.0, 1.0))
        for s, c in ((score, right), (requests.score[:, 0], requests.correct.astype(np.float64)))
    ]
    for share in SHARES:
        # By share, not by threshold: an atom would have to be parted to have the same of both.
        q = [float(np.interp(share, curve.escalation_rate, curve.quality)) for curve in curves]
        found["cascades"].append({"escalated": share, "replayed": q[0], "predicted": q[1]})
    errors = [abs(row["replayed"] - row["predicted"]) for row in found["cascades"]]
    found["pick"] = _pick(table, tiers, requests, score)
    return found | {"error_mean": float(np.mean(errors)), "error_max": max(errors)}


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
    table: EvaluationTable, tiers: Sequence[FittedTier], requests: RequestTable, score: Floats
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
    usd = table.columns["cost_usd"]
    replayed = usd[:, 0].mean() + (~kept * usd[:, -1]).mean()
    quality = float(np.where(kept, right[:, 0], right[:, -1]).mean())
    return {
        "threshold": float(curve.threshold[at]) if np.isfinite(curve.threshold[at]) else None,
        "quality": {"predicted": float(curve.quality[at]), "replayed": quality},
        "saving": {
            "predicted": 1 - float(curve.cost_usd_mean[at]) / dear,
            "replayed": 1 - float(replayed / usd[:, -1].mean()),
        },
    }


def _ks(a: Floats, b: Floats) -> float:
    at = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())
