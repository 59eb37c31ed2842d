"""What a search may turn: thresholds, a router's cuts, and verifiers, which are on or off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fallwise.scenario import Scenario
from fallwise.tables import Floats, RequestTable

__all__ = ["Knob", "Setting", "knobs_of", "own", "said", "turned"]

Setting = tuple[float, ...]
"""A value for each knob: a threshold or a cut; 1.0 and 0.0 are a verifier's on and off."""


@dataclass(frozen=True)
class Knob:
    """One value of a scenario that may be turned.

    key names it as --set does. scores are what it is compared with, ascending, as the tuning half
    has them; None for a verifier, which is on or off.
    """

    key: str
    tier: str | None = None
    scores: Floats | None = None

    @property
    def kind(self) -> str:
        """Return `threshold`, `verifier` or `cut`."""
        return "cut" if self.tier is None else self.key.rpartition(".")[2]

    def value(self, share: float) -> float:
        """Return the value below which this share of the scores is; infinity above all of them."""
        if self.scores is None:
            return float(share >= 0.5)
        at = int(share * len(self.scores))
        return math.inf if at >= len(self.scores) else float(self.scores[at])

    def share(self, value: float) -> float:
        """Return the share of the scores below a value."""
        if self.scores is None:
            return value
        return float(np.searchsorted(self.scores, value)) / len(self.scores)


def knobs_of(scenario: Scenario, requests: RequestTable | None = None) -> list[Knob]:
    """Return all that may be turned, tiers first; without requests the knobs have no scores."""
    found = []
    empty = np.zeros(0)
    for k, tier in enumerate(scenario.tiers):
        key = f"tiers.{tier.name}"
        if tier.threshold is not None:
            scores = empty if requests is None else np.sort(requests.score[:, k])
            found.append(Knob(f"{key}.threshold", tier.name, scores))
        if tier.verifier is not None:
            found.append(Knob(f"{key}.verifier", tier.name))
    if scenario.router is not None:
        seen = None if requests is None else requests.router_score
        scores = empty if seen is None else np.sort(seen)
        found += [Knob(f"router.cuts[{i}]", None, scores) for i in range(len(scenario.router.cuts))]
    return found


def own(scenario: Scenario, knobs: list[Knob]) -> Setting:
    """Return the scenario's own setting."""
    return tuple(
        1.0 if knob.scores is None else float(scenario.value_at(knob.key)) for knob in knobs
    )


def turned(scenario: Scenario, knobs: list[Knob], setting: Setting) -> Scenario:
    """Return the scenario with a setting put in; cuts are put in order."""
    tiers, cuts = list(scenario.tiers), []
    for knob, value in zip(knobs, setting, strict=True):
        if knob.tier is None:
            cuts.append(value)
            continue
        k = scenario.index(knob.tier)
        change: dict[str, Any] = {"threshold": value}
        if knob.kind == "verifier":
            change = {} if value else {"verifier": None}
        tiers[k] = tiers[k].model_copy(update=change)
    changed: dict[str, Any] = {"tiers": tiers}
    if scenario.router is not None:
        changed["router"] = scenario.router.model_copy(update={"cuts": sorted(cuts)})
    return scenario.model_copy(update=changed)


def said(knobs: list[Knob], setting: Setting | None) -> Mapping[str, Any]:
    """Return a setting for JSON; a threshold of None is above every score, no setting no knob's."""
    found: dict[str, Any] = {"thresholds": {}, "verifiers": {}, "cuts": []}
    if setting is None:
        return {name: None for name in found}
    for knob, value in zip(knobs, setting, strict=True):
        number = value if math.isfinite(value) else None
        if knob.tier is None:
            found["cuts"].append(number)
        elif knob.kind == "verifier":
            found["verifiers"][knob.tier] = bool(value)
        else:
            found["thresholds"][knob.tier] = number
    found["cuts"].sort(key=lambda cut: math.inf if cut is None else cut)
    return found
