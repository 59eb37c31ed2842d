"""The events to come in an array: a heap whose nodes have four children.

Node j has its time at heap[HEAD + 2 * j], its code after it, and its children are the nodes
4 * j + 1 to 4 * j + 4. What stands before HEAD is named below.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.engines.jit import part, pasted

__all__ = ["HEAD", "HELD", "LATE", "NO_EVENT", "is_before", "pop", "push"]

HELD: Final = 0
"""How many events there are."""
LATE: Final = 1
"""Not 0 when a time did not fit into int64."""
HEAD: Final = 2


NO_EVENT: Final = np.iinfo(np.int64).max
"""Time and code of the places behind the last event, so that every node has four children."""

# Places are unsigned: numba then does not ask whether they count from the end.
U0: Final = np.uint64(0)
U1: Final = np.uint64(1)
U2: Final = np.uint64(2)


@pasted
def is_before(heap, time, code):
    """Return True where the first event comes before the given one."""
    return (heap[HEAD] < time) | ((heap[HEAD] == time) & (heap[HEAD + 1] < code))


@part
def push(heap, time, code):
    """Add an event."""
    at = np.uint64(heap[HELD])
    heap[HELD] += 1
    if time < 0:
        heap[LATE] = 1
    while at > U0:
        up = (at - U1) >> U2
        up_ns, up_code = heap[U2 + U2 * up], heap[U2 + U2 * up + U1]
        if up_ns < time or (up_ns == time and up_code < code):
            break
        heap[U2 + U2 * at], heap[U2 + U2 * at + U1] = up_ns, up_code
        at = up
    heap[U2 + U2 * at], heap[U2 + U2 * at + U1] = time, code


@pasted
def _first(heap, one, other):
    """Return which of two places has the earlier event: no branch, it cannot be foretold."""
    ns, other_ns = heap[one], heap[other]
    later = (other_ns < ns) | ((other_ns == ns) & (heap[other + U1] < heap[one + U1]))
    return one + (other - one) * np.uint64(later)


@part
def pop(heap):
    """Take the first event off."""
    heap[HELD] -= 1
    last = U2 + U2 * np.uint64(heap[HELD])
    time, code = heap[last], heap[last + U1]
    heap[last] = heap[last + U1] = NO_EVENT
    at = U2
    while True:
        child = (at << U2) - U2 * U2  # Of node j at 2 + 2 * j, the first one is at 4 + 8 * j.
        if child >= last:
            break
        least = _first(heap, child, child + U2)
        least = _first(heap, least, _first(heap, child + U2 + U2, child + U2 + U2 + U2))
        ns, other = heap[least], heap[least + U1]
        if time < ns or (time == ns and code < other):
            break
        heap[at], heap[at + U1] = ns, other
        at = least
    if at < last:
        heap[at], heap[at + U1] = time, code
