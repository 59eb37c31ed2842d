"""Every finding, in a cascade where it applies; and none of them where it does not."""

from __future__ import annotations

from typing import Any

import pytest
from analysis_cascades import by_hand, run, scenario, tier
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.scenario import Scenario

FIXED = {"kind": "fixed", "value_s": 1.0}


def found(case: Scenario, n: int = 2000, seed: int = 3) -> list[str]:
    sentences: list[str] = summarise(predict(case, seed, n, "reference"))["findings"]
    return sentences


def only(sentences: list[str], word: str) -> str:
    (sentence,) = [s for s in sentences if word in s]
    return sentence


def traffic(rate_rps: float, **segment: Any) -> dict[str, Any]:
    return {"arrivals": {"kind": "poisson", "rate_rps": rate_rps}, "segments": [segment]}


GOOD = {"accuracy": 0.9, "auroc": 0.9, "loading": 0.3}


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    case = scenario(
        [tier("small", usd_per_request=0.1, answers=GOOD), tier("big", usd_per_request=1.0)]
    )
    assert found(case, n=12_000) == []


@pytest.mark.parametrize(("rate_rps", "grows"), [(5.2, True), (3.0, False)])
def test_a_queue_that_grows_for_ever(rate_rps: float, grows: bool) -> None:
    one = tier("small", kind="pool", replicas=4, service=FIXED)
    sentences = [s for s in found(scenario([one], traffic=traffic(rate_rps))) if "small's" in s]
    # Said once, though both baselines are the same tier.
    assert len(sentences) == (1 if grows else 0)
    if grows:
        assert sentences[0].startswith("small's queue grows for ever: offered load 5.")
        assert "erlangs on 4 servers" in sentences[0]


def test_frontier_only_that_the_servers_could_not_carry() -> None:
    case = scenario(
        [
            tier("small", threshold=0.5, answers={**GOOD, "score_quantiles": [0.4, 1.0, 1.0]}),
            tier("big", concurrency=1),
        ],
        traffic=traffic(2.0),
    )
    sentence = only(found(case), "grows for ever")
    assert sentence.startswith("frontier-only, for comparison: big's queue")


def test_a_bounded_queue_cannot_keep_up() -> None:
    one = tier("one", concurrency=1, queue_limit=2)
    sentences = found(scenario([one], traffic=traffic(2.0)))
    assert "turned away" in next(s for s in sentences if s.startswith("one cannot keep up"))
    assert "turned away by a full queue" in only(sentences, "they count as wrong")


def test_a_cascade_that_costs_more_and_why() -> None:
    low = {"accuracy": 0.5, "auroc": 0.8, "score_quantiles": [0.0, 0.1, 0.9]}
    case = scenario(
        [
            tier("small", threshold=0.5, usd_per_request=0.4, answers=low),
            tier("big", usd_per_request=1.0),
        ]
    )
    # A quarter is kept; 40 % of a big call are spent before it.
    sentence = only(found(case, n=4000), "costs more than frontier-only")
    assert "because big is spared 2" in sentence
    assert "costs 40 % of one call to big" in sentence


def test_a_rented_frontier_is_not_saved_by_sparing_it() -> None:
    def sentence(**big: Any) -> str:
        small = tier("small", usd_per_request=0.1, threshold=0.5, answers=GOOD)
        case = scenario([small, tier("big", **big)])
        return only(found(case, n=4000), "costs more than frontier-only")

    rented = sentence(kind="pool", replicas=9, replica_usd_per_hour=400.0)
    assert "because big is rented and costs the same whether it is called or not" in rented
    assert "costs $0.1 a request on top" in rented
    whole = found(
        scenario(
            [
                tier("small", usd_per_request=0.1, threshold=0.5, answers=GOOD),
                tier("big", kind="pool", replicas=9, replica_usd_per_hour=400.0),
            ]
        )
    )
    assert not [s for s in whole if "volume" in s]
    cheap = sentence(usd_per_request=0.05)
    assert "all that is not big costs $0.1 a request by itself, most of it small ($0.1)" in cheap


