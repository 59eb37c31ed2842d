"""Synthetic answers: a Gaussian margin of ability, a score that sees some of it, and a difficulty.

Of a request with difficulty D (standard normal, plus its segment's shift), tier k has the margin
M = a - loading D + sqrt(1 - loading**2) e, and is right where M > 0; a = Phi^-1(accuracy).
Its latent score is S = gamma e - beta D + tau w with corr(S, M) = rho and, at difficulty 0, a
standard normal distribution; e and w are standard normal and the tier's own. rho is such that the
shown score, atoms included, has the AUROC that the scenario says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt
from typing import Final

import numpy as np

from fallwise.draw.streams import Questions
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario.tiers import Calibration, SyntheticAnswers
from fallwise.tables import Bools, Floats

__all__ = ["Ability", "ability", "auroc", "calibrate", "right", "score"]

HIGHEST: Final = 0.9999
"""The highest correlation of score and margin that is tried."""


@dataclass(frozen=True)
class Ability:
    """A tier's numbers in the module's formulas."""

    a: float
    loading: float
    rho: float
    beta: float
    gamma: float
    tau: float


def ability(answers: SyntheticAnswers, key: tuple[str | int, ...]) -> Ability:
    """Return the numbers of a tier's answers; ScenarioError at key where there are none."""
    from scipy.special import ndtri

    a = float(ndtri(answers.accuracy))
    quantiles = tuple(answers.score_quantiles or ())
    rho, best = _rho(answers.accuracy, answers.auroc, quantiles)
    if rho > HIGHEST:
        rule = f"no score with these score_quantiles has an auroc above {best:.3f}"
        remedy = "lower auroc, or give score_quantiles with smaller atoms"
        raise ScenarioError(Problem(rule, remedy, (*key, "auroc"), answers.auroc))
    loading = answers.loading
    beta = rho * loading if answers.score_loading is None else answers.score_loading
    gamma = (rho - beta * loading) / sqrt(1 - loading**2)
    rest = 1 - beta**2 - gamma**2
    if rest < 0:
        rule = f"no score has this loading beside auroc {answers.auroc} and loading {loading}"
        remedy = "lower auroc, or bring score_loading nearer to loading"
        raise ScenarioError(Problem(rule, remedy, (*key, "score_loading"), beta))
    return Ability(a, loading, rho, beta, gamma, sqrt(rest))


def right(who: Ability, shock: Floats, difficulty: Floats | None) -> Bools:
    """Return (n,) where the tier is right; shock is e, difficulty is D (None: not needed)."""
    latent = shock * sqrt(1 - who.loading**2)
    if who.loading and difficulty is not None:
        latent -= who.loading * difficulty
    above: Bools = latent > -who.a
    return above


def score(
    who: Ability,
    answers: SyntheticAnswers,
    questions: Questions,
    name: str,
    shock: Floats | None,
    difficulty: Floats | None,
) -> Floats:
    """Return (n,) scores as a policy sees them, their noise from the stream of this name.

    Without quantiles they are P(right | S) = Phi((a + rho S) / sqrt(1 - rho**2)), at difficulty 0.
    """
    from scipy.special import ndtr

    n = len(questions.key)
    if who.rho == 0 and not answers.score_quantiles:
        return calibrate(np.full(n, answers.accuracy), answers.calibration)
    s = questions.normal(name)
    s *= who.tau
    if who.gamma:
        assert shock is not None, name
        s += who.gamma * shock
    if who.beta:
        assert difficulty is not None, name
        s -= who.beta * difficulty
    if answers.score_quantiles:
        steps = np.linspace(0, 1, len(answers.score_quantiles))
        shown: Floats = np.interp(ndtr(s, out=s), steps, answers.score_quantiles)
    else:
        s *= who.rho
        s += who.a
        s /= sqrt(1 - who.rho**2)
        shown = ndtr(s, out=s)
    return calibrate(shown, answers.calibration)


