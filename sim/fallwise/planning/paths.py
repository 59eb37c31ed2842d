"""Other ways through the same tiers: in sequence, with a tight timeout, hedged, routed, agreed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fallwise.analysis.baselines import alone
from fallwise.analysis.predict import Prediction, predict
from fallwise.engines.engine import Engine
from fallwise.errors import ScenarioError
from fallwise.scenario import Scenario, Tier, override
from fallwise.tables import NOT_VISITED

__all__ = ["TIGHT", "Way", "ways"]

TIGHT = 0.95
"""A tight timeout lets this share of the cheap tier's unhindered answers through."""


class Way(NamedTuple):
    """One way through the tiers; how says what it is made of, and what is only supposed."""

    name: str
    prediction: Prediction
    how: str


def ways(
    scenario: Scenario,
    engine: Engine = "compiled",
    tight_timeout_s: float | None = None,
    router_auroc: float = 0.75,
) -> tuple[list[Way], dict[str, str]]:
    """Return the ways that the scenario's tiers allow, each predicted, and why others are not.

    as written                   only where it is none of the others: a router and thresholds, say
    sequence                     one tier after the other, no router, no two side by side
    sequence with tight timeout  the cheapest tier may take tight_timeout_s, by default the time in
                                 which 95 % of its answers come when nobody waits
    router                       instead of the thresholds: the scenario's own, or one with
                                 router_auroc that sends as large a share straight to the frontier
                                 as the sequence escalates
    hedged                       the sequence with a second call to a frontier that takes longer
                                 than 95 % of its answers
    agreement                    two cheap models side by side, accepted where they agree
    frontier-only                the frontier alone
    """
    built = _Ways(scenario, engine, tight_timeout_s, router_auroc)
    built.in_sequence()
    built.hedged()
    built.routed()
    built.agreeing()
    frontier = scenario.tiers[scenario.frontier].name
    built.found.append(
        Way("frontier-only", alone(built.base, scenario.frontier), f"{frontier} alone")
    )
    return built.found, built.impossible


