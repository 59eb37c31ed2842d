import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fallwise.analysis.baselines import alone
from fallwise.analysis.money import SECONDS_PER_MONTH
from fallwise.analysis.predict import predict
from fallwise.planning.breakeven import breakeven
from fallwise.scenario import Scenario, override, parse


def cascade(big: dict[str, Any] | None = None, **small: Any) -> Scenario:
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
                }
                | (big or {}),
            ],
            "money": {"upkeep_usd_per_month": 3000},
            "run": {"requests": 20_000, "warmup": 0},
        }
    )


def found_for(scenario: Scenario, utilisation: float = 0.7) -> dict[str, Any]:
    return breakeven(predict(scenario), utilisation)


def test_without_rent_the_saving_pays_the_upkeep_at_upkeep_over_saving() -> None:
    found = found_for(cascade())
    # The closed form: every request pays the small call, the kept ones save a big one.
    saving = 0.01 * found["kept_share"]["simulated"]["value"] - 0.001
    assert found["requests_per_month"]["value"] == pytest.approx(3000 / saving)
    assert found["call_saving_usd"]["value"] == pytest.approx(saving)
    assert found["kept_share"]["needed"]["value"] == pytest.approx(0.1)
    assert found["pays_in"] == [{"from": pytest.approx(3000 / saving), "to": None}]


def test_the_interval_is_that_of_the_kept_share_put_into_the_closed_form() -> None:
    found = found_for(cascade())
    kept = found["kept_share"]["simulated"]
    # An independent formula for the share's interval: binomial, since requests are independent.
    half = 1.96 * math.sqrt(kept["value"] * (1 - kept["value"]) / 20_000)
    assert (kept["high"] - kept["low"]) / 2 == pytest.approx(half, rel=0.6)
    ends = found["requests_per_month"]
    assert ends["low"] == pytest.approx(3000 / (0.01 * kept["high"] - 0.001), rel=0.003)
    assert ends["high"] == pytest.approx(3000 / (0.01 * kept["low"] - 0.001), rel=0.003)


def test_the_curves_cross_where_it_says() -> None:
    found = found_for(cascade())
    for point in found["monthly"]:
        pays = point["cascade_usd"] <= point["frontier_only_usd"]
        assert pays == (point["requests_per_month"] >= found["requests_per_month"]["value"])


def test_a_cascade_whose_calls_cost_more_never_pays_and_says_why() -> None:
    found = found_for(override(cascade(), {"tiers.small.usd_per_request": 0.009}))
    assert found["requests_per_month"] is None
    assert found["pays_in"] == []
    assert "more volume loses more" in found["why"]
    assert found["kept_share"]["needed"]["value"] > found["kept_share"]["simulated"]["value"]


def test_a_single_tier_is_no_cascade() -> None:
    one = cascade()
    alone = one.model_copy(update={"tiers": [one.tiers[1]]})
    assert "only tier" in found_for(alone)["why"]


def test_rent_that_eats_the_saving_never_pays_and_names_the_tier() -> None:
    found = found_for(cascade(kind="pool", replica_usd_per_hour=200, usd_per_request=0))
    assert found["requests_per_month"] is None
    assert "small" in found["why"]


def test_rented_replicas_come_whole_and_their_rent_is_in_the_needed_share() -> None:
    found = found_for(cascade(kind="pool", replica_usd_per_hour=1, usd_per_request=0))
    # 0.5 s a request: one replica does 0.7 / 0.5 = 1.4 requests a second at 70 %.
    each = 1.4 * SECONDS_PER_MONTH
    hour = SECONDS_PER_MONTH / 3600
    kept = found["kept_share"]
    for point in found["monthly"]:
        volume = point["requests_per_month"]
        calls = 0.01 * (1 - kept["simulated"]["value"]) * volume
        replicas = max(1, math.ceil(volume / each))
        assert point["cascade_usd"] == pytest.approx(calls + 3000 + replicas * hour)
    assert kept["needed"]["value"] == pytest.approx(hour / each / 0.01)


