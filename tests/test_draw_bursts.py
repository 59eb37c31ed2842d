"""Bursty arrivals, weeks, growth and surges against the theory of their processes.

Intervals are 4.5 standard errors wide on each side; where theory has no standard error to offer, it
is measured over independent parts of the run, and then it is 5.
"""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from fallwise import theory
from fallwise.draw import blocks, draw
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, parse
from fallwise.scenario.traffic import Mmpp
from fallwise.tables import Floats

Z = 4.5
PARTS = 40

POISSON = {"kind": "poisson", "rate_rps": 5.0}
GAMMA = {"kind": "gamma", "rate_rps": 5.0, "cv": 2.0}
PROFILE = {"kind": "profile", "step_s": 10.0, "rates_rps": [2.0, 0.0, 10.0]}
MMPP = {
    "kind": "mmpp",
    "states": [{"rate_rps": 2.0, "mean_s": 6.0}, {"rate_rps": 30.0, "mean_s": 1.0}],
}
COX = {"kind": "cox", "rate_rps": 6.0, "rate_cv": 0.8, "every_s": 5.0}
CLIENTS = {
    "kind": "clients",
    "clients": [{"rate_rps": 1.0, "cv": 2.5}, {"rate_rps": 3.0, "cv": 1.5}],
    "background_rps": 2.0,
}
WEEK = {"hours": [0.0] * 8 + [1.0, 3.0] * 8, "days": [1.0] * 5 + [0.5, 0.0]}
SURGES = [{"from_s": 100.0, "to_s": 200.0, "factor": 4.0}]


def world(arrivals: Any, **traffic: Any) -> Scenario:
    tier = {"name": "a", "kind": "api", "service": {"kind": "fixed", "value_s": 1.0}}
    return parse(
        {
            "name": "w",
            "traffic": {"arrivals": arrivals, **traffic},
            "answers": {"source": "synthetic"},
            "tiers": [{**tier, "answers": {"accuracy": 1.0}}],
        }
    )


def arrival_s(arrivals: Any, n: int, seed: int = 1, **traffic: Any) -> Floats:
    times: Floats = draw(world(arrivals, **traffic), seed, n).arrival_ns / 1e9
    return times


def holds(values: Any, expected: float) -> None:
    """Assert that the mean of independent values is what it should be."""
    values = np.asarray(values)
    assert abs(values.mean() - expected) < 5 * values.std(ddof=1) / sqrt(len(values))


