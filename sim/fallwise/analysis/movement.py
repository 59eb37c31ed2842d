"""By how much a run differs from another one of the same requests, in every measure."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fallwise.analysis.intervals import Estimate, batch_quantile, paired, paired_quantile
from fallwise.analysis.money import paid_usd
from fallwise.analysis.predict import Prediction
from fallwise.analysis.questions import asked, by_groups, by_quantile, outer
from fallwise.analysis.sample import enough, warmup
from fallwise.analysis.tally import escalated
from fallwise.tables import Floats

__all__ = ["MOVED", "movement"]

QUANTILES: Final = {"sojourn_s_p50": 0.5, "sojourn_s_p95": 0.95, "sojourn_s_p99": 0.99}
MOVED: Final = ("cost_usd_mean", "quality", "escalation_rate", *QUANTILES)
"""The measures: those of the summary with these names."""

Json = dict[str, Any]


def movement(low: Prediction, high: Prediction) -> Json:
    """Return the measures of both runs, at_low and at_high, and the swing: high less low.

    The swing is an estimate, of the difference on the same requests: what both have in common is
    no part of its interval. Where a table's questions come again, it holds what other questions
    would have made of it. A quantile that has too few requests beyond it is None. Replications
    follow each other as if they were one run. ValueError where the runs differ in length.
    """
    cuts = [max(pair) for pair in zip(warmup(low), warmup(high), strict=True)]
    first, second = (_columns(run, cuts) for run in (low, high))
    question = asked(low, cuts)
    found: Json = {"at_low": {}, "at_high": {}, "swing": {}}
    for name, b in second.items():
        a = first[name]
        if name == "sojourn_s":
            others = question is not None and by_quantile(b, a, question, QUANTILES.values())
            for quantile, q in QUANTILES.items():
                known = enough(len(a), q)
                pair = paired_quantile(b, a, q).difference if known else None
                ends = [batch_quantile(x, q).value if known else None for x in (a, b)]
                _put(found, quantile, ends, pair, others[q] if others else None)
        else:
            wide = None if question is None else by_groups(b - a, question)
            _put(found, name, [float(a.mean()), float(b.mean())], paired(b, a).difference, wide)
    return found


def _put(found: Json, name: str, ends: list[Any], swing: Estimate | None, wide: Any) -> None:
    found["at_low"][name], found["at_high"][name] = ends
    estimate = None if swing is None else swing.dict()
    found["swing"][name] = outer(estimate, *wide) if estimate and wide else estimate


def _columns(prediction: Prediction, cuts: list[int]) -> dict[str, Floats]:
    """Return (n,) what each measured request was: its cost with rent, its grade, its seconds."""
    parts: dict[str, list[Any]] = {"cost_usd_mean": [], "quality": []}
    parts |= {"escalation_rate": [], "sojourn_s": []}
    for run, cut in zip(prediction.runs, cuts, strict=True):
        outcomes = run.outcomes
        assert outcomes.correct is not None
        parts["cost_usd_mean"].append(paid_usd(run.scenario, outcomes)[cut:])
        parts["quality"].append(outcomes.correct[cut:].astype(np.float64))
        on = escalated(run.scenario, outcomes.visit)
        parts["escalation_rate"].append(on[cut:].astype(np.float64))
        parts["sojourn_s"].append(outcomes.sojourn_s[cut:])
    return {name: np.concatenate(columns) for name, columns in parts.items()}
