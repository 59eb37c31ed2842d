"""The search over several values against full grids, and against one threshold's exact curve."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.draw import draw, stream
from fallwise.planning.halves import whole
from fallwise.planning.knobs import knobs_of, own, said, turned
from fallwise.planning.pick import Goal, candidates, listed
from fallwise.planning.rent import flat
from fallwise.planning.runs import crew
from fallwise.planning.search import Weighed, frontier_of
from fallwise.planning.tune import tune
from fallwise.scenario import Scenario
from test_tune import forks


def three(**changes: Any) -> Scenario:
    skills = (0.65, 0.85), (0.8, 0.85), (0.92, 0.5)
    tiers = [
        tier(
            name,
            usd_per_request=usd,
            threshold=None if name == "big" else 0.7,
            answers={"accuracy": skill[0], "auroc": skill[1], "loading": 0.6},
        )
        for name, usd, skill in zip(
            ("small", "middle", "big"), (0.1, 0.4, 2.0), skills, strict=True
        )
    ]
    for name, more in changes.items():
        next(one for one in tiers if one["name"] == name).update(more)
    return scenario(tiers, run={"requests": 2000, "seed": 3})


@pytest.mark.parametrize("goal", [Goal(margin=0.02), Goal(quality=0.88), Goal(usd=0.9)])
def test_a_pick_of_two_thresholds_is_as_good_as_the_best_of_a_full_grid(goal: Goal) -> None:
    case = three()
    found = tune(case, goal, trials=300)
    requests = whole(case, 3).requests  # the tuning half of synthetic answers
    score, right = requests.score, requests.correct.astype(float)
    alone = right[:, 2].mean()
    steps = [
        *np.quantile(score[:, :2], np.arange(60) / 60, axis=0, method="higher"),
        [math.inf] * 2,
    ]
    grid = []
    for s, t in product(*np.array(steps).T):
        on = score[:, 0] < s
        far = on & (score[:, 1] < t)
        quality = np.where(far, right[:, 2], np.where(on, right[:, 1], right[:, 0])).mean()
        usd = 0.1 + 0.4 * on.mean() + 2.0 * far.mean()
        if goal.holds(quality, usd, alone):
            grid.append((usd, quality))
    assert len(grid) > 10
    if goal.usd is not None:
        assert found["tuned"]["quality"] >= max(q for _, q in grid) - 0.003
    else:
        assert found["tuned"]["cost_usd_mean"] <= min(usd for usd, _ in grid) * 1.01
    pick = found["pick"]
    assert pick["policy"] == "cascade" and set(pick["thresholds"]) <= {"small", "middle"}
    assert found["labels"]["tuned_on"] == 2000


def test_the_same_seed_finds_the_same() -> None:
    one, same = (tune(three(), Goal(margin=0.02), trials=120) for _ in range(2))
    assert one == same


def test_nothing_on_the_frontier_is_beaten_and_nothing_off_it_is_unbeaten() -> None:
    chance = stream(1, "frontier")
    trials = [Weighed((float(i),), *chance.integers(0, 6, 4).tolist()) for i in range(300)]
    kept = {trial.setting for trial in frontier_of(trials, most=300)}

    def beats(a: Weighed, b: Weighed) -> bool:
        x, y = ((t[1], -t[2], t[3], t[4]) for t in (a, b))
        return x != y and all(p <= q for p, q in zip(x, y, strict=True))

    for trial in trials:
        beaten = any(beats(other, trial) for other in trials)
        # By cost and quality alone more may be unbeaten only where all four are equal there.
        assert (trial.setting in kept) or beaten
        if beaten and trial.setting in kept:
            assert not any(
                beats(
                    a._replace(sojourn_s_p95=0, wrong_but_sure=0),
                    trial._replace(sojourn_s_p95=0, wrong_but_sure=0),
                )
                for a in trials
            )


def test_a_verifier_is_turned_off_where_it_only_costs_and_on_where_it_helps() -> None:
    def with_it(verifier: dict[str, float]) -> Scenario:
        tiers = [one.model_dump(exclude_unset=True) for one in three().tiers[::2]]
        return scenario([tiers[0] | {"verifier": verifier}, tiers[1]], run={"requests": 2000})

    useless = {"catch_rate": 0.5, "false_alarm_rate": 0.5, "usd_per_request": 0.5}
    found = tune(with_it(useless), Goal(margin=0.02), trials=150)
    assert found["pick"]["verifiers"] == {"small": False}
    perfect = {"catch_rate": 1.0, "false_alarm_rate": 0.0, "usd_per_request": 0.01}
    found = tune(with_it(perfect), Goal(margin=0.0), trials=150)
    assert found["pick"]["verifiers"] == {"small": True}
    assert found["pick"]["cost_usd_mean"]["value"] < 0.1 + 0.01 + 0.4 * 2.0


def test_frontier_only_is_picked_where_it_is_cheaper_than_every_cascade_that_is_as_good() -> None:
    dear = {"usd_per_request": 1.9}
    found = tune(three(small=dear, middle=dear), Goal(margin=0.0), trials=60)
    assert found["pick"]["policy"] == "frontier_only" and found["pick"]["thresholds"] is None


def test_a_list_of_thresholds_is_judged_as_their_curve_is() -> None:
    fork, frontier = forks(150, 4)
    weight = 0.5 + stream(4, "weight").random(150)
    for goal in (Goal(quality=0.7), Goal(margin=0.02), Goal(usd=0.6)):
        curve = candidates(goal, fork, frontier, np.arange(150), weight, flat(0.05))
        kept = [~fork.asked | (fork.score >= t) for t in curve.threshold[:-1]]
        quality, cost = (
            np.array([np.where(k, *pair) for k in kept]) for pair in (fork.correct, fork.cost_usd)
        )
        one = listed(goal, (quality, cost + 0.05), frontier, np.arange(150), weight)
        for name in ("cost_usd_mean", "quality", "room", "safe"):
            assert getattr(one, name) == pytest.approx(getattr(curve, name), abs=1e-9), name


def test_knobs_are_a_routers_cuts_too_and_settings_are_put_in_and_written_down() -> None:
    case = three()
    router = {
        "auroc": 0.8,
        "about": "small",
        "cuts": [0.3, 0.6],
        "starts": ["big", "middle", "small"],
    }
    case = scenario(
        [one.model_dump(exclude_unset=True) for one in case.tiers],
        router=router,
        run={"requests": 500},
    )
    requests = draw(case)
    knobs = knobs_of(case, requests)
    assert [knob.key for knob in knobs] == [
        "tiers.small.threshold",
        "tiers.middle.threshold",
        "router.cuts[0]",
        "router.cuts[1]",
    ]
    assert own(case, knobs) == (0.7, 0.7, 0.3, 0.6)
    changed, same = turned(case, requests, knobs, (0.1, math.inf, 0.9, 0.2))
    assert changed.router is not None and changed.router.cuts == [0.2, 0.9]
    assert changed.tiers[1].threshold == math.inf and case.tiers[1].threshold == 0.7
    assert same is requests
    assert said(knobs, (0.1, math.inf, 0.9, 0.2)) == {
        "left_out": [],
        "thresholds": {"small": 0.1, "middle": None},
        "verifiers": {},
        "cuts": [0.2, 0.9],
    }
    for share in (0.0, 0.25, 0.999, 1.0):
        assert knobs[0].share(knobs[0].value(share)) == pytest.approx(share, abs=1 / 500)
    found = tune(case, Goal(margin=0.03), trials=80)
    assert len(found["pick"]["cuts"]) == 2


def test_a_tier_that_is_not_worth_its_price_is_left_out() -> None:
    case = three(middle={"usd_per_request": 1.9, "answers": {"accuracy": 0.6}})
    found = tune(case, Goal(margin=0.02), trials=200)
    assert found["pick"]["left_out"] == ["middle"]
    assert set(found["pick"]["thresholds"]) == {"small"}
    # What is left is a pair, whose exact curve tells what it costs at best.
    pair = [one.model_dump(exclude_unset=True) for one in (case.tiers[0], case.tiers[2])]
    exact = tune(scenario(pair, run={"requests": 2000, "seed": 3}), Goal(margin=0.02))
    assert found["tuned"] == pytest.approx(exact["tuned"])
    assert found["pick"]["quality"] == pytest.approx(exact["pick"]["quality"], abs=0.003)


def test_tables_without_a_tier_keep_the_columns_of_the_others() -> None:
    requests = draw(three())
    less = requests.without([1])
    assert less.tiers == 2 and len(less) == len(requests)
    assert (less.score == requests.score[:, [0, 2]]).all()
    assert less.check() is less


def test_a_search_finds_the_same_whoever_runs_it_and_goes_on_where_it_was(tmp_path: Path) -> None:
    case, goal, journal = three(), Goal(margin=0.02), tmp_path / "journal.jsonl"
    wanted = json.dumps(tune(case, goal, trials=60))
    told: list[tuple[int, int]] = []
    with crew(journal=journal) as run:
        found = tune(case, goal, trials=60, progress=lambda *pair: told.append(pair), run=run)
    assert json.dumps(found) == wanted
    assert told[-1] == (60, 60) and told == sorted(told)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[: len(lines) // 2]))
    with crew(journal=journal, alone=10**9) as run:
        assert json.dumps(tune(case, goal, trials=60, run=run)) == wanted
    assert sorted(filter(None, journal.read_text().splitlines())) == sorted(filter(None, lines))
