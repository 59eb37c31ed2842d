"""The tier of people: a question is a ticket until somebody answers it over HTTP."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fallwise.gateway.question import Answer, Question, now_ns

__all__ = ["Ticket", "Tickets"]


@dataclass(frozen=True)
class Ticket:
    """A question that waits for a person's answer."""

    id: int
    question: Question
    opened_ns: int
    answer: asyncio.Future[str]


class Tickets:
    """The open tickets of a tier; only so many as it has agents are open at once."""

    numbers: Iterator[int] = itertools.count(1)
    """Shared, so that no two tiers have a ticket of the same number."""

    def __init__(self, tier: str):
        self.tier = tier
        self.open: dict[int, Ticket] = {}

    async def __call__(self, question: Question) -> Answer:
        """Return the answer, once it is there."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        ticket = Ticket(next(self.numbers), question, now_ns(), future)
        self.open[ticket.id] = ticket
        try:
            text = await future
        finally:
            del self.open[ticket.id]
        return Answer(text, " ".join(text.split()).casefold(), score=1.0, passes=True)

    def listed(self) -> list[dict[str, Any]]:
        """Return the open tickets in plain data, oldest first."""
        return [
            {
                "id": ticket.id,
                "tier": self.tier,
                "request": ticket.question.row,
                "opened": ticket.opened_ns // 1_000_000_000,
                "messages": ticket.question.body["messages"],
            }
            for ticket in self.open.values()
            if not ticket.answer.done()
        ]

    def reply(self, number: int, text: str) -> bool:
        """Give a ticket its answer; False where it is not open (any more)."""
        ticket = self.open.get(number)
        if ticket is None or ticket.answer.done():
            return False
        ticket.answer.set_result(text)
        return True
