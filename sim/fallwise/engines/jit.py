"""How kernels are compiled, kept on disk, and why the disk never serves an old one.

numba knows a kept kernel by the time stamp and size of its own file. That misses every function
and constant that it takes from another file, and a file put in place with an old time stamp. So a
kernel's entry closes over the stamp below, and numba makes the value part of the key: it covers
the text of all files that kernels are made of, which take from nowhere else.

No kernel allocates. So numba's reference counts are switched off: a tuple of arrays passed from
function to function would have them counted up and down atomically, at thirty times the cost.

A kernel is made of many small parts. numba would make machine code of each of them, with all that
it calls, although only the kernel is ever called from Python: two thirds of the time to compile.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

__all__ = ["ONE", "ZERO", "kept", "part", "pasted", "stamp"]

# Literals as arguments would have a function compiled once for each of them. A constant that is
# True or False is taken for a literal as well: it is made where it is handed over.
ZERO: Final = np.int64(0)
ONE: Final = np.int64(1)


class _Library(JITCodeLibrary):
    """The code of a part, not made into machine code: that is done once, for the whole kernel."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    _name = "fallwise_part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        # What callers know the part by; never called. numba wants a builtin that equals no other.
        key = [state.library].append
        state.targetctx.insert_user_function(key, state.cr.fndesc, [state.library])
        state["cr"] = state.cr._replace(cfunc=key)
        return True


class _Compiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes = [(_Lowering if p is NativeLowering else p, why) for p, why in pipeline.passes]
        pipeline.passes = passes
        pipeline.finalize()
        return [pipeline]


_njit: Any = njit
_WAY: dict[str, Any] = {"_nrt": False, "nogil": True, "error_model": "numpy"}
_INSIDE: dict[str, Any] = {
    **_WAY,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _Compiler,
}

part: Any = _njit(**_INSIDE)
"""Compile a function that kernels call."""
pasted: Any = _njit(**_INSIDE, forceinline=True)
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
    """Return 60 bits that say what stands in engines/*.py, policies/*.py and tables/*.py."""
    package = Path(__file__).parents[1]
    folders = ("engines", "policies", "tables")
    files = [file for folder in folders for file in sorted((package / folder).glob("*.py"))]
    text = b"\0".join(part for file in files for part in (file.name.encode(), file.read_bytes()))
    return int(hashlib.sha256(text).hexdigest()[:15], 16)
