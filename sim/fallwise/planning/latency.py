"""Measured seconds as a law of the scenario, and how well it holds."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from fallwise.draw.laws import Z99
from fallwise.draw.laws import seconds as drawn
from fallwise.draw.streams import Streams
from fallwise.scenario.laws import Law
from fallwise.tables import Floats

__all__ = ["FEWEST", "Fitted", "latency_law", "times_of"]

FEWEST: Final = 20
"""Measured values of a model, at least; fewer say nothing about a tail."""
STEPS: Final = 200
GOOD: Final = 0.03
"""So small a gap between two distribution functions is no reason to give every quantile."""
ROUNDS: Final = 200
LEAST: Final = 1e-6


class Fitted(NamedTuple):
    """A law as the scenario has it, in words, and its largest gap to the measured distribution."""

    law: dict[str, Any]
    words: str
    ks: float


def latency_law(
    seconds: Floats, output_tokens: Floats | None = None, first_s: Floats | None = None
) -> Fitted:
    """Return the law of measured times, (n,) arrays: the simplest that holds, else the closest.

    Tried in turn, until the Kolmogorov-Smirnov distance is below GOOD: time to the first token and
    then so long for each output token, where lengths are known and tell a quarter of the variance;
    a lognormal; two lognormals (a body and a rare heavy part); the quantiles themselves. Lengths
    may lack (NaN): the law by tokens is then fitted to the others, and must hold for all times.
    """
    tried = []
    laws = [_lognormal(seconds), _two(seconds), _quantiles(seconds)]
    known = np.isfinite(seconds if output_tokens is None else output_tokens)
    output_tokens = None if output_tokens is None or not known.any() else output_tokens[known]
    first_s = None if first_s is None else first_s[known]
    if output_tokens is not None and (own := _by_tokens(seconds[known], output_tokens, first_s)):
        laws.insert(0, own)
    for law, words in laws:
        gap = _gap(law, seconds, output_tokens)
        tried.append(Fitted(law, words, gap))
        if gap < GOOD:
            return tried[-1]
    return min(tried, key=lambda one: one.ks)


def _gap(law: dict[str, Any], seconds: Floats, output_tokens: Floats | None) -> float:
    """Return the largest gap of the distribution functions of what was measured and is drawn."""
    calls = len(seconds) if output_tokens is None else len(output_tokens)
    sample = np.sort(times_of(law, calls, output_tokens))
    at = np.sort(seconds)
    n = len(at)
    # The measured function steps: both ends of each step count.
    right = np.abs(np.searchsorted(sample, at, side="right") / len(sample) - _ecdf(at, "right"))
    left = np.abs(np.searchsorted(sample, at, side="left") / len(sample) - _ecdf(at, "left"))
    return float(max(right.max(), left.max())) if n else 0.0


def times_of(law: dict[str, Any], calls: int, output_tokens: Floats | None = None) -> Floats:
    """Return what a law draws for so many calls of these (n,) lengths, over and over: some 20,000.

    The prompt has no part in it: prefill is in the time to the first token.
    """
    again = max(1, 20_000 // calls)
    tokens = None if output_tokens is None else np.tile(output_tokens, again).astype(np.int32)
    checked: Law = TypeAdapter[Law](Law).validate_python(law)
    n = again * calls
    return drawn(checked, Streams(1), "fit", n, tokens, np.zeros(n))


def _ecdf(at: Floats, side: Any) -> Floats:
    found: Floats = np.searchsorted(at, at, side=side) / len(at)
    return found


def _lognormal(seconds: Floats) -> tuple[dict[str, Any], str]:
    log = np.log(np.maximum(seconds, LEAST))
    return _log_law(float(log.mean()), float(log.std())), "lognormal"


def _log_law(mean: float, spread: float) -> dict[str, Any]:
    spread = max(spread, 1e-4)
    p50, p99 = np.exp(mean), np.exp(mean + Z99 * spread)
    return {"kind": "lognormal", "p50_s": float(p50), "p99_s": float(p99)}


def _two(seconds: Floats) -> tuple[dict[str, Any], str]:
    """Return two lognormals of the highest likelihood, by expectation and maximisation.

    Source: Dempster, Laird and Rubin, Maximum Likelihood from Incomplete Data (1977).
    """
    x = np.log(np.maximum(seconds, LEAST))
    mean = np.quantile(x, [0.45, 0.97])
    spread, share = np.full(2, max(float(x.std()), 1e-3)), np.array([0.9, 0.1])
    floor = max(1e-2 * float(x.std()), 1e-4)
    for _ in range(ROUNDS):
        density = share / spread * np.exp(-0.5 * ((x[:, None] - mean) / spread) ** 2)
        part = density / np.maximum(density.sum(axis=1, keepdims=True), 1e-300)
        weight = np.maximum(part.sum(axis=0), 1e-9)
        mean = part.T @ x / weight
        spread = np.sqrt((part * (x[:, None] - mean) ** 2).sum(axis=0) / weight).clip(floor)
        share = (weight / weight.sum()).clip(1e-6)
    rows = zip(share.tolist(), mean.tolist(), spread.tolist(), strict=True)
    parts = [{"weight": w, "law": _log_law(m, s)} for w, m, s in rows]
    return {"kind": "mixture", "parts": parts}, "two lognormals"


def _quantiles(seconds: Floats) -> tuple[dict[str, Any], str]:
    values = np.quantile(seconds, (np.arange(STEPS) + 0.5) / STEPS).tolist()
    return {"kind": "empirical", "values_s": values}, "quantiles"


def _by_tokens(
    seconds: Floats, output_tokens: Floats, first_s: Floats | None
) -> tuple[dict[str, Any], str] | None:
    """Return time to first token and per token; None where lengths tell little of the time.

    Least squares of what comes after the first token where that is known, else of all of it.
    """
    if np.ptp(output_tokens) == 0:
        return None
    known = first_s is not None and bool(np.isfinite(first_s).all()) and (first_s < seconds).any()
    after = seconds - first_s if known and first_s is not None else seconds
    slope, at = np.polyfit(output_tokens, after, 1)
    told = np.corrcoef(output_tokens, seconds)[0, 1] ** 2
    if slope <= 0 or not told >= 0.25:
        return None
    if known:
        slope = float(output_tokens @ after / (output_tokens @ output_tokens))
    # What is left over may be negative where short answers were quicker than the line.
    rest = np.maximum(seconds - slope * output_tokens, max(LEAST, 0.01 * max(float(at), 0.0)))
    body = _lognormal(rest)[0]
    ordered, gap = np.sort(rest), 0.0
    cdf = np.searchsorted(ordered, _sampled(body), side="right") / len(rest)
    gap = float(np.abs(np.sort(cdf) - (np.arange(len(cdf)) + 0.5) / len(cdf)).max())
    if gap > GOOD:
        body = _quantiles(rest)[0]
    law = {"kind": "tokens", "ttft": body, "tpot_s": float(slope)}
    return law, "first token, then per token"


def _sampled(law: dict[str, Any]) -> Floats:
    checked: Law = TypeAdapter[Law](Law).validate_python(law)
    return drawn(checked, Streams(1), "fit", 10_000)
