import math
from typing import Any

import pytest
from fallwise.errors import ScenarioError
from fallwise.planning.size import size
from fallwise.scenario import Scenario, override, parse


def station(**changes: Any) -> Scenario:
    base = parse(
        {
            "name": "station",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 8}},
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "pool",
                    "kind": "pool",
                    "replicas": 1,
                    "service": {"kind": "exponential", "mean_s": 1},
                    "answers": {"accuracy": 1},
                    "replica_usd_per_hour": 1,
                }
            ],
            "targets": [{"measure": "sojourn_s_p95", "at_most": 3.5}],
            "run": {"requests": 40_000},
        }
    )
    return override(base, changes)


def beyond(time_s: float, load: float, servers: int) -> float:
    """P(sojourn > t) in M/M/c with mean service 1 (Gross et al., Fundamentals, section 2.3)."""
    inverse = sum(
        load ** (j - servers) * math.factorial(servers) / math.factorial(j) for j in range(servers)
    )
    waits = 1 / (1 + (1 - load / servers) * inverse)
    rate = servers - load
    if abs(rate - 1) < 1e-9:
        return math.exp(-time_s) * (1 + waits * time_s)
    tail = math.exp(-time_s)
    return tail + waits * (math.exp(-rate * time_s) - tail) / (1 - rate) * -1 * -1


def fewest(limit_s: float, load: float) -> int:
    return next(c for c in range(int(load) + 1, 100) if beyond(limit_s, load, c) <= 0.05)


def test_the_pick_is_what_erlang_c_says_or_one_more() -> None:
    found = size(station())
    least = fewest(3.5, 8.0)
    # The worse end of the interval has to hold, so one more may be needed than on average.
    assert least <= found["pick"]["pool"] <= least + 1
    assert found["targets"][0]["met"]
    rent = found["pick"]["pool"] * 2_629_800 / 3600
    assert found["cost_usd_per_month"]["value"] == pytest.approx(rent, rel=0.01)


def test_one_server_less_than_the_pick_had_been_tried_and_did_not_hold() -> None:
    found = size(station())
    tried = {row["units"]["pool"]: row["holds"] for row in found["tried"]}
    assert any(not holds for holds in tried.values())
    assert all(
        not holds
        for units, holds in tried.items()
        if units < min(units for units, holds in tried.items() if holds)
    )


def test_more_traffic_needs_more_servers_and_headroom_says_how_far_the_pick_goes() -> None:
    now, later = size(station()), size(station(), traffic=2.0)
    assert later["pick"]["pool"] > now["pick"]["pool"]
    assert 1.0 <= now["headroom"]["traffic_factor"] < 2.0
    assert "sojourn_s_p95" in now["headroom"]["breaks"][0]
    assert now["headroom"]["busiest"] == "pool"


def test_a_target_that_servers_cannot_help_has_no_plan_and_says_why() -> None:
    found = size(station(**{"targets": [{"measure": "sojourn_s_p95", "at_most": 2.0}]}))
    assert found["pick"] is None
    assert "even with servers for everybody" in found["why"]


def test_a_scenario_without_targets_is_refused() -> None:
    with pytest.raises(ScenarioError, match="no targets"):
        size(station(targets=[]))