class _Ways:
    def __init__(self, scenario: Scenario, engine: Engine, tight_s: float | None, auroc: float):
        self.scenario, self.engine, self.tight_s, self.auroc = scenario, engine, tight_s, auroc
        self.first = scenario.tiers[scenario.cheapest]
        self.cheap = scenario.tiers[scenario.cheapest : scenario.frontier]
        self.base = predict(scenario, engine=engine)
        self.found: list[Way] = []
        self.impossible: dict[str, str] = {}
        pairs = any(tier.agree_with for tier in scenario.tiers)
        if scenario.router or pairs:
            self.found.append(Way("as written", self.base, "the scenario as it is"))
        self.sequence: Prediction | None = None
        self.in_line: dict[str, object] = {}
        """What makes a sequence of the scenario."""

    def add(self, name: str, values: dict[str, object], how: str) -> Prediction:
        prediction = predict(override(self.scenario, values), engine=self.engine)
        self.found.append(Way(name, prediction, how))
        return prediction

    def in_sequence(self) -> None:
        tight = "sequence with tight timeout"
        plain: dict[str, object] = {
            f"tiers.{t.name}.agree_with": None for t in self.scenario.tiers if t.agree_with
        }
        if self.scenario.router is not None:
            plain["router"] = None
        self.in_line = plain
        if not self.cheap:
            why = f"{self.first.name} is the frontier itself: there is nothing before it"
            self.impossible |= {"sequence": why, tight: why} if plain else {tight: why}
        elif not any(tier.threshold is not None or tier.verifier for tier in self.cheap):
            why = "no cheap tier has a threshold or a verifier to send an answer on by"
            self.impossible |= {"sequence": why, tight: why}
            return
        if not plain:
            self.sequence = self.base
            self.found.append(Way("sequence", self.base, "the scenario as it is"))
        elif self.cheap:
            self.sequence = self.add("sequence", plain, "no router, no two tiers side by side")
        if not self.cheap:
            return
        self.tightened(tight, plain)

    def hedged(self) -> None:
        scenario = self.scenario
        frontier = scenario.tiers[scenario.frontier]
        if self.sequence is None:
            self.impossible["hedged"] = "there is no sequence to hedge"
            return
        took_s = self.base.requests.service_ns[:, scenario.frontier] / 1e9
        after_s = float(np.quantile(took_s, TIGHT))
        if not took_s.max() > after_s:
            self.impossible["hedged"] = f"no answer of {frontier.name} takes longer than the others"
            return
        try:
            values = self.in_line | {f"tiers.{frontier.name}.hedge": {"after_s": after_s}}
            how = f"a second call to {frontier.name} after {after_s:.3g} s; both are paid"
            self.add("hedged", values, how)
        except ScenarioError as error:
            self.impossible["hedged"] = error.problems[0].rule

    def tightened(self, name: str, plain: dict[str, object]) -> None:
        first = self.first
        limit_s = self.tight_s
        source = "as asked for"
        took_s = self.base.requests.service_ns[:, self.scenario.cheapest] / 1e9
        if limit_s is None:
            limit_s = float(np.quantile(took_s, TIGHT))
            source = f"{100 * TIGHT:g} % of its answers take no longer when nobody waits"
        if first.timeout_s is not None and first.timeout_s <= limit_s:
            self.impossible[name] = (
                f"{first.name}'s own timeout_s, {first.timeout_s:g}, is as tight as {limit_s:.3g}"
            )
        elif not limit_s > 0:
            self.impossible[name] = f"{first.name} takes no time"
        elif first.servers is None and not first.calls and not took_s.max() > limit_s:
            self.impossible[name] = f"no answer of {first.name} takes longer than {limit_s:.3g}"
        else:
            values = plain | {f"tiers.{first.name}.timeout_s": limit_s}
            how = f"{first.name}.timeout_s = {limit_s:.3g}: {source}"
            if first.on_failure == "give_up":
                how += "; who it strikes gets no answer (on_failure: give_up)"
            self.add(name, values, how)

    def routed(self) -> None:
        scenario = self.scenario
        if not self.cheap:
            self.impossible["router"] = f"{self.first.name} is the frontier itself"
            return
        values: dict[str, object] = {
            f"tiers.{t.name}.threshold": None for t in self.cheap if t.threshold is not None
        }
        values |= {f"tiers.{t.name}.agree_with": None for t in scenario.tiers if t.agree_with}
        if scenario.router is not None and not values:
            self.found[0] = self.found[0]._replace(name="router")
            return
        if scenario.router is not None:
            self.add("router", values, "the scenario's router, no thresholds behind it")
            return
        share = _sent_on(self.base, scenario)
        if not 0 < share < 1:
            self.impossible["router"] = (
                f"the sequence sends {100 * share:g} % on to the frontier: there is nothing to part"
            )
            return
        starts = [scenario.tiers[scenario.frontier].name, self.first.name]
        values["router"] = {
            "auroc": self.auroc,
            "about": self.first.name,
            "cuts": [share],
            "starts": starts,
        }
        how = (
            f"supposed: AUROC {self.auroc:g} (--router-auroc), no time, no price; "
            f"{100 * share:.3g} % go straight to {starts[0]}"
        )
        self.add("router", values, how)

    def agreeing(self) -> None:
        scenario = self.scenario
        if any(tier.agree_with for tier in scenario.tiers) and scenario.router is None:
            self.found[0] = self.found[0]._replace(name="agreement")
            return
        pair = self.cheap[:2]
        if (why := _unlike(pair)) is not None:
            self.impossible["agreement"] = why
            return
        a, b = pair
        values: dict[str, object] = {f"tiers.{b.name}.agree_with": a.name}
        values |= {f"tiers.{t.name}.threshold": None for t in pair if t.threshold is not None}
        if scenario.router is not None:
            values["router"] = None
        self.add("agreement", values, f"{a.name} and {b.name} side by side, no thresholds")


def _sent_on(base: Prediction, scenario: Scenario) -> float:
    """Return the share of the requests past the cache that reach the frontier."""
    visited = base.outcomes.visit[:, scenario.cheapest :] != NOT_VISITED
    asked = visited.any(axis=1)
    k = scenario.frontier - scenario.cheapest
    return float(visited[asked, k].mean()) if asked.any() else 0.0


def _unlike(pair: list[Tier]) -> str | None:
    """Return why two tiers cannot agree; None where they can."""
    if len(pair) < 2:
        return "it needs two tiers before the frontier"
    a, b = pair
    if a.local != b.local:
        return f"{a.name} and {b.name} are not both local"
    if (a.answers is None) != (b.answers is None):
        return f"the answers of {a.name} and {b.name} come from different sources"
    return None
