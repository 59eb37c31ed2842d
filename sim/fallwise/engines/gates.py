"""What stands before a call in the compiled engine: breaker, limits, retry budget; and outages.

docs/engine.md, 11 to 14; the state of all of it is in the tier's record.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Final

import numpy as np

from fallwise.engines.calls import FULL_BUDGET, MINUTE_NS, RETRY_COST
from fallwise.engines.jit import ONE, part
from fallwise.engines.units import UNLIMITED

__all__ = ["conforms", "credit", "lets_through", "may_retry", "pace", "slowed", "tell"]

THOUSAND: Final = np.int64(1000)


@part
def lets_through(tier, now):
    """Return True where the breaker lets an attempt through, and count it as a probe."""
    if tier.window == 0 or tier.tripped == 0:
        return True
    if now < tier.open_until_ns or tier.through >= tier.probes:
        return False
    tier.through += 1
    return True


@part
def tell(tier, ends, now, bad):
    """Tell the breaker, if there is one, how an attempt ended."""
    if tier.window == 0:
        return
    opens = bad > 0
    if tier.tripped == 0:
        at = tier.first_end + tier.seen % tier.window
        if tier.seen >= tier.window:
            tier.bad -= ends[at]
        ends[at] = bad
        tier.bad += bad
        tier.seen += 1
        opens = tier.seen >= tier.window and tier.bad >= tier.worst
    elif now < tier.open_until_ns:
        return
    else:
        tier.good += 1 - bad
        if tier.good >= tier.probes:
            tier.tripped = 0
    if opens:
        tier.tripped, tier.open_until_ns = 1, now + tier.open_ns
        tier.through = tier.good = tier.seen = tier.bad = 0


@part
def _cost_ns(amount, per_minute):
    # In two steps, which stay inside int64: amount * MINUTE_NS // per_minute.
    return amount // per_minute * MINUTE_NS + amount % per_minute * MINUTE_NS // per_minute


@part
def conforms(tier, tokens, now):
    """Return 0 and charge the call to its limits, or else how long until it would conform."""
    wait = np.int64(0)
    if tier.requests_per_minute < UNLIMITED:
        wait = max(wait, tier.requests_due_ns - now - tier.burst_ns)
    if tier.tokens_per_minute < UNLIMITED:
        wait = max(wait, tier.tokens_due_ns - now - tier.burst_ns)
    if wait == 0:
        if tier.requests_per_minute < UNLIMITED:
            cost_ns = _cost_ns(ONE, tier.requests_per_minute)
            tier.requests_due_ns = max(tier.requests_due_ns, now) + cost_ns
        if tier.tokens_per_minute < UNLIMITED:
            cost_ns = _cost_ns(tokens, tier.tokens_per_minute)
            tier.tokens_due_ns = max(tier.tokens_due_ns, now) + cost_ns
    return wait


@part
def credit(tier):
    """Let the budget grow by a visit."""
    if tier.budget < UNLIMITED:
        tier.spent = max(0, tier.spent - tier.budget)


@part
def may_retry(tier):
    """Return True where the budget has a retry left, and take it."""
    if tier.budget < UNLIMITED:
        if tier.spent + RETRY_COST > FULL_BUDGET:
            return False
        tier.spent += RETRY_COST
    return True


@part
def pace(tier, outages, now):
    """Return how many thousandths of their time calls take that start now; 0: all of them fail."""
    found = THOUSAND
    for j in range(tier.first_outage, tier.first_outage + tier.outages):
        since = now - outages[j].from_ns
        if since >= 0 and since % outages[j].every_ns < outages[j].to_ns - outages[j].from_ns:
            if outages[j].slow == 0:
                return outages[j].slow
            found = max(found, outages[j].slow)
    return found


@part
def slowed(lasts_ns, pace):
    """Return how long a call takes that would take lasts_ns; one that fails now is not slowed."""
    if pace == 0 or pace == THOUSAND:
        return lasts_ns
    # In two steps, which stay inside int64.
    return lasts_ns // THOUSAND * pace + lasts_ns % THOUSAND * pace // THOUSAND