STAKED = [
    tier("small", usd_per_request=0.1, threshold=0.5, answers={**GOOD, "accuracy": 0.5}),
    tier("big", usd_per_request=1.0, answers={"accuracy": 0.99}),
]


@pytest.mark.parametrize(("usd", "loses"), [(50.0, True), (0.5, False), (0.0, False)])
def test_wrong_answers_can_cost_more_than_calls_save(usd: float, loses: bool) -> None:
    case = scenario(STAKED, traffic=traffic(1.0, wrong_answer_usd=usd))
    summary = summarise(predict(case, 3, 4000, "reference"))
    said = [s for s in summary["findings"] if "counted at their stakes" in s]
    assert len(said) == loses
    assert not [s for s in summary["findings"] if "at their stakes, too" in s]
    if loses:
        usd_lost = summary["risk"]["confident_wrong_usd_mean"]["value"]
        assert f"${usd_lost:.4g} of it for answers that passed every check" in said[0]


def test_a_dearer_cascade_can_be_worse_with_its_wrong_answers() -> None:
    dear = [{**STAKED[0], "usd_per_request": 2.0}, STAKED[1]]
    sentences = found(scenario(dear, traffic=traffic(1.0, wrong_answer_usd=50.0)), n=4000)
    assert "too, it is $" in only(sentences, "at their stakes")


def test_a_dearer_cascade_can_be_worth_it() -> None:
    better = {"accuracy": 0.99, "auroc": 0.9}
    case = scenario(
        [
            tier("small", usd_per_request=2.0, threshold=0.5, answers=better),
            tier("big", usd_per_request=1.0),
        ],
        traffic=traffic(1.0, wrong_answer_usd=50.0),
    )
    sentences = found(case, n=4000)
    only(sentences, "costs more than frontier-only")
    assert "the cascade costs less: $2." in only(sentences, "Counting wrong answers")


@pytest.mark.parametrize(("temperature", "said"), [(4.0, True), (1.0, False)])
def test_scores_that_promise_more_than_they_hold(temperature: float, said: bool) -> None:
    """A score that says how often it is right is never found out; one that is too sure is."""
    honest = {"accuracy": 0.6, "auroc": 0.8, "calibration": {"temperature": 1 / temperature}}
    case = scenario([tier("small", threshold=0.85, answers=honest), tier("big")])
    summary = summarise(predict(case, 3, 6000, "reference"))
    assert (summary["tiers"][0]["quality"]["value"] < 0.8) == said
    sentences = [s for s in summary["findings"] if "is confidently wrong" in s]
    assert len(sentences) == said


def test_upkeep_can_eat_the_saving() -> None:
    tiers = [tier("small", usd_per_request=0.1), tier("big", usd_per_request=1.0)]
    case = scenario(tiers, money={"upkeep_usd_per_month": 9e6})
    sentence = only(found(case), "The volume is too low")
    assert "the cascade's rent and upkeep cost $9,000,000 a month" in sentence
    light = scenario(tiers, money={"upkeep_usd_per_month": 9e5})
    assert not [s for s in found(light) if "volume" in s]


def test_rented_servers_that_are_busy_are_no_matter_of_volume() -> None:
    def said(usd: float, rate_rps: float) -> bool:
        rented = tier("small", kind="pool", replicas=1, replica_usd_per_hour=usd, service=FIXED)
        case = scenario([rented, tier("big", usd_per_request=0.1)], traffic=traffic(rate_rps))
        return any("volume is too low" in s for s in found(case))

    # An hour of a server that is busy for .7 of it: 2,520 requests, $252 of calls to big.
    assert said(200.0, 0.05)
    assert not said(300.0, 0.05)
    assert not said(200.0, 0.65)


