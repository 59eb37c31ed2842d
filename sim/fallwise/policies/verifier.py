"""Did the verifier let the answer through?"""

from __future__ import annotations

from typing import Any

__all__ = ["passes"]


def passes(above: Any, verdict: Any) -> Any:
    """Return True where an answer above its threshold also has the verifier's pass.

    A verifier is asked only about answers whose score passed. Booleans, or (n,) arrays of them.
    """
    return above & verdict
