"""More of the same traffic, and the traffic of its busiest time."""

from __future__ import annotations

from typing import Any, Final

from fallwise.scenario import Scenario, override
from fallwise.scenario.traffic import Profile

__all__ = ["at_peak", "peak_factor", "scaled"]

RATES: Final = {"rate_rps", "rates_rps", "background_rps", "rate_factor"}
"""The keys of arrivals that say how many come; all others say how they come."""


def scaled(scenario: Scenario, factor: float) -> Scenario:
    """Return the scenario with so many times the arrivals; what changes by the clock stays so.

    Where the rate or the servers have a pattern in time, the run covers as much of it as before.
    """
    if factor == 1:
        return scenario
    law = scenario.traffic.arrivals
    values: dict[str, Any] = {
        "traffic.arrivals": _times(law.model_dump(exclude_unset=True), factor),
    }
    timed = isinstance(law, Profile) or scenario.traffic.week is not None
    if timed or any(tier.elastic for tier in scenario.tiers):
        values["run.requests"] = max(1, round(scenario.run.requests * factor))
    return override(scenario, values)


def _times(data: Any, factor: float) -> Any:
    if isinstance(data, list):
        return [_times(item, factor) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get("kind") == "trace":
        data = {"rate_factor": 1.0} | data
    return {
        key: _product(value, factor) if key in RATES else _times(value, factor)
        for key, value in data.items()
    }


def _product(value: Any, factor: float) -> Any:
    return [x * factor for x in value] if isinstance(value, list) else value * factor


def peak_factor(scenario: Scenario) -> float:
    """Return the busiest rate of the arrivals over their mean; 1 where nothing follows the clock.

    A profile's busiest step and a week's busiest hour count; bursts by chance and surges do not:
    they are no rate that lasts.
    """
    law, week = scenario.traffic.arrivals, scenario.traffic.week
    factor = 1.0
    if isinstance(law, Profile):
        factor *= max(law.rates_rps) / law.rate_rps
    if week is not None:
        for numbers in (week.hours, week.days):
            factor *= max(numbers) / (sum(numbers) / len(numbers))
    return factor


def at_peak(scenario: Scenario, factor: float) -> Scenario:
    """Return the scenario at so many times its mean rate all the time, as if by no clock."""
    law = scenario.traffic.arrivals
    if isinstance(law, Profile):
        law_now: Any = {"kind": "poisson", "rate_rps": law.rate_rps * factor}
    else:
        law_now = _times(law.model_dump(exclude_unset=True), factor)
    traffic = scenario.traffic.model_dump(exclude_unset=True)
    given = {k: v for k, v in traffic.items() if k not in ("week", "surges", "growth_per_month")}
    return override(scenario, {"traffic": given | {"arrivals": law_now}})
