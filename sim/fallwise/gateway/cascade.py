"""One request's way through the live tiers: docs/engine.md with the scenario's own policies."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace

from fallwise.gateway.attempts import Attempts
from fallwise.gateway.cache import Cache, CacheDown, Entry
from fallwise.gateway.desk import Desk, Visit
from fallwise.gateway.question import Answer, Answerer, CallFailed, Question, now_ns
from fallwise.policies import accepts, agrees, passes, starts_at, tiers_there
from fallwise.scenario import Scenario, Tier
from fallwise.tables import (
    ACCEPTED,
    ANSWERED,
    DECLINED,
    MISSED,
    REFUSED,
    REJECTED,
    STATUS_AFTER,
)

__all__ = ["Cascade", "Outcome", "Tiers", "price_usd"]

log = logging.getLogger("fallwise.gateway")


@dataclass(frozen=True)
class Tiers:
    """Who answers, by tier; who verifies, by tier; who routes; and the cache."""

    answer: dict[int, Answerer]
    verify: dict[int, Answerer] = field(default_factory=dict)
    route: Answerer | None = None
    cache: Cache | None = None


@dataclass(slots=True)
class Outcome:
    """What happened to a request, and the answer that it gets."""

    question: Question
    visits: list[Visit] = field(default_factory=list)
    status: int = -1
    hit_tier: int = -1
    answer: Answer | None = None
    answer_of: int = -1
    answer_tier: int = -1
    cache: str = "off"
    router_usd: float = 0.0
    ended_ns: int = 0

    @property
    def cost_usd(self) -> float:
        """Return what all visits and the router cost."""
        return sum(visit.usd for visit in self.visits) + self.router_usd

    def end(self, status: int) -> Outcome:
        """Return the outcome, with its end."""
        self.status, self.ended_ns = status, now_ns()
        return self


def price_usd(tier: Tier, answer: Answer) -> float:
    """Return the price of a call that answered: the one that came with it, or the price list's.

    CallFailed where the scenario says that prices come with the answers, and this one has none.
    """
    if tier.usd_column is not None:
        if answer.usd is None:
            raise CallFailed(f"tier {tier.name} says no price (x-fallwise-usd)")
        return answer.usd
    return (
        tier.usd_per_request
        + answer.prompt_tokens * (tier.prompt_usd_per_mtok / 1e6)
        + answer.output_tokens * (tier.output_usd_per_mtok / 1e6)
    )


class Cascade:
    """The scenario's tiers, and the way of a request through them."""

    def __init__(self, scenario: Scenario, tiers: Tiers):
        self.scenario, self.tiers = scenario, tiers
        self.desks = {
            k: (Attempts if tier.calls else Desk)(k, tier)
            for k, tier in enumerate(scenario.tiers)
            if tier.kind != "cache"
        }
        cache = scenario.cache
        self.fills = {scenario.index(name) for name in (cache and cache.filled_by) or ()}
        self.alone = {scenario.tiers[k].name: k for k in self.desks}

    async def handle(self, question: Question) -> Outcome:
        """Return what happened to a question; every question ends exactly once."""
        outcome = Outcome(question)
        if question.body.get("model") in self.alone:
            return await self._alone(outcome, self.alone[question.body["model"]])
        asks_cache = self.scenario.cache is not None and self._may_visit(question, 0)
        if asks_cache and await self._look_up(outcome):
            return outcome.end(ANSWERED)
        k = await self._first(outcome)
        status = REFUSED
        while k is not None:
            together = self._side_by_side(k)
            visits = await asyncio.gather(*(self._visit(question, tier) for tier in together))
            outcome.visits += visits
            if all(visit.state == ACCEPTED for visit in visits) and _agree(visits):
                outcome.hit_tier = outcome.answer_tier = k
                outcome.answer, outcome.answer_of = visits[0].answer, question.row
                outcome.end(ANSWERED)
                if k in self.fills and asks_cache:
                    await self._store(outcome)
                return outcome
            failed = [visit for visit in visits if visit.state not in (ACCEPTED, DECLINED)]
            for visit in visits:
                if visit.state == ACCEPTED:  # The other one of a pair has failed or was declined.
                    visit.state = DECLINED
            status = STATUS_AFTER[failed[0].state] if failed else REJECTED
            if any(self.scenario.tiers[visit.tier].on_failure == "give_up" for visit in failed):
                break
            last = together[-1]
            k = self._next(question, last + 1, failed=bool(failed))
            if k is None and self._there(last + 1, failed=bool(failed)):
                status = REFUSED
        return outcome.end(status)

    async def _alone(self, outcome: Outcome, k: int) -> Outcome:
        """Ask one tier, which the request names as its model; whatever it answers is the answer."""
        if not self._may_visit(outcome.question, k):
            return outcome.end(REFUSED)
        visit = await self._visit(outcome.question, k, judged=False)
        outcome.visits.append(visit)
        if visit.answer is None:
            return outcome.end(STATUS_AFTER[visit.state])
        visit.state = ACCEPTED
        outcome.hit_tier = outcome.answer_tier = k
        outcome.answer, outcome.answer_of = visit.answer, outcome.question.row
        return outcome.end(ANSWERED)

    def _may_visit(self, question: Question, k: int) -> bool:
        return self.scenario.tiers[k].local or not question.local

    def _there(self, k: int, *, failed: bool) -> list[int]:
        return tiers_there([tier.fallback for tier in self.scenario.tiers], k, failed=failed)

    def _next(self, question: Question, k: int, *, failed: bool = False) -> int | None:
        """Return the first tier at or after k that the request may visit."""
        tiers = self._there(k, failed=failed)
        return next((tier for tier in tiers if self._may_visit(question, tier)), None)

    def _side_by_side(self, k: int) -> tuple[int, ...]:
        tiers = self.scenario.tiers
        return (k, k + 1) if k + 1 < len(tiers) and tiers[k + 1].agree_with else (k,)

    # The cache.

    async def _look_up(self, outcome: Outcome) -> bool:
        """Ask the cache; True where it had the answer. One that is down has missed."""
        assert self.tiers.cache is not None
        visit = Visit(0, now_ns())
        visit.start_ns = visit.enter_ns
        entry, outcome.cache = None, "miss"
        try:
            entry = await self.tiers.cache.look_up(outcome.question.key)
        except CacheDown as error:
            log.warning("the cache is down: %s", error)
            outcome.cache = "off"
        visit.finish_ns = now_ns()
        visit.state = MISSED if entry is None else ACCEPTED
        visit.usd = self.scenario.tiers[0].usd_per_request
        outcome.visits.append(visit)
        if entry is None:
            return False
        outcome.cache, outcome.hit_tier = "hit", 0
        outcome.answer, outcome.answer_of, outcome.answer_tier = entry
        return True

    async def _store(self, outcome: Outcome) -> None:
        assert self.tiers.cache is not None and outcome.answer is not None
        entry = Entry(outcome.answer, outcome.answer_of, outcome.answer_tier)
        try:
            await self.tiers.cache.store(outcome.question.key, entry)
        except CacheDown as error:
            log.warning("the cache is down: %s", error)

    # The router.

    async def _first(self, outcome: Outcome) -> int | None:
        """Return the tier where the request starts, None where it may visit none.

        Where the router fails the request starts at the cheapest tier, which is always right.
        """
        scenario, question = self.scenario, outcome.question
        start = scenario.cheapest
        nowhere = self._next(question, start) is None or scenario.tiers[start].kind == "cache"
        if nowhere:
            return None
        if scenario.router is not None and self.tiers.route is not None:
            try:
                score = (await self.tiers.route(question)).score
                if score is None:
                    raise CallFailed("says no score")
                places = [scenario.index(name) for name in scenario.router.starts]
                start = int(starts_at(score, scenario.router.cuts, places))
                outcome.router_usd = scenario.router.usd_per_request
            except CallFailed as error:
                log.warning("router: %s", error)
        return self._next(question, start)

    # A visit.

    async def _visit(self, question: Question, k: int, *, judged: bool = True) -> Visit:
        """Return the visit, judged or failed, and what it cost."""
        tier, answerer = self.scenario.tiers[k], self.tiers.answer[k]

        async def work(call: int) -> Answer:
            answer = await answerer(replace(question, call=call) if call else question)
            if tier.threshold is not None and answer.score is None:
                raise CallFailed(f"tier {tier.name} says no score, and has a threshold")
            price_usd(tier, answer)
            return answer

        visit = await self.desks[k].serve(work, question.row)
        unfinished = visit.outrun + (visit.cut_off if tier.bill_timeouts else 0)
        if unfinished:
            visit.usd = unfinished * tier.usd_per_request
            tokens = tier.prompt_usd_per_mtok + tier.output_usd_per_mtok
            visit.known_usd = not tokens and tier.usd_column is None
        if visit.answer is not None:
            visit.usd += price_usd(tier, visit.answer)
            if judged:
                await self._judge(question, visit, tier)
        return visit

    async def _judge(self, question: Question, visit: Visit, tier: Tier) -> None:
        answer = visit.answer
        assert answer is not None
        ok = tier.threshold is None or accepts(answer.score, tier.threshold)
        if tier.verifier is not None and ok:
            visit.usd += tier.verifier.usd_per_request
            ok = passes(ok, await self._verdict(question, answer, visit.tier))
        visit.state = ACCEPTED if ok else DECLINED

    async def _verdict(self, question: Question, answer: Answer, k: int) -> bool:
        """Return whether the verifier passes an answer. Nobody has passed it if there is none."""
        if k not in self.tiers.verify:
            if answer.passes is None:
                log.warning("tier %d says no verdict (x-fallwise-passes)", k)
            return answer.passes is True
        messages = [
            *question.body["messages"],
            {"role": "assistant", "content": answer.text},
            {"role": "user", "content": "Is this answer right? Reply yes or no."},
        ]
        asked = Question(
            {**question.body, "messages": messages},
            question.row,
            question.key,
            question.local,
            question.received_ns,
        )
        try:
            verdict = await self.tiers.verify[k](asked)
        except CallFailed as error:
            log.warning("verifier of tier %d: %s", k, error)
            return False
        if verdict.passes is not None:
            return verdict.passes
        return verdict.text.strip().lower().startswith("yes")


def _agree(visits: list[Visit]) -> bool:
    """Return whether the answers that were made side by side are all the same."""
    identities = [visit.answer.identity for visit in visits if visit.answer is not None]
    return all(agrees(identities[0], other) for other in identities[1:])
