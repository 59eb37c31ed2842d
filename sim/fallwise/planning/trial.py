"""Plans put to the test: the same requests under one number of servers after another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fallwise.analysis.predict import Prediction
from fallwise.analysis.summary import Summary, summarise
from fallwise.planning.again import again, sized
from fallwise.scenario import Scenario, Tier, override

__all__ = ["Trial", "Units", "missed", "slots_of"]

Units = dict[str, int]
"""How many replicas, agents or concurrent calls each sized tier has."""

MEMORIES: Final = 50
"""A run has to last so many times as long as a queue remembers; else its interval means little."""


@dataclass(frozen=True)
class Trial:
    """One set of requests for each load that a plan has to hold: the usual one first."""

    loads: tuple[Prediction, ...]
    done: dict[tuple[tuple[str, int], ...], list[Summary]] = field(default_factory=dict)

    @property
    def scenario(self) -> Scenario:
        """Return the scenario at the usual load."""
        return self.loads[0].scenario

    def summaries(self, units: Mapping[str, int]) -> list[Summary]:
        """Return the summary of each load with so many units; each plan is simulated once."""
        key = tuple(units.items())
        if key not in self.done:
            self.done[key] = [self._summary(load, units) for load in self.loads]
        return self.done[key]

    def _summary(self, load: Prediction, units: Mapping[str, int]) -> Summary:
        keys = sized(load.scenario)
        values = {f"tiers.{name}.{keys[name]}": count for name, count in units.items()}
        run = again(load, override(load.scenario, values))
        return summarise(run, "size", baselines=False)

    def missed(self, units: Mapping[str, int], money: bool = False) -> list[str]:
        """Return what does not hold at some load; limits on cost only where money is True."""
        return [
            sentence for summary in self.summaries(units) for sentence in missed(summary, money)
        ]

    def holds(self, units: Mapping[str, int]) -> bool:
        """Return True when every target holds at every load, limits on cost left out."""
        return not self.missed(units)

    def cost_usd(self, units: Mapping[str, int]) -> float:
        """Return what a month costs at the usual load."""
        return float((self.summaries(units)[0]["cost_usd_per_month"] or {"value": 0.0})["value"])

    def rows(self) -> list[dict[str, Any]]:
        """Return what was tried: units, whether all holds, and what is missed."""
        return [
            {
                "units": dict(key),
                "holds": not (lost := self.missed(dict(key))),
                "cost_usd_per_month": self.cost_usd(dict(key)),
                "missed": "; ".join(lost),
            }
            for key in self.done
        ]


def missed(summary: Summary, money: bool = False, settled: bool = True) -> Iterator[str]:
    """Yield a sentence for each target that may not hold, and each queue that tells nothing.

    A target holds when the worse end of its 95 % interval does; one without an interval does not.
    Where settled is False, nothing is said of queues that the run is too short to know.
    """
    for target in summary["targets"]:
        if target["name"].startswith("cost_usd") and not money:
            continue
        at_most = target["side"] == "at_most"
        worst = target["high" if at_most else "low"]
        if worst is None:
            yield f"{target['name']} cannot be known from {summary['requests']:,} requests"
        elif worst > target["limit"] if at_most else worst < target["limit"]:
            side = "at most" if at_most else "at least"
            yield f"{target['name']} may be {worst:.4g}, wanted {side} {target['limit']:g}"
    yield from _unsettled(summary, settled)


def _unsettled(summary: Summary, settled: bool) -> Iterator[str]:
    """Yield the tiers whose queue grows for ever, or remembers for too long to judge it by the run.

    Nothing is said of a queue with a timeout or a limit, which `summary` marks by what it lost.
    Source: a queue with c servers and a erlangs forgets by exp(-t / tau), where tau is the mean
    service time over (sqrt(c) - sqrt(a)) ** 2; Morse, Operations Research 3 (1955), for c = 1.
    """
    for tier in summary["tiers"]:
        servers, load = tier["servers"], tier["offered_load"]
        if servers is None or not load or not load["value"] or _relieved(tier):
            continue
        mean = tier["agents_mean"]
        if load["value"] >= (servers if mean is None else mean["value"]):
            yield f"{tier['name']}'s queue grows for ever"
            continue
        service_s = (tier["service_s_mean"] or {"value": 0.0})["value"]
        memory_s = service_s / (math.sqrt(servers) - math.sqrt(load["value"])) ** 2
        if settled and MEMORIES * memory_s > summary["seconds_simulated"]:
            yield f"{tier['name']} is so busy that a longer run is needed to know its waits"


def _relieved(tier: Summary) -> bool:
    return bool(tier["timeouts"] + tier["abandoned"] + tier["turned_away"])


def slots_of(tier: Tier) -> int:
    """Return how many requests one unit of a tier serves at once."""
    return (tier.slots or 1) if tier.kind in ("rules", "pool") else 1
