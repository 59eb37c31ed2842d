"""Which tiers there are on the way on: rule 15 of docs/engine.md."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["tiers_there"]


def tiers_there(fallback: Sequence[bool], k: int, *, failed: bool) -> list[int]:
    """Return the tiers from k on that there are for a request; failed: its visit to k - 1 did.

    A fallback is there only after a failure, as are the fallbacks that follow it directly.
    """
    there = []
    for tier in range(k, len(fallback)):
        failed = failed and fallback[tier]
        if failed or not fallback[tier]:
            there.append(tier)
    return there
