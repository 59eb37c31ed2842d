"""All decisions of a scenario about all requests, at once."""

from __future__ import annotations

import numpy as np

from fallwise.policies.agreement import agrees
from fallwise.policies.router import starts_at
from fallwise.policies.threshold import accepts
from fallwise.policies.verifier import passes
from fallwise.scenario import Scenario
from fallwise.tables import Decisions, RequestTable

__all__ = ["decide"]


def decide(scenario: Scenario, requests: RequestTable) -> Decisions:
    """Return where each request starts, and which tiers' answers would be accepted."""
    shape = requests.score.shape
    accept = np.ones(shape, np.bool_, order="F")
    verify = np.zeros(shape, np.bool_, order="F")
    for k, tier in enumerate(scenario.tiers):
        if tier.threshold is not None:
            accept[:, k] = accepts(requests.score[:, k], tier.threshold)
        if tier.verifier is not None:
            verify[:, k] = accept[:, k]
            accept[:, k] = passes(accept[:, k], requests.passes[:, k])
        if tier.agree_with is not None:
            both = agrees(requests.answer[:, k - 1], requests.answer[:, k])
            accept[:, k - 1] = accept[:, k] = both & accept[:, k - 1] & accept[:, k]
    start = np.full(shape[0], scenario.cheapest, np.int8)
    if scenario.router is not None and requests.router_score is not None:
        tiers = np.array([scenario.index(name) for name in scenario.router.starts], np.int8)
        start = starts_at(requests.router_score, scenario.router.cuts, tiers)
    return Decisions(start, accept, verify)