def test_capacity_is_scaled_by_the_work_that_comes_not_by_what_a_queue_let_through() -> None:
    # One replica for 2 requests a second of 0.5 s: full, so that a timeout throws half away.
    rented: dict[str, Any] = dict(kind="pool", replica_usd_per_hour=1, usd_per_request=0)
    tight = cascade(timeout_s=0.6, **rented)
    wide = cascade(timeout_s=0.6, replicas=50, **rented)
    assert found_for(tight)["sides"] == found_for(wide)["sides"]


def test_a_person_is_paid_by_the_hour_and_works_so_many_requests_in_it() -> None:
    person = {
        "name": "people",
        "kind": "human",
        "agents": 3,
        "agent_usd_per_hour": 36,
        "service": {"kind": "fixed", "value_s": 20},
        "answers": {"accuracy": 1},
    }
    data = cascade().model_dump(exclude_unset=True)
    data["tiers"][1] |= {"threshold": 0.8, "answers": {"accuracy": 0.9, "auroc": 0.8}}
    data["tiers"].append(person)
    found = found_for(parse(data), utilisation=0.5)
    (rented,) = found["sides"]["cascade"]["rented"]
    assert rented["usd_per_month"] == pytest.approx(36 * SECONDS_PER_MONTH / 3600)
    asked = np.mean(predict(parse(data)).outcomes.visit[:, 2] != 0)
    assert rented["requests_per_month"] == pytest.approx(SECONDS_PER_MONTH * 0.5 / 20 / asked)


def test_who_works_a_quarter_of_the_week_is_paid_for_it_and_does_a_quarter_of_the_work() -> None:
    def people(**hours: Any) -> Any:
        person = {"name": "people", "kind": "human", "agents": 3, "agent_usd_per_hour": 36}
        person |= {"service": {"kind": "fixed", "value_s": 20}, "answers": {"accuracy": 1}}
        data = cascade().model_dump(exclude_unset=True)
        data["tiers"][1] |= {"threshold": 0.8, "answers": {"accuracy": 0.9, "auroc": 0.8}}
        data["tiers"].append(person | hours)
        return found_for(parse(data))["sides"]["cascade"]["rented"][0]

    always = people()
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    shift = people(hours=[{"days": week, "from": "09:00", "to": "15:00"}])
    for name in ("usd_per_month", "requests_per_month"):
        assert shift[name] == pytest.approx(always[name] / 4)


def test_a_replica_that_is_down_is_paid_for_and_does_no_work() -> None:
    pool: dict[str, Any] = dict(kind="pool", replica_usd_per_hour=1, usd_per_request=0)
    failures = {"mean_between_s": 3000, "mean_repair_s": 1000}
    never = found_for(cascade(**pool))["sides"]["cascade"]["rented"][0]
    fails = found_for(cascade(failures=failures, **pool))["sides"]["cascade"]["rented"][0]
    assert fails["usd_per_month"] == never["usd_per_month"]
    # A call that is cut off by a failure is made again nowhere: its work came in all the same.
    share = fails["requests_per_month"] / never["requests_per_month"]
    assert share == pytest.approx(0.75, rel=0.01)


def test_an_autoscaled_pool_is_paid_for_as_runs_at_less_and_more_traffic_rented_it() -> None:
    # 2 requests a second of 0.5 s, all of them the frontier's: 1 server's worth of work.
    scale = {"min_replicas": 2, "max_replicas": 20, "target_utilisation": 0.5, "interval_s": 1.0}
    scale |= {"cold_start_s": 0.0, "scale_down_after_s": 0.0}
    big = {"kind": "pool", "replica_usd_per_hour": 3600, "usd_per_request": 0}
    big |= {"service": {"kind": "fixed", "value_s": 0.5}, "autoscale": scale}
    case = override(cascade(big), {"run.requests": 40_000})
    (theirs,) = breakeven(predict(case))["sides"]["frontier_only"]["rented"]
    (least, quarter, own, four) = theirs["follows"]
    assert least == [0.0, 2.0]
    # Looked at every second: twice as many replicas as were in service, and at least two.
    for (work, units), traffic in ((quarter, 0.25), (own, 1.0), (four, 4.0)):
        seen = predict(override(case, {"traffic.arrivals.rate_rps": 2 * traffic}))
        run = alone(seen, 1).outcomes
        assert run.rented_ns is not None
        assert work == pytest.approx(traffic, rel=0.03)
        assert units == pytest.approx(run.rented_ns[:, 1].sum() / run.arrival_ns[-1], rel=0.03)
    # Four servers' worth of work, twice as many replicas, and those that finish what they have:
    # eight and some more, of at most twenty.
    assert 8.0 <= four[1] <= 9.0
    # A unit's worth of work is what keeps it busy all the time.
    assert theirs["requests_per_month"] == pytest.approx(2 * SECONDS_PER_MONTH, rel=0.01)


