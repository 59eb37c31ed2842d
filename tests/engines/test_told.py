"""The hash of what a kernel is made of: it differs where the kernel would."""

from __future__ import annotations

from collections import namedtuple
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fallwise.engines.jit import kept, part
from fallwise.engines.told import told
from numba import njit

TEXT = """
from enum import Enum
from typing import NamedTuple
import numpy as np
FACTOR = 2
WEIGHT = np.array([1.0, 2.0])
RECORD = np.dtype([("a", np.int64), ("b", np.int64)])
class Pair(NamedTuple):
    first: int
    second: int
class Way(Enum):
    UP = 1
OFFSET = np.dtype({"names": ["a"], "formats": ["i8"], "offsets": [8], "itemsize": 16})
def made(step):
    return lambda x: x + step
add = made(5)
def inner(x, more=1):
    def within(y):
        return y * FACTOR
    return within(x) + more + WEIGHT[0] + np.zeros(1, OFFSET)[0].a + (Way.UP is Way.UP)
def outer(x):
    return inner(add(x)) if x > 0 else other.inner(x) + len(Pair(x, x)) + np.zeros(1, RECORD)[0].a
"""


made: Any = namedtuple
Before, After = made("Pair", ["a", "b"]), made("Pair", ["b", "a"])


def load(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "somewhere", "other": ModuleType("other")}
    exec(compile(text, "somewhere.py", "exec"), names)
    names["other"].inner = names["inner"]
    return names


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FACTOR = 2", "FACTOR = 3"),
        ("FACTOR = 2", "FACTOR = 2.0"),
        ("[1.0, 2.0]", "[1.0, 2.5]"),
        ("[1.0, 2.0]", "[[1.0, 2.0]]"),
        ('("a", np.int64), ("b"', '("b", np.int64), ("a"'),
        ("    first: int\n    second: int", "    second: int\n    first: int"),
        ("made(5)", "made(6)"),
        ("more=1", "more=2"),
        ("y * FACTOR", "y + FACTOR"),
        ("x > 0", "x >= 0"),
        ("UP = 1", "UP = 2"),
        ('"offsets": [8]', '"offsets": [0]'),
        ("other.inner(x)", "other.add(x)"),
    ],
)
def test_it_differs_where_anything_that_is_reached_does(old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    before, after = told(load(TEXT)["outer"]), told(load(TEXT.replace(old, new))["outer"])
    assert before != after


def test_it_is_the_same_for_the_same_code_wherever_it_stands() -> None:
    before = told(load(TEXT)["outer"])
    assert told(load("\n# Further down.\n" + TEXT + "UNUSED = 3\n")["outer"]) == before


def test_what_is_taken_from_another_module_is_told_too() -> None:
    names = load(TEXT)
    before = told(names["outer"])
    names["other"].inner = load(TEXT.replace("FACTOR = 2", "FACTOR = 3"))["inner"]
    assert told(names["outer"]) != before


def test_how_a_part_is_compiled_is_told_too() -> None:
    def one(x: float) -> float:
        return x + 1

    assert len({told(one), told(part(one)), told(njit(one)), told(njit(fastmath=True)(one))}) == 4


@pytest.mark.parametrize("held", [object(), np.array([None])])
def test_what_cannot_be_told_is_refused(held: object) -> None:
    names = load("def run(x):\n    return x if x in HELD else 0\ninner = None")
    names["HELD"] = held
    with pytest.raises(TypeError, match="cannot be told"):
        told(names["run"])


def test_a_module_within_a_module_is_refused() -> None:
    """What a function takes from it could not be found."""
    names = load("def run(x):\n    return outer.inner.add(x)\ninner = None")
    names["outer"] = ModuleType("outer")
    names["outer"].inner = ModuleType("inner")
    with pytest.raises(TypeError, match="cannot be told"):
        told(names["run"])


@pytest.mark.parametrize("nested", [False, True])
def test_a_kernels_key_tells_the_fields_of_the_tuples_that_it_is_given(nested: bool) -> None:
    """Two fields of one type that change places leave numba's own key as it was."""
    within: Any = made("Rows", ["calls"])

    def total(pair: Any) -> Any:
        return pair.a - pair.b

    def total_within(rows: Any) -> Any:
        return rows.calls.a - rows.calls.b

    kernel: Any = kept(total_within if nested else total)
    keys, found = set(), []
    for kind in (Before, After):
        pair = kind(1, 2)
        found.append(kernel(within(pair) if nested else pair))
        signature = kernel.nopython_signatures[-1].args
        codegen = kernel.targetctx.codegen()
        keys.add(kernel._cache._index_key(signature, codegen)[-1])
    assert found == [-1, 1]
    assert len(keys) == 2
