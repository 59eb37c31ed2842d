"""A gateway on a clock that jumps: the real code, minutes of traffic in a second."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import numpy as np
import pytest
from fallwise.engines.plan import plan
from fallwise.gateway import attempts as attempts_module
from fallwise.gateway import cascade as cascade_module
from fallwise.gateway import desk as desk_module
from fallwise.gateway.cache import Memory
from fallwise.gateway.cascade import Cascade, Outcome, Tiers
from fallwise.gateway.question import Answer, Answerer, CallFailed, Question
from fallwise.scenario import Scenario, Tier
from fallwise.tables import CALL_COUNTS, CALL_TIMES, RequestTable


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


class _Calls:
    """How each call of a visit of several goes: what the table says, and outages."""

    def __init__(self, scenario: Scenario, requests: RequestTable):
        self.requests, self.calls = requests, plan(scenario).calls

    def column(self, k: int, call: int) -> int:
        assert self.calls is not None
        return int(self.calls.first[k] + call // 2 * self.calls.width[k] + call % 2)

    async def make(self, i: int, k: int, call: int) -> None:
        """Take the time of a call; CallFailed where it fails."""
        requests, at = self.requests, clock_ns()
        if self.calls is None or not self.calls.several[k]:
            await asyncio.sleep(requests.service_ns[i, k] / 1e9)
            return
        column = self.column(k, call)
        fails, pace = requests.call_fails is not None and bool(requests.call_fails[i, column]), 1000
        for j in range(self.calls.outage[k], self.calls.outage[k + 1]):
            begin_ns, end_ns = int(self.calls.from_ns[j]), int(self.calls.to_ns[j])
            since_ns = (at - begin_ns) % int(self.calls.every_ns[j])
            if at >= begin_ns and since_ns < end_ns - begin_ns:
                slow = int(self.calls.slow[j])
                fails, pace = fails or slow == 0, max(pace, slow)
        takes_ns = requests.error_ns if fails and requests.error_ns is not None else None
        takes_ns = requests.call_ns if takes_ns is None else takes_ns
        assert takes_ns is not None
        await asyncio.sleep(int(takes_ns[i, column]) * pace // 1000 / 1e9)
        if fails:
            raise CallFailed("as told")

    def pause_s(self, k: int, i: int, attempt: int) -> float:
        assert self.requests.pause_ns is not None
        return float(self.requests.pause_ns[i, self.column(k, 2 * attempt)] / 1e9)


def tiers_of(scenario: Scenario, requests: RequestTable) -> Tiers:
    """Tiers that do what the table says."""

    calls = _Calls(scenario, requests)

    def answerer(k: int) -> Answerer:
        async def answer(asked: Question) -> Answer:
            i = asked.row
            await calls.make(i, k, asked.call)
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
    for module in (attempts_module, desk_module, cascade_module):
        patch.setattr(module, "now_ns", clock_ns)
    calls = _Calls(scenario, requests)

    def pause_s(tier: Tier, row: int, attempt: int) -> float:
        return calls.pause_s(scenario.index(tier.name), row, attempt)

    patch.setattr(attempts_module, "pause_s", pause_s)

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
    for name in (*CALL_COUNTS, *CALL_TIMES):
        found[name] = np.zeros((n, tiers), np.int64)
    for i, outcome in enumerate(outcomes):
        for visit in outcome.visits:
            found["visit"][i, visit.tier] = visit.state
            for name in ("enter_ns", "start_ns", "finish_ns", *CALL_COUNTS, *CALL_TIMES):
                found[name][i, visit.tier] = getattr(visit, name)
    return found
