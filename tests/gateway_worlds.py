"""A gateway on a clock that jumps: the real code, minutes of traffic in a second."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import numpy as np
import pytest
from fallwise.gateway import cascade as cascade_module
from fallwise.gateway import desk as desk_module
from fallwise.gateway.cache import Memory
from fallwise.gateway.cascade import Cascade, Outcome, Tiers
from fallwise.gateway.question import Answer, Answerer, Question
from fallwise.scenario import Scenario
from fallwise.tables import RequestTable


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: it puts the clock forward instead."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now_s += timeout or 0.0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer."""

    def __init__(self) -> None:
        self.jumping = _Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now_s


def clock_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


def question(requests: RequestTable, i: int) -> Question:
    body = {"messages": [{"role": "user", "content": str(i)}]}
    local = bool(requests.local[i])
    return Question(body, i, int(requests.key[i]), local, int(requests.arrival_ns[i]))


def tiers_of(scenario: Scenario, requests: RequestTable) -> Tiers:
    """Tiers that do what the table says."""

    def answerer(k: int) -> Answerer:
        async def answer(asked: Question) -> Answer:
            i = asked.row
            await asyncio.sleep(requests.service_ns[i, k] / 1e9)
            return Answer(
                str(requests.answer[i, k]),
                str(requests.answer[i, k]),
                float(requests.score[i, k]),
                int(requests.prompt_tokens[i]),
                int(requests.output_tokens[i, k]),
                bool(requests.passes[i, k]),
            )

        return answer

    def verifier(k: int) -> Answerer:
        async def verify(asked: Question) -> Answer:
            if requests.verifier_ns is not None:
                await asyncio.sleep(requests.verifier_ns[asked.row, k] / 1e9)
            return Answer("", "", passes=bool(requests.passes[asked.row, k]))

        return verify

    async def route(asked: Question) -> Answer:
        assert requests.router_score is not None
        if requests.router_ns is not None:
            await asyncio.sleep(requests.router_ns[asked.row] / 1e9)
        return Answer("", "", float(requests.router_score[asked.row]))

    places = [k for k, tier in enumerate(scenario.tiers) if tier.kind != "cache"]
    cache = scenario.cache
    return Tiers(
        {k: answerer(k) for k in places},
        {k: verifier(k) for k in places if scenario.tiers[k].verifier},
        route,
        Memory(cache.capacity or 0, cache.ttl_s, clock_ns) if cache else None,
    )


def replayed(
    scenario: Scenario, requests: RequestTable, patch: pytest.MonkeyPatch
) -> list[Outcome]:
    """What the gateway does with all requests, each at its time."""
    patch.setattr(desk_module, "now_ns", clock_ns)
    patch.setattr(cascade_module, "now_ns", clock_ns)

    async def main() -> list[Outcome]:
        cascade = Cascade(scenario, tiers_of(scenario, requests))

        async def one(i: int) -> Outcome:
            await asyncio.sleep(requests.arrival_ns[i] / 1e9 - asyncio.get_running_loop().time())
            return await cascade.handle(question(requests, i))

        outcomes = await asyncio.gather(*(one(i) for i in range(len(requests))))
        while any(desk.going_on for desk in cascade.desks.values()):
            await asyncio.sleep(1)
        assert all(desk.in_service == desk.waiting == 0 for desk in cascade.desks.values())
        return list(outcomes)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main())


def columns(outcomes: list[Outcome], tiers: int) -> dict[str, Any]:
    """The columns of an OutcomeTable, from the gateway's outcomes."""
    n = len(outcomes)
    found: dict[str, Any] = {
        "end_ns": np.array([o.ended_ns for o in outcomes]),
        "status": np.array([o.status for o in outcomes]),
        "hit_tier": np.array([o.hit_tier for o in outcomes]),
        "answer_of": np.array([o.answer_of for o in outcomes]),
        "answer_tier": np.array([o.answer_tier for o in outcomes]),
        "cost_usd": np.array([o.cost_usd for o in outcomes]),
        "visit": np.zeros((n, tiers), np.int64),
    }
    for name in ("enter_ns", "start_ns", "finish_ns"):
        found[name] = np.full((n, tiers), -1, np.int64)
    for i, outcome in enumerate(outcomes):
        for visit in outcome.visits:
            found["visit"][i, visit.tier] = visit.state
            for name in ("enter_ns", "start_ns", "finish_ns"):
                found[name][i, visit.tier] = getattr(visit, name)
    return found
