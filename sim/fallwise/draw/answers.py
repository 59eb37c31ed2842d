"""What each tier would answer: grade, score, identity, verdict; and what the router would see."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from fallwise.draw import latent
from fallwise.draw.mix import Asked
from fallwise.draw.replay import Replay, model_of
from fallwise.draw.streams import side_by_side
from fallwise.errors import Problem, ScenarioError, TableError
from fallwise.scenario import Router, Scenario, Tier
from fallwise.tables import Bools, Float32s, Floats, Int32s

__all__ = ["RIGHT", "Answers", "Given", "column_of"]

RIGHT = 0.5
"""A verifier and a router treat an answer of at least this grade as right."""


@dataclass(frozen=True)
class Given:
    """A tier's answers to a block of n requests.

    correct  (n,) float32
    score    (n,) float64
    answer   (n,) int32
    """

    correct: Float32s
    score: Floats
    answer: Int32s


class Answers:
    """Where the answers of a scenario come from, made ready once for all blocks."""

    def __init__(self, scenario: Scenario, replay: Replay | None):
        self.scenario, self.replay = scenario, replay
        self.shift = np.array([s.difficulty for s in scenario.traffic.segments])
        self.share = np.array([s.share for s in scenario.traffic.segments])
        self.abilities = {
            k: latent.ability(tier.adapted, ("tiers", k, "answers"))
            for k, tier in enumerate(scenario.tiers)
            if tier.adapted is not None and (replay is None or model_of(tier) is None)
        }
        pairs = [k for k, tier in enumerate(scenario.tiers) if tier.agree_with is not None]
        self.compared = {k - 1 for k in pairs} | set(pairs)
        for k in pairs:
            if (k in self.abilities) != (k - 1 in self.abilities):
                rule = "a replayed answer cannot be compared with a synthetic one"
                key = ("tiers", k, "agree_with")
                raise ScenarioError(Problem(rule, "take both from the table, or neither", key))

    def given(self, asked: Asked) -> list[Given | None]:
        """Return every tier's answers to a block; None for a cache, which has none of its own."""
        difficulty = None
        if self.replay is None and any(a.loading or a.beta for a in self.abilities.values()):
            difficulty = self._difficulty(asked, "difficulty")

        def of_tier(k: int) -> Given | None:
            tier = self.scenario.tiers[k]
            if tier.kind == "cache":
                return None
            if k not in self.abilities:
                return self._replayed(k, tier, asked)
            # Beside a table there is no common difficulty: this tier is right by itself.
            own = difficulty
            if self.replay is not None and tier.answers:
                own = self._difficulty(asked, f"difficulty:{tier.name}")
            return self._synthetic(k, tier, asked, own)

        return side_by_side(of_tier, range(len(self.scenario.tiers)), len(asked))

    def _difficulty(self, asked: Asked, name: str) -> Floats:
        values = asked.questions.normal(name)
        if self.shift.any():
            values += self.shift[asked.segment]
        return values

    def _synthetic(self, k: int, tier: Tier, asked: Asked, difficulty: Floats | None) -> Given:
        who, answers, n = self.abilities[k], tier.adapted, len(asked)
        assert answers is not None
        shock = None
        if answers.accuracy < 1 or who.gamma:
            shock = asked.questions.normal(f"ability:{tier.name}")
        right = np.ones(n, np.bool_)
        if answers.accuracy < 1:
            assert shock is not None
            right = latent.right(who, shock, difficulty)
        name = f"score:{tier.name}"
        score = latent.score(who, answers, asked.questions, name, shock, difficulty)
        answer = ~right * np.int32(k + 1)
        if k in self.compared:
            wrong = asked.questions.uniform(f"answer:{tier.name}") * answers.wrong_choices
            answer = ~right * (1 + wrong.astype(np.int32))
        return Given(right.astype(np.float32), score, answer)

    def _replayed(self, k: int, tier: Tier, asked: Asked) -> Given:
        replay, model, query = self.replay, model_of(tier), asked.query
        assert replay is not None and model is not None and query is not None
        correct = replay.column("correct", model)[query].astype(np.float32)
        column = self.scenario.answers.score_column
        # Without a threshold scores decide nothing, whatever they lack.
        if tier.threshold is not None or replay.table.complete(column, model):
            score = replay.column(column, model)[query]
        else:
            score = np.ones(len(asked))
        ids = replay.table.answer
        if ids is None:
            if k in self.compared:
                problem = Problem("column is missing", "agree_with needs it", ("answer_id",))
                raise TableError(problem.at(replay.table.file))
            answer = np.where(correct >= RIGHT, 0, k + 1).astype(np.int32)
        else:
            of_model = ids[:, replay.table.models.index(model)]
            if k in self.compared and (of_model < 0).any():
                key = ("answer_id", f"model {model}")
                problem = Problem("has gaps, and agree_with needs it", "fill it in", key)
                raise TableError(problem.at(replay.table.file))
            answer = of_model[query]
        return Given(correct, score, answer)

    def passes(self, k: int, tier: Tier, asked: Asked, correct: Float32s) -> Bools:
        """Return (n,) where the tier's verifier would pass its answer."""
        verifier = tier.verifier
        assert verifier is not None
        if verifier.column is not None:
            key = ("tiers", k, "verifier", "column")
            verdict: Bools = column_of(self.replay, tier, verifier.column, asked, key) >= RIGHT
            return verdict
        alarm, catch = verifier.false_alarm_rate or 0.0, verifier.catch_rate or 0.0
        refuses = np.where(correct >= RIGHT, alarm, catch)
        passes: Bools = asked.questions.uniform(f"passes:{tier.name}") >= refuses
        return passes

    def router_score(self, router: Router, asked: Asked, given: list[Given | None]) -> Floats:
        """Return (n,) what the router sees: its column, or uniform on [0, 1] with its AUROC.

        Source: the binormal model (Green and Swets, Signal Detection Theory, 1966): s is normal
        with mean d = sqrt(2) Phi^-1(auroc) for right answers, 0 for wrong ones. It is shown
        through its own distribution function, p Phi(s - d) + (1 - p) Phi(s).
        """
        from scipy.special import ndtr, ndtri

        if router.column is not None:
            assert self.replay is not None and asked.query is not None
            return self.replay.shared_column(router.column)[asked.query]
        assert router.auroc is not None and router.about is not None
        k = self.scenario.index(router.about)
        about = given[k]
        assert about is not None
        d, p = sqrt(2) * float(ndtri(router.auroc)), self._share_right(k)
        s = asked.questions.normal("router_score")
        s += d * (about.correct >= RIGHT)
        shown: Floats = p * ndtr(s - d) + (1 - p) * ndtr(s)
        return shown

    def _share_right(self, k: int) -> float:
        """Return the share of requests that a tier answers rightly, over all segments."""
        from scipy.special import ndtr

        if k in self.abilities:
            who = self.abilities[k]
            return float(self.share @ ndtr(who.a - who.loading * self.shift))
        replay, model = self.replay, model_of(self.scenario.tiers[k])
        assert replay is not None and model is not None
        right = replay.column("correct", model) >= RIGHT
        if replay.order is not None:
            return float(right[replay.order].mean())
        return float(self.share @ np.array([right[pool].mean() for pool in replay.pools]))


def column_of(replay: Replay | None, tier: Tier, name: str, asked: Asked, key: Any) -> Floats:
    """Return (n,) numbers of the table about the tier's model; ScenarioError if it has none."""
    model = model_of(tier)
    if replay is None or model is None or asked.query is None:
        rule = "this tier's answers are not from a table, so the table has no such column for it"
        raise ScenarioError(Problem(rule, "give numbers, or name its model", key, name))
    return replay.column(name, model)[asked.query]
