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
    local True where it may be answered by local tiers only.
    """

    body: dict[str, Any]
    row: int
    key: int
    local: bool
    received_ns: int

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
    """A tier could not be asked, or answered with an error; the text holds no secrets."""


Answerer = Callable[[Question], Awaitable[Answer]]
"""Answers one question, or raises CallFailed."""
