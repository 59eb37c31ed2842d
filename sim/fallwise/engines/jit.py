"""How kernels are compiled, kept on disk, and why the disk never serves an old one.

numba knows a kept kernel by the time stamp and size of its own file. That misses every function
and constant that it takes from another file, and a file put in place with an old time stamp. The
text of the files does not tell either: Python may have loaded what it compiled from an older one.
So the key is of what numba compiles from: the kernel's function, and all that it reaches, as they
are in this process when it is compiled (`told.py`); and what is compiled with.

No kernel allocates. So numba's reference counts are switched off: a tuple of arrays passed from
function to function would have them counted up and down atomically, at thirty times the cost.

A kernel is made of many small parts. numba would make machine code of each of them, with all that
it calls, although only the kernel is ever called from Python: two thirds of the time to compile.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from importlib.metadata import version
from typing import Any, Final

import numba
import numpy as np
from numba import njit
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

from fallwise.engines.told import told

__all__ = ["ONE", "ZERO", "kept", "part", "pasted"]

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


class _Kept(FunctionCache):
    """numba's, with a key that tells all that a kernel is made of."""

    @cached_property
    def _made_of(self) -> str:
        asked = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
        versions = sys.version, numba.__version__, version("llvmlite"), np.__version__
        return told(self._py_func, _WAY, _INSIDE, _Library, _Lowering, _Compiler, asked, versions)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        names = [getattr(kind, "fields", ()) for kind in sig]
        return *super()._index_key(sig, codegen), self._made_of, told(names)


def kept(function: Callable[..., int]) -> Callable[..., int]:
    """Return the function compiled, and kept on disk.

    Where no folder can be written to, it is compiled anew by every process.
    """
    compiled: Any = _njit(**_WAY)(function)
    with suppress(RuntimeError):  # numba: "no locator available"
        compiled._cache = _Kept(function)
    kernel: Callable[..., int] = compiled
    return kernel