def test_the_classic_error() -> None:
    shared = {"auroc": 0.85, "loading": 0.9}
    case = scenario(
        [
            tier("small", threshold=0.7, answers={"accuracy": 0.7, **shared}),
            tier("big", answers={"accuracy": 0.8, **shared}),
        ]
    )
    summary = summarise(predict(case, 3, 5000, "reference"))
    overall, sent = (summary["frontier"][f"quality_{x}"] for x in ("overall", "escalated"))
    assert overall["value"] == pytest.approx(0.8, abs=0.03)
    assert sent["value"] < 0.7
    sentence = only(summary["findings"], "classic error")
    assert f"on {100 * overall['value']:.3g} % of all requests" in sentence
    assert f"on {100 * sent['value']:.3g} % of those escalated" in sentence


def test_wrong_answers_that_looked_sure() -> None:
    n = 100
    case = scenario([tier("small", threshold=0.8), tier("big")])
    requests = by_hand(
        range(n),
        [[1, 1]] * n,
        score=[[0.85 if i < 59 else 0.95, 1] for i in range(n)],
        correct=[[0, 1]] * n,
    )
    sentences = summarise(run(case, requests))["findings"]
    expected = "At this threshold (0.8) 41 % of the wrong answers that small shipped"
    assert expected in only(sentences, "had a score above 0.9")


def test_a_threshold_of_ninety_per_cent_is_not_told_what_it_says_itself() -> None:
    n = 100
    case = scenario([tier("small", threshold=0.9), tier("big")])
    requests = by_hand(
        range(n),
        [[1, 1]] * n,
        score=[[0.95, 1]] * n,
        correct=[[i % 4 > 0, 1] for i in range(n)],
    )
    sentences = summarise(run(case, requests))["findings"]
    assert not [s for s in sentences if "had a score above" in s]
    assert "small is confidently wrong: of the answers that it shipped 75 % are right" in only(
        sentences, "at least 0.9"
    )


def test_the_slow_path_refusals_and_false_hits() -> None:
    cache = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.1}
    answers = {"accuracy": 0.8, "auroc": 0.8, "score_quantiles": [0.4, 0.6, 0.7, 0.8, 0.9, 1.0]}
    case = scenario(
        [
            {**cache, "false_hit_rate": 0.2, "filled_by": ["small"]},
            tier("small", threshold=0.5, answers=answers, local=True),
            tier("big"),
        ],
        traffic={
            "arrivals": {"kind": "poisson", "rate_rps": 1.0},
            "segments": [
                {"name": "a", "share": 0.9, "repeats": {"repeat_share": 0.5, "distinct_keys": 5}},
                {"name": "b", "share": 0.1, "residency": "local"},
            ],
        },
        run={"warmup": 0},
    )
    prediction = predict(case, 3, 3000, "reference")
    summary = summarise(prediction)
    sentences = summary["findings"]
    assert "were refused: they must stay local" in only(sentences, "were refused")
    # frontier-only refuses the same requests at once: it is not called quick for that.
    assert "frontier-only, for comparison, refuses" in only(sentences, "refuses")
    assert not [s for s in sentences if "slower than" in s]
    hit = prediction.outcomes.hit_tier == 0
    false = int((hit & prediction.requests.false_hit).sum())
    assert 0 < false < hit.sum()
    assert f"answered {false:,} requests" in only(sentences, "different question")
    # A fixed second each: those that are escalated take two, and are fewer than a fifth.
    assert summary["sojourn_s_p99"]["value"] == pytest.approx(2.1)


def test_the_escalated_path_sets_p99() -> None:
    answers = {"accuracy": 0.8, "auroc": 0.8, "score_quantiles": [0.4, 0.6, 0.7, 0.8, 0.9, 1.0]}
    slow = {"kind": "exponential", "mean_s": 9.0}
    case = scenario([tier("small", threshold=0.5, answers=answers), tier("big", service=slow)])
    sentence = only(found(case), "p99 (")
    assert "set by the escalated path: 100 % of the requests above it were escalated" in sentence


def test_targets_missed_and_too_few_requests() -> None:
    case = scenario([tier("one")], targets=[{"measure": "quality", "at_least": 0.99}])
    sentences = found(case)
    assert "wanted at least 0.99" in only(sentences, "Target missed: quality is 0.")
    assert "2,000 measured requests are too few for sojourn_s_p999" in only(sentences, "too few")
    assert "10,000 are needed" in only(sentences, "too few")
