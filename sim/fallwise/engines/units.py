"""What plans are counted in."""

from __future__ import annotations

from typing import Final

__all__ = ["UNLIMITED", "nanoseconds"]

UNLIMITED: Final = 1 << 62
"""No limit, no timeout, no end of patience."""


def nanoseconds(value_s: float | None) -> int | None:
    """Return seconds in whole nanoseconds; None stays None."""
    return None if value_s is None else round(value_s * 1e9)
