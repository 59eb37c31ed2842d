"""Values by their rank, of which no more are sorted than are asked for."""

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.tables import Floats

__all__ = ["Ranked"]

SAMPLE: Final = 1 << 12
"""Values that tell where a rank is, about."""
NEAR: Final = SAMPLE >> 6
"""Ranks of the sample that are looked at to each side: a quantile's bounds are near to it too."""


class Ranked:
    """The i-th smallest of some values, as of the sorted array."""

    def __init__(self, values: Floats):
        self._values = values
        self._pieces: list[tuple[int, Floats]] = []
        """Neighbours in the sorted array, and the rank of the first."""
        self._sample = np.sort(values[:: -(-len(values) // SAMPLE) or 1])

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rank: int) -> float:
        """Return the value of a rank from 0 on; IndexError beyond the last."""
        if not 0 <= rank < len(self):
            raise IndexError(rank)
        for begin, piece in self._pieces:
            if begin <= rank < begin + len(piece):
                return float(piece[rank - begin])
        near = self._around(rank)
        # The sample was wrong by more than that: once in many thousand.
        found = near if near[0] <= rank < near[0] + len(near[1]) else (0, np.sort(self._values))
        self._pieces.append(found)
        return float(found[1][rank - found[0]])

    def _around(self, rank: int) -> tuple[int, Floats]:
        """Return the values that are about of this rank, sorted, and the rank of the first."""
        values, size = self._values, len(self._sample)
        at = rank * size // len(values)
        first, last = at - NEAR, at + NEAR
        inside = np.ones(len(values), np.bool_)
        if last < size:
            inside = values <= self._sample[last]
        begin = 0
        if first >= 0:
            below = values < self._sample[first]
            begin = int(np.count_nonzero(below))
            inside &= ~below
        return begin, np.sort(values.compress(inside))
