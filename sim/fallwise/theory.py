"""Closed forms that the engines must meet, each with its source; approximations say so.

Rates are per second and times in seconds. `load` is in erlangs: arrivals per second times seconds
of service. Only long runs come near: nothing here knows how a queue fills. ScenarioError says
which number is outside a formula's reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fallwise.errors import Problem, ScenarioError
from fallwise.tables import Floats

__all__ = [
    "Cascade",
    "Queue",
    "allen_cunneen_wait_s",
    "cascade",
    "erlang_a",
    "erlang_b",
    "erlang_c",
    "kingman_wait_s",
    "lru_hit_rate",
    "mg1_wait_s",
    "mm1_sojourn_quantile_s",
    "mm1d_abandon_share",
    "mmc_wait_quantile_s",
    "mmc_wait_s",
    "mmck",
    "mmpp_dispersion",
    "mmpp_gap_cv",
    "offered_load",
    "token_bucket_most",
    "zipf",
]

Pair = tuple[float, float]


class Queue(NamedTuple):
    """A queue in the long run: shares of all arrivals, and seconds."""

    wait_share: float
    """Find all servers busy, and wait."""
    lost_share: float
    """Turned away, or given up."""
    wait_s: float
    """Mean time in the queue of those who came in, whether or not they gave up."""


def offered_load(rate_rps: float, service_s: float) -> float:
    """Return the load in erlangs: the servers that are busy on average when there is no limit."""
    _need(rate_rps >= 0, "rate_rps", rate_rps, "must not be negative")
    _need(service_s >= 0, "service_s", service_s, "must not be negative")
    return rate_rps * service_s


def erlang_b(servers: int, load: float) -> float:
    """Return the share of arrivals that is turned away in M/G/c/c, where nobody waits.

    Source: Kleinrock, Queueing Systems, vol. 1 (1975), section 3.6, by the recursion over servers.
    """
    _need(servers >= 0, "servers", servers, "must not be negative")
    _need(load >= 0, "load", load, "must not be negative")
    blocked = 1.0
    for c in range(1, servers + 1):
        blocked = load * blocked / (c + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Return the share of arrivals that has to wait in M/M/c.

    Source: Kleinrock, Queueing Systems, vol. 1 (1975), section 3.5.
    """
    _stable(load, servers)
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_wait_s(rate_rps: float, service_s: float, servers: int = 1) -> float:
    """Return the mean wait in M/M/c.

    Source: Kleinrock, Queueing Systems, vol. 1 (1975), section 3.5.
    """
    load = offered_load(rate_rps, service_s)
    return erlang_c(servers, load) * service_s / (servers - load)


def mmc_wait_quantile_s(rate_rps: float, service_s: float, servers: int, q: float) -> float:
    """Return the q-quantile of the wait in M/M/c, first come first served; 0 for who need not wait.

    Source: Gross and Harris, Fundamentals of Queueing Theory (1998), section 2.3.
    """
    _quantile(q)
    load = offered_load(rate_rps, service_s)
    waits = erlang_c(servers, load)
    if waits <= 1 - q:
        return 0.0
    return math.log(waits / (1 - q)) * service_s / (servers - load)


def mm1_sojourn_quantile_s(rate_rps: float, service_s: float, q: float) -> float:
    """Return the q-quantile of wait and service together in M/M/1, first come first served.

    Source: Kleinrock, Queueing Systems, vol. 1 (1975), section 5.7: it is exponential.
    """
    _quantile(q)
    load = offered_load(rate_rps, service_s)
    _stable(load, 1)
    return -math.log(1 - q) * service_s / (1 - load)


def mg1_wait_s(rate_rps: float, service_s: float, service_cv: float) -> float:
    """Return the mean wait in M/G/1; service_cv is standard deviation / mean, 0 for M/D/1.

    Source: Pollaczek and Khinchine; Kleinrock, Queueing Systems, vol. 1 (1975), section 5.6.
    """
    _need(service_cv >= 0, "service_cv", service_cv, "must not be negative")
    load = offered_load(rate_rps, service_s)
    _stable(load, 1)
    return load * service_s * (1 + service_cv**2) / (2 * (1 - load))


def mmck(rate_rps: float, service_s: float, servers: int, places: int) -> Queue:
    """Return M/M/c/K: with `places` requests in it, K in service and queue, none more is let in.

    wait_s is of those who were let in. Source: Gross and Harris, Fundamentals of Queueing Theory
    (1998), section 2.4, from the balance of births and deaths.
    """
    _need(servers >= 1, "servers", servers, "must be at least 1")
    _need(places >= servers, "places", places, f"must be at least the servers, {servers}")
    load = offered_load(rate_rps, service_s)
    there = np.arange(1, places + 1)
    share = _balance(load / np.minimum(there, servers))
    waiting = float(share @ np.maximum(0, np.arange(places + 1) - servers))
    full = float(share[-1])
    wait_s = waiting / (rate_rps * (1 - full)) if rate_rps else 0.0
    return Queue(float(share[servers:-1].sum()), full, wait_s)


