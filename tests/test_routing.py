"""Ways through a cascade that are small enough to be checked by hand."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from analysis_cascades import scenario, tier
from fallwise.analysis.predict import Prediction, predict
from fallwise.draw import draw
from fallwise.engines.engine import Engine
from fallwise.errors import ScenarioError
from fallwise.scenario import override, parse
from fallwise.tables import NOT_VISITED, STATUSES

Z = 4.5
FIXED = {"kind": "fixed", "value_s": 1.0}
GOOD = {"accuracy": 0.9, "auroc": 0.8, "loading": 0.3}


def one(tiers: list[dict[str, Any]], n: int = 4000, **keys: Any) -> Prediction:
    return predict(scenario(tiers, **keys), seed=5, n=n)


def went(found: Prediction, name: str) -> Any:
    """(n,) True where a request visited the tier of this name."""
    return found.outcomes.visit[:, found.scenario.index(name)] != NOT_VISITED


def length(prompt: int = 1000, output: int = 100) -> dict[str, Any]:
    """Traffic whose requests are all as long as each other."""
    return {
        "arrivals": {"kind": "poisson", "rate_rps": 1.0},
        "segments": [
            {
                "prompt_tokens": {"kind": "fixed", "tokens": prompt},
                "output_tokens": {"kind": "fixed", "tokens": output},
            }
        ],
    }


SPEECH = {
    "kind": "tokens",
    "ttft": {"kind": "fixed", "value_s": 0.1},
    "tpot_s": 0.01,
    "prefill_s": 0.001,
}
PRICED = {"prompt_usd_per_mtok": 10.0, "output_usd_per_mtok": 30.0, "service": SPEECH}


def test_a_shorter_prompt_is_billed_and_read_as_such_and_answered_worse() -> None:
    prompt = {"token_factor": 0.4, "accuracy_change": -0.1}
    tiers = [tier("big", **PRICED, answers={"accuracy": 0.9})]
    whole = one(tiers, traffic=length())
    short = one([{**tiers[0], "prompt": prompt}], traffic=length())
    # 1000 or 400 tokens at $10 a million, 100 at $30; .1 s + 1000 or 400 ms + 100 times 10 ms.
    for found, usd, seconds, right in ((whole, 0.013, 2.1, 0.9), (short, 0.007, 1.5, 0.8)):
        assert found.outcomes.cost_usd == pytest.approx(np.full(4000, usd))
        assert found.outcomes.sojourn_s == pytest.approx(np.full(4000, seconds))
        assert found.outcomes.correct is not None
        assert abs(found.outcomes.correct.mean() - right) < Z * sqrt(right * (1 - right) / 4000)
    # The same chance: who is right with the short prompt is right with the whole one.
    assert whole.outcomes.correct is not None and short.outcomes.correct is not None
    assert (whole.outcomes.correct >= short.outcomes.correct).all()
    # The request's own column is of what was asked, whatever is sent.
    assert (short.requests.prompt_tokens == 1000).all()


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(
    "big",
    [
        {"tokens_per_minute": 12_000, "burst_s": 2, "service": FIXED},
        {
            "kind": "pool",
            "slots": 3,
            "service": {
                "kind": "batching",
                "step_s": 0.01,
                "step_s_per_request": 0.001,
                "prefill_s_per_prompt_token": 0.0001,
            },
        },
    ],
)
def test_a_limit_and_a_batch_count_the_tokens_that_are_sent(
    engine: Engine, big: dict[str, Any]
) -> None:
    # The tier before it is sent the whole prompt, the last one a quarter or, the same, what is one.
    small = tier("small", threshold=0.9, answers=GOOD)
    tiers = [small, tier("big", prompt={"token_factor": 0.25}, **big)]
    short = predict(scenario(tiers, traffic=length(1000)), 5, 500, engine).outcomes
    tiers[1].pop("prompt")
    other = predict(scenario(tiers, traffic=length(250)), 5, 500, engine).outcomes
    whole = predict(scenario(tiers, traffic=length(1000)), 5, 500, engine).outcomes
    assert short.difference(other) is None
    assert short.difference(whole) is not None


def test_the_auroc_stays_with_another_prompt() -> None:
    prompt = {"token_factor": 0.4, "accuracy_change": -0.1}
    small = tier("small", threshold=0.5, answers=GOOD, prompt=prompt)
    found = draw(scenario([small, tier("big")]), 1, 40_000)
    right, score = found.correct[:, 0] > 0.5, found.score[:, 0]
    rank = np.argsort(np.argsort(score)) + 1.0
    area = (rank[right].sum() - right.sum() * (right.sum() + 1) / 2) / right.sum() / (~right).sum()
    # The standard error of an AUROC is below sqrt(A (1 - A) / least class).
    assert abs(area - 0.8) < Z * sqrt(0.16 / (~right).sum())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"accuracy_change": 0.2}, "makes an accuracy of 1.1"),
        ({"accuracy_change": -0.95}, "makes an accuracy of -0.05"),
        ({"token_factor": 0.0}, "token_factor"),
    ],
)
def test_prompts_that_cannot_be_are_refused(values: Any, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        scenario([tier("big", answers={"accuracy": 0.9}, prompt={"token_factor": 0.4, **values})])


def test_replayed_answers_are_of_the_prompts_that_were_measured() -> None:
    replayed = {"name": "big", "kind": "api", "service": FIXED}
    keys: dict[str, Any] = {
        "name": "w",
        "traffic": length(),
        "answers": {"source": "replay", "table": "t.csv"},
    }
    parse({**keys, "tiers": [{**replayed, "prompt": {"token_factor": 0.4}}]})
    wrong = {"token_factor": 0.4, "accuracy_change": -0.02}
    with pytest.raises(ScenarioError, match="name it as another model"):
        parse({**keys, "tiers": [{**replayed, "prompt": wrong}]})
    with pytest.raises(ScenarioError, match="usd_column has the prices"):
        parse(
            {
                **keys,
                "tiers": [{**replayed, "usd_column": "usd", "prompt": {"token_factor": 0.4}}],
            }
        )


ROUTER = {
    "auroc": 0.8,
    "about": "a",
    "cuts": [0.3, 0.7],
    "starts": ["c", "b", "a"],
    "service": {"kind": "fixed", "value_s": 0.25},
    "usd_per_request": 0.5,
}


def test_a_router_with_two_cuts_sends_each_score_to_its_tier() -> None:
    """The score is uniform: 30 %, 40 % and 30 % begin at c, b and a. Nobody goes back."""
    cache = {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0.5, "filled_by": ["c"]}
    tiers = [tier(name, usd_per_request=usd) for name, usd in (("a", 1.0), ("b", 2.0), ("c", 4.0))]
    found = one([cache, *tiers], router=ROUTER)
    score = found.requests.router_score
    assert score is not None and found.outcomes.cost_usd is not None
    begin = np.select([score < 0.3, score < 0.7], [3, 2], 1)
    assert went(found, "cache").all()
    for k in (1, 2, 3):
        # Each answer is accepted: only the first tier is visited.
        np.testing.assert_array_equal(found.outcomes.visit[:, k] != NOT_VISITED, begin == k)
    np.testing.assert_allclose(found.outcomes.cost_usd, 0.5 + 2.0 ** (begin - 1))
    np.testing.assert_allclose(found.outcomes.sojourn_s, 0.5 + 0.25 + 1.0)
    for low, high, share in ((0, 0.3, 0.3), (0.3, 0.7, 0.4)):
        here = ((score >= low) & (score < high)).mean()
        assert abs(here - share) < Z * sqrt(share * (1 - share) / 4000)


def test_a_router_in_front_of_a_tier_that_may_escalate() -> None:
    """Requests that begin at the cheap tier may go on; those that begin behind it never see it."""
    router = {**ROUTER, "cuts": [0.5], "starts": ["b", "a"]}
    found = one([tier("a", threshold=0.8, answers=GOOD), tier("b", answers=GOOD)], router=router)
    score = found.requests.router_score
    assert score is not None
    np.testing.assert_array_equal(went(found, "a"), score >= 0.5)
    escalated = went(found, "a") & (found.requests.score[:, 0] < 0.8)
    np.testing.assert_array_equal(went(found, "b"), (score < 0.5) | escalated)


def test_what_the_verifier_of_the_frontier_refuses_goes_to_people() -> None:
    verifier = {"catch_rate": 1.0, "false_alarm_rate": 0.0, "usd_per_request": 0.5}
    people = tier("people", kind="human", agents=1, answers={"accuracy": 1.0}, usd_per_request=5.0)
    big = tier("big", answers=GOOD, verifier=verifier, usd_per_request=1.0)
    calm = {"arrivals": {"kind": "poisson", "rate_rps": 0.01}}
    found = one([big, people], traffic=calm)
    wrong = found.requests.correct[:, 0] < 0.5
    assert 0.05 < wrong.mean() < 0.15
    np.testing.assert_array_equal(went(found, "people"), wrong)
    assert found.outcomes.correct is not None and found.outcomes.cost_usd is not None
    assert (found.outcomes.correct == 1).all()
    np.testing.assert_allclose(found.outcomes.cost_usd, np.where(wrong, 6.5, 1.5))
    # Without people they are rejected, at the frontier too.
    alone = one([big])
    rejected = alone.outcomes.status == STATUSES.index("rejected")
    np.testing.assert_array_equal(rejected, alone.requests.correct[:, 0] < 0.5)


def test_two_models_that_agree_are_both_paid_and_the_slower_is_waited_for() -> None:
    slow = {"kind": "fixed", "value_s": 3.0}
    found = one(
        [
            tier("left", usd_per_request=1.0, answers=GOOD),
            tier("right", usd_per_request=2.0, answers=GOOD, service=slow, agree_with="left"),
            tier("big", usd_per_request=8.0),
        ]
    )
    same = found.requests.answer[:, 0] == found.requests.answer[:, 1]
    assert 0.5 < same.mean() < 0.95
    assert found.outcomes.cost_usd is not None
    np.testing.assert_allclose(found.outcomes.cost_usd, np.where(same, 3.0, 11.0))
    np.testing.assert_allclose(found.outcomes.sojourn_s, np.where(same, 3.0, 4.0))


def test_segments_that_must_stay_local_never_leave() -> None:
    traffic = {
        "arrivals": {"kind": "poisson", "rate_rps": 1.0},
        "segments": [
            {"name": "open", "share": 0.7},
            {"name": "secret", "share": 0.3, "residency": "local"},
        ],
    }
    tiers = [
        tier("far", threshold=0.8, answers=GOOD),
        tier("here", threshold=0.8, answers=GOOD, local=True),
        tier("big", answers=GOOD),
    ]
    found = one(tiers, traffic=traffic)
    secret = found.requests.segment == 1
    assert abs(secret.mean() - 0.3) < Z * sqrt(0.21 / 4000)
    assert not went(found, "far")[secret].any() and not went(found, "big")[secret].any()
    assert went(found, "here")[secret].all()
    declined = found.requests.score[:, 1] < 0.8
    refused = found.outcomes.status == STATUSES.index("refused")
    np.testing.assert_array_equal(refused, secret & declined)
    local = override(found.scenario, {"tiers.big.local": True})
    assert not (predict(local, seed=5, n=4000).outcomes.status == STATUSES.index("refused")).any()
