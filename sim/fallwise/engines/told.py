"""What compiled code is made of: a hash of functions, and of everything that they reach.

It is of the objects in this process, not of files: whatever they were loaded from, these are what
a compiler is given. A value that is none of the kinds below is refused, not passed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

import numpy as np

__all__ = ["told"]

ELSEWHERE: Final = ("builtins", "llvmlite", "math", "numba", "numpy")
"""Packages whose functions are told by their names: a caller tells their versions."""


def told(*values: Any) -> str:
    """Return a hash that differs where functions, their globals or constants do.

    Two processes that loaded the same code return the same. TypeError: a value of a kind that is
    not known here.

    >>> def add(x): return x + STEP
    >>> def hash_with(step):
    ...     globals()["STEP"] = step
    ...     return told(add)
    >>> hash_with(1) == hash_with(1), hash_with(1) == hash_with(2)
    (True, False)
    """
    seen: dict[int, Any] = {}  # Holds what it has seen: an id is of one object while that lives.
    digest = hashlib.sha256()
    for part in _parts(values, seen):
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()


def _parts(value: Any, seen: dict[int, Any]) -> Iterator[str]:
    if hasattr(value, "py_func"):  # What numba was given to compile, and how.
        yield from _parts(value.targetoptions, seen)
        value = value.py_func
    yield type(value).__name__
    if value is None or isinstance(value, (bool, int, float, str, bytes, np.generic)):
        yield repr(value)
    elif isinstance(value, (tuple, list)):
        yield str(len(value))
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, dict):
        yield from _parts(sorted(value.items()), seen)
    elif isinstance(value, frozenset):
        yield from _parts(sorted(value, key=repr), seen)
    elif isinstance(value, np.dtype):
        yield repr(value)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield from (repr(value.dtype), str(value.shape), value.tobytes().hex())
    elif isinstance(value, CodeType):
        yield from _code(value, seen)
    elif isinstance(value, (BuiltinFunctionType, ModuleType, np.ufunc)) and _elsewhere(value):
        yield f"{getattr(value, '__module__', None)}.{value.__name__}"
    elif isinstance(value, (FunctionType, type)):
        yield f"{value.__module__}.{value.__qualname__}"
        if not _elsewhere(value) and id(value) not in seen:
            seen[id(value)] = value
            inside: Any = _function if isinstance(value, FunctionType) else _type
            yield from inside(value, seen)
    else:
        raise TypeError(f"what {value!r} is made of cannot be told")


def _elsewhere(value: Any) -> bool:
    home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return (home or "numpy").split(".")[0] in ELSEWHERE


def _function(function: FunctionType, seen: dict[int, Any]) -> Iterator[str]:
    """Yield its code, what it closes over, and the globals that it and those within it name."""
    yield from _parts((function.__code__, function.__defaults__, function.__kwdefaults__), seen)
    yield from _parts([cell.cell_contents for cell in function.__closure__ or ()], seen)
    names = sorted(_names(function.__code__))
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType) and not _elsewhere(value):
            # Whatever of it the function may take, by an attribute of that name.
            value = {other: vars(value)[other] for other in names if other in vars(value)}
        yield name
        yield from _parts(value, seen)


def _type(kind: type, seen: dict[int, Any]) -> Iterator[str]:
    """Yield the fields of a named tuple, the members of an enum and the functions of a class."""
    yield from _parts(getattr(kind, "_fields", ()), seen)
    members = getattr(kind, "__members__", {})
    yield from _parts([(name, member.value) for name, member in members.items()], seen)
    for name, value in sorted(vars(kind).items()):
        if isinstance(value, FunctionType):
            yield name
            yield from _function(value, seen)


def _code(code: CodeType, seen: dict[int, Any]) -> Iterator[str]:
    """Yield what a code object does, but not where it stands."""
    yield code.co_code.hex()
    yield repr((code.co_flags, code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount))
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars))
    yield getattr(code, "co_exceptiontable", b"").hex()
    yield from _parts(code.co_consts, seen)


def _names(code: CodeType) -> set[str]:
    """Return the globals and attributes that a code object, and those within it, ask for."""
    inner = [_names(part) for part in code.co_consts if isinstance(part, CodeType)]
    return set(code.co_names).union(*inner)
