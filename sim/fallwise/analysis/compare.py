"""Candidates on the same requests, paired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from fallwise.analysis.intervals import Paired, paired, paired_quantile
from fallwise.analysis.money import paid_usd, wrong_answers_usd
from fallwise.analysis.predict import Prediction
from fallwise.analysis.questions import asked, by_groups, by_quantile, outer
from fallwise.analysis.sample import enough, warmup
from fallwise.errors import Problem, ScenarioError
from fallwise.tables import Floats, Int64s

__all__ = ["common_warmup", "differences"]

QUANTILES: Final = {"p95": 0.95, "p99": 0.99, "p999": 0.999}


def common_warmup(candidates: Sequence[tuple[str, Prediction]]) -> list[int]:
    """Return for each run how many of its first requests to leave out: the most of any candidate.

    ScenarioError where the candidates' requests are not the same.
    """
    (first, base), *others = candidates
    for name, other in others:
        if len(base.runs) != len(other.runs) or not all(
            np.array_equal(a.requests.arrival_ns, b.requests.arrival_ns)
            for a, b in zip(base.runs, other.runs, strict=True)
        ):
            rule = f"does not have the same requests as {first}"
            remedy = "compare scenarios with the same traffic, run.requests and seed"
            raise ScenarioError(Problem(rule, remedy, ("traffic",), name))
    cuts = [warmup(prediction) for _, prediction in candidates]
    return [max(of_run) for of_run in zip(*cuts, strict=True)]


def differences(candidates: Sequence[tuple[str, Prediction]]) -> list[dict[str, Any]]:
    """Return what each candidate has more than the first: dollars, quality, seconds.

    Row i of all is the same request, so the chance that they share drops out of the difference;
    variance_reduction says how many times the requests two independent runs would have needed.
    Where a table's questions come again, no interval is narrower than other questions would make
    it. A quantile that too few requests lie beyond is None.
    """
    cuts = common_warmup(candidates)
    (first, base), *others = candidates
    question = asked(base, cuts)
    return [
        {"a": name, "b": first} | _difference(other, base, cuts, question) for name, other in others
    ]


def _difference(
    a: Prediction, b: Prediction, cuts: Sequence[int], question: Int64s | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for measure, column in (
        ("cost_usd_mean", _cost_usd),
        ("cost_with_wrong_answers_usd_mean", _with_stakes_usd),
        ("quality", _correct),
        ("sojourn_s_mean", _sojourn_s),
    ):
        mine, theirs = (
            np.concatenate([column(r)[c:] for r, c in zip(x.runs, cuts, strict=True)])
            for x in (a, b)
        )
        found[measure] = _json(paired(mine, theirs))
        if question is not None:
            found[measure] = outer(found[measure], *by_groups(mine - theirs, question))
    mine, theirs = (
        np.concatenate([_sojourn_s(r)[c:] for r, c in zip(x.runs, cuts, strict=True)])
        for x in (a, b)
    )
    others = None if question is None else by_quantile(mine, theirs, question, QUANTILES.values())
    for name, q in QUANTILES.items():
        known = enough(len(mine), q)
        pair = _json(paired_quantile(mine, theirs, q)) if known else None
        if pair is not None and others is not None:
            pair = outer(pair, *others[q])
        found[f"sojourn_s_{name}"] = pair
    return found


def _json(pair: Paired) -> dict[str, float | None]:
    reduction = pair.variance_reduction
    finite = float(reduction) if np.isfinite(reduction) else None
    return pair.difference.dict() | {"variance_reduction": finite}


def _cost_usd(run: Prediction) -> Floats:
    return paid_usd(run.scenario, run.outcomes)


def _with_stakes_usd(run: Prediction) -> Floats:
    """Return what was paid for each request, and what its wrong answer costs."""
    return _cost_usd(run) + wrong_answers_usd(run.scenario, run.requests, run.outcomes)


def _correct(run: Prediction) -> Floats:
    assert run.outcomes.correct is not None
    return np.asarray(run.outcomes.correct, np.float64)


def _sojourn_s(run: Prediction) -> Floats:
    return run.outcomes.sojourn_s
