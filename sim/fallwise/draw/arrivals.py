"""When requests come. Gaps are rounded to nanoseconds once and added up as integers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from fallwise.draw.rates import clock, refuse_long
from fallwise.draw.streams import Streams
from fallwise.draw.traces import Recording
from fallwise.scenario.traffic import Clients, Poisson, Renewal, Trace, Traffic
from fallwise.tables import LONGEST_NS, Int64s

__all__ = ["arrivals"]

CHUNK: Final = 4096
"""So many arrivals of a client are drawn at a time."""


def arrivals(
    traffic: Traffic, chance: Streams, n: int, block: int, trace: Recording | None = None
) -> Iterator[Int64s]:
    """Yield n arrival times, (block,) int64 ns at a time, never decreasing.

    ScenarioError where they take longer than 36 years; at once, where that is plain to see.
    """
    law, changed = traffic.arrivals, clock(traffic, chance)
    sizes = (min(block, n - first) for first in range(0, n, block))
    constant = not (isinstance(law, Trace) or traffic.growth_per_month or traffic.surges)
    if constant and n / law.rate_rps * 1e9 > 10 * LONGEST_NS:  # type: ignore[union-attr]
        refuse_long()
    if isinstance(law, Trace):
        assert trace is not None
        blocks = _recorded(trace, sizes)
    elif isinstance(law, Clients):
        blocks = _merged(law, chance, sizes)
    else:
        rate = law.rate_rps if isinstance(law, Poisson | Renewal) else 1.0
        cv = law.cv if isinstance(law, Renewal) else None
        blocks = _renewal(rate, cv, chance["arrival_ns"], sizes)
    return blocks if changed is None else map(changed.times, blocks)


def _recorded(trace: Recording, sizes: Iterable[int]) -> Iterator[Int64s]:
    first = 0
    for size in sizes:
        yield trace.arrivals(np.arange(first, first + size))
        first += size


def _renewal(
    rate_rps: float,
    cv: float | None,
    rng: np.random.Generator,
    sizes: Iterable[int],
    equilibrium: bool = False,
) -> Iterator[Int64s]:
    """Yield arrivals with independent gaps: gamma with this cv, exponential without one.

    equilibrium: as if they had come for ever; otherwise as if one had just come at time 0.
    Sources: a gamma gap of shape 1 / cv**2 has the coefficient of variation cv. The time to the
    first arrival is a uniform part of a gap that is drawn in proportion to its length, and a gamma
    law so drawn has a shape greater by 1 (Cox, Renewal Theory, 1962, chapter 5).
    """
    last = 0
    for size in sizes:
        if cv is None:
            gaps = rng.standard_exponential(size)
            gaps *= 1e9 / rate_rps
        else:
            shape = cv**-2
            gaps = rng.standard_gamma(shape, size)
            if equilibrium:
                gaps[0] = rng.random() * rng.standard_gamma(shape + 1)
                equilibrium = False
            gaps *= 1e9 / (rate_rps * shape)
        np.rint(gaps, out=gaps)
        if last + gaps.sum() > LONGEST_NS:
            refuse_long()
        times = gaps.astype(np.int64)
        times[0] += last
        np.cumsum(times, out=times)
        last = int(times[-1])
        yield times


def _merged(law: Clients, chance: Streams, sizes: Iterable[int]) -> Iterator[Int64s]:
    """Yield the arrivals of all clients and of the background, in order of time.

    Each client draws from a stream of its own, always as much at a time, so that the size of a
    block moves nothing.
    """
    more = [
        _renewal(client.rate_rps, client.cv, chance[f"arrival_ns:client{j}"], _endless(), True)
        for j, client in enumerate(law.clients)
    ]
    if law.background_rps:
        more.append(_renewal(law.background_rps, None, chance["arrival_ns"], _endless()))
    coming = [next(client) for client in more]
    ready, held = [np.zeros(0, np.int64)], 0
    for size in sizes:
        while held < size:
            # Nobody can still come before the first of the clients' last known arrivals.
            last = [times[-1] for times in coming]
            sure = min(last)
            parts = [np.searchsorted(times, sure, side="right") for times in coming]
            ready.append(
                np.sort(np.concatenate([t[:j] for t, j in zip(coming, parts, strict=True)]))
            )
            held += len(ready[-1])
            coming = [t[j:] for t, j in zip(coming, parts, strict=True)]
            coming = [t if len(t) else next(c) for t, c in zip(coming, more, strict=True)]
        whole = np.concatenate(ready)
        yield whole[:size]
        ready, held = [whole[size:]], held - size


def _endless() -> Iterator[int]:
    while True:
        yield CHUNK