def erlang_a(rate_rps: float, service_s: float, servers: int, patience_s: float) -> Queue:
    """Return M/M/c+M: who waits longer than an exponential patience gives up; any load will do.

    Source: Palm (1957); Mandelbaum and Zeltyn, Service engineering in action: the Palm/Erlang-A
    queue (2007), from the balance of births and deaths.
    """
    _need(servers >= 1, "servers", servers, "must be at least 1")
    _need(patience_s > 0, "patience_s", patience_s, "must be above 0")
    load = offered_load(rate_rps, service_s)
    if not load:
        return Queue(0.0, 0.0, 0.0)
    states, share = 2 * (servers + math.ceil(load)), np.ones(1)
    while share[-1] > 1e-30:
        states *= 2
        there = np.arange(1, states + 1)
        leave = np.minimum(there, servers) + np.maximum(0, there - servers) * service_s / patience_s
        share = _balance(load / leave)
    waiting = float(share @ np.maximum(0, np.arange(states + 1) - servers))
    lost = waiting / patience_s / rate_rps
    return Queue(float(share[servers:].sum()), lost, waiting / rate_rps)


def mm1d_abandon_share(rate_rps: float, service_s: float, patience_s: float) -> float:
    """Return the share that gives up in M/M/1+D: everybody waits patience_s at most; any load.

    Source: Barrer, Queuing with impatient customers and ordered service, Operations Research 5
    (1957). The work found has the density P0 rate exp(-(1/service - rate) x) up to patience_s.
    """
    _need(patience_s >= 0, "patience_s", patience_s, "must not be negative")
    load = offered_load(rate_rps, service_s)
    if not load:
        return 0.0
    drift = (1 - load) / service_s
    grown = min(drift * patience_s, 700.0)  # Beyond that e to it is no float, and nobody gives up.
    within = math.expm1(grown) / drift if drift else patience_s
    return load / (math.exp(grown) + rate_rps * within + load)


class Cascade(NamedTuple):
    """A cascade in the long run; lists have one entry a tier."""

    rate_rps: list[float]
    wait_s: list[float]
    sojourn_s: float
    """Mean over all requests, from the first tier to the end."""


def cascade(
    rate_rps: float,
    service_s: Sequence[float],
    servers: Sequence[int],
    escalate: Sequence[float],
) -> Cascade:
    """Return Poisson arrivals to tiers with exponential service, M/M/c each.

    escalate[k] is the share of tier k's requests that goes on to the next, by independent chance;
    one entry fewer than tiers. Source: Jackson, Networks of waiting lines, Operations Research 5
    (1957); forward only, so that Burke (1956) makes every tier's arrivals Poisson.
    """
    _need(len(servers) == len(service_s), "servers", servers, "must have one entry a tier")
    _need(len(escalate) == len(service_s) - 1, "escalate", escalate, "must have one entry fewer")
    for share in escalate:
        _need(0 <= share <= 1, "escalate", share, "must be between 0 and 1")
    rates = [rate_rps]
    for share in escalate:
        rates.append(rates[-1] * share)
    stations = list(zip(rates, service_s, servers, strict=True))
    waits = [mmc_wait_s(rate, service, c) for rate, service, c in stations]
    passed = [rate / rate_rps if rate_rps else 0.0 for rate in rates]
    sojourn_s = sum(p * (w + s) for p, w, s in zip(passed, waits, service_s, strict=True))
    return Cascade(rates, waits, sojourn_s)


def kingman_wait_s(
    rate_rps: float, service_s: float, arrival_cv: float, service_cv: float
) -> float:
    """Return the mean wait in G/G/1, an approximation for heavy load; exact for M/G/1.

    Source: Kingman, The single server queue in heavy traffic, Proc. Cambridge Phil. Soc. 57 (1961).
    """
    return allen_cunneen_wait_s(rate_rps, service_s, 1, arrival_cv, service_cv)


def allen_cunneen_wait_s(
    rate_rps: float, service_s: float, servers: int, arrival_cv: float, service_cv: float
) -> float:
    """Return the mean wait in G/G/c, an approximation: M/M/c, scaled by the mean squared cv.

    Measured to be 4.7 % off for M/lognormal/10. Source: Allen, Probability, Statistics and
    Queueing Theory (1990), section 5.3.
    """
    _need(arrival_cv >= 0, "arrival_cv", arrival_cv, "must not be negative")
    _need(service_cv >= 0, "service_cv", service_cv, "must not be negative")
    return mmc_wait_s(rate_rps, service_s, servers) * (arrival_cv**2 + service_cv**2) / 2


