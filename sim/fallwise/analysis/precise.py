"""A prediction with as many independent runs as it takes to know its numbers well enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from fallwise.analysis.intervals import Estimate
from fallwise.analysis.predict import Prediction, predict
from fallwise.analysis.stopping import until
from fallwise.analysis.summary import summarise
from fallwise.engines.engine import Engine
from fallwise.scenario import Scenario

__all__ = ["KNOWN", "predict_until"]

KNOWN: Final = ("cost_usd_mean", "quality", "sojourn_s_p95")
"""What has to be known to the relative half-width; a cost of nothing is known."""


def predict_until(
    scenario: Scenario,
    relative: float,
    seed: int | None = None,
    n: int | None = None,
    engine: Engine = "compiled",
    most: int = 400,
) -> tuple[Prediction, bool]:
    """Return runs of n requests each, enough to know KNOWN to +- relative, and whether they were.

    Replication r has the seed `seed + r`, as in predict().
    """
    seed = scenario.run.seed if seed is None else seed
    once = scenario.model_copy(update={"run": scenario.run.model_copy(update={"replications": 1})})

    def run_one(r: int) -> Prediction:
        return predict(once, seed + r, n, engine)

    def estimates(runs: Sequence[Prediction]) -> dict[str, Estimate]:
        summary = summarise(_together(runs), baselines=False)
        found = {}
        for name in KNOWN:
            known = summary[name]
            if known is None or known["value"] == 0:
                continue
            ends = (known[end] for end in ("value", "low", "high"))
            found[name] = Estimate(*(np.nan if x is None else x for x in ends))
        return found

    stopped = until(run_one, estimates, relative, most=most)
    return _together(stopped.runs), stopped.met


def _together(runs: Sequence[Prediction]) -> Prediction:
    return replace(runs[0], further=tuple(runs[1:]))
