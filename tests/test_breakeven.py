import math
from typing import Any

import numpy as np
import pytest
from fallwise.analysis.money import SECONDS_PER_MONTH
from fallwise.analysis.predict import predict
from fallwise.planning.breakeven import Rent, Side, breakeven, pays_from
from fallwise.scenario import Scenario, override, parse


def cascade(**small: Any) -> Scenario:
    return parse(
        {
            "name": "pays",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 2}},
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "small",
                    "kind": "api",
                    "service": {"kind": "fixed", "value_s": 0.5},
                    "answers": {"accuracy": 0.7, "auroc": 0.8},
                    "threshold": 0.7,
                    "usd_per_request": 0.001,
                }
                | small,
                {
                    "name": "big",
                    "kind": "api",
                    "service": {"kind": "fixed", "value_s": 1},
                    "answers": {"accuracy": 0.9},
                    "usd_per_request": 0.01,
                },
            ],
            "money": {"upkeep_usd_per_month": 3000},
            "run": {"requests": 20_000, "warmup": 0},
        }
    )


def test_without_rent_the_saving_pays_the_upkeep_at_upkeep_over_saving() -> None:
    found = breakeven(predict(cascade(), engine="reference"))
    # The closed form: every request pays the small call, the kept ones save a big one.
    saving = 0.01 * found["kept_share"]["simulated"] - 0.001
    assert found["requests_per_month"]["value"] == pytest.approx(3000 / saving)
    assert found["call_saving_usd"]["value"] == pytest.approx(saving)
    assert found["kept_share"]["needed"] == pytest.approx(0.1)
    ends = found["requests_per_month"]
    assert ends["low"] < ends["value"] < ends["high"]


def test_the_curves_cross_where_it_says() -> None:
    found = breakeven(predict(cascade(), engine="reference"))
    for point in found["monthly"]:
        pays = point["cascade_usd"] <= point["frontier_only_usd"]
        assert pays == (point["requests_per_month"] >= found["requests_per_month"]["value"])


def test_a_cascade_whose_calls_cost_more_never_pays_and_says_why() -> None:
    dear = override(cascade(), {"tiers.small.usd_per_request": 0.009})
    found = breakeven(predict(dear, engine="reference"))
    assert found["requests_per_month"] is None
    assert "more volume loses more" in found["why"]


def test_rent_that_eats_the_saving_never_pays_and_names_the_tier() -> None:
    rented = cascade(kind="pool", replica_usd_per_hour=200, usd_per_request=0)
    found = breakeven(predict(rented, engine="reference"))
    assert found["requests_per_month"] is None
    assert "small" in found["why"]


def test_rented_replicas_come_whole() -> None:
    rented = cascade(kind="pool", replica_usd_per_hour=1, usd_per_request=0)
    found = breakeven(predict(rented, engine="reference"), utilisation=0.7)
    # 0.5 s a request: one replica does 0.7 / 0.5 = 1.4 requests a second at 70 %.
    each = 1.4 * SECONDS_PER_MONTH
    hour = SECONDS_PER_MONTH / 3600
    for point in found["monthly"]:
        volume = point["requests_per_month"]
        calls = 0.01 * (1 - found["kept_share"]["simulated"]) * volume
        replicas = max(1, math.ceil(volume / each))
        assert point["cascade_usd"] == pytest.approx(calls + 3000 + replicas * hour)


def test_the_last_crossing_counts_when_steps_make_several() -> None:
    theirs = Side(1.0, 0.0, ())
    ours = Side(0.0, 10.0, (Rent("pool", 50.0, 60.0),))
    found = pays_from(ours, theirs, 0.0)
    assert found is not None
    volume = np.linspace(0.01, 2000, 400_001)
    losing = volume[ours.monthly_usd(volume) > theirs.monthly_usd(volume) + 1e-9]
    assert losing.max() == pytest.approx(found, abs=0.02)
    early = volume[volume < losing.max()]
    assert (ours.monthly_usd(early) < theirs.monthly_usd(early)).any(), "no earlier crossing"
