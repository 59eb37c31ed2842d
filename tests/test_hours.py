"""People's opening hours: from the scenario to what they cost, how busy they are, who waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from analysis_cascades import by_hand, run, scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.stream import summarise_stream
from fallwise.analysis.summary import summarise
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario

WORKDAYS = ["mon", "tue", "wed", "thu", "fri"]
DAY = {"days": WORKDAYS, "from": "09:00", "to": "17:00"}
HOUR = 3600.0


def people(*hours: dict[str, Any], starts: str = "mon 00:00", **keys: Any) -> Scenario:
    usual = {"kind": "human", "agents": 2, "agent_usd_per_hour": 30.0}
    traffic = {"arrivals": {"kind": "poisson", "rate_rps": 0.002}, "starts": starts}
    return scenario([tier("desk", **usual, hours=list(hours), **keys)], traffic=traffic)


def test_hours_are_the_steps_of_a_week_from_its_start() -> None:
    evening = {"days": ["fri"], "from": "17:00", "to": "24:00", "agents": 1}
    desk = people(DAY, evening).tiers[0]
    assert desk.week("fri 16:00") == [(0, 2), (60, 1), (480, 0), (3900, 2)] + [
        (3900 + 480 + day * 1440 + at, c) for day in range(4) for at, c in ((0, 0), (960, 2))
    ]
    assert desk.servers_mean == pytest.approx((5 * 8 * 2 + 7) / 168)


@pytest.mark.parametrize(
    ("hours", "rule"),
    [
        ([DAY, {"days": ["fri"], "from": "16:59", "to": "18:00"}], r"overlaps hours\[0\] on fri"),
        ([{"days": ["mon", "mon"], "from": "09:00", "to": "10:00"}], "overlaps itself on mon"),
        ([{"days": ["mon"], "from": "17:00", "to": "09:00"}], "ends at 09:00, not after it begins"),
        ([{"days": ["mon"], "from": "09:00", "to": "09:00"}], "not after it begins"),
        ([{"days": ["noday"], "from": "09:00", "to": "10:00"}], "noday"),
        ([{"days": ["mon"], "from": "9:00", "to": "10:00"}], "9:00"),
        ([], "hours"),
    ],
)
def test_hours_that_make_no_week_are_refused(hours: list[dict[str, Any]], rule: str) -> None:
    with pytest.raises(ScenarioError, match=rule):
        people(*hours)


def test_hours_belong_to_people() -> None:
    with pytest.raises(ScenarioError, match="hours belongs to human tiers"):
        scenario([tier("big", hours=[DAY])])


def test_two_days_of_people_by_hand() -> None:
    # Monday 08:00, 10:00 and 18:00, Tuesday 12:00; an hour of work each.
    requests = by_hand([8 * HOUR, 10 * HOUR, 18 * HOUR, 36 * HOUR], [[HOUR]] * 4)
    summary = summarise(run(people(DAY), requests), baselines=False)
    desk = summary["tiers"][0]
    # Paid: two agents, 8 hours on Monday and 3 on Tuesday until noon; working: 3 hours until then.
    assert summary["cost_usd_mean"]["value"] == pytest.approx(2 * 11 * 30.0 / 4)
    assert desk["agents_mean"]["value"] == pytest.approx(22 / 36)
    assert desk["utilisation"]["value"] == pytest.approx(3 / 22)
    assert desk["wait_s_mean"]["value"] == pytest.approx((1 + 0 + 15 + 0) * HOUR / 4)
    assert any(
        "50 % of the 4 visits to desk came outside its hours" in x for x in summary["findings"]
    )


def test_the_stream_says_the_same_of_people() -> None:
    case = people(DAY, starts="wed 12:00")
    whole = summarise(predict(case, n=3000), baselines=False)
    parts = summarise_stream(case, n=3000, block=200, baselines=False)
    for name in ("cost_usd_mean", "cost_usd_per_month", "quality"):
        assert parts[name] is not None
    assert parts["tiers"][0]["agents_mean"]["value"] == pytest.approx(40 * 2 / 168, rel=0.05)
    assert parts["tiers"][0]["wait_s_mean"]["value"] == pytest.approx(
        whole["tiers"][0]["wait_s_mean"]["value"], rel=0.2
    )


def test_a_queue_grows_for_ever_when_only_the_nights_are_forgotten() -> None:
    # 0.6 erlangs on two people would be fine; on two people for 40 of 168 hours it is not.
    case = people(DAY, service={"kind": "fixed", "value_s": 300.0})
    findings = summarise(predict(case, n=4000), baselines=False)["findings"]
    assert any("queue grows for ever" in x and "0.476 servers on average" in x for x in findings)


def test_both_engines_agree_on_a_week_of_people() -> None:
    case = people(DAY, starts="sat 13:00")
    one, other = (predict(case, n=500, engine=e).outcomes for e in ("reference", "compiled"))
    assert one.difference(other) is None
    assert one.rented_ns is not None and np.count_nonzero(one.rented_ns)
