"""What a search may turn: tiers in or out, thresholds, verifiers on or off, a router's cuts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fallwise.scenario import Scenario
from fallwise.tables import Floats, RequestTable

__all__ = ["Knob", "Setting", "knobs_of", "own", "pairs_of", "said", "turned", "without"]

Setting = tuple[float, ...]
"""A value for each knob: a threshold or a cut; 1.0 and 0.0 are on and off, in and out."""


@dataclass(frozen=True)
class Knob:
    """One value of a scenario that may be turned.

    key names it as --set does. scores are what it is compared with, ascending, as the tuning half
    has them; None where it is on or off.
    """

    kind: Literal["tier", "threshold", "verifier", "cut"]
    key: str
    tier: str = ""
    scores: Floats | None = None

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
    """Return all that may be turned, tiers first; without requests the knobs have no scores.

    A tier may be left out where at least three could answer and nothing else names it.
    """
    found: list[Knob] = []
    answering = [t.name for t in scenario.tiers if t.is_model]
    for k, tier in enumerate(scenario.tiers):
        key = f"tiers.{tier.name}"
        if len(answering) > 2 and tier.name in answering and _spare(scenario, k):
            found.append(Knob("tier", key, tier.name))
        if tier.threshold is not None:
            scores = np.zeros(0) if requests is None else np.sort(requests.score[:, k])
            found.append(Knob("threshold", f"{key}.threshold", tier.name, scores))
        if tier.verifier is not None:
            found.append(Knob("verifier", f"{key}.verifier", tier.name))
    if scenario.router is not None:
        seen = None if requests is None else requests.router_score
        scores = np.zeros(0) if seen is None else np.sort(seen)
        for i in range(len(scenario.router.cuts)):
            found.append(Knob("cut", f"router.cuts[{i}]", scores=scores))
    if not any(knob.kind in ("threshold", "cut") for knob in found):
        return [knob for knob in found if knob.kind != "tier"]
    return found


def _spare(scenario: Scenario, k: int) -> bool:
    """Return True where the cascade is still one without tier k."""
    tier, others = scenario.tiers[k], [t for i, t in enumerate(scenario.tiers) if i != k]
    named = _texts([t.model_dump(exclude={"name", "filled_by", "model"}) for t in others])
    if scenario.router is not None:
        named |= _texts(scenario.router.model_dump())
    return k != scenario.frontier and tier.agree_with is None and tier.name not in named


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_texts, value.values())) if value else set()
    if isinstance(value, list | tuple):
        return set().union(*map(_texts, value)) if value else set()
    return {value} if isinstance(value, str) else set()


def own(scenario: Scenario, knobs: list[Knob]) -> Setting:
    """Return the scenario's own setting."""
    return tuple(
        1.0 if knob.scores is None else float(scenario.value_at(knob.key)) for knob in knobs
    )


def pairs_of(knobs: list[Knob]) -> list[Setting]:
    """Return for each tier that may be left out the setting with no other such tier, half kept."""
    tiers = [knob.tier for knob in knobs if knob.kind == "tier"]
    return [
        tuple(
            knob.value(0.5)
            if knob.scores is not None
            else float(knob.tier in ("", kept))
            if knob.kind == "tier"
            else 1.0
            for knob in knobs
        )
        for kept in tiers
    ]


def turned(
    scenario: Scenario, requests: RequestTable, knobs: list[Knob], setting: Setting
) -> tuple[Scenario, RequestTable]:
    """Return scenario and requests with a setting put in; cuts are put in order."""
    found, cuts, names = scenario, [], []
    for knob, value in zip(knobs, setting, strict=True):
        k = scenario.index(knob.tier) if knob.tier else -1
        if knob.kind == "cut":
            cuts.append(value)
        elif knob.kind == "threshold":
            found = found.with_tier(k, threshold=value)
        elif knob.kind == "verifier" and not value:
            found = found.with_tier(k, verifier=None)
        elif knob.kind == "tier" and not value:
            names.append(knob.tier)
    if scenario.router is not None:
        router = scenario.router.model_copy(update={"cuts": sorted(cuts)})
        found = found.model_copy(update={"router": router})
    if not names:
        return found, requests
    return without(found, names), requests.without([scenario.index(name) for name in names])


def without(scenario: Scenario, names: Sequence[str]) -> Scenario:
    """Return the scenario without some tiers, and without what it says about them elsewhere."""
    tiers = [tier for tier in scenario.tiers if tier.name not in names]
    for k, tier in enumerate(tiers):
        if tier.filled_by is not None:
            fills = [name for name in tier.filled_by if name not in names]
            tiers[k] = tier.model_copy(update={"filled_by": fills})
    about = tuple(f"tiers.{name}." for name in names)
    kept = [item for item in scenario.assumptions if not item.key.startswith(about)]
    return scenario.model_copy(update={"tiers": tiers, "assumptions": kept})


def said(knobs: list[Knob], setting: Setting | None) -> dict[str, Any]:
    """Return a setting for JSON, None where it is frontier-only.

    A threshold of None is above every score; of a tier that is left out nothing else is said.
    """
    found: dict[str, Any] = {"left_out": [], "thresholds": {}, "verifiers": {}, "cuts": []}
    if setting is None:
        return dict.fromkeys(found)
    for knob, value in zip(knobs, setting, strict=True):
        number = value if math.isfinite(value) else None
        if knob.tier in found["left_out"]:
            continue
        if knob.kind == "cut":
            found["cuts"].append(number)
        elif knob.kind == "threshold":
            found["thresholds"][knob.tier] = number
        elif knob.kind == "verifier":
            found["verifiers"][knob.tier] = bool(value)
        elif not value:
            found["left_out"].append(knob.tier)
    found["cuts"].sort(key=lambda cut: math.inf if cut is None else cut)
    return found
