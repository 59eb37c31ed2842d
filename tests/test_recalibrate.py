"""Maps of scores: numbers that were put in come out again, and other libraries agree."""

from __future__ import annotations

import numpy as np
import pytest
from fallwise.analysis.calibration import ece
from fallwise.analysis.recalibrate import isotonic, platt, recalibrations, temperature
from fallwise.draw import stream
from scipy.special import expit, logit


def answers(n: int, slope: float, bias: float) -> tuple[np.ndarray, np.ndarray]:
    chance = stream(n, "recalibrate")
    score = 0.01 + 0.98 * chance.random(n)
    return score, (chance.random(n) < expit(slope * logit(score) + bias)).astype(float)


def test_the_temperature_and_platts_line_that_were_put_in_come_out() -> None:
    score, right = answers(40_000, 0.4, 0.0)
    # Four standard errors of a slope in logistic regression at this size are about .03.
    assert 1 / temperature(score, right).numbers["temperature"] == pytest.approx(0.4, abs=0.03)
    score, right = answers(40_000, 1.5, -0.7)
    found = platt(score, right).numbers
    assert found["slope"] == pytest.approx(1.5, abs=0.08)
    assert found["bias"] == pytest.approx(-0.7, abs=0.08)
    for one in recalibrations(score, right)[2:]:
        assert ece(one.map(score), right) < 0.02 < ece(score, right)


def test_isotonic_is_scikit_learns() -> None:
    from sklearn.isotonic import IsotonicRegression

    score, right = answers(500, 0.5, 0.3)
    score = np.round(score, 2)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(score, right)
    at = np.linspace(-0.1, 1.1, 200)
    assert isotonic(score, right).map(at) == pytest.approx(theirs.predict(at), abs=1e-9)


def test_no_map_turns_the_ranking_around_and_all_stay_in_range() -> None:
    score, right = answers(300, -1.0, 0.0)  # the surer, the more often wrong
    at = np.linspace(0, 1, 101)
    for one in recalibrations(score, right):
        p = one.map(at)
        assert (np.diff(p) >= -1e-12).all() and p.min() >= 0 and p.max() <= 1
    # The best that never falls is flat, at the mean.
    assert platt(score, right).map(0.9) == pytest.approx(right.mean(), abs=0.01)


def test_one_answer_or_only_right_ones_are_no_reason_to_fail() -> None:
    for n in (1, 5):
        for one in recalibrations(np.full(n, 1.0), np.ones(n)):
            assert 0.5 < float(one.map(1.0)) <= 1
