"""What plans are counted in."""

from __future__ import annotations

from typing import Final

from fallwise.tables import NEVER_NS

__all__ = ["END_OF_TIME", "UNLIMITED", "nanoseconds"]

UNLIMITED: Final = NEVER_NS
"""No limit, no timeout, no end of patience."""


END_OF_TIME: Final = (1 << 63) - 1
"""Where int64 ends."""


def nanoseconds(value_s: float | None) -> int | None:
    """Return seconds in whole nanoseconds; None stays None."""
    return None if value_s is None else round(value_s * 1e9)
