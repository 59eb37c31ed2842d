"""Batches in records: rule 21 of docs/engine.md for the event loop, many steps at once.

Until somebody joins, leaves or is done all steps after the first last as long, so they are one.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from fallwise.engines.fleet import LEAVING, UP
from fallwise.engines.heap import push
from fallwise.engines.jit import pasted
from fallwise.engines.plan import DONE, ROUND, STEP

__all__ = ["begin_steps", "cut", "end_steps"]


@pasted
def cut(replica, heap, now, r, k):
    """Let the step in which somebody joined or left be the last one that lasts as long."""
    if replica.until_ns >= 0:
        begin, lasts = replica.begin_ns, replica.lasts_ns
        end = begin + (now - begin + lasts - 1) // lasts * lasts
        if end < replica.until_ns:
            replica.until_ns = end
            push(heap, end, ROUND << 56 | r << 8 | k)
    elif replica.step_ns != now:
        replica.step_ns = now
        push(heap, now, STEP << 56 | r << 8 | k)


@pasted
def begin_steps(tier, replicas, seats, heap, prompt_tokens, now, r, k):
    """Begin a step with all who are in service, and all steps after it that last as long."""
    replica = replicas[tier.first_replica + r]
    serves = replica.is_ == UP or replica.is_ == LEAVING
    if replica.until_ns >= 0 or replica.members == 0 or not serves:
        return
    prompts, fewest, new = 0, 1 << 62, False
    first = tier.first_seat + r * tier.slots
    for at in range(first, first + tier.slots):
        seat = seats[at]
        if seat.row < 0:
            continue
        if seat.new:
            seat.new = 0
            prompts += prompt_tokens[seat.row]
            new = True
        fewest = min(fewest, seat.left)
    lasts = tier.step_ns + replica.members * tier.each_ns + prompts * tier.prefill_ns
    steps = 1 if new else fewest
    replica.begin_ns, replica.lasts_ns, replica.until_ns = now, lasts, now + steps * lasts
    push(heap, replica.until_ns, ROUND << 56 | r << 8 | k)


@pasted
def end_steps(tier, replicas, seats, heap, now, r, k):
    """Count the steps that end now, and let one who is done be DONE; for another one come again."""
    replica = replicas[tier.first_replica + r]
    if replica.until_ns != now and replica.done == 0:
        return  # The steps were cut, or lost with the replica.
    first = tier.first_seat + r * tier.slots
    steps = 0
    if replica.until_ns == now:
        steps = (now - replica.begin_ns) // replica.lasts_ns
        replica.until_ns = -1
        replica.step_ns = now
        push(heap, now, STEP << 56 | r << 8 | k)
    done = 0
    for at in range(first, first + tier.slots):
        seat = seats[at]
        if steps > 0 and seat.row >= 0 and not seat.new:
            seat.left -= steps
        if seat.left == 0:
            done += 1
            if done == 1:
                seat.left = -1
                push(heap, now, DONE << 56 | seat.row << 8 | k)
    replica.done = max(0, done - 1)
    if done > 1:
        push(heap, now, ROUND << 56 | r << 8 | k)