def test_a_cache_is_one_rented_server_at_any_volume() -> None:
    data = cascade().model_dump(exclude_unset=True)
    cache = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.01}
    data["tiers"].insert(0, cache | {"filled_by": ["big"], "replica_usd_per_hour": 2})
    found, bare = found_for(parse(data)), found_for(cascade())
    hour = SECONDS_PER_MONTH / 3600
    saving = bare["call_saving_usd"]["value"]
    # Nothing is asked twice: the cache costs its rent and gives nothing.
    assert found["requests_per_month"]["value"] == pytest.approx((3000 + 2 * hour) / saving)


def test_it_pays_in_a_range_only_where_whole_frontier_replicas_are_spared() -> None:
    # One replica of the frontier is rented by both; the first that is spared pays at once.
    big = {"kind": "pool", "replica_usd_per_hour": 40, "usd_per_request": 0}
    found = found_for(override(cascade(big), {"money.upkeep_usd_per_month": 0.0}))
    assert found["requests_per_month"]["value"] == pytest.approx(0.7 * SECONDS_PER_MONTH)
    # By its calls the cascade loses; it pays where it needs one dear replica less.
    dear = override(cascade(big), {"tiers.small.usd_per_request": 0.0125})
    found = found_for(dear)
    assert found["requests_per_month"] is None
    assert found["pays_in"]
    assert "between" in found["why"]
    assert found["why"].count("small") == 0


def test_wrong_answers_at_their_stakes_can_make_it_pay() -> None:
    data = cascade(usd_per_request=0.02).model_dump(exclude_unset=True)
    data["traffic"]["segments"] = [{"wrong_answer_usd": 5.0}]
    data["tiers"][0] |= {"answers": {"accuracy": 0.99, "auroc": 0.8}}
    found = found_for(parse(data))
    assert found["requests_per_month"] is None
    counted = found["with_wrong_answers"]
    gain = found["quality"]["value"] - found["quality_frontier_only"]["value"]
    saving = found["call_saving_usd"]["value"] + 5 * gain
    assert counted["requests_per_month"]["value"] == pytest.approx(3000 / saving)
    assert found_for(cascade())["with_wrong_answers"] is None


def test_the_interval_covers_what_a_long_run_says() -> None:
    # 25 runs of 2,000 requests; at 95 % fewer than 18 hits come less than once in 10,000.
    short = override(cascade(), {"run.requests": 2000, "run.replications": 1})
    whole = predict(override(cascade(), {"run.requests": 200_000}))
    truth = breakeven(whole)["requests_per_month"]["value"]
    hits = 0
    for seed in range(25):
        ends = breakeven(predict(short, seed=seed))["requests_per_month"]
        hits += ends["low"] <= truth <= (math.inf if ends["high"] is None else ends["high"])
    assert hits >= 18


def test_replications_make_the_interval_narrower() -> None:
    one = predict(cascade())
    many = [replace(predict(cascade(), seed=s), further=()) for s in range(1, 9)]
    both = [breakeven(p) for p in (one, replace(many[0], further=tuple(many[1:])))]
    widths = [b["requests_per_month"]["high"] - b["requests_per_month"]["low"] for b in both]
    assert widths[1] < widths[0]
