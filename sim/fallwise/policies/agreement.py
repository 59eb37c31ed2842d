"""Do two models that ran side by side give the same answer?"""

from __future__ import annotations

from typing import Any

__all__ = ["agrees"]


def agrees(answer: Any, other: Any) -> Any:
    """Return True where both answers are the same: identities of answers, or (n,) of them."""
    return answer == other
