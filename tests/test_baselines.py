"""One tier alone: who is served, what is left out, what is paid."""

from __future__ import annotations

import numpy as np
from analysis_cascades import by_hand, run, scenario, tier
from fallwise.analysis.baselines import alone
from fallwise.tables import ANSWERED, REFUSED, SHED, TIMED_OUT, OutcomeTable


def test_the_frontier_alone_by_hand() -> None:
    verifier = {"catch_rate": 1, "false_alarm_rate": 0, "usd_per_request": 9.0}
    cache = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.5}
    case = scenario(
        [
            {**cache, "filled_by": ["big"], "usd_per_request": 5.0, "local": True},
            tier("small", threshold=0.5, usd_per_request=1.0, local=True),
            tier("big", usd_per_request=2.0, verifier=verifier, timeout_s=4.0, concurrency=1)
            | {"queue_limit": 1},
            tier("people", kind="human", agents=2),
        ],
        router={"auroc": 0.6, "about": "big", "cuts": [0.5], "starts": ["small", "big"]}
        | {"usd_per_request": 7.0},
    )
    requests = by_hand(
        [0, 10, 20, 30, 31, 32],
        [[0.5, 1, 3, 60], [0.5, 1, 3, 60], [0.5, 1, 9, 60], *[[0.5, 1, 3, 60]] * 3],
        key=[1, 1, 2, 3, 4, 5],
        local=[False, True, False, False, False, False],
        passes=[[True, True, False, True]] * 6,
        router_score=[0.0] * 6,
    )
    outcomes = alone(run(case, requests), case.frontier).outcomes
    # Served; local, but the frontier is not; too slow; then one served, one that waits for 2 s
    # and would be done after 5, and one that finds the queue full. Nobody goes on to people.
    ends = [ANSWERED, REFUSED, TIMED_OUT, ANSWERED, TIMED_OUT, SHED]
    assert outcomes.status.tolist() == ends
    assert outcomes.sojourn_s.tolist() == [3, 0, 4, 3, 4, 0]
    assert outcomes.cost_usd is not None
    assert outcomes.cost_usd.tolist() == [2, 0, 2, 2, 2, 0]
    assert (outcomes.visit[:, [0, 1, 3]] == 0).all()


def test_the_cheapest_tier_alone_ships_everything() -> None:
    case = scenario([tier("a", threshold=0.9), tier("b", agree_with="a"), tier("c")])
    requests = by_hand([0, 5], [[1, 1, 1]] * 2, score=[[0.1, 1, 1], [0.95, 1, 1]])
    outcomes = alone(run(case, requests), case.cheapest).outcomes
    assert outcomes.hit_tier.tolist() == [0, 0]
    assert (outcomes.visit[:, 1:] == 0).all()


def test_a_tier_alone_keeps_its_own_fallbacks_and_goes_no_further() -> None:
    def outcomes(cheapest: bool) -> OutcomeTable:
        case = scenario(
            [
                tier("small", error_rate=0.5),
                tier("spare", fallback=True, timeout_s=2.0),
                tier("big", error_rate=0.5, usd_per_request=1.0),
                tier("other", fallback=True, usd_per_request=2.0, timeout_s=2.0, threshold=0.5),
                tier("people", kind="human", agents=2),
            ]
        )
        requests = by_hand(
            [0, 10, 20],
            [[1, 1, 1, 1, 60], [1, 1, 1, 1, 60], [1, 1, 1, 9, 60]],
            call_ns=np.full((3, 2), 1_000_000_000),
            call_fails=[[False, False], [False, True], [True, True]],
            score=[[0.0] * 5] * 3,
        )
        return alone(run(case, requests), case.cheapest if cheapest else case.frontier).outcomes

    big = outcomes(cheapest=False)
    assert big.status.tolist() == [ANSWERED, ANSWERED, TIMED_OUT]
    assert big.hit_tier.tolist() == [2, 3, -1]
    assert big.sojourn_s.tolist() == [1, 2, 3]
    assert big.cost_usd is not None and big.cost_usd.tolist() == [1, 2, 2]
    small = outcomes(cheapest=True)
    assert small.hit_tier.tolist() == [0, 0, 1]
    assert (small.visit[:, 2:] == 0).all()
