"""Batches in arrays: rule 21 of docs/engine.md for the event loop, many steps at once.

Until somebody joins, leaves or is done all steps after the first last as long, so they are one.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from fallwise.engines.fleet import LEAVING, UP
from fallwise.engines.heap import push
from fallwise.engines.jit import part
from fallwise.engines.plan import DONE, ROUND, STEP

__all__ = ["begin_steps", "cut", "end_steps"]


@part
def cut(s, now, g, r, k):
    """Let the step in which somebody joined or left be the last one that lasts as long."""
    state = s.fleet
    if state.until_ns[g] >= 0:
        begin, lasts = state.begin_ns[g], state.lasts_ns[g]
        end = begin + (now - begin + lasts - 1) // lasts * lasts
        if end < state.until_ns[g]:
            state.until_ns[g] = end
            push(s.heap, end, ROUND << 56 | r << 8 | k)
    elif state.step_ns[g] != now:
        state.step_ns[g] = now
        push(s.heap, now, STEP << 56 | r << 8 | k)


@part
def begin_steps(tiers, rows, s, now, r, k):
    """Begin a step with all who are in service, and all steps after it that last as long."""
    fleet, state = tiers.fleet, s.fleet
    g = fleet.first[k] + r
    serves = state.is_[g] == UP or state.is_[g] == LEAVING
    if state.until_ns[g] >= 0 or state.members[g] == 0 or not serves:
        return
    prompts, fewest, new = 0, 1 << 62, False
    first = fleet.seat[k] + r * fleet.slots[k]
    for seat in range(first, first + fleet.slots[k]):
        if state.seat[seat] < 0:
            continue
        if state.new[seat]:
            state.new[seat] = 0
            prompts += rows.prompt_tokens[state.seat[seat]]
            new = True
        fewest = min(fewest, state.left[seat])
    lasts = fleet.step_ns[k] + state.members[g] * fleet.each_ns[k] + prompts * fleet.prefill_ns[k]
    steps = 1 if new else fewest
    state.begin_ns[g], state.lasts_ns[g], state.until_ns[g] = now, lasts, now + steps * lasts
    push(s.heap, state.until_ns[g], ROUND << 56 | r << 8 | k)


@part
def end_steps(tiers, s, now, r, k):
    """Count the steps that end now, and let one who is done be DONE; for another one come again."""
    fleet, state = tiers.fleet, s.fleet
    g = fleet.first[k] + r
    first = fleet.seat[k] + r * fleet.slots[k]
    if state.until_ns[g] == now:
        steps = (now - state.begin_ns[g]) // state.lasts_ns[g]
        state.until_ns[g] = -1
        for seat in range(first, first + fleet.slots[k]):
            if state.seat[seat] >= 0 and not state.new[seat]:
                state.left[seat] -= steps
        state.step_ns[g] = now
        push(s.heap, now, STEP << 56 | r << 8 | k)
    done = 0
    for seat in range(first, first + fleet.slots[k]):
        if state.left[seat] == 0:
            done += 1
            if done == 1:
                state.left[seat] = -1
                push(s.heap, now, DONE << 56 | state.seat[seat] << 8 | k)
    if done > 1:
        push(s.heap, now, ROUND << 56 | r << 8 | k)
