"""What comes in: when, what mix, and how often the same question again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fallwise.scenario.hours import Moment
from fallwise.scenario.laws import FixedTokens, Model, NotNegative, Positive, TokenLaw

__all__ = ["Arrivals", "Poisson", "Profile", "Renewal", "Repeats", "Segment", "Trace", "Traffic"]

Share = Annotated[float, Field(ge=0, le=1)]


class Poisson(Model):
    """Independent arrivals at a constant rate."""

    kind: Literal["poisson"]
    rate_rps: Positive


class Renewal(Model):
    """Independent gamma gaps: cv 1 is Poisson, above 1 is burstier."""

    kind: Literal["gamma"]
    rate_rps: Positive
    cv: Positive


class Profile(Model):
    """Poisson at a rate that changes by steps, and begins again after the last one."""

    kind: Literal["profile"]
    step_s: Positive
    rates_rps: Annotated[list[NotNegative], Field(min_length=1)]


class Trace(Model):
    """A recorded trace: the columns arrival_s and, if there, prompt_tokens, output_tokens and key.

    dither_s adds a uniform delay to each arrival, for traces with coarse stamps; rate_factor
    runs the trace faster (above 1) or slower. A trace that is shorter than the run begins again.
    """

    kind: Literal["trace"]
    file: str
    dither_s: NotNegative = 0.0
    rate_factor: Positive = 1.0


Arrivals = Annotated[Poisson | Renewal | Profile | Trace, Field(discriminator="kind")]


class Repeats(Model):
    """With probability repeat_share the question is one of distinct_keys, by Zipf's law."""

    repeat_share: Share
    distinct_keys: Annotated[int, Field(ge=1)]
    zipf_exponent: NotNegative = 1.0


class Segment(Model):
    """A kind of request: its share of the traffic, its lengths, its stakes."""

    name: Annotated[str, Field(min_length=1)] = "all"
    """What it is called."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of all requests; the shares add up to 1."""
    prompt_tokens: TokenLaw = FixedTokens(kind="fixed", tokens=0)
    """How long requests are."""
    output_tokens: TokenLaw = FixedTokens(kind="fixed", tokens=0)
    """How long answers are."""
    repeats: Repeats | None = None
    """How often a question comes again, for a cache."""
    difficulty: float = 0.0
    """Synthetic answers: shift of the difficulty in standard deviations; higher is harder."""
    dataset: str | None = None
    """Replay: the rows of this dataset only."""
    wrong_answer_usd: NotNegative = 0.0
    """What a wrong answer that is shipped costs: the stakes."""
    residency: Literal["anywhere", "local"] = "anywhere"
    """`local`: only tiers with `local: true` may see it."""


class Traffic(Model):
    """The stream of requests."""

    arrivals: Arrivals
    segments: Annotated[list[Segment], Field(min_length=1)] = [Segment()]
    starts: Moment = "mon 00:00"
    """Day and time at which the run starts, for opening hours."""
