"""From a scenario and a seed to the table of requests, whole or block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallwise import __version__
from fallwise.draw.answers import Answers, Given, column_of
from fallwise.draw.arrivals import arrivals
from fallwise.draw.calls import call_columns
from fallwise.draw.evaluations import EvaluationTable
from fallwise.draw.laws import nanoseconds, seconds, tokens
from fallwise.draw.mix import Asked, ask, popularity
from fallwise.draw.replay import Replay, model_of, open_replay
from fallwise.draw.streams import Streams, side_by_side
from fallwise.draw.traces import Recording, read_trace
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.laws import Batching, FixedTokens, FromTable, FromTokens, FromTrace, Law
from fallwise.scenario.traffic import Trace
from fallwise.tables import NEVER_NS, Floats, Int16s, Int32s, Int64s, Provenance, RequestTable

__all__ = ["blocks", "draw", "questions", "table_of"]

Tokens = tuple[Int32s, Int32s]
"""(n, K) of outputs, and (n,) of prompts."""


def draw(scenario: Scenario, seed: int | None = None, n: int | None = None) -> RequestTable:
    """Return n requests of a scenario, by default those of its `run`; `each_once` may end early."""
    n = scenario.run.requests if n is None else n
    seed = scenario.run.seed if seed is None else seed
    return next(blocks(scenario, seed, n, n))


def blocks(scenario: Scenario, seed: int, n: int, block: int) -> Iterator[RequestTable]:
    """Yield the rows of draw() in tables of at most `block` rows: the same bits, less memory."""
    if n < 1 or block < 1 or seed < 0:
        rule = "requests and blocks must be at least 1, and the seed not negative"
        raise ScenarioError(Problem(rule, "ask for more", ("run", "requests"), n))
    chance = Streams(seed)
    law = scenario.traffic.arrivals
    trace = None
    if isinstance(law, Trace):
        trace = read_trace(scenario.path_of(law.file), law, chance["dither"])
    replay = open_replay(scenario, chance)
    if replay is not None and replay.order is not None:
        n = min(n, len(replay.order))
    provenance = Provenance(__version__, scenario.name, scenario.hash, seed)
    source = _Source(scenario, chance, replay, trace, Answers(scenario, replay), provenance)
    popular = popularity(scenario.traffic)
    clock = arrivals(scenario.traffic, chance, n, block, trace)
    for first in range(0, n, block):
        row = np.arange(first, min(first + block, n))
        asked = ask(scenario.traffic, row, chance, popular, replay, trace)
        yield source.table(asked, next(clock)).check()


def questions(scenario: Scenario, seed: int, n: int) -> Int64s:
    """Return (n,) which question each request of draw() asks: equal numbers, the same question.

    The row of the evaluation table or, where answers are synthetic, the key.
    """
    chance, law, trace = Streams(seed), scenario.traffic.arrivals, None
    if isinstance(law, Trace):
        trace = read_trace(scenario.path_of(law.file), law, chance["dither"])
    replay = open_replay(scenario, chance)
    popular = popularity(scenario.traffic)
    asked = ask(scenario.traffic, np.arange(n), chance, popular, replay, trace)
    return asked.questions.key if asked.query is None else asked.query


def table_of(scenario: Scenario, seed: int) -> EvaluationTable:
    """Return the evaluation table that questions() numbers the rows of; answers are replayed."""
    replay = open_replay(scenario, Streams(seed))
    assert replay is not None
    return replay.table


@dataclass(frozen=True)
class _Source:
    """All that the columns of a block are drawn from."""

    scenario: Scenario
    chance: Streams
    replay: Replay | None
    trace: Recording | None
    answers: Answers
    provenance: Provenance

    def table(self, asked: Asked, arrival_ns: Int64s) -> RequestTable:
        """Return the requests of a block."""
        scenario, n, cache = self.scenario, len(asked), self.scenario.cache
        given = self.answers.given(asked)
        output_tokens, prompt_tokens = self._output_tokens(asked), self._prompt_tokens(asked)
        service_ns = self._service_ns(asked, (output_tokens, prompt_tokens))
        self._refuse_endless_limits((output_tokens, prompt_tokens))
        home = np.array([s.residency == "local" for s in scenario.traffic.segments])
        false_hit = np.zeros(n, np.bool_)
        if cache is not None and cache.false_hit_rate:
            false_hit = self.chance["false_hit"].random(n) < cache.false_hit_rate
        return RequestTable(
            arrival_ns=arrival_ns,
            segment=asked.segment,
            key=asked.questions.key,
            local=_by_segment(home, asked.segment),
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            service_ns=service_ns,
            false_hit=false_hit,
            **self._answer_columns(asked, given),
            **self._router_columns(asked, given),
            verifier_ns=self._verifier_ns(asked, (output_tokens, prompt_tokens)),
            patience_ns=self._patience_ns(n),
            call_usd=self._call_usd(asked),
            **self._call_columns(asked, (output_tokens, prompt_tokens), service_ns),
            provenance=self.provenance,
        )

    def _answer_columns(self, asked: Asked, given: list[Given | None]) -> dict[str, Any]:
        shape = (len(asked), len(given))
        score, answer = np.empty(shape, order="F"), np.zeros(shape, np.int32, "F")
        correct, passes = np.zeros(shape, np.float32, "F"), np.ones(shape, np.bool_, "F")
        for k, tier in enumerate(self.scenario.tiers):
            it = given[k]
            if it is None:
                score[:, k] = 1
                continue
            score[:, k], answer[:, k], correct[:, k] = it.score, it.answer, it.correct
            if tier.verifier is not None:
                passes[:, k] = self.answers.passes(k, tier, asked, it.correct)
        return {"score": score, "answer": answer, "correct": correct, "passes": passes}

    def _router_columns(self, asked: Asked, given: list[Given | None]) -> dict[str, Any]:
        router = self.scenario.router
        if router is None:
            return {}
        columns: dict[str, Any] = {"router_score": self.answers.router_score(router, asked, given)}
        law, key = router.service, ("router", "service")
        if isinstance(law, FromTokens):
            rule = "a router writes no tokens"
            raise ScenarioError(Problem(rule, "name another law", key, law.kind))
        if isinstance(law, FromTable):
            assert self.replay is not None and asked.query is not None
            columns["router_ns"] = nanoseconds(
                self.replay.shared_column(law.column)[asked.query], key
            )
        elif law is not None:
            columns["router_ns"] = nanoseconds(
                seconds(law, self.chance, "router_ns", len(asked)), key
            )
        return columns

    def _service_ns(self, asked: Asked, tokens: Tokens) -> Int64s:
        service_ns = np.empty(tokens[0].shape, np.int64, "F")

        def fill(k: int) -> None:
            service_ns[:, k] = self._service_of(k, asked, tokens)

        side_by_side(fill, range(len(self.scenario.tiers)), len(asked))
        return service_ns

    def _service_of(self, k: int, asked: Asked, tokens: Tokens) -> Int64s | int:
        tier, key = self.scenario.tiers[k], ("tiers", k, "service")
        if tier.kind == "cache":
            return round((tier.lookup_s or 0) * 1e9)
        if tier.service is None:
            raise ScenarioError(Problem("this key is missing", "add service", key))
        if isinstance(tier.service, Batching):
            sent = tier.prompt_tokens(tokens[1])
            return nanoseconds(tier.service.seconds(sent, tokens[0][:, k]), key)
        return self._times(tier.service, f"service_ns:{tier.name}", k, asked, tokens, key)

    def _verifier_ns(self, asked: Asked, tokens: Tokens) -> Int64s | None:
        found: Int64s | None = None
        for k, tier in enumerate(self.scenario.tiers):
            law = tier.verifier.service if tier.verifier else None
            if law is None:
                continue
            if found is None:
                found = np.zeros(tokens[0].shape, np.int64, "F")
            key = ("tiers", k, "verifier", "service")
            name = f"verifier_ns:{tier.name}"
            found[:, k] = self._times(law, name, k, asked, tokens, key)
        return found

    def _call_columns(self, asked: Asked, tokens: Tokens, service_ns: Int64s) -> dict[str, Any]:
        def times(law: Law, name: str, k: int, call: int, key: Any) -> Int64s:
            # A table has one time for each question: a further call takes that of another one.
            others = self._others(asked, name) if call and isinstance(law, FromTable) else asked
            return self._times(law, name, k, others, tokens, key)

        return call_columns(self.scenario.tiers, self.chance, service_ns, times)

    def _others(self, asked: Asked, name: str) -> Asked:
        """Return the same requests as if each had asked some question of its segment."""
        if self.replay is None or asked.query is None:
            return asked
        u = self.chance[f"{name}:query"].random(len(asked))
        return replace(asked, query=self.replay.pick(u, asked.segment))

    def _times(self, law: Law, name: str, k: int, asked: Asked, tokens: Tokens, key: Any) -> Int64s:
        tier = self.scenario.tiers[k]

        def column(wanted: str) -> Floats:
            return column_of(self.replay, tier, wanted, asked, key)

        n = len(asked)
        output, prompt = tokens[0][:, k], tier.prompt_tokens(tokens[1])
        return nanoseconds(seconds(law, self.chance, name, n, output, prompt, column), key)

    def _refuse_endless_limits(self, tokens: Tokens) -> None:
        """Raise ScenarioError where a limit of tokens lets one request through in 36 years."""
        for k, tier in enumerate(self.scenario.tiers):
            if tier.tokens_per_minute is not None:
                most = tier.prompt_tokens(tokens[1].max()) + float(tokens[0][:, k].max())
                takes_s = np.array([most * 60 / tier.tokens_per_minute])
                nanoseconds(takes_s, ("tiers", k, "tokens_per_minute"))

    def _patience_ns(self, n: int) -> Int64s | None:
        tiers = self.scenario.tiers
        if all(tier.patience is None for tier in tiers):
            return None
        found = np.full((n, len(tiers)), NEVER_NS, np.int64, "F")
        for k, tier in enumerate(tiers):
            if tier.patience is not None:
                key = ("tiers", k, "patience")
                if isinstance(tier.patience, FromTable | FromTokens):
                    rule = "patience is of the person who asks, not of an answer"
                    problem = Problem(rule, "name another law", key, tier.patience.kind)
                    raise ScenarioError(problem)
                drawn = seconds(tier.patience, self.chance, f"patience_ns:{tier.name}", n)
                found[:, k] = nanoseconds(drawn, key)
        return found

    def _call_usd(self, asked: Asked) -> Floats | None:
        tiers = self.scenario.tiers
        if all(tier.usd_column is None for tier in tiers):
            return None
        found = np.zeros((len(asked), len(tiers)), order="F")
        for k, tier in enumerate(tiers):
            if tier.usd_column is not None:
                key = ("tiers", k, "usd_column")
                found[:, k] = column_of(self.replay, tier, tier.usd_column, asked, key)
        return found

    def _prompt_tokens(self, asked: Asked) -> Int32s:
        """Return (n,) tokens; from the table, they are those of its cheapest model."""
        tiers = self.scenario.tiers
        first = next((t for t in tiers if model_of(t) is not None), tiers[-1])
        laws = [s.prompt_tokens for s in self.scenario.traffic.segments]
        return self._tokens("prompt_tokens", laws, first, asked, [])

    def _output_tokens(self, asked: Asked) -> Int32s:
        tiers = self.scenario.tiers
        laws = [s.output_tokens for s in self.scenario.traffic.segments]
        found = np.zeros((len(asked), len(tiers)), np.int32, "F")
        z: list[Floats] = []
        for k, tier in enumerate(tiers):
            if tier.kind != "cache":
                factor = tier.output_token_factor
                found[:, k] = self._tokens("output_tokens", laws, tier, asked, z, factor)
        return found

    def _tokens(
        self,
        name: str,
        laws: list[Any],
        tier: Tier,
        asked: Asked,
        drawn: list[Floats],
        factor: float = 1.0,
    ) -> Int32s:
        """Return (n,) tokens for one tier; drawn keeps the normal deviates that tiers share."""

        def normal() -> Floats:
            if not drawn:
                drawn.append(asked.questions.normal(name))
            return drawn[0]

        def column(law: FromTable | FromTrace) -> Floats:
            if isinstance(law, FromTrace):
                assert self.trace is not None
                return self.trace.column(name, asked.row)
            counted = tier.output_usd_per_mtok > 0 or isinstance(
                tier.service, FromTokens | Batching
            )
            if model_of(tier) is None and not counted:
                return np.zeros(len(asked))
            key = ("traffic", "segments", "tokens", name)
            return column_of(self.replay, tier, law.column, asked, key)

        if all(isinstance(law, FixedTokens) for law in laws):
            each = _whole(np.array([float(law.tokens) for law in laws]) * factor)
            return _by_segment(each, asked.segment)
        return _whole(tokens(laws, asked.segment, normal, column) * factor)


def _by_segment(each: NDArray[Any], segment: Int16s) -> NDArray[Any]:
    """Return (n,) the entry of each request's segment."""
    return np.full(len(segment), each[0]) if len(each) == 1 else each.take(segment)


def _whole(values: Floats) -> Int32s:
    whole = np.rint(values)
    if whole.max() >= 2**31 or whole.min() < 0:
        key = ("traffic", "segments")
        rule = "draws a number of tokens that is negative or above two billion"
        problem = Problem(rule, "give smaller lengths", key, float(whole.max()))
        raise ScenarioError(problem)
    return whole.astype(np.int32)
