"""Closed forms against numbers published or worked out elsewhere, limits, and brute force."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from fallwise import theory
from fallwise.errors import ScenarioError
from fallwise.tables import Floats


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # One server, 0.8 erlangs: one arrival a second, 0.8 s of service.
        (theory.mmc_wait_s(1, 0.8), 3.2),
        (theory.mm1_sojourn_quantile_s(1, 0.8, 0.99), 18.4207),
        (theory.mg1_wait_s(1, 0.8, 0), 1.6),
        (theory.mg1_wait_s(1, 0.8, math.sqrt(math.exp(0.64) - 1)), 3.03437),
        (theory.mg1_wait_s(1, 0.7, 2), 4.08333),
        # Ten servers, one arrival a second.
        (theory.erlang_c(10, 8), 0.40918),
        (theory.mmc_wait_s(1, 8, 10), 1.63672),
        (theory.mmc_wait_quantile_s(1, 8, 10, 0.95), 8.40853),
        (theory.erlang_b(10, 8), 0.121661),
        (theory.mmck(1, 9.5, 10, 15).lost_share, 0.081251),
        (theory.erlang_a(1, 11, 10, 4).lost_share, 0.198537),
        (theory.erlang_a(1, 11, 10, 4).wait_share, 0.527545),
        (theory.mm1d_abandon_share(1, 1, 3), 0.2),
        # Erlang's own tables, from Tijms, A First Course in Stochastic Models (2003).
        (theory.erlang_b(5, 2.5), 0.0697),
        (theory.erlang_b(100, 90), 0.0270),
    ],
)
def test_known_numbers(found: float, expected: float) -> None:
    digits = len(str(expected).partition(".")[2])
    assert found == pytest.approx(expected, abs=0.5001 * 10**-digits, rel=0)


def test_one_server_waits_as_often_as_it_is_busy() -> None:
    for load in (0.0, 0.1, 0.5, 0.99):
        assert theory.erlang_c(1, load) == pytest.approx(load)
        assert theory.mmc_wait_s(load, 1.0) == pytest.approx(theory.mg1_wait_s(load, 1.0, 1.0))
        assert theory.kingman_wait_s(load, 1.0, 1.0, 2.0) == pytest.approx(
            theory.mg1_wait_s(load, 1.0, 2.0)
        )


def test_limits_of_places() -> None:
    assert theory.mmck(8, 1, 10, 10).lost_share == pytest.approx(theory.erlang_b(10, 8))
    wide = theory.mmck(8, 1, 10, 2000)
    assert wide.lost_share < 1e-100
    assert wide.wait_share == pytest.approx(theory.erlang_c(10, 8))
    assert wide.wait_s == pytest.approx(theory.mmc_wait_s(8, 1, 10))
    assert theory.mmck(1, 1, 1, 4).lost_share == pytest.approx(1 / 5)  # all states alike
    assert theory.mmck(0, 1, 2, 3) == (0, 0, 0)


def test_limits_of_patience() -> None:
    endless = theory.erlang_a(8, 1, 10, 1e6)
    assert endless.wait_share == pytest.approx(theory.erlang_c(10, 8), rel=1e-4)
    assert endless.wait_s == pytest.approx(theory.mmc_wait_s(8, 1, 10), rel=1e-4)
    none = theory.erlang_a(8, 1, 10, 1e-9)
    assert none.lost_share == pytest.approx(theory.erlang_b(10, 8), rel=1e-6)
    # As patient as the service is long: M/M/inf, Poisson states.
    poisson = math.exp(-3) * 3.0 ** np.arange(60) / np.cumprod([1.0, *range(1, 60)])
    lost = float(poisson @ np.maximum(0, np.arange(60) - 2)) / 3
    assert theory.erlang_a(3, 1, 2, 1).lost_share == pytest.approx(lost)
    assert theory.erlang_a(0, 1, 2, 1) == (0, 0, 0)
    assert theory.erlang_a(3, 0, 2, 1) == (0, 0, 0)
    # Far too much work: the servers do what they can.
    assert theory.erlang_a(100, 1, 10, 5).lost_share == pytest.approx(0.9, abs=1e-6)
    assert theory.mm1d_abandon_share(0.8, 1, 0) == pytest.approx(theory.erlang_b(1, 0.8))
    assert theory.mm1d_abandon_share(0.8, 1, 1e4) == pytest.approx(0, abs=1e-12)
    assert theory.mm1d_abandon_share(10, 1, 1e4) == pytest.approx(0.9)
    below, above = (theory.mm1d_abandon_share(1, s, 3) for s in (1 - 1e-9, 1 + 1e-9))
    assert below < 0.2 < above
    assert theory.mm1d_abandon_share(0, 1, 3) == 0


def test_the_wait_quantile_is_the_inverse_of_the_tail() -> None:
    waits = theory.erlang_c(3, 2)
    assert theory.mmc_wait_quantile_s(2, 1, 3, 0.99 * (1 - waits)) == 0
    x = theory.mmc_wait_quantile_s(2, 1, 3, 0.9)
    assert waits * math.exp(-(3 - 2) * x) == pytest.approx(0.1)


def test_a_cascade_is_its_queues() -> None:
    found = theory.cascade(4, [1, 2], [5, 3], [0.3])
    assert found.rate_rps == [4, pytest.approx(1.2)]
    first, second = theory.mmc_wait_s(4, 1, 5), theory.mmc_wait_s(1.2, 2, 3)
    assert found.wait_s == [pytest.approx(first), pytest.approx(second)]
    assert found.sojourn_s == pytest.approx(first + 1 + 0.3 * (second + 2))
    # Little's law over an open tandem: L = sum of rho / (1 - rho).
    tandem = theory.cascade(0.6, [1, 1.2], [1, 1], [1.0])
    assert tandem.sojourn_s * 0.6 == pytest.approx(0.6 / 0.4 + 0.72 / 0.28)
    # Light traffic does not wait.
    assert theory.cascade(1e-9, [1, 2], [1, 1], [0.5]).sojourn_s == pytest.approx(2)


def test_allen_cunneen_is_exact_for_exponential_times() -> None:
    assert theory.allen_cunneen_wait_s(8, 1, 10, 1, 1) == theory.mmc_wait_s(8, 1, 10)


def exact_lru(share: Floats, capacity: int) -> float:
    """Return the hit rate from the shares of all orders of the last keys (King, 1971)."""
    total = 0.0
    for kept in permutations(range(len(share)), capacity):
        chance, left = 1.0, 1.0
        for key in kept:
            chance *= share[key] / left
            left -= share[key]
        total += chance * (1 - left)
    return total


def test_che_is_near_the_exact_hit_rate() -> None:
    for exponent in (0.0, 0.8, 1.2):
        share = theory.zipf(8, exponent)
        for capacity in (1, 2, 4):
            exact = exact_lru(share, capacity)
            assert theory.lru_hit_rate(share, capacity) == pytest.approx(exact, abs=0.02)
    even = theory.zipf(1000, 0)
    assert theory.lru_hit_rate(even, 250) == pytest.approx(0.25, abs=1e-3)
    assert theory.lru_hit_rate(even, 0) == 0
    assert theory.lru_hit_rate(even, 1000) == 1
    assert theory.lru_hit_rate(np.array([0.5, 0.5, 0.0]), 2) == 1


def test_che_meets_a_cache_of_many_keys() -> None:
    share = theory.zipf(1000, 0.9)
    cache: OrderedDict[int, None] = OrderedDict()
    asked = np.random.default_rng(1).choice(1000, 200_000, p=share).tolist()
    hits = 0
    for key in asked:
        hits += key in cache
        cache[key] = None
        cache.move_to_end(key)
        if len(cache) > 100:
            cache.popitem(last=False)
    # Noise: 0.001 of one standard error at most.
    assert hits / len(asked) == pytest.approx(theory.lru_hit_rate(share, 100), abs=0.007)


def test_a_token_bucket_lets_no_more_through() -> None:
    burst, refill_s = 4, 0.5
    arrival = np.cumsum(np.random.default_rng(2).exponential(0.5, 5000)).repeat(8).tolist()
    through, due = [], 0.0
    for t in arrival:  # the generic cell rate algorithm, virtual scheduling
        if t >= due - burst * refill_s:
            due = max(due, t) + refill_s
            through.append(t)
    times = np.array(through)
    for window_s in (0.0, 0.3, 0.5, 1.7, 20.0):
        most = int(
            (np.searchsorted(times, times + window_s, "right") - np.arange(len(times))).max()
        )
        limit = theory.token_bucket_most(burst, refill_s, window_s)
        assert limit - 1 <= most <= limit


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (lambda: theory.erlang_c(10, 10), "servers"),
        (lambda: theory.erlang_c(0, 0), "servers"),
        (lambda: theory.erlang_b(-1, 2), "servers"),
        (lambda: theory.erlang_b(1, -2), "load"),
        (lambda: theory.mmc_wait_s(-1, 1), "rate_rps"),
        (lambda: theory.mmc_wait_s(1, math.nan), "service_s"),
        (lambda: theory.mmc_wait_quantile_s(1, 0.5, 1, 1.0), "q"),
        (lambda: theory.mm1_sojourn_quantile_s(1, 1.0, 0.5), "servers"),
        (lambda: theory.mg1_wait_s(1, 0.5, -1), "service_cv"),
        (lambda: theory.mmck(1, 1, 0, 4), "servers"),
        (lambda: theory.mmck(1, 1, 5, 4), "places"),
        (lambda: theory.erlang_a(1, 1, 0, 1), "servers"),
        (lambda: theory.erlang_a(1, 1, 1, 0), "patience_s"),
        (lambda: theory.mm1d_abandon_share(1, 1, -1), "patience_s"),
        (lambda: theory.cascade(1, [1, 1], [2], [0.5]), "servers"),
        (lambda: theory.cascade(1, [1, 1], [2, 2], []), "escalate"),
        (lambda: theory.cascade(1, [1, 1], [2, 2], [1.5]), "escalate"),
        (lambda: theory.kingman_wait_s(1, 0.5, -1, 1), "arrival_cv"),
        (lambda: theory.allen_cunneen_wait_s(1, 0.5, 1, 1, -1), "service_cv"),
        (lambda: theory.zipf(0, 1), "keys"),
        (lambda: theory.zipf(5, -1), "exponent"),
        (lambda: theory.lru_hit_rate([0.5, 0.6], 1), "share"),
        (lambda: theory.lru_hit_rate([1.5, -0.5], 1), "share"),
        (lambda: theory.lru_hit_rate([0.5, 0.5], -1), "capacity"),
        (lambda: theory.token_bucket_most(-1, 1, 1), "burst"),
        (lambda: theory.token_bucket_most(1, 0, 1), "refill_s"),
        (lambda: theory.token_bucket_most(1, 1, -1), "window_s"),
    ],
)
def test_numbers_out_of_reach_are_refused(call: Callable[[], object], key: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        call()
    assert raised.value.problems[0].key == (key,)


def test_a_growing_queue_says_so() -> None:
    with pytest.raises(ScenarioError, match=r"12 erlangs needs more than 10 servers; .*add"):
        theory.mmc_wait_s(3, 4, 10)


def test_a_two_state_mmpp_agrees_with_its_markov_chain() -> None:
    """Moments of the gaps by linear algebra; dispersion by adding up the rates' covariances."""
    rates, means = (2.0, 30.0), (60.0, 5.0)
    chain = np.array([[-1 / means[0], 1 / means[0]], [1 / means[1], -1 / means[1]]])
    inverse = np.linalg.inv(np.diag(rates) - chain)
    share = np.array(means) / sum(means)
    arrives = share * rates / (share @ rates)
    first = arrives @ inverse @ np.ones(2)
    second = 2 * arrives @ inverse @ inverse @ np.ones(2)
    assert theory.mmpp_gap_cv(rates, means) == pytest.approx(math.sqrt(second / first**2 - 1))
    for window_s in (0.1, 10.0, 1000.0):
        lag = (np.arange(200_000) + 0.5) * window_s / 200_000
        covariance = share[0] * share[1] * (rates[0] - rates[1]) ** 2
        covariance = covariance * np.exp(-lag * (1 / means[0] + 1 / means[1]))
        variance = 2 * ((window_s - lag) * covariance).mean() * window_s
        found = theory.mmpp_dispersion(rates, means, window_s)
        assert found == pytest.approx(1 + variance / (window_s * float(share @ rates)), rel=1e-6)
    assert theory.mmpp_dispersion((3.0, 3.0), means, 10.0) == 1