def calibrate(p: Floats, how: Calibration) -> Floats:
    """Return the shown scores: through the table if there is one, else by temperature and bias."""
    if how.table:
        points, shown = np.array(how.table).T
        read: Floats = np.interp(p, points, shown)
        return read
    if how.temperature == 1 and how.bias == 0:
        return p
    from scipy.special import expit, logit

    mapped: Floats = expit(logit(p) / how.temperature + how.bias)
    return mapped


def auroc(rho: float, accuracy: float, quantiles: tuple[float, ...] = ()) -> float:
    """Return P(score of a right answer > of a wrong one), ties counted half, by quadrature.

    Margin and latent score are standard normal with correlation rho; the shown score takes the
    values of quantiles at equal steps of probability, or all values where there are none.
    """
    from scipy.special import ndtr, ndtri

    a = ndtri(accuracy)
    atoms = _atoms(quantiles)
    ends = ndtri(np.array(atoms).ravel()).clip(-8.5, 8.5)
    s = np.unique(np.concatenate([np.linspace(-8.5, 8.5, 4001), ends]))
    density = np.exp(-s * s / 2)
    pull = (a + rho * s) / sqrt(1 - rho**2)
    above, below = _cumulated(density * ndtr(pull), s), _cumulated(density * ndtr(-pull), s)
    # Trapezoids count half of the ties within a cell: an atom is one cell, from end to end.
    keep = np.ones(len(s), np.bool_)
    for low, high in ends.reshape(-1, 2):
        keep &= ~((s > low) & (s < high))
    above, below = above[keep], below[keep]
    return float(np.trapezoid(below, above) / (above[-1] * below[-1]))


@lru_cache(maxsize=256)
def _rho(accuracy: float, wanted: float, quantiles: tuple[float, ...]) -> tuple[float, float]:
    """Return the correlation that gives the AUROC (inf if none does), and the highest AUROC."""
    if accuracy == 1 or wanted == 0.5:
        return 0.0, 0.5
    best = auroc(HIGHEST, accuracy, quantiles)
    if best < wanted:
        return inf, best
    ends = (0.0, 0.5 - wanted), (HIGHEST, best - wanted)
    return _crossing(lambda r: auroc(r, accuracy, quantiles) - wanted, *ends), best


def _crossing(
    curve: Callable[[float], float], low: tuple[float, float], high: tuple[float, float]
) -> float:
    """Return where a rising curve is 0, to 1e-12, between two of its points (x, y).

    scipy.optimize has it too, but every worker of a sweep would load all of that for it: 0.3 s.
    Source: Dowell and Jarratt, A modified regula falsi method, BIT 11 (1971): the Illinois rule.
    """
    (a, below), (b, above) = low, high
    side = 0
    while b - a > 1e-12:
        x = (a * above - b * below) / (above - below)
        # Rounding may put it on an end; the last steps are halvings.
        x = x if a < x < b else (a + b) / 2
        y = curve(x)
        if y == 0:
            return x
        if y > 0:
            b, above, below = x, y, below / 2 if side > 0 else below
        else:
            a, below, above = x, y, above / 2 if side < 0 else above
        side = 1 if y > 0 else -1
        if abs(y) < 1e-14:
            break
    return b if abs(above) < abs(below) else a


def _atoms(quantiles: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return the intervals of probability over which the quantile function is constant."""
    if not quantiles:
        return []
    steps = len(quantiles) - 1
    starts = [j for j in range(steps + 1) if j == 0 or quantiles[j] != quantiles[j - 1]]
    ends = [*(j - 1 for j in starts[1:]), steps]
    return [(i / steps, j / steps) for i, j in zip(starts, ends, strict=True) if j > i]


def _cumulated(density: Floats, s: Floats) -> Floats:
    cells = (density[1:] + density[:-1]) / 2 * np.diff(s)
    return np.concatenate([[0.0], np.cumsum(cells)])
