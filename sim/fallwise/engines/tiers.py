"""The tiers of a plan as records: what the compiled engine is told of each, and what it keeps.

A record is passed to a function as one pointer, a tuple of arrays as seven numbers an array: that
decides how long numba takes to compile, and a call takes. So what belongs together is a record.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fallwise.engines.calls import Calls, no_calls
from fallwise.engines.fleet import Fleet
from fallwise.engines.plan import UNLIMITED, Plan
from fallwise.policies import tiers_there
from fallwise.tables import Int64s

__all__ = [
    "NONE_LEFT",
    "NONE_LOCAL",
    "TIER",
    "Records",
    "following_of",
    "numbers",
    "prompts_of",
    "tiers_of",
]

Records = NDArray[Any]
"""Of one of the dtypes that `numbers` makes."""

# Where `following_of` leads when there is no further tier.
NONE_LEFT: Final = -1
NONE_LOCAL: Final = -2


def numbers(*names: str) -> np.dtype[Any]:
    """Return the dtype of a record of int64."""
    return np.dtype([(name, np.int64) for name in names])


PLAN: Final = (
    "role",
    "servers",
    "queue_limit",
    "timeout_ns",
    "cancel",
    "local",
    "give_up",
    "fills",
)
CALLS: Final = tuple(
    name for name in Calls._fields[: Calls._fields.index("outage")] if name != "first"
)
FLEET: Final = tuple(name for name in Fleet._fields[1:] if name not in ("up_ns", "down_ns"))
TIER: Final = numbers(
    # Told: as in Plan, Calls and Fleet; and where the tier's part of the other arrays begins.
    *PLAN,
    *CALLS,
    *FLEET,
    "prompt",  # Which column of prompt tokens is its own.
    "watched",  # Not 0 where the timer is of those in service, too: in a batch with a timeout.
    "pair",  # First tier of the pair that it belongs to, -1 where it belongs to none.
    "first_call",
    "first_outage",
    "outages",
    "first_end",
    "first_replica",
    "first_seat",
    "first_step",
    "steps",
    # Kept: servers and who waits for them in a ring, from first to last.
    "free",  # Below 0 where more are in service than there are servers.
    "waiting",
    "first",
    "last",
    "timer",  # The row that the queue's TIMEOUT among the events is of, -1 where there is none.
    "oldest",  # Where those in service stand in the ring of a tier that is watched.
    # Kept of units that come and go: how many, and their time since the last arrival.
    "units",
    "rented_ns",  # Up to since_ns.
    "since_ns",
    "below_ns",  # Since when fewer are wanted, -1 where they are not.
    "wanted",  # The most that were wanted since then.
    "seat",  # Of who was done last.
    # Kept of calls: limits, breaker, budget; who waits, as 1 + a slot, 0 where nobody does.
    "requests_due_ns",
    "tokens_due_ns",
    "tripped",  # Not 0 when the breaker is open or half open.
    "open_until_ns",
    "through",  # Probes that were let through.
    "good",
    "seen",
    "bad",
    "spent",  # Millionths of the ten retries that the budget begins with, not yet earned again.
    "head",
    "tail",
)


def tiers_of(plan: Plan) -> Records:
    """Return the tiers (K,) of a plan, nothing kept yet."""
    count = len(plan.role)
    tiers = np.zeros(count, TIER)
    for name in PLAN:
        tiers[name] = getattr(plan, name)
    pair = np.where(plan.paired, np.arange(count) - 1, -1)
    pair[:-1] = np.where(plan.paired[1:], np.arange(count - 1), pair[:-1])
    tiers["pair"] = pair
    tiers["prompt"] = [prompts_of(plan).index(k) for k in _prompting(plan)]
    calls = no_calls(count) if plan.calls is None else plan.calls
    for name in CALLS:
        tiers[name] = getattr(calls, name)
    tiers["first_call"] = calls.first
    tiers["first_outage"], tiers["outages"] = calls.outage[:-1], np.diff(calls.outage)
    tiers["first_end"] = _firsts(calls.window)
    if plan.fleet is not None:
        for name in FLEET:
            tiers[name][plan.fleet.tier] = getattr(plan.fleet, name)
        tiers["first_replica"] = _firsts(tiers["replicas"])
        tiers["first_seat"] = tiers["seat"] = _firsts(tiers["replicas"] * tiers["slots"])
    tiers["watched"] = (tiers["step_ns"] > 0) & (tiers["timeout_ns"] < UNLIMITED)
    if plan.hours is not None:
        tiers["steps"] = np.bincount(plan.hours.tier, minlength=count)
        tiers["first_step"] = _firsts(tiers["steps"])
    return tiers


def prompts_of(plan: Plan) -> list[int]:
    """Return a tier for each column of prompt tokens: the first one that is sent so many."""
    return sorted(set(_prompting(plan)))


def _prompting(plan: Plan) -> list[int]:
    """Return for each tier the first one that is sent as many tokens of a prompt."""
    factors = [1.0] * len(plan.role)
    if plan.prompt_factor is not None:
        factors = plan.prompt_factor.tolist()
    return [factors.index(factor) for factor in factors]


def _firsts(counts: Int64s) -> Int64s:
    return np.cumsum(counts) - counts


def following_of(plan: Plan) -> Int64s:
    """Return (4 * (K + 1),) the first tier at or after k, or NONE_LEFT, NONE_LOCAL.

    For a request that may go anywhere, for one that must stay local, and for both after a visit
    to tier k - 1 that failed.
    """
    ks = range(len(plan.role) + 1)
    ways = [(failed, stays) for failed in (False, True) for stays in (False, True)]
    return np.array([_following(plan, k, s, f) for f, s in ways for k in ks], np.int64)


def _following(plan: Plan, k: int, stays: bool, failed: bool) -> int:
    fallback = [False] * len(plan.role) if plan.fallback is None else plan.fallback.tolist()
    there = tiers_there(fallback, k, failed=failed)
    mine = [tier for tier in there if plan.local[tier] or not stays]
    if mine:
        return mine[0]
    return NONE_LOCAL if there else NONE_LEFT
