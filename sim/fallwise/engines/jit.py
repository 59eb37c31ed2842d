"""How kernels are compiled, kept on disk, and why the disk never serves an old one.

numba knows a kept kernel by the time stamp and size of its own file. That misses every function
and constant that it takes from another file, and a file put in place with an old time stamp. So a
kernel's entry closes over the stamp below, and numba makes the value part of the key: it covers
the text of all files that kernels are made of, which take from nowhere else.

No kernel allocates. So numba's reference counts are switched off: a tuple of arrays passed from
function to function would have them counted up and down atomically, at thirty times the cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

__all__ = ["kept", "part", "pasted", "stamp"]

_njit: Any = njit
_WAY: dict[str, Any] = {"_nrt": False, "nogil": True, "error_model": "numpy"}

part: Any = _njit(**_WAY)
"""Compile a function that kernels call."""
pasted: Any = _njit(**_WAY, inline="always")
"""Put a function into the kernels that call it: for those called in one place, or very small."""


def kept(entry: Callable[[int], Callable[..., int]]) -> Callable[..., int]:
    """Return the function that entry(stamp()) makes, compiled, and kept on disk.

    Where no folder can be written to, it is compiled anew by every process.
    """
    function = entry(stamp())
    try:
        compiled: Callable[..., int] = _njit(**_WAY, cache=True)(function)
    except RuntimeError:  # numba: "no locator available"
        compiled = _njit(**_WAY)(function)
    return compiled


@cache
def stamp() -> int:
    """Return 60 bits that say what stands in engines/*.py and tables/*.py."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *sorted((here.parent / "tables").glob("*.py"))]
    text = b"\0".join(part for file in files for part in (file.name.encode(), file.read_bytes()))
    return int(hashlib.sha256(text).hexdigest()[:15], 16)
