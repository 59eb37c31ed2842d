"""The events to come in an array: a heap whose nodes have four children.

Node j has its time at heap[HEAD + 2 * j], its code after it, and its children are the nodes
4 * j + 1 to 4 * j + 4. What stands before HEAD is named below.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

from fallwise.engines.jit import part, pasted

__all__ = ["HEAD", "HELD", "LATE", "is_before", "pop", "push"]

HELD: Final = 0
"""How many events there are."""
LATE: Final = 1
"""Not 0 when a time did not fit into int64."""
HEAD: Final = 2


@pasted
def is_before(heap, time, code):
    """Return True where the first event comes before the given one."""
    return heap[HELD] > 0 and (heap[HEAD] < time or (heap[HEAD] == time and heap[HEAD + 1] < code))


@part
def push(heap, time, code):
    """Add an event."""
    at = heap[HELD]
    heap[HELD] = at + 1
    if time < 0:
        heap[LATE] = 1
    while at > 0:
        up = (at - 1) >> 2
        up_ns, up_code = heap[HEAD + 2 * up], heap[HEAD + 1 + 2 * up]
        if up_ns < time or (up_ns == time and up_code < code):
            break
        heap[HEAD + 2 * at], heap[HEAD + 1 + 2 * at] = up_ns, up_code
        at = up
    heap[HEAD + 2 * at], heap[HEAD + 1 + 2 * at] = time, code


@part
def pop(heap):
    """Take the first event off."""
    last = heap[HELD] - 1
    heap[HELD] = last
    time, code = heap[HEAD + 2 * last], heap[HEAD + 1 + 2 * last]
    at = 0
    while 4 * at + 1 < last:
        least = 4 * at + 1
        least_ns, least_code = heap[HEAD + 2 * least], heap[HEAD + 1 + 2 * least]
        for child in range(least + 1, min(least + 4, last)):
            # No branches: which of the children is the least cannot be foretold.
            ns, other = heap[HEAD + 2 * child], heap[HEAD + 1 + 2 * child]
            less = (ns < least_ns) | ((ns == least_ns) & (other < least_code))
            least = child if less else least
            least_ns = ns if less else least_ns
            least_code = other if less else least_code
        if time < least_ns or (time == least_ns and code < least_code):
            break
        heap[HEAD + 2 * at], heap[HEAD + 1 + 2 * at] = least_ns, least_code
        at = least
    heap[HEAD + 2 * at], heap[HEAD + 1 + 2 * at] = time, code
