"""Chance, by name: one generator for each column, and numbers that belong to a question."""

from __future__ import annotations

import multiprocessing
import os
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from fallwise.tables import Floats, Int64s

T = TypeVar("T")

__all__ = ["Questions", "Streams", "side_by_side", "stream"]

FEW: Final = 1 << 16
"""Numbers that are drawn sooner than a thread is started."""


def stream(seed: int, column: str) -> np.random.Generator:
    """Return the generator of one column; columns are independent of each other."""
    return np.random.Generator(np.random.SFC64(_seeds(seed, column)))


def _seeds(seed: int, column: str) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(column.encode())])


class Streams:
    """The generators of a run, which go on from one block of requests to the next."""

    def __init__(self, seed: int):
        self.seed = seed
        self._open: dict[str, np.random.Generator] = {}

    def __getitem__(self, column: str) -> np.random.Generator:
        """Return the generator of a column, where its last block left it."""
        if column not in self._open:
            self._open[column] = stream(self.seed, column)
        return self._open[column]


def side_by_side(work: Callable[[int], T], items: Iterable[int], n: int) -> list[T]:
    """Return what work gives for each item, each of n numbers: on several cores, if n is large.

    Streams are independent of each other, so nothing depends on who draws first.
    """
    # A process that another one started is one of a sweep, which has one for each core.
    if n < FEW or multiprocessing.parent_process() is not None:
        return [work(item) for item in items]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, items))


@dataclass(frozen=True)
class Questions:
    """Chance that belongs to the question of a request, so that equal keys have equal numbers.

    key     (n,)  int64  the questions of a block
    shared  (r,)  int64  rows whose key may come again: their numbers are a function of seed,
                         column and key. All others take the next ones of the column's stream.
    """

    chance: Streams
    key: Int64s
    shared: Int64s

    def uniform(self, column: str) -> Floats:
        """Return (n,) uniform numbers in [0, 1)."""
        values = self.chance[column].random(len(self.key))
        if len(self.shared):
            values[self.shared] = self._hashed(column)
        return values

    def normal(self, column: str) -> Floats:
        """Return (n,) standard normal numbers."""
        values = self.chance[column].standard_normal(len(self.key))
        if len(self.shared):
            from scipy.special import ndtri

            values[self.shared] = ndtri(self._hashed(column))
        return values

    def _hashed(self, column: str) -> Floats:
        """Return a uniform number in (0, 1) for each shared key.

        Source: SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators,
        OOPSLA 2014), the key-th number of a generator that starts where seed and column say.
        """
        start = _seeds(self.chance.seed, column).generate_state(1, np.uint64)
        z = start + self.key[self.shared].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        uniform: Floats = ((z >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return uniform
