"""Is an answer's score high enough?"""

from __future__ import annotations

from typing import Any

__all__ = ["accepts"]


def accepts(score: Any, threshold: Any) -> Any:
    """Return True where score >= threshold; raising a threshold escalates more.

    Scalars, or (n,) arrays.
    """
    return score >= threshold
