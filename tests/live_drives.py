"""What a client sees of a deployment of which everything is known."""

from __future__ import annotations

import numpy as np
from fallwise.analysis.live import Drive
from fallwise.analysis.predict import Prediction
from fallwise.cli.drives import Target
from fallwise.scenario import Scenario
from fallwise.tables import CALL_COUNTS, CALL_TIMES, STATUSES, VISITS

__all__ = ["said_of", "target_of"]


def target_of(case: Scenario, each: int, loaded: int, *, profiled: bool = True) -> Target:
    """What a check of two tiers, small and big, asks for."""
    return Target(
        scenario=case,
        alone={0: "small", 1: "big"} if each else {},
        deployment=None,
        prompts=None,
        each=each,
        loaded=loaded,
        drives=1,
        time=0.05,
        profiled=profiled,
        max_usd=None,
    )


def said_of(prediction: Prediction) -> Drive:
    """What a client sees of a deployment that does just this, 2 ms away each way."""
    names = [t.name for t in prediction.scenario.tiers]
    o, t0, way = prediction.outcomes, 10**18, 2_000_000
    headers = []
    for i in range(len(o)):
        at = int(o.arrival_ns[i])
        order = np.flatnonzero(o.visit[i])
        stamps = [
            ":".join(
                [names[k], VISITS[o.visit[i, k]]]
                + [str(int(x[i, k]) - at) for x in (o.enter_ns, o.start_ns, o.finish_ns)]
                + [str(int(o.busy_ns[i, k]))]
            )
            for k in order
        ]
        assert o.cost_usd is not None
        found = {
            "status": STATUSES[o.status[i]],
            "tier": names[o.hit_tier[i]],
            "answer-tier": names[o.answer_tier[i]],
            "answer-of": str(int(o.answer_of[i])),
            "cost-usd": repr(float(o.cost_usd[i])),
            "visits": ";".join(stamps),
            # Another machine's clock, an hour fast.
            "received": str(t0 + at + way + 3600 * 10**9),
            "ended": str(t0 + int(o.end_ns[i]) + way + 3600 * 10**9),
        }
        if o.attempts is not None:
            columns = [getattr(o, name) for name in CALL_COUNTS + CALL_TIMES]
            found["calls"] = ";".join(
                ":".join([names[k], *(str(int(column[i, k])) for column in columns)])
                for k in order
                if o.attempts[i, k]
            )
        headers.append({f"x-fallwise-{name}": value for name, value in found.items()})
    facts = {"t0_ns": t0, "in_flight_max": 9, "pool": 4096, "cpu_share_max": 0.1}
    sent = o.arrival_ns + t0
    status = np.full(len(o), 200)
    end = o.end_ns + t0 + 2 * way
    return Drive(np.arange(len(o)), sent, sent, end, end, status, headers, facts)
