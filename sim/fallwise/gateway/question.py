"""What is asked of a tier, what it answers, and how a call fails."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "Answerer", "CallFailed", "Question", "now_ns"]

_BEGAN_NS = time.time_ns() - time.perf_counter_ns()


def now_ns() -> int:
    """Return unix nanoseconds that never go back, whatever is done to the machine's clock."""
    return _BEGAN_NS + time.perf_counter_ns()


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it came in.

    body is its JSON; row the number that says which request it is; key equal for equal questions;
    local True where it may be answered by local tiers only. call is the number of the call in its
    visit: 2 * attempt, one more for the second call of a hedge. origin_ns is when the client's
    schedule began, where it says so: an upstream that plays one does in time what was planned.
    """

    body: dict[str, Any]
    row: int
    key: int
    local: bool
    received_ns: int
    call: int = 0
    origin_ns: int | None = None

    @property
    def text(self) -> str:
        """Return the text of the last message."""
        content = self.body["messages"][-1].get("content") or ""
        if isinstance(content, list):
            return "".join(str(part.get("text", "")) for part in content)
        return str(content)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tier answered.

    identity is equal for answers that mean the same. score and passes are None where the tier
    does not say them; usd is a price that came with the answer, None for the price list.
    """

    text: str
    identity: str
    score: float | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    passes: bool | None = None
    usd: float | None = None


class CallFailed(Exception):
    """A tier could not be asked, or answered with an error; the text holds no secrets.

    over_limit where it says that too much was asked of it, and retry_after_s how long to wait then;
    may_help is False where the same would come of the same request.
    """

    def __init__(
        self,
        text: str,
        *,
        over_limit: bool = False,
        retry_after_s: float = 0.0,
        may_help: bool = True,
    ):
        super().__init__(text)
        self.over_limit, self.retry_after_s, self.may_help = over_limit, retry_after_s, may_help


Answerer = Callable[[Question], Awaitable[Answer]]
"""Answers one question, or raises CallFailed."""
