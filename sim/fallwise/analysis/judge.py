"""Predicted against measured: rows with tolerances, whose fault it is, and whether to judge at all.

Both sides are the same requests, row by row, so what differs is the deployment and not the draw.
A row differs where the 99 % interval of the difference (block bootstrap, rows of both sides drawn
together) lies outside the tolerance; it is undecided where it is neither that nor inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from fallwise.analysis.blocks import block_bootstrap
from fallwise.analysis.live import Drive
from fallwise.analysis.sample import FEWEST_BEYOND
from fallwise.scenario import Scenario
from fallwise.tables import ACCEPTED, NOT_VISITED, Floats, OutcomeTable

__all__ = ["culprits", "doubts", "judge", "verdict"]

Row = dict[str, Any]

RESAMPLES: Final = 400
LEVEL: Final = 0.99
SHARE, COST, TIME = 0.01, 0.01, 0.05
"""Tolerances: shares and grades by points, cost and times relative."""
HOP_S: Final = 0.002
"""No time is judged closer than this: timers count whole milliseconds."""
LAG_S, RATE, CPU = 0.005, 0.01, 0.9
"""A drive is not judged where the client was later, off the rate by more, or busier."""


class _Measure(NamedTuple):
    """A ratio of sums over rows, or (q > 0) a quantile of the values where weight is positive."""

    name: str
    value: Callable[[OutcomeTable], Floats]
    weight: Callable[[OutcomeTable], Floats]
    q: float
    relative: float
    least: float


def judge(
    scenario: Scenario,
    predicted: OutcomeTable,
    measured: OutcomeTable,
    again: OutcomeTable | None,
    chance: np.random.Generator,
) -> list[Row]:
    """Return a row for each measure; row i of the tables is the same request.

    again is a second drive of the same requests: no difference below that between the two drives
    (the noise floor) is held against anybody. agree is None where it cannot be told.
    """
    return [
        _row(measure, predicted, measured, again, chance)
        for measure in _measures(scenario, predicted)
    ]


def _measures(scenario: Scenario, predicted: OutcomeTable) -> Iterator[_Measure]:
    def every(o: OutcomeTable) -> Floats:
        return np.ones(len(o))

    yield _Measure("cost_usd_mean", lambda o: _there(o.cost_usd), every, 0, COST, 0)
    yield _Measure("quality", lambda o: _there(o.correct), every, 0, 0, SHARE)
    yield _Measure("answered_share", lambda o: _float(o.hit_tier >= 0), every, 0, 0, SHARE)
    for k, tier in enumerate(scenario.tiers):

        def visits(o: OutcomeTable, k: int = k) -> Floats:
            return _float(o.visit[:, k] != NOT_VISITED)

        def started(o: OutcomeTable, k: int = k) -> Floats:
            return _float(o.start_ns[:, k] >= 0)

        def accepted(o: OutcomeTable, k: int = k) -> Floats:
            return _float(o.visit[:, k] == ACCEPTED)

        def hits(o: OutcomeTable, k: int = k) -> Floats:
            return _float(o.hit_tier == k)

        name = f"tiers.{tier.name}."
        yield _Measure(f"{name}hit_share", hits, every, 0, 0, SHARE)
        yield _Measure(f"{name}accept_share", accepted, visits, 0, 0, SHARE)
        if tier.kind == "cache" or not visits(predicted).any():
            continue

        def service_s(o: OutcomeTable, k: int = k) -> Floats:
            return o.busy_ns[:, k] / 1e9

        def wait_s(o: OutcomeTable, k: int = k) -> Floats:
            return np.where(o.visit[:, k] != NOT_VISITED, o.wait_s[:, k], 0.0)

        # Waiting is what is left of two large numbers: it is held to the time of the whole visit.
        stay = float((wait_s(predicted) + service_s(predicted)).sum() / visits(predicted).sum())
        yield _Measure(f"{name}service_s_mean", service_s, started, 0, TIME, HOP_S)
        yield _Measure(f"{name}wait_s_mean", wait_s, visits, 0, 0, max(HOP_S, TIME * stay))
    names = [tier.name for tier in scenario.tiers]
    for bits in [-1, *np.unique(predicted.path).tolist()]:
        on = every if bits < 0 else (lambda o, bits=bits: _float(o.path == bits))
        where = "" if bits < 0 else f"paths.{'>'.join(_path(names, bits))}."
        for q in (0.5, 0.95, 0.99):
            if on(predicted).sum() * (1 - q) >= FEWEST_BEYOND:
                label = f"{where}sojourn_s_p{round(100 * q)}"
                yield _Measure(label, lambda o: o.sojourn_s, on, q, TIME, HOP_S)


def _path(names: list[str], bits: int) -> list[str]:
    return [name for k, name in enumerate(names) if bits >> k & 1]


def _there(column: Any) -> Floats:
    assert column is not None
    return _float(column)


def _float(column: Any) -> Floats:
    return np.asarray(column, np.float64)


def _statistic(q: float, value: Floats, weight: Floats) -> float:
    if not weight.any():
        return 0.0
    if q:
        return float(np.quantile(value[weight > 0], q))
    return float(value @ weight / weight.sum())


def _row(
    measure: _Measure,
    predicted: OutcomeTable,
    measured: OutcomeTable,
    again: OutcomeTable | None,
    chance: np.random.Generator,
) -> Row:
    p, m = ((measure.value(o), measure.weight(o)) for o in (predicted, measured))

    def interval(statistic: Callable[..., float], arrays: Any, level: float) -> dict[str, Any]:
        found = block_bootstrap(statistic, arrays, chance, resamples=RESAMPLES, level=level)
        return found.dict()

    def one(value: Floats, weight: Floats) -> float:
        return _statistic(measure.q, value, weight)

    def difference(a: Floats, b: Floats, c: Floats, d: Floats) -> float:
        return one(a, b) - one(c, d)

    apart = interval(difference, (*m, *p), LEVEL)
    tolerance = max(measure.least, measure.relative * abs(one(*p)))
    noise = None
    if again is not None:
        noise = abs(one(measure.value(again), measure.weight(again)) - one(*m))
        tolerance = max(tolerance, noise)
    # Only rounding: sums of the same prices in another order.
    tolerance = max(tolerance, 1e-12)
    agree: bool | None = None
    if abs(apart["value"]) <= tolerance:
        agree = True
    elif apart["low"] is not None and (apart["low"] > tolerance or apart["high"] < -tolerance):
        agree = False
    return {
        "measure": measure.name,
        "predicted": interval(one, p, 0.95),
        "measured": interval(one, m, 0.95),
        "difference": apart,
        "tolerance": tolerance,
        "noise_floor": noise,
        "agree": agree,
    }


def culprits(scenario: Scenario, rows: list[Row]) -> list[dict[str, str]]:
    """Return where a difference comes from, the first cause first: tier, cause, and in words.

    Tiers decide otherwise (routing, or caching) or serve otherwise (service); queues are to blame
    only where neither explains them, transport only where no tier differs.
    """
    differs = {row["measure"]: row for row in rows if row["agree"] is False}
    found: list[dict[str, str]] = []
    for cause, suffix in (("routing", "accept_share"), ("service", "service_s_mean")):
        for tier in scenario.tiers:
            row = differs.get(f"tiers.{tier.name}.{suffix}")
            # Another tier's decisions change who comes: only the first one is the cause.
            if row is None or (cause == "routing" and found):
                continue
            kind = "caching" if tier.kind == "cache" else cause
            found.append(_blame(tier.name, kind, suffix, row))
    if not found:
        for tier in scenario.tiers:
            row = differs.get(f"tiers.{tier.name}.wait_s_mean")
            if row is not None:
                found.append(_blame(tier.name, "queueing", "wait_s_mean", row))
    if not found and "cost_usd_mean" in differs:
        found.append(_blame("", "prices", "cost_usd_mean", differs["cost_usd_mean"]))
    slow = next((row for name, row in differs.items() if "sojourn_s" in name), None)
    if not found and slow is not None:
        found.append(_blame("", "transport", slow["measure"], slow))
    return found


def _blame(tier: str, cause: str, what: str, row: Row) -> dict[str, str]:
    predicted, measured = row["predicted"]["value"], row["measured"]["value"]
    where = f"tier {tier}: " if tier else ""
    said = f"{where}{cause}: {what} is {measured:.4g}, predicted {predicted:.4g}"
    return {"tier": tier, "cause": cause, "said": said}


def doubts(drive: Drive) -> list[str]:
    """Return why a drive says nothing about the deployment: the client could not hold its pace."""
    found = []
    lag = float(np.quantile(drive.send_lag_s, 0.99))
    if lag > LAG_S:
        found.append(f"send lag p99 is {1e3 * lag:.1f} ms, above {1e3 * LAG_S:g} ms")
    offered, achieved = (_rate_rps(at) for at in (drive.scheduled_ns, drive.sent_ns))
    if not math.isclose(offered, achieved, rel_tol=RATE):
        found.append(f"sent {achieved:.1f} requests a second, not {offered:.1f}")
    if drive.facts["in_flight_max"] >= drive.facts["pool"]:
        found.append(f"all {drive.facts['pool']} connections of the client were in use")
    if drive.facts["cpu_share_max"] > CPU:
        found.append(f"the client's processor was {100 * drive.facts['cpu_share_max']:.0f} % busy")
    return found


def _rate_rps(at_ns: Any) -> float:
    return float((len(at_ns) - 1) / max(1e-9, (at_ns.max() - at_ns.min()) / 1e9))


def verdict(rows: list[Row], doubts: list[str], lost: int) -> str:
    """Return agree, differ or inconclusive; a lost request is no matter of doubt."""
    if lost:
        return "differ"
    if doubts:
        return "inconclusive"
    if any(row["agree"] is False for row in rows):
        return "differ"
    return "agree" if all(row["agree"] for row in rows) else "inconclusive"
