"""What responses tell of a deployment, what may be spent there, and what it is asked."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fallwise.analysis.live import Drive
from fallwise.analysis.outside import from_responses, nameable, seen_of
from fallwise.analysis.predict import predict
from fallwise.analysis.prompts import asked_by, read_prompts
from fallwise.errors import TableError
from fallwise.scenario import Scenario, parse
from fallwise.scenario.live import Deployment

LOADTESTS = Path(__file__).parent.parent / "loadtests"
TOKENS = {"kind": "fixed", "tokens": 1000}
CASE: dict[str, Any] = {
    "name": "outside",
    "traffic": {
        "arrivals": {"kind": "poisson", "rate_rps": 10},
        "segments": [
            {
                "prompt_tokens": TOKENS,
                "output_tokens": TOKENS,
                "repeats": {"repeat_share": 0.5, "distinct_keys": 5},
            }
        ],
    },
    "answers": {"source": "synthetic"},
    "tiers": [
        {"name": "cache", "kind": "cache", "capacity": 9, "lookup_s": 0, "filled_by": ["big"]},
        {
            "name": "small",
            "kind": "api",
            "threshold": 0.5,
            "answers": {"accuracy": 0.6, "auroc": 0.7},
            "service": {"kind": "fixed", "value_s": 0.1},
            "prompt_usd_per_mtok": 1,
        },
        {
            "name": "big",
            "kind": "api",
            "answers": {"accuracy": 0.9},
            "service": {"kind": "fixed", "value_s": 0.2},
            "output_usd_per_mtok": 10,
        },
    ],
    "run": {"requests": 200},
}


def scenario() -> Scenario:
    return parse(CASE)


def drive_of(replies: list[dict[str, Any]], status: int = 200) -> Drive:
    n = len(replies)
    at = np.arange(n) * 1_000_000 + 10**18
    facts = {"t0_ns": 10**18}
    statuses = np.full(n, status)
    return Drive(np.arange(n), at, at + 5, at + 500, at + 500, statuses, [{}] * n, facts, replies)


MODELS = Deployment(tier_from_model={"mini-3": "small", "max-1": "big"})


def test_who_answered_and_its_price_are_read_from_model_and_usage() -> None:
    replies = [
        {"model": "mini-3", "prompt_tokens": 2000, "output_tokens": 7, "text": ""},
        {"model": "max-1", "prompt_tokens": 2000, "output_tokens": 7, "text": ""},
    ]
    requests = predict(scenario(), n=2).requests
    found = from_responses(scenario(), MODELS, requests, drive_of(replies))
    assert found.hit_tier.tolist() == [1, 2]
    assert found.cost_usd is not None
    assert found.cost_usd.tolist() == pytest.approx([2000e-6, 7 * 10e-6])
    assert found.sojourn_s.tolist() == pytest.approx([500e-9, 500e-9])
    silent = from_responses(scenario(), MODELS, requests, drive_of(replies, 429))
    assert silent.hit_tier.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("deployment", "reply", "message"),
    [
        (MODELS, {"model": "mini-4"}, "says 'mini-4' in its model.*tier_from_model"),
        (MODELS, {}, "says None in its model"),
        (MODELS, {"model": "mini-3"}, "no usage, and tier small is paid by the token"),
        (Deployment(tier_header="x-by"), {"tier": "smal"}, "says 'smal' in its header x-by"),
        (Deployment(tier_header="x-by", cost_header="x-usd"), {"tier": "small"}, "no number"),
    ],
)
def test_nothing_is_guessed(deployment: Deployment, reply: dict[str, Any], message: str) -> None:
    requests = predict(scenario(), n=1).requests
    with pytest.raises(TableError, match=message):
        from_responses(scenario(), deployment, requests, drive_of([reply]))


def test_a_prediction_is_seen_as_responses_would_tell_it() -> None:
    prediction = predict(scenario())
    outcomes, requests = prediction.outcomes, prediction.requests
    assert nameable(scenario(), MODELS).tolist() == [False, True, True]
    seen = seen_of(scenario(), MODELS, requests, outcomes)
    hits = outcomes.hit_tier == 0
    assert hits.any() and (seen.hit_tier[hits] == 2).all()
    assert (seen.hit_tier[~hits] == outcomes.hit_tier[~hits]).all()
    # Only the call that answered: 1,000 tokens at 1 or at 10 USD a million.
    assert seen.cost_usd is not None
    assert seen.cost_usd.tolist() == pytest.approx(np.where(seen.hit_tier == 1, 0.001, 0.01))
    whole = Deployment(tier_header="x-by", cost_header="x-usd")
    assert seen_of(scenario(), whole, requests, outcomes).cost_usd is outcomes.cost_usd


@pytest.fixture(scope="module")
def loadtests() -> Any:
    """The scripts that a replay uses, and that need no Locust."""
    sys.path.insert(0, str(LOADTESTS))
    try:
        return import_module("budget"), import_module("replies")
    finally:
        sys.path.pop(0)


def test_a_budget_is_never_overspent_whatever_is_in_flight(loadtests: Any) -> None:
    prices = {"small": [0, 1e-6, 0], "big": [0, 1e-6, 1e-5]}
    budget = loadtests[0].Budget({"limit_usd": 0.05, "dearest_usd": 0.01, "prices": prices})
    assert [budget.lets_out() for _ in range(6)] == [True] * 5 + [False]
    assert not budget.lets_out()
    again = loadtests[0].Budget({"limit_usd": 0.0505, "dearest_usd": 0.01, "prices": prices})
    sent = 0
    while again.lets_out():
        sent += 1
        again.note({"model": "big", "prompt_tokens": 1000, "output_tokens": 0})
    assert sent == 41  # The last of them leaves room for one of the dearest kind.
    assert again.spent_usd == pytest.approx(0.041)
    again.note({})  # An answer that says nothing has cost the most there is.
    assert again.spent_usd == pytest.approx(0.051)


def test_replies_are_read_whole_or_streamed(loadtests: Any) -> None:
    reply_of = loadtests[1].reply_of
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    body = {"model": "m", "choices": [{"message": {"content": "a b"}}], "usage": usage}
    expected = {"model": "m", "text": "a b", "prompt_tokens": 3, "output_tokens": 2}
    assert reply_of(json.dumps(body).encode(), {}) == expected
    events = [{"model": "m", "choices": [{"delta": {"content": c}}]} for c in ("a ", "b")]
    lines = [f"data: {json.dumps(e)}\n\n" for e in [*events, {"choices": [], "usage": usage}]]
    assert reply_of("".join([*lines, "data: [DONE]\n\n"]).encode(), {}) == expected
    headers = {"x-by": "small", "x-usd": "0.5"}
    assert reply_of(b"no json", headers, "x-by", "x-usd") == {"tier": "small", "usd": 0.5}


def test_requests_ask_the_question_of_their_row(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("query_id,model,correct\na,small,1\na,big,1\nb,small,0\nb,big,1\n")
    file = tmp_path / "q.jsonl"
    file.write_text('{"id": "b", "text": "B?"}\n{"id": "a", "text": "A?", "answer": "x"}\n')
    prompts = read_prompts(file)
    assert not prompts.graded and prompts.messages[1] == [{"role": "user", "content": "A?"}]
    tiers = [
        {k: v for k, v in t.items() if k not in ("answers", "threshold")} for t in CASE["tiers"]
    ]
    traffic = {"arrivals": CASE["traffic"]["arrivals"]}
    own = {"answers": {"source": "replay", "table": str(table)}, "tiers": tiers[1:]}
    replayed = parse(
        {
            **CASE,
            **own,
            "traffic": {
                **traffic,
                "segments": [{"prompt_tokens": TOKENS, "output_tokens": TOKENS}],
            },
        }
    )
    asked = asked_by(replayed, prompts, 1, 50)
    correct = predict(replayed, n=50).requests.correct[:, 0]
    assert ((asked == 1) == (correct == 1)).all()  # Question a is right, and the file's second.
    same = asked_by(scenario(), prompts, 1, 50)
    key = predict(scenario(), n=50).requests.key
    assert all(len(set(same[key == k])) == 1 for k in np.unique(key)) and set(same) == {0, 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no questions"),
        ('{"text": "A?"}', ":1: .*needs an id"),
        ('{"id": 1, "text": "A?"}\nnot json', ":2: "),
        ('{"id": 1, "text": "A?"}\n{"id": "1", "text": "A?"}', "has an id twice"),
    ],
)
def test_questions_that_cannot_be_read_are_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(text)
    with pytest.raises(TableError, match=message):
        read_prompts(file)


def test_lost_rows_are_noticed() -> None:
    drive = drive_of([{"model": "mini-3", "prompt_tokens": 1, "output_tokens": 1}] * 3)
    requests = predict(scenario(), n=3).requests
    with pytest.raises(TableError, match="not all 3"):
        from_responses(scenario(), MODELS, requests, replace(drive, request=np.array([0, 0, 2])))
