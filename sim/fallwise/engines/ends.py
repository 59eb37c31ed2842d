"""How a request ends whose last visit ended in some way."""

from __future__ import annotations

from typing import Final

from fallwise.tables import (
    ABANDONED,
    CUT_SHORT,
    DECLINED,
    ERRORED,
    FAILED,
    RATE_LIMITED,
    REJECTED,
    SHED,
    TIMED_OUT,
    TURNED_AWAY,
    WAITED_OUT,
    WORKED_OUT,
)

__all__ = ["STATUS_AFTER"]

STATUS_AFTER: Final = {
    DECLINED: REJECTED,
    WAITED_OUT: TIMED_OUT,
    WORKED_OUT: TIMED_OUT,
    ABANDONED: TIMED_OUT,
    TURNED_AWAY: SHED,
    ERRORED: FAILED,
    RATE_LIMITED: FAILED,
    CUT_SHORT: FAILED,
}
"""How a request ends whose last visit ended so (rule 8)."""
