"""How kernels are compiled, kept on disk, and why the disk never serves an old one.

numba knows a kept kernel by the time stamp and size of its own file. That misses every function
and constant that it takes from another file, and a file put in place with an old time stamp. The
text of the files does not tell either: Python may have loaded what it compiled from an older one.
So the key is of what numba compiles from: the kernel's function, and all that it reaches, as they
are in this process when it is compiled (`told.py`); and what is compiled with. It names the file of
the kernel and is in it: numba numbers its files, and an index that was written when the file could
not be leads to the kernel that had the number before.

No kernel allocates. So numba's reference counts are switched off: a tuple of arrays passed from
function to function would have them counted up and down atomically, at thirty times the cost.

A kernel is made of many small parts. numba would make machine code of each of them, with all that
it calls, although only the kernel is ever called from Python: two thirds of the time to compile.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from pickle import loads
from typing import Any, Final
from uuid import uuid4

import numba
import numpy as np
from numba import config, njit
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.serialize import dumps
from numba.core.typed_passes import NativeLowering
from numba.core.types import BaseTuple

from fallwise.engines.told import told

__all__ = ["ONE", "ZERO", "kept", "part", "pasted"]

# Literals as arguments would have a function compiled once for each of them. A constant that is
# True or False is taken for a literal as well: it is made where it is handed over.
ZERO: Final = np.int64(0)
ONE: Final = np.int64(1)
MOST: Final = 16
"""So many kernels of one function stay on disk: one for each kind of arguments, and older ones."""


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


class _Files:
    """A file for each kernel, instead of numba's index: a checksum, then the key and the code.

    A file that is torn or of another key is passed over: what is not found is compiled.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._folder, self._name = Path(folder), name

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}.{told(str(key))[:16]}.kernel"

    def load(self, key: Any) -> Any:
        try:
            text = self._path(key).read_bytes()
        except OSError:
            return None
        digest, inside = text[:32], text[32:]
        made_by, data = loads(inside) if sha256(inside).digest() == digest else (None, None)
        return data if made_by == key else None

    def save(self, key: Any, data: Any) -> None:
        path, inside = self._path(key), dumps((key, data))
        half = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            half.write_bytes(sha256(inside).digest() + inside)
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
        found = sorted(self._folder.glob(f"{self._name}.*.kernel"), key=lambda p: p.stat().st_mtime)
        for old in found[:-MOST]:
            old.unlink(missing_ok=True)


class _Kept(FunctionCache):
    """numba's, with a key that tells all that a kernel is made of."""

    def __init__(self, function: Callable[..., int]) -> None:
        super().__init__(function)
        files: Any = _Files(self.cache_path, self._impl.filename_base)
        self._cache_file = files

    @property
    def _made_of(self) -> str:
        asked = sorted((key, repr(vars(config)[key])) for key in dir(config) if _matters(key))
        versions = sys.version, numba.__version__, version("llvmlite"), np.__version__
        return told(self._py_func, _WAY, _INSIDE, _Library, _Lowering, _Compiler, asked, versions)

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # No room: the next process compiles it again.
            super().save_overload(sig, data)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return *super()._index_key(sig, codegen), self._made_of, told([_fields(k) for k in sig])


def _fields(kind: Any) -> list[Any]:
    """Return the names of a named tuple's fields, and those of the tuples within it."""
    within: Any = kind if isinstance(kind, BaseTuple) else ()
    return [getattr(kind, "fields", ()), *map(_fields, within)]


def _matters(key: str) -> bool:
    """Return whether a setting of numba's may change what it compiles."""
    return key.isupper() and not key.endswith("NUM_THREADS") and not key.startswith("CACHE_")


def _uncollected(compile_it: Callable[..., Any]) -> Callable[..., Any]:
    """Return it without collections of garbage meanwhile: they take a tenth of the time."""

    def compile_once(signature: Any) -> Any:
        was_on = gc.isenabled()
        gc.disable()
        try:
            return compile_it(signature)
        finally:
            if was_on:
                gc.enable()

    return compile_once


def kept(function: Callable[..., int]) -> Callable[..., int]:
    """Return the function compiled, and kept on disk.

    Where no folder can be written to, it is compiled anew by every process.
    """
    compiled: Any = _njit(**_WAY)(function)
    compiled.compile = _uncollected(compiled.compile)
    with suppress(RuntimeError):  # numba: "no locator available"
        compiled._cache = _Kept(function)
    kernel: Callable[..., int] = compiled
    return kernel
