"""Requests and responses as they stand on the wire: OpenAI's bodies, and headers of our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fallwise.gateway.cascade import Outcome
from fallwise.gateway.question import Question
from fallwise.scenario import Scenario
from fallwise.tables import ANSWERED, CALL_COUNTS, CALL_TIMES, STATUSES, VISITS

__all__ = ["HTTP_STATUS", "BadRequest", "body_of", "chunks_of", "headers_of", "question_of"]

HTTP_STATUS: Final = (200, 422, 504, 503, 403, 502)
"""By the status of the outcome: answered, rejected, timed_out, shed, refused, failed."""
WHY: Final = (
    "",
    "the last tier's answer was not accepted",
    "no tier answered in time",
    "the queue of the last tier is full",
    "the request must stay local, and no local tier is left",
    "the last tier failed",
)


class BadRequest(Exception):
    """What came in is no chat completion request."""


def question_of(raw: bytes, headers: Mapping[str, str], number: int, received_ns: int) -> Question:
    """Return the question in a request's body and headers; number is its row if it says none."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages is missing; give a list with one message at least")
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        raise BadRequest("each of messages must be an object with a role and a content")
    row = _whole(headers, "x-fallwise-request")
    key = _whole(headers, "x-fallwise-key")
    if key is None:
        text = json.dumps(messages, sort_keys=True).encode()
        key = int.from_bytes(hashlib.sha256(text).digest()[:8], "big", signed=True)
    local = headers.get("x-fallwise-local", "0") == "1"
    origin_ns = _whole(headers, "x-fallwise-origin")
    row = number if row is None else row
    return Question(body, row, key, local, received_ns, origin_ns=origin_ns)


def _whole(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f"{name} must be a whole number") from None


def headers_of(scenario: Scenario, outcome: Outcome) -> dict[str, str]:
    """Return the response headers that say all that happened; times in ns since received."""
    names = [tier.name for tier in scenario.tiers]
    since = outcome.question.received_ns

    def after(at_ns: int) -> int:
        return -1 if at_ns < 0 else at_ns - since

    visits = ";".join(
        f"{names[v.tier]}:{VISITS[v.state]}:{after(v.enter_ns)}:{after(v.start_ns)}"
        f":{after(v.finish_ns)}:{v.busy_ns}"
        for v in outcome.visits
    )
    headers = {
        "status": STATUSES[outcome.status],
        "path": ",".join(names[v.tier] for v in outcome.visits),
        "visits": visits,
        "cost-usd": repr(outcome.cost_usd),
        "cache": outcome.cache,
        "received": str(since),
        "ended": str(outcome.ended_ns),
    }
    if outcome.status == ANSWERED and outcome.answer is not None:
        headers["tier"] = names[outcome.hit_tier]
        headers["answer-of"] = str(outcome.answer_of)
        headers["answer-tier"] = names[outcome.answer_tier]
        if outcome.answer.score is not None:
            headers["score"] = repr(outcome.answer.score)
    counted = [(names[v.tier], v) for v in outcome.visits if v.attempts]
    if counted:
        columns = CALL_COUNTS + CALL_TIMES
        headers["calls"] = ";".join(
            f"{name}:" + ":".join(str(getattr(visit, column)) for column in columns)
            for name, visit in counted
        )
    if unknown := [names[v.tier] for v in outcome.visits if not v.known_usd]:
        headers["cost-partial"] = ",".join(unknown)
    return {f"x-fallwise-{name}": value for name, value in headers.items()}


def body_of(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    """Return the response's JSON: a chat completion, or an error."""
    answer = outcome.answer
    if answer is None:
        status = STATUSES[outcome.status]
        return {"error": {"message": WHY[outcome.status], "type": status, "code": status}}
    message = {"role": "assistant", "content": answer.text}
    return {
        **_head(scenario, outcome, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _usage(outcome),
    }


def chunks_of(scenario: Scenario, outcome: Outcome) -> Iterator[bytes]:
    """Yield the server-sent events of an answer that is whole: words, usage, headers, done."""
    assert outcome.answer is not None
    head = _head(scenario, outcome, "chat.completion.chunk")
    words = outcome.answer.text.split(" ")
    pieces = [word + " " for word in words[:-1]] + words[-1:]
    for piece in pieces:
        yield _event({**head, "choices": [_choice({"content": piece}, None)]})
    yield _event({**head, "choices": [_choice({}, "stop")], "usage": _usage(outcome)})
    yield f": fallwise {json.dumps(headers_of(scenario, outcome))}\n\n".encode()
    yield b"data: [DONE]\n\n"


def _head(scenario: Scenario, outcome: Outcome, kind: str) -> dict[str, Any]:
    question = outcome.question
    return {
        "id": f"fallwise-{question.row}-{question.received_ns}",
        "object": kind,
        "created": question.received_ns // 1_000_000_000,
        "model": scenario.tiers[outcome.hit_tier].name,
    }


def _choice(delta: dict[str, str], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _usage(outcome: Outcome) -> dict[str, int]:
    assert outcome.answer is not None
    prompt, output = outcome.answer.prompt_tokens, outcome.answer.output_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
    }


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
