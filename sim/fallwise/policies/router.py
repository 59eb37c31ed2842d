"""At which tier does a request start?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["starts_at"]


def starts_at(score: Any, cuts: ArrayLike, starts: ArrayLike) -> Any:
    """Return the tier where a request starts: starts[j], j counting the cuts at or below its score.

    score is a number or an (n,) array, cuts ascend, starts has one entry more than cuts.
    """
    return np.asarray(starts)[np.searchsorted(cuts, score, side="right")]
