"""Samples of the distributions that a scenario names: seconds and tokens."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any, Final

import numpy as np

from fallwise.draw.streams import Streams
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario.laws import (
    Empirical,
    Exponential,
    Fixed,
    FromTable,
    FromTokens,
    FromTrace,
    Gamma,
    Law,
    Lognormal,
    LognormalTokens,
    Mixture,
)
from fallwise.tables import LONGEST_NS, Floats, Int32s, Int64s

__all__ = ["Z99", "lognormal", "nanoseconds", "seconds", "tokens"]

Z99: Final = 2.3263478740408408
"""The standard normal's 99 % quantile."""

Key = tuple[str | int, ...]


def lognormal(z: Floats, p50: float, p99: float) -> Floats:
    """Return z, standard normal, turned in place into the lognormal with these two quantiles."""
    z *= log(p99 / p50) / Z99
    z += log(p50)
    return np.exp(z, out=z)


def seconds(
    law: Law,
    chance: Streams,
    name: str,
    n: int,
    output_tokens: Int32s | None = None,
    prompt_tokens: Floats | None = None,
    column: Callable[[str], Floats] | None = None,
) -> Floats:
    """Return n times in seconds, from the streams that begin with name.

    output_tokens and prompt_tokens (n,) serve `tokens` laws, column(name) -> (n,) those that read a
    table. Every part of a mixture takes n numbers, whichever part is chosen, so that weights move
    no others.
    """
    rng = chance[name]
    match law:
        case Fixed():
            return np.full(n, law.value_s)
        case Exponential():
            values = rng.standard_exponential(n)
            values *= law.mean_s
        case Lognormal():
            values = lognormal(rng.standard_normal(n), law.p50_s, law.p99_s)
        case Gamma():
            values = rng.standard_gamma(law.cv**-2, n)
            values *= law.mean_s * law.cv**2
        case Empirical():
            values = np.array(law.values_s)[(rng.random(n) * len(law.values_s)).astype(np.int64)]
        case Mixture():
            weights = np.cumsum([part.weight for part in law.parts])
            chosen = np.searchsorted(weights / weights[-1], rng.random(n), side="right")
            parts = [seconds(p.law, chance, f"{name}:{j}", n) for j, p in enumerate(law.parts)]
            values = np.choose(np.minimum(chosen, len(parts) - 1), parts)
        case FromTokens():
            assert output_tokens is not None and prompt_tokens is not None, name
            values = seconds(law.ttft, chance, name, n) + law.tpot_s * output_tokens
            if law.prefill_s:
                values += law.prefill_s * prompt_tokens
        case FromTable():
            assert column is not None, name
            values = column(law.column)
    return values


def nanoseconds(values_s: Floats, key: Key) -> Int64s:
    """Return seconds rounded to nanoseconds; ScenarioError at key if negative or endless."""
    if not 0 <= values_s.min() <= values_s.max() < LONGEST_NS / 1e9:
        worst = float(values_s.min() if values_s.min() < 0 else values_s.max())
        rule = "draws a time that is negative or longer than 36 years"
        raise ScenarioError(Problem(rule, "give times of this world", key, worst))
    values_ns = values_s * 1e9
    return np.rint(values_ns, out=values_ns).astype(np.int64)


def tokens(
    laws: list[Any], segment: Any, normal: Callable[[], Floats], column: Callable[[Any], Floats]
) -> Floats:
    """Return (n,) whole numbers of tokens: laws[g] for the rows of segment g.

    normal() -> (n,) is asked once, and only if a law needs it; column(law) -> (n,) reads the table
    or the trace.
    """
    values = np.zeros(len(segment))
    z = normal() if any(isinstance(law, LognormalTokens) for law in laws) else values
    for g, law in enumerate(laws):
        rows = slice(None) if len(laws) == 1 else np.flatnonzero(segment == g)
        match law:
            case LognormalTokens():
                drawn = lognormal(z[rows].copy(), law.p50_tokens, law.p99_tokens)
                values[rows] = np.maximum(np.rint(drawn), 1)
            case FromTable() | FromTrace():
                values[rows] = np.rint(column(law)[rows])
            case _:
                values[rows] = law.tokens
    return values
