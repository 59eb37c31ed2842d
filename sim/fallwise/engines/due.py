"""Events of the engine to be read, in the order of docs/engine.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from simpy import Environment, Event
from simpy.events import EventPriority

__all__ = ["Due"]

SIMPY_OWN: Final = 2
"""SimPy's own priorities are 0 and 1."""


class Due(Event):
    """Something that will happen; at one instant in the order of kind, request, call and tier."""

    def __init__(self, env: Environment, after_ns: int, order: int, handle: Callable[[Any], None]):
        super().__init__(env)
        self._ok = True
        self._value = None
        self.callbacks.append(handle)
        env.schedule(self, EventPriority(SIMPY_OWN + order), after_ns)
