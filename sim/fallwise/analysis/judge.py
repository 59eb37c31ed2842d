"""Predicted against measured: rows with tolerances, whose fault it is, and whether to judge at all.

Both sides are the same requests, row by row, so what differs is the deployment and not the draw.
A row differs where the 99 % interval of the difference (block bootstrap, rows of both sides drawn
together) lies outside the tolerance; it is undecided where it is neither that nor inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from scipy.special import ndtri

from fallwise.analysis.blocks import block_values
from fallwise.analysis.intervals import Estimate
from fallwise.analysis.live import Drive
from fallwise.analysis.measures import Measure
from fallwise.scenario import Scenario
from fallwise.tables import Floats, Int64s, OutcomeTable

__all__ = ["culprits", "culprits_from_outside", "doubts", "judge", "rate_rps", "verdict"]

Row = dict[str, Any]

RESAMPLES: Final = 400
LEVEL: Final = 0.99
LAG_S, RATE, CPU = 0.005, 0.01, 0.9
"""A drive is not judged where the client was later, off the rate by more, or busier."""
MACHINE: Final = 0.97
"""Nor where the whole machine, with the deployment on it, was busier than this."""
STOLEN: Final = 0.1
"""Nor where its host gave so much of its busy time to other machines."""
CPU_WAIT: Final = 0.25
"""Share of the time in which programs waited for a processor; 2 cores of our own have below 0.1."""

MOSTLY: Final = 0.8
"""So much of what a tier accepts less must be what fails more, to be put down to failures alone."""


def judge(
    measures: Iterable[Measure],
    predicted: OutcomeTable,
    measured: OutcomeTable,
    again: OutcomeTable | None,
    chance: np.random.Generator,
    others: Sequence[OutcomeTable] = (),
) -> list[Row]:
    """Return a row for each measure; row i of the tables is the same request.

    again is a second drive of the same requests: no difference below that between the two drives
    (the noise floor) is held against anybody. others are what as good profiles would have
    predicted: as far as these lie apart, all intervals of the prediction are wider. agree is None
    where it cannot be told.
    """
    return [_row(measure, predicted, measured, again, chance, others) for measure in measures]


def _statistic(q: float, value: Floats, weight: Floats) -> float:
    if not weight.any():
        return 0.0
    if q:
        return float(np.quantile(value[weight > 0], q))
    return float(value @ weight / weight.sum())


def _row(
    measure: Measure,
    predicted: OutcomeTable,
    measured: OutcomeTable,
    again: OutcomeTable | None,
    chance: np.random.Generator,
    others: Sequence[OutcomeTable],
) -> Row:
    p, m = ((measure.value(o), measure.weight(o)) for o in (predicted, measured))

    def one(value: Floats, weight: Floats) -> float:
        return _statistic(measure.q, value, weight)

    def both(a: Floats, b: Floats, c: Floats, d: Floats) -> tuple[float, float]:
        return one(a, b), one(c, d)

    def of(outcomes: OutcomeTable) -> float:
        return one(measure.value(outcomes), measure.weight(outcomes))

    was, said = one(*m), one(*p)
    drawn = block_values(both, (*m, *p), chance, resamples=RESAMPLES)
    moves = float(np.std([of(other) for other in others], ddof=1)) if others else 0.0
    apart = _interval(was - said, drawn[:, 0] - drawn[:, 1], LEVEL, moves)
    tolerance = max(measure.least, measure.relative * abs(said))
    noise = None
    if again is not None:
        noise = abs(of(again) - was)
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
        "predicted": _interval(said, drawn[:, 1], 0.95, moves, least=0.0),
        "measured": _interval(was, drawn[:, 0], 0.95),
        "difference": apart,
        "tolerance": tolerance,
        "noise_floor": noise,
        "agree": agree,
    }


def _interval(
    value: float, drawn: Floats, level: float, moves: float = 0.0, least: float = -math.inf
) -> dict[str, Any]:
    """Return a value with its percentile interval, and a second cause of error in it.

    moves is the standard deviation of that cause, least what no bound is below.
    """
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    if moves:
        far = ndtri((1 + level) / 2) * moves
        low, high = value - math.hypot(value - low, far), value + math.hypot(high - value, far)
        low = max(least, low)
    return Estimate(value, float(low), float(high)).dict()


def culprits(scenario: Scenario, rows: list[Row]) -> list[dict[str, str]]:
    """Return where a difference comes from, the first cause first: tier, cause, and in words.

    Calls of a tier fail (failures), tiers decide otherwise (routing, or caching) or serve otherwise
    (service); queues are to blame only where none of these explains them, transport only where no
    tier differs.
    """
    named = {row["measure"]: row for row in rows}
    differs = {name: row for name, row in named.items() if row["agree"] is False}
    found = []
    for tier in scenario.tiers:
        failing = _failing(tier.name, named, differs)
        if failing is not None:
            what = failing["measure"].removeprefix(f"tiers.{tier.name}.")
            found.append(_blame(tier.name, "failures", what, failing))
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
    slow = _slow(differs)
    if not found and slow is not None:
        found.append(_blame("", "transport", slow["measure"], slow))
    return found


def _failing(tier: str, named: dict[str, Row], differs: dict[str, Row]) -> Row | None:
    """Return the row that tells that calls of a tier fail, if one does."""
    failed, accepted, attempts = (
        f"tiers.{tier}.{what}" for what in ("failed_share", "accept_share", "attempts_mean")
    )
    if failed in differs:
        return differs[failed]
    if accepted in differs and failed in named:
        # It accepts less by what fails: not told apart from chance alone, but that is why.
        fewer, more = (named[name]["difference"]["value"] for name in (accepted, failed))
        if fewer < 0 and more >= MOSTLY * -fewer:
            return named[failed]
    # What was tried again has failed before, also where it went well in the end.
    return differs.get(attempts)


def culprits_from_outside(
    scenario: Scenario, rows: list[Row], alone: list[Row]
) -> list[dict[str, str]]:
    """Return where a difference comes from, as far as responses and each tier alone can tell.

    alone has the rows of the profile. Who answers tells that tiers decide otherwise, not which one
    does; a slow answer is a tier's service where the tier was slow alone too.
    """
    differs = {row["measure"]: row for row in (*rows, *alone) if row["agree"] is False}
    found = []
    for tier in scenario.tiers:
        row = differs.get(f"profile.{tier.name}.service_s_mean")
        if row is not None:
            found.append(_blame(tier.name, "service", "service_s_mean alone", row))
    shares = [tier for tier in scenario.tiers if f"tiers.{tier.name}.hit_share" in differs]
    for tier in shares[:1]:
        row = differs[f"tiers.{tier.name}.hit_share"]
        found.append(_blame(tier.name, "routing", "hit_share", row))
    for name in ("cost_usd_mean", "answer_usd_mean"):
        if name in differs and not shares:
            found.append(_blame("", "prices or tokens", name, differs[name]))
    slow = _slow(differs)
    if not found and slow is not None:
        found.append(_blame("", "service, queueing or transport", slow["measure"], slow))
    return found


def _blame(tier: str, cause: str, what: str, row: Row) -> dict[str, str]:
    predicted, measured = row["predicted"]["value"], row["measured"]["value"]
    where = f"tier {tier}: " if tier else ""
    said = f"{where}{cause}: {what} is {measured:.4g}, predicted {predicted:.4g}"
    return {"tier": tier, "cause": cause, "said": said}


def _slow(differs: dict[str, Row]) -> Row | None:
    """Return the first of the differences that is of a whole time."""
    times = (row for name, row in differs.items() if "sojourn_s" in name or "ttft_s" in name)
    return next(times, None)


def doubts(drive: Drive) -> list[str]:
    """Return why a drive says nothing about the deployment: the client could not hold its pace."""
    found = []
    lag = float(np.quantile(drive.send_lag_s, 0.99))
    if lag > LAG_S:
        found.append(f"send lag p99 is {1e3 * lag:.1f} ms, above {1e3 * LAG_S:g} ms")
    offered, achieved = (rate_rps(at) for at in (drive.scheduled_ns, drive.sent_ns))
    if not math.isclose(offered, achieved, rel_tol=RATE):
        found.append(f"sent {achieved:.1f} requests a second, not {offered:.1f}")
    if drive.facts["in_flight_max"] >= drive.facts["pool"]:
        found.append(f"all {drive.facts['pool']} connections of the client were in use")
    if drive.facts["cpu_share_max"] > CPU:
        found.append(f"the client's processor was {100 * drive.facts['cpu_share_max']:.0f} % busy")
    machine = drive.facts.get("machine_cpu_share") or 0.0
    if machine > MACHINE:
        found.append(f"this machine's processors, all together, were {100 * machine:.0f} % busy")
    stolen = drive.facts.get("stolen_share") or 0.0
    if stolen > STOLEN:
        found.append(f"the host gave {100 * stolen:.0f} % of this machine's time to others")
    waited = drive.facts.get("cpu_wait_share") or 0.0
    if waited > CPU_WAIT:
        share = f"{100 * waited:.0f} % of the time"
        found.append(f"programs on this machine had to wait for a processor during {share}")
    return found


def rate_rps(at_ns: Int64s) -> float:
    """Return how many a second came at these times, the first and the last of them included."""
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
