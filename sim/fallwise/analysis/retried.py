"""In words: calls that are made again, are refused, or are not made any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fallwise.analysis.sample import Sample

__all__ = ["retried"]

MANY: Final = 0.1
"""Share of a tier's attempts that are retries from which on they are worth a word."""
WASTED: Final = 0.1
"""Share of the time of its servers that went to visits that timed out from which on it is."""
REFUSED: Final = 0.01
"""Share of them that a rate limit refuses from which on it is."""


def retried(sample: Sample) -> Iterator[str]:
    """Yield what there is to know about the calls of tiers that have retries, limits, breakers."""
    for k, tier in enumerate(sample.scenario.tiers):

        def count(name: str, k: int = k) -> int:
            return int(sample.total.get(f"tier{k}.{name}", 0))

        attempts, visits = count("attempts"), count("visits")
        retries, limited, cut = count("retries"), count("rate_limited"), count("cut_short")
        if attempts and retries >= MANY * attempts:
            yield (
                f"Retries make {100 * retries / attempts:.3g} % of the attempts at {tier.name}: "
                f"{attempts / visits:.2f} for each request that comes to it. They are load, too."
            )
        busy, wasted = count("busy_s"), count("wasted_s")
        if busy and wasted >= WASTED * busy:
            yield (
                f"{tier.name} spent {100 * wasted / busy:.3g} % of the time of its servers on "
                "visits that timed out: work that nobody waited for any more."
            )
        if attempts and limited >= REFUSED * attempts:
            share = f"{100 * limited / attempts:.3g} %"
            yield f"{tier.name}'s rate limit refused {share} of the attempts at it."
        if cut:
            yield (
                f"The breaker of {tier.name} opened: {100 * cut / visits:.3g} % of the visits to "
                "it failed without a call."
            )