def dispersions(times: Floats, window_s: float) -> list[float]:
    """Return the index of dispersion of counts in each of PARTS parts of a run."""
    counts = np.bincount((times // window_s).astype(int))[:-1]
    mean = counts.mean()  # One mean for all: a part's own would take something off its variance.
    return [float(((part - mean) ** 2).mean() / mean) for part in np.array_split(counts, PARTS)]


@pytest.mark.parametrize(
    "law", [POISSON, GAMMA, PROFILE, MMPP, COX, CLIENTS], ids=lambda d: d["kind"]
)
@pytest.mark.parametrize(
    "shape",
    [{}, {"week": WEEK, "growth_per_month": 0.5, "surges": SURGES}],
    ids=["plain", "shaped"],
)
def test_the_arrivals_are_the_same_in_blocks_of_any_size(law: Any, shape: Any) -> None:
    scenario = world(law, **shape)
    whole = draw(scenario, 3, 6000).arrival_ns
    assert (np.diff(whole) >= 0).all()
    for size in (1, 7, 4096) if not shape else (999,):
        n = 300 if size == 1 else 6000
        parts = [block.arrival_ns for block in blocks(scenario, 3, n, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole[:n])


def test_mmpp_has_the_rate_the_gaps_and_the_dispersion_of_theory() -> None:
    rates, means = (2.0, 30.0), (6.0, 1.0)
    times = arrival_s(MMPP, 600_000)
    gaps = np.array_split(np.diff(times), PARTS)
    holds([1 / part.mean() for part in gaps], 6.0)
    cv = theory.mmpp_gap_cv(rates, means)
    assert cv > 1.3
    holds([part.var() / np.diff(times).mean() ** 2 for part in gaps], cv**2)
    for window_s in (0.5, 5.0, 60.0):
        holds(dispersions(times, window_s), theory.mmpp_dispersion(rates, means, window_s))


def test_mmpp_of_three_states_spends_its_time_by_how_long_they_last() -> None:
    states = [{"rate_rps": r, "mean_s": m} for r, m in ((0.0, 3.0), (1.0, 1.0), (9.0, 2.0))]
    times = arrival_s({"kind": "mmpp", "states": states}, 200_000)
    holds([1 / part.mean() for part in np.array_split(np.diff(times), PARTS)], 19 / 6)


def test_mmpp_of_three_states_goes_on_as_it_is_told() -> None:
    """Quiet, then always a swell, after which it is a peak one time in four and else quiet again.

    By hand: a peak leads to a swell again. Of 4 visits to a swell 3 are followed by quiet and 1 by
    a peak, so visits are as 3 : 4 : 1, and times, of 10, 2 and 5 s each, as 30 : 8 : 5, of 43.
    """
    follow = ([0.0, 1.0, 0.0], [0.75, 0.0, 0.25], [0.0, 1.0, 0.0])
    rows = zip((1.0, 10.0, 50.0), (10.0, 2.0, 5.0), follow, strict=True)
    law = {"kind": "mmpp", "states": [{"rate_rps": r, "mean_s": m, "next": f} for r, m, f in rows]}
    known = world(law).traffic.arrivals
    assert isinstance(known, Mmpp)
    assert known.time_shares == pytest.approx([30 / 43, 8 / 43, 5 / 43])
    rate = (30 * 1 + 8 * 10 + 5 * 50) / 43
    assert known.rate_rps == pytest.approx(rate)
    times = arrival_s(law, 400_000)
    holds([1 / part.mean() for part in np.array_split(np.diff(times), PARTS)], rate)
    begins = [arrival_s(law, 1, seed)[0] for seed in range(600)]
    # At rate r nobody comes for 0.02 s with exp(-0.02 r); a state hardly ever ends within that.
    none = sum(t * np.exp(-0.02 * r) for t, r in zip(known.time_shares, (1, 10, 50), strict=True))
    assert abs(np.mean(np.array(begins) > 0.02) - none) < Z * sqrt(none * (1 - none) / 600) + 0.01


def test_states_that_follow_alike_are_the_default_and_as_often_visited() -> None:
    states = [{"rate_rps": r, "mean_s": m} for r, m in ((0.0, 3.0), (1.0, 1.0), (9.0, 2.0))]
    bare = world({"kind": "mmpp", "states": states}).traffic.arrivals
    assert isinstance(bare, Mmpp)
    assert bare.time_shares == pytest.approx([1 / 2, 1 / 6, 1 / 3])
    assert bare.follows == [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


@pytest.mark.parametrize(
    ("follow", "words"),
    [
        ([0.5, 0.5], "there are 3 states"),
        ([0.5, 0.25, 0.25], "does not follow itself"),
        ([0.5, 0.0, 0.4], "adds up to 0.9, not 1"),
        ([1.0, 0.0, 0.0], r"states\[2\] can never be reached from states\[0\]"),
    ],
)
def test_states_that_cannot_follow_each_other_are_refused(follow: Any, words: str) -> None:
    one = {"rate_rps": 1.0, "mean_s": 1.0}
    states = [one | {"next": [0.0, 1.0, 0.0]}, one, one]
    states[1] = one | {"next": follow}
    with pytest.raises(ScenarioError, match=words):
        world({"kind": "mmpp", "states": states})


def test_mmpp_begins_in_each_state_by_its_share_of_the_time() -> None:
    law = {"kind": "mmpp", "states": [{"rate_rps": 100.0, "mean_s": 3.0}]}
    law["states"] += [{"rate_rps": 0.0, "mean_s": 1.0}]  # type: ignore[operator]
    busy = [arrival_s(law, 1, seed)[0] < 0.1 for seed in range(400)]
    assert abs(np.mean(busy) - 0.75) < Z * sqrt(0.75 * 0.25 / 400) + 0.02


@pytest.mark.parametrize("law", ["gamma", "lognormal"])
def test_cox_counts_have_the_mean_and_the_variance_of_mixed_poisson(law: str) -> None:
    """Var N = E N + (cv E N)**2 in an interval of one rate, whatever the law of the rate."""
    times = arrival_s({**COX, "law": law}, 300_000)
    counts = np.bincount((times // 5).astype(int))[:-1]
    holds(counts, 30.0)
    holds((counts - 30.0) ** 2, 30 + (0.8 * 30) ** 2)
    # Intervals are independent of each other.
    holds((counts[1:] - 30.0) * (counts[:-1] - 30.0), 0.0)
    if law == "gamma":
        # A gamma rate makes negative binomial counts: P(0) = (1 + mean / shape) ** -shape.
        shape = 0.8**-2
        holds(counts == 0, (1 + 30 / shape) ** -shape)


def test_clients_add_up_to_their_rate_and_their_dispersion() -> None:
    """In the long run the dispersion of a sum is the mean of cv**2, weighted by rate."""
    times = arrival_s(CLIENTS, 600_000)
    holds([1 / part.mean() for part in np.array_split(np.diff(times), PARTS)], 6.0)
    expected = (1.0 * 2.5**2 + 3.0 * 1.5**2 + 2.0) / 6
    found = dispersions(times, 300.0)
    # At 300 s a gamma stream is within its (cv**4 - 1) / (6 rate t) or so of that: 0.03 in all.
    assert abs(np.mean(found) - expected) < 5 * np.std(found) / sqrt(PARTS) + 0.03
    assert np.mean(dispersions(times, 0.1)) < expected - 0.5


def test_clients_are_in_equilibrium_from_the_start() -> None:
    """An ordinary renewal process would bring (cv**2 - 1) / 2 = 12 arrivals too many at first."""
    law = {"kind": "clients", "clients": [{"rate_rps": 1.0, "cv": 5.0}]}
    early = [(arrival_s(law, 400, seed) < 20).sum() for seed in range(150)]
    assert max(early) < 400
    holds(early, 20.0)


def test_many_poisson_clients_are_one_poisson_stream() -> None:
    law = {"kind": "clients", "clients": [{"rate_rps": 1.0, "cv": 1.0}] * 5}
    times = arrival_s(law, 200_000)
    gaps = np.diff(times)
    assert abs(gaps.mean() * 5 - 1) < Z / sqrt(len(gaps))
    assert abs(gaps.var() * 25 - 1) < Z * sqrt(8 / len(gaps))
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < Z / sqrt(len(gaps))


def test_a_week_thins_poisson_hour_by_hour_and_keeps_the_mean() -> None:
    times = arrival_s({"kind": "poisson", "rate_rps": 0.2}, 600_000, week=WEEK)
    weeks = int(times[-1] // (7 * 86400))
    hour = (times[times < weeks * 7 * 86400] // 3600).astype(int) % 168
    counts = np.bincount(hour, minlength=168).reshape(7, 24)
    factor = np.outer(WEEK["days"], WEEK["hours"])
    mean = weeks * 720 * factor / factor.mean()
    assert weeks >= 4
    assert (np.abs(counts - mean) <= Z * np.sqrt(mean) + 1e-9).all()
    assert abs(counts.sum() - weeks * 168 * 720) < Z * sqrt(weeks * 168 * 720)


def test_a_week_can_begin_on_any_day() -> None:
    """From Saturday at noon half a quiet day is to come; Sunday is silent, then comes Monday."""
    scenario = world(POISSON, week=WEEK, starts="sat 12:00")
    hour = (draw(scenario, 1, 400_000).arrival_ns / 1e9 // 3600).astype(int)
    counts = np.bincount(hour, minlength=60)
    assert counts[12:36].sum() == 0  # Sunday
    assert counts[36:44].sum() == 0  # Monday before eight
    factor = np.outer(WEEK["days"], WEEK["hours"])
    for at, expected in ((0, factor[5, 12]), (11, factor[5, 23]), (44, factor[0, 8])):
        mean = 5 * 3600 * expected / factor.mean()
        assert abs(counts[at] - mean) < Z * sqrt(mean)


def test_a_surge_multiplies_the_rate_of_any_arrivals() -> None:
    for law in (POISSON, PROFILE, GAMMA, CLIENTS):
        plain, times = arrival_s(law, 3000), arrival_s(law, 3000, surges=SURGES)
        before = times < 100
        np.testing.assert_array_equal(times[before], plain[: before.sum()])
    counts = [
        ((t := arrival_s(POISSON, 4000, seed, surges=SURGES)) // 100 == 1).sum()
        for seed in range(40)
    ]
    holds(counts, 2000.0)
    # Seconds of its own clock pass four times as fast: what was bursty stays so.
    gaps = np.diff(arrival_s(GAMMA, 100_000, surges=[{**SURGES[0], "to_s": 1e8}])[2000:])
    assert abs(gaps.mean() * 20 - 1) < Z * 2 / sqrt(len(gaps))
    assert abs(gaps.std() / gaps.mean() - 2) < 0.1
    twice = arrival_s(POISSON, 5000, surges=[SURGES[0], {**SURGES[0], "factor": 0.25}])
    np.testing.assert_allclose(twice, arrival_s(POISSON, 5000), atol=1e-6)
    assert t[-1] > 200


def test_growth_compounds_month_by_month() -> None:
    month_s = 365.25 / 12 * 86400
    times = arrival_s({"kind": "poisson", "rate_rps": 0.02}, 700_000, growth_per_month=0.5)
    counts = np.bincount((times // month_s).astype(int))[:-1]
    assert len(counts) == 4
    # The mean of 1.5**x over a month, which days approach from below by half a day's growth.
    mean = 0.02 * month_s * 0.5 / np.log(1.5) * 1.5 ** np.arange(len(counts))
    assert (np.abs(counts - mean) < Z * np.sqrt(mean) + 0.008 * mean).all()


def test_a_state_whose_rate_is_zero_brings_nobody() -> None:
    states = [{"rate_rps": 50.0, "mean_s": 1.0}, {"rate_rps": 0.0, "mean_s": 100.0}]
    gaps = np.diff(arrival_s({"kind": "mmpp", "states": states}, 20_000))
    assert (gaps > 5).sum() == pytest.approx(20_000 / 51, rel=0.3)
    assert np.median(gaps) == pytest.approx(np.log(2) / 51, rel=0.1)


@pytest.mark.parametrize(
    ("arrivals", "traffic", "words"),
    [
        ({**MMPP, "states": [{"rate_rps": 0.0, "mean_s": 1.0}] * 2}, {}, "no request ever comes"),
        ({**MMPP, "states": [{"rate_rps": 1.0, "mean_s": 1.0}]}, {}, r"arrivals.states"),
        ({**COX, "law": "beta"}, {}, "gamma"),
        ({**CLIENTS, "clients": []}, {}, r"arrivals.clients"),
        (POISSON, {"week": {"hours": [0.0] * 24}}, "week.hours.*no request ever comes"),
        (POISSON, {"week": {"hours": [1.0] * 23}}, "week.hours"),
        (POISSON, {"surges": [{"from_s": 5.0, "to_s": 5.0, "factor": 2.0}]}, "is not after from_s"),
        (POISSON, {"growth_per_month": -1.0}, "growth_per_month"),
    ],
)
def test_traffic_that_cannot_be_is_refused(arrivals: Any, traffic: Any, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        world(arrivals, **traffic)


@pytest.mark.parametrize(
    ("arrivals", "traffic"),
    [
        ({"kind": "poisson", "rate_rps": 0.01}, {"growth_per_month": -0.99}),
        ({**COX, "rate_rps": 1e-9}, {}),
        ({**CLIENTS, "background_rps": 0.0, "clients": [{"rate_rps": 1e-9, "cv": 1.0}]}, {}),
    ],
)
def test_traffic_that_does_not_end_in_36_years_is_refused(arrivals: Any, traffic: Any) -> None:
    with pytest.raises(ScenarioError, match="36 years"):
        arrival_s(arrivals, 10_000, **traffic)


def test_a_run_far_beyond_36_years_is_refused_at_once() -> None:
    with pytest.raises(ScenarioError, match="36 years"):
        next(iter(blocks(world(POISSON), 1, 10**15, 1000)))
