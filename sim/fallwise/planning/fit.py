"""From an evaluation table to synthetic answers with the same numbers; `held` says how they hold.

The model is that of `draw.latent`: one difficulty that all tiers share. What it does not know:
topics, scores whose trust differs by topic, more than one kind of difficulty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final

import numpy as np

from fallwise.analysis.calibration import auroc
from fallwise.analysis.intervals import t_interval
from fallwise.draw import EvaluationTable
from fallwise.draw.latent import ability
from fallwise.errors import FallwiseError, Problem, TableError
from fallwise.planning.latency import FEWEST, Fitted, latency_law
from fallwise.scenario.tiers import SyntheticAnswers
from fallwise.tables import Bools, Floats

__all__ = ["RIGHT", "FittedTier", "fit", "tetrachoric"]

STEPS: Final = 200
"""Steps of the score's quantile function; an atom of less than half a step is lost."""
HIGHEST: Final = 0.98
SHARPEST: Final = 0.9999
"""A score that parts a sample's right answers from its wrong ones is not known to part all."""
TOKENS: Final = "output_tokens"
RIGHT: Final = 0.5
"""Graded answers count as right from here on."""


@dataclass(frozen=True)
class FittedTier:
    """What was read off the table about one model; None where it has no such column.

    accuracy_within is its 95 % interval. score_quantiles are the score's at equal steps of
    probability. service is the law of its seconds. usd is the mean price of a call, tokens its
    lengths' p50 and p99. gaps has, by column, how many questions have no number, where some have.
    """

    model: str
    accuracy: float
    accuracy_within: tuple[float, float]
    loading: float
    auroc: float | None = None
    score_loading: float | None = None
    score_quantiles: tuple[float, ...] | None = None
    service: Fitted | None = None
    usd: float | None = None
    output_tokens: tuple[float, float] | None = None
    gaps: dict[str, int] = field(default_factory=dict)


def fit(
    table: EvaluationTable, score_column: str = "confidence", fewest: int = FEWEST
) -> list[FittedTier]:
    """Return each model's numbers, in the table's order of models.

    Graded answers count as right from 0.5 on. Questions without a number in a column are left out
    of what is read off that column, if `fewest` or more are left. TableError: a model that is
    always right or always wrong (nothing can be told about its difficulty), scores outside [0, 1],
    or with gaps where they decide: of all models but the last.
    """
    right = table.correct >= RIGHT
    for k, model in enumerate(table.models):
        if right[:, k].all() or not right[:, k].any():
            rule = "is always right, or always wrong: nothing tells what is hard for it"
            problem = Problem(rule, "leave it out", ("correct", f"model {model}"))
            raise TableError(problem.at(table.file))
    loadings = _loadings(right)
    return [
        _tier(table, k, right, loadings, score_column, fewest) for k in range(len(table.models))
    ]


def _tier(
    table: EvaluationTable, k: int, right: Bools, loadings: Floats, score_column: str, fewest: int
) -> FittedTier:
    model, loading = table.models[k], float(loadings[k])
    known: dict[str, Any] = {"gaps": {}}

    def some(name: str) -> tuple[Bools, Floats]:
        there, values = table.present(name, model)
        if 0 < len(values) < len(table):
            _refuse_few(table, name, model, len(values), fewest)
            known["gaps"][name] = len(table) - len(values)
        return there, values

    if k < len(table.models) - 1 or k == 0:
        table.find(score_column, model)  # A gap where a score decides is refused.
    there, score = some(score_column)
    if len(score) and np.ptp(score) > 0:
        if score.min() < 0 or score.max() > 1:
            rule = "must be from 0 to 1 to be a synthetic score"
            key = (score_column, f"model {model}")
            raise TableError(Problem(rule, "map it to [0, 1]", key, file=table.file))
        known |= _score(score, there, right, loadings, k)
    (timed, seconds), (_, usd), (counted, tokens) = map(some, ("seconds", "cost_usd", TOKENS))
    if len(seconds):
        lengths = table.columns[TOKENS][timed, k] if counted.any() else None
        known["service"] = latency_law(seconds, lengths)
    if len(usd):
        known["usd"] = float(usd.mean())
    if len(tokens):
        known["output_tokens"] = tuple(np.quantile(tokens, [0.5, 0.99]).tolist())
    # A table may be sorted by what is right: its questions are a sample, whatever their order.
    accuracy = t_interval(right[:, k])
    within = max(0.0, accuracy.low), min(1.0, accuracy.high)
    return FittedTier(model, accuracy.value, within, loading, **known)


def _refuse_few(table: EvaluationTable, name: str, model: str, numbers: int, fewest: int) -> None:
    if numbers < fewest:
        rule = f"has numbers for {numbers} of {len(table)} queries, at least {fewest} are needed"
        problem = Problem(rule, "fill it in, or take all of them away", (name, f"model {model}"))
        raise TableError(problem.at(table.file))


def _score(score: Floats, there: Bools, right: Bools, loadings: Floats, k: int) -> dict[str, Any]:
    """Return AUROC, quantiles, and how much the score sees of the shared difficulty.

    score has those of the questions that are there. Its correlation with the last other model's
    margin is score_loading times that model's loading; it is read off the score's AUROC for that
    model's answers.
    """
    quantiles = np.quantile(score, np.arange(STEPS + 1) / STEPS, method="inverted_cdf")
    steps = tuple(quantiles.tolist())
    own = _sharp(score, right[there, k])
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
        about = _rho(float(right[:, j].mean()), _sharp(score, right[there, j]), steps)
        seen = (about or 0.0) / float(loadings[j])
    # Beyond these the score would have to vary more than it does.
    reach = sqrt((1 - loading**2) * (1 - rho**2)) * 0.999
    seen = min(max(seen, rho * loading - reach, 0.0), rho * loading + reach, HIGHEST)
    return {"auroc": own, "score_loading": seen, "score_quantiles": steps}


def _sharp(score: Floats, right: Bools) -> float:
    """Return the AUROC of scores, no less than chance and no more than a scenario may say."""
    return min(max(auroc(score, right) or 0.5, 0.5), SHARPEST)


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
