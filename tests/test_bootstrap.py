"""Resamples with a few questions added: the value stays, what was never seen is not ruled out."""

from __future__ import annotations

import numpy as np
import pytest
from fallwise.analysis.bootstrap import bounds, resampled
from fallwise.draw import stream
from scipy.stats import binomtest

MORE = np.array([[0.0], [0.0], [1.0], [1.0]])


def interval(rare: int, n: int = 200, weight: float = 1.0) -> dict[str, float]:
    values = (np.arange(n) < rare).astype(float)[:, None]
    args = values, np.arange(n), np.full(n, weight), stream(3, "bootstrap")
    return bounds(resampled(*args, more=MORE)[:, 0])


def test_the_value_is_that_of_the_data_alone_whatever_they_weigh() -> None:
    for weight in (1.0, 0.01):
        assert interval(7, weight=weight)["value"] == pytest.approx(7 / 200)
    assert interval(7, weight=0.01) == pytest.approx(interval(7))


def test_what_was_never_seen_is_as_likely_as_an_exact_interval_says() -> None:
    exact = binomtest(0, 200).proportion_ci()
    found = interval(0)
    assert found["low"] == 0 and exact.high / 2 < found["high"] < 2 * exact.high
    other = interval(200)
    assert other["high"] == 1 and other["low"] == pytest.approx(1 - found["high"], abs=0.006)


def test_where_much_is_known_it_changes_nothing() -> None:
    exact = binomtest(3000, 10_000).proportion_ci()
    found = interval(3000, 10_000)
    # The resamples' own chance: some 2 % of the width.
    assert (found["low"], found["high"]) == pytest.approx((exact.low, exact.high), abs=0.0012)
