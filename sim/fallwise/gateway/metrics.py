"""What Prometheus sees of the gateway, in its text format 0.0.4."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from fallwise.gateway.cascade import Outcome
from fallwise.gateway.desk import Desk
from fallwise.scenario import Scenario
from fallwise.tables import CALL_COUNTS, STATUSES, VISITS

__all__ = ["Metrics"]

BOUNDS_S: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    60.0,
)


class Metrics:
    """Counts of what has happened since the start, and how full the tiers are now."""

    def __init__(self, scenario: Scenario, desks: dict[int, Desk]):
        self.names = [tier.name for tier in scenario.tiers]
        self.desks = desks
        self.requests: Counter[str] = Counter()
        self.visits: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.cost_usd = dict.fromkeys(["router", *self.names], 0.0)
        self.cache: Counter[str] = Counter()
        self.sojourn_s = _Histogram()
        self.service_s = {name: _Histogram() for name in self.names}
        self.wait_s = {name: _Histogram() for name in self.names}

    def note(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        self.requests[STATUSES[outcome.status]] += 1
        self.cache[outcome.cache] += 1
        self.cost_usd["router"] += outcome.router_usd
        self.sojourn_s.add((outcome.ended_ns - outcome.question.received_ns) / 1e9)
        for visit in outcome.visits:
            name = self.names[visit.tier]
            self.visits[name, VISITS[visit.state]] += 1
            self.cost_usd[name] += visit.usd
            until = visit.finish_ns if visit.start_ns < 0 else visit.start_ns
            wait_ns = visit.queued_ns if visit.attempts else until - visit.enter_ns
            self.wait_s[name].add(wait_ns / 1e9)
            if visit.start_ns >= 0:
                self.service_s[name].add((visit.finish_ns - visit.start_ns) / 1e9)
            if visit.attempts:
                for what in CALL_COUNTS:
                    self.calls[name, what] += getattr(visit, what)

    def text(self) -> str:
        """Return the page that Prometheus reads."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield "# TYPE fallwise_requests_total counter"
        for status in STATUSES:
            yield f'fallwise_requests_total{{status="{status}"}} {self.requests[status]}'
        yield "# TYPE fallwise_cache_total counter"
        for state in ("hit", "miss", "off"):
            yield f'fallwise_cache_total{{state="{state}"}} {self.cache[state]}'
        yield "# TYPE fallwise_visits_total counter"
        for (name, state), count in sorted(self.visits.items()):
            yield f'fallwise_visits_total{{tier="{name}",state="{state}"}} {count}'
        yield "# TYPE fallwise_calls_total counter"
        for (name, what), count in sorted(self.calls.items()):
            yield f'fallwise_calls_total{{tier="{name}",what="{what}"}} {count}'
        yield "# TYPE fallwise_cost_usd_total counter"
        for name, usd in self.cost_usd.items():
            yield f'fallwise_cost_usd_total{{tier="{name}"}} {usd!r}'
        for what in ("in_service", "waiting"):
            yield f"# TYPE fallwise_{what} gauge"
            for k, desk in self.desks.items():
                yield f'fallwise_{what}{{tier="{self.names[k]}"}} {getattr(desk, what)}'
        yield "# TYPE fallwise_sojourn_seconds histogram"
        yield from self.sojourn_s.lines("fallwise_sojourn_seconds")
        for what, histograms in (("wait", self.wait_s), ("service", self.service_s)):
            yield f"# TYPE fallwise_{what}_seconds histogram"
            for name, histogram in histograms.items():
                yield from histogram.lines(f"fallwise_{what}_seconds", f'tier="{name}"')


class _Histogram:
    """Counts of times by bound."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, time_s: float) -> None:
        """Count a time."""
        self.counts[bisect_left(BOUNDS_S, time_s)] += 1
        self.sum_s += time_s

    def lines(self, name: str, label: str = "") -> Iterator[str]:
        """Yield the lines of the page."""
        comma = "," if label else ""
        bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        total = 0
        for bound, total in zip(bounds, accumulate(self.counts), strict=True):
            yield f'{name}_bucket{{{label}{comma}le="{bound}"}} {total}'
        braces = f"{{{label}}}" if label else ""
        yield f"{name}_sum{braces} {self.sum_s!r}"
        yield f"{name}_count{braces} {total}"