def zipf(keys: int, exponent: float) -> Floats:
    """Return (keys,) the share of requests for each key, the most popular one first."""
    _need(keys >= 1, "keys", keys, "must be at least 1")
    _need(exponent >= 0, "exponent", exponent, "must not be negative")
    weight = np.arange(1, keys + 1, dtype=np.float64) ** -exponent
    share: Floats = weight / weight.sum()
    return share


def lru_hit_rate(share: ArrayLike, capacity: int) -> float:
    """Return the hit rate of an LRU cache under independent requests, an approximation.

    share (keys,) sums to 1. Each key is taken to stay for the same time since its last request,
    the time in which `capacity` different keys are asked for.
    Source: Che, Tung and Wang, Hierarchical web caching systems, IEEE JSAC 20 (2002).
    """
    share = np.asarray(share, np.float64)
    _need(capacity >= 0, "capacity", capacity, "must not be negative")
    _need(bool((share >= 0).all()), "share", float(share.min(initial=0)), "must not be negative")
    _need(abs(share.sum() - 1) < 1e-9, "share", float(share.sum()), "must sum to 1")
    if capacity >= np.count_nonzero(share):
        return 1.0
    low, high = 0.0, 1.0
    while -np.expm1(-share * high).sum() < capacity:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if -np.expm1(-share * middle).sum() < capacity:
            low = middle
        else:
            high = middle
    return float(share @ -np.expm1(-share * low))


def mmpp_dispersion(rates_rps: Pair, means_s: Pair, window_s: float) -> float:
    """Return the index of dispersion of counts in windows of a two-state MMPP: variance / mean.

    Source: Heffes and Lucantoni, A Markov modulated characterization of packetized voice and data
    traffic, IEEE JSAC 4 (1986); Fischer and Meier-Hellstern, The MMPP cookbook (1993).
    """
    leave, other = 1 / means_s[0], 1 / means_s[1]
    both = leave + other
    swing = 2 * leave * other * (rates_rps[0] - rates_rps[1]) ** 2
    swing /= both**2 * (rates_rps[0] * other + rates_rps[1] * leave)
    return 1 + swing * (1 + math.expm1(-both * window_s) / (both * window_s))


def mmpp_gap_cv(rates_rps: Pair, means_s: Pair) -> float:
    """Return the coefficient of variation of the gaps between arrivals of a two-state MMPP.

    Source: Fischer and Meier-Hellstern, The MMPP cookbook, Performance Evaluation 18 (1993).
    """
    leave, other = 1 / means_s[0], 1 / means_s[1]
    first, second = rates_rps
    swing = 2 * leave * other * (first - second) ** 2
    swing /= (leave + other) ** 2 * (first * second + first * other + second * leave)
    return math.sqrt(1 + swing)


def token_bucket_most(burst: int, refill_s: float, window_s: float) -> int:
    """Return the most requests that a token bucket lets through in any window of window_s.

    It holds `burst` tokens beyond the one in hand and gains one each refill_s.
    Source: the generic cell rate algorithm, ITU-T I.371 (2004), annex A.
    """
    _need(burst >= 0, "burst", burst, "must not be negative")
    _need(refill_s > 0, "refill_s", refill_s, "must be above 0")
    _need(window_s >= 0, "window_s", window_s, "must not be negative")
    return burst + 1 + math.floor(window_s / refill_s)


def _balance(ratio: Floats) -> Floats:
    """Return the shares of time in states 0, 1, ...; ratio[n] is birth in n over death in n + 1."""
    with np.errstate(divide="ignore"):
        weight = np.concatenate([[0.0], np.cumsum(np.log(ratio))])
    share = np.exp(weight - weight.max())
    share /= share.sum()
    return np.asarray(share)


def _need(holds: bool, key: str, value: object, rule: str) -> None:
    if not holds:
        raise ScenarioError(Problem(rule, "this formula has no answer otherwise", (key,), value))


def _quantile(q: float) -> None:
    _need(0 <= q < 1, "q", q, "must be at least 0 and below 1")


def _stable(load: float, servers: int) -> None:
    _need(servers >= 1, "servers", servers, "must be at least 1")
    if not 0 <= load < servers:
        rule = f"a load of {load:g} erlangs needs more than {servers} servers"
        remedy = "the queue grows for ever: add servers or lower the rate"
        raise ScenarioError(Problem(rule, remedy, ("servers",), servers))
