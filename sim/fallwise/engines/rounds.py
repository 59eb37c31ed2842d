"""Batches in records: rule 21 of docs/engine.md for the event loop, many steps at once.

Until somebody joins, leaves or is done nothing happens at the end of a step. All steps after the
first, which alone reads prompts, last as long, so when the last of them ends is known at once.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import numpy as np

from fallwise.engines.fleet import LEAVING, UP
from fallwise.engines.heap import push
from fallwise.engines.jit import pasted
from fallwise.engines.plan import DONE, ROUND, STEP

__all__ = ["begin_steps", "cut", "end_steps"]


@pasted
def cut(replica, rounds, now, r, k):
    """Let the step in which somebody joined or left be the last one before the next STEP."""
    if replica.until_ns >= 0:
        end, lasts = replica.first_end_ns, replica.lasts_ns
        if now > end:
            end += (now - end + lasts - 1) // lasts * lasts
        if end < replica.until_ns:
            replica.until_ns = end
            push(rounds, end, ROUND << 56 | r << 8 | k)
    elif replica.step_ns != now:
        replica.step_ns = now
        push(rounds, now, STEP << 56 | r << 8 | k)


@pasted
def begin_steps(clock, tier, replicas, seats, rounds, prompt_tokens, now, r, k):
    """Begin a step with all who are in service, and all steps up to when the first is done."""
    replica = replicas[tier.first_replica + r]
    serves = replica.is_ == UP or replica.is_ == LEAVING
    if replica.until_ns >= 0 or replica.members == 0 or not serves:
        return
    prompts, next_end = 0, 1 << 62
    first = tier.first_seat + r * tier.slots
    for at in range(first, first + tier.slots):
        seat = seats[at]
        if seat.row < 0:
            continue
        if seat.new:
            seat.new = 0
            prompts += prompt_tokens[tier.prompt * clock.rows + seat.row]
            seat.end += replica.steps
        next_end = min(next_end, seat.end)
    lasts = tier.step_ns + replica.members * tier.each_ns
    first_end = now + lasts + prompts * tier.prefill_ns
    replica.next_end = next_end
    replica.first_end_ns, replica.lasts_ns = first_end, lasts
    replica.until_ns = first_end + (next_end - replica.steps - 1) * lasts
    push(rounds, replica.until_ns, ROUND << 56 | r << 8 | k)


@pasted
def end_steps(tier, replicas, seats, rounds, now, r, k):
    """Count the steps that end now; return the event that comes of it at this instant, or -1.

    One who is done is DONE before the next STEP; where there are several, this event comes again.
    """
    replica = replicas[tier.first_replica + r]
    code, step = np.int64(-1), STEP << 56 | r << 8 | k
    if replica.until_ns == now:
        replica.steps += 1 + (now - replica.first_end_ns) // replica.lasts_ns
        replica.until_ns = -1
        replica.step_ns = now
        if replica.steps < replica.next_end:
            return step
        push(rounds, now, step)
    elif replica.done == 0:
        return code  # The steps were cut, or lost with the replica.
    first, done = tier.first_seat + r * tier.slots, 0
    for at in range(first, first + tier.slots):
        seat = seats[at]
        if seat.end == replica.steps and not seat.new:
            done += 1
            if done == 1:
                code = DONE << 56 | seat.row << 8 | k
                seat.end, tier.seat = -1, at
    replica.done = max(0, done - 1)
    if done > 1:
        push(rounds, now, ROUND << 56 | r << 8 | k)
    return code
