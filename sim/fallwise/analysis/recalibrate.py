"""Scores made to mean what they say: monotone maps, learnt from graded answers.

They change what a threshold means, not which answers are surer: no ranking, hence no frontier.
Scores are in [0, 1]; those at 0 and 1 are taken for EDGE and 1 - EDGE where a logit is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from fallwise.tables import Floats

__all__ = ["Recalibration", "as_it_is", "isotonic", "platt", "recalibrations", "temperature"]

EDGE: Final = 1e-4


class Recalibration(NamedTuple):
    """A map from score to probability, its name, and the numbers it consists of."""

    name: str
    numbers: dict[str, float]
    map: Callable[[Any], Floats]


def recalibrations(score: Floats, correct: Floats) -> list[Recalibration]:
    """Return the score as it is, and all maps learnt from these answers; (n,) arrays, n >= 1."""
    return [learn(score, correct) for learn in (as_it_is, temperature, platt, isotonic)]


def as_it_is(score: Floats, correct: Floats) -> Recalibration:
    """Return the score itself."""
    return Recalibration("as_it_is", {}, lambda s: np.asarray(s, np.float64))


def temperature(score: Floats, correct: Floats) -> Recalibration:
    """Return expit(logit(score) / T), T of the highest likelihood; above 1: over-confident.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), section 4.2.
    """
    from scipy.optimize import minimize_scalar

    x, y = _logit(score), np.asarray(correct, np.float64)
    found = minimize_scalar(
        lambda log_t: _loss(x / np.exp(log_t), y), bounds=(-4.0, 4.0), method="bounded"
    )
    t = float(np.exp(found.x))
    return Recalibration("temperature", {"temperature": t}, lambda s: _expit(_logit(s) / t))


def platt(score: Floats, correct: Floats) -> Recalibration:
    """Return expit(slope logit(score) + bias), of the highest likelihood, never falling.

    Grades are drawn in as if one more answer had been right, and one more wrong. Source: Platt,
    Probabilistic Outputs for Support Vector Machines (1999), there on the margin.
    """
    from scipy.optimize import minimize

    x, y = _logit(score), np.asarray(correct, np.float64)
    right = y.sum()
    wrong = len(y) - right
    smooth = y * (right + 1) / (right + 2) + (1 - y) / (wrong + 2)
    best = minimize(
        lambda ab: _loss(ab[0] * x + ab[1], smooth),
        (1.0, 0.0),
        jac=lambda ab: _slope(ab, x, smooth),
        method="L-BFGS-B",
        bounds=((0.0, None), (None, None)),
    )
    a, b = best.x.tolist()
    return Recalibration("platt", {"slope": a, "bias": b}, lambda s: _expit(a * _logit(s) + b))


def isotonic(score: Floats, correct: Floats) -> Recalibration:
    """Return the best never-falling fit, straight lines between its points, flat beyond them.

    Source: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates (2002), by pooling adjacent violators.
    """
    from scipy.optimize import isotonic_regression

    at, place, count = np.unique(score, return_inverse=True, return_counts=True)
    mean = np.bincount(place, correct) / count
    fitted = np.asarray(isotonic_regression(mean, weights=count).x, np.float64)
    return Recalibration("isotonic", {}, lambda s: np.interp(np.asarray(s, np.float64), at, fitted))


def _logit(score: Any) -> Floats:
    p = np.clip(np.asarray(score, np.float64), EDGE, 1 - EDGE)
    found: Floats = np.log(p / (1 - p))
    return found


def _expit(x: Floats) -> Floats:
    from scipy.special import expit

    found: Floats = expit(x)
    return found


def _loss(x: Floats, y: Floats) -> float:
    """Return the mean negative log-likelihood of grades y at log-odds x."""
    return float(np.mean(np.logaddexp(0.0, x) - y * x))


def _slope(ab: Any, x: Floats, y: Floats) -> Floats:
    off = _expit(ab[0] * x + ab[1]) - y
    return np.array([np.mean(off * x), np.mean(off)])
