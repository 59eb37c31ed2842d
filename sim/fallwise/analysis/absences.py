"""Who came when nobody was there: in numbers, and in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from fallwise.analysis.money import unit_usd_per_s
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.hours import WEEK_MINUTES
from fallwise.scenario.replicas import Autoscale
from fallwise.tables import Bools, Int64s

__all__ = ["absences", "closed"]

MINUTE_NS = 60 * 10**9


class _Counted(Protocol):
    @property
    def scenario(self) -> Scenario: ...
    @property
    def total(self) -> Mapping[str, int]: ...


def closed(scenario: Scenario, k: int, at_ns: Int64s) -> Bools:
    """Return (m,) True where tier k, which has hours, has nobody there at these times."""
    minute, number = np.array(scenario.tiers[k].week(scenario.traffic.starts)).T
    step = np.searchsorted(minute, at_ns // MINUTE_NS % WEEK_MINUTES, side="right") - 1
    nobody: Bools = number[step] == 0
    return nobody


def absences(sample: _Counted, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield what it means that servers come and go."""
    for k, tier in enumerate(sample.scenario.tiers):
        if tier.hours is not None and sample.total[f"tier{k}.closed"]:
            yield _night(tier.name, sample.total, k, summary["tiers"][k])
        if tier.failures is not None and sample.total[f"tier{k}.lost"]:
            lost, visits = (int(sample.total[f"tier{k}.{name}"]) for name in ("lost", "visits"))
            yield (
                f"{lost:,} of {visits:,} visits to {tier.name} were lost when a replica failed in "
                "the middle of its work."
            )
        if tier.autoscale is not None:
            yield from _late(tier, tier.autoscale, summary["tiers"][k])
            if f"tier{k}.rented_s" not in sample.total and unit_usd_per_s(tier):
                yield (
                    f"What the autoscaler of {tier.name} rented was not recorded: all "
                    f"{tier.autoscale.max_replicas} replicas are paid for here, all the time."
                )


def _late(tier: Tier, scale: Autoscale, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield that an autoscaler was late, where many waited for as long as half a cold start.

    Or half as long as anybody may.
    """
    p99, mean = row["wait_s_p99"], row["replicas_mean"]
    longest_s = min(scale.cold_start_s, tier.timeout_s or scale.cold_start_s)
    if p99 is None or mean is None or not p99["value"] > longest_s / 2 > 0:
        return
    yield (
        f"The autoscaler of {tier.name} is late: cold starts of {scale.cold_start_s:g} s are in "
        f"its waits, {p99['value']:.3g} s at p99, with {mean['value']:.3g} of at most "
        f"{scale.max_replicas} replicas rented on average."
    )


def _night(name: str, total: Mapping[str, int], k: int, row: Mapping[str, Any]) -> str:
    night, visits = int(total[f"tier{k}.closed"]), int(total[f"tier{k}.visits"])
    p99 = row["wait_s_p99"]
    waits = "" if p99 is None else f"; the wait for {name} is {p99['value'] / 3600:.3g} h at p99"
    return (
        f"People are asked at night: {100 * night / visits:.3g} % of the {visits:,} visits to "
        f"{name} came outside its hours and wait for the morning{waits}."
    )
