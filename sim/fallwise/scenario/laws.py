"""Distributions a scenario can name, of seconds and of token counts; draw/ samples them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Batching",
    "Empirical",
    "Exponential",
    "Fixed",
    "FixedTokens",
    "FromTable",
    "FromTokens",
    "FromTrace",
    "Gamma",
    "Law",
    "Lognormal",
    "LognormalTokens",
    "Mixture",
    "Model",
    "Part",
    "ServiceLaw",
    "TokenLaw",
]

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Model(BaseModel):
    """A part of a scenario: frozen, no unknown keys, no NaN or infinity, no "5" or true for 5."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )


class Fixed(Model):
    """Always the same time."""

    kind: Literal["fixed"]
    value_s: NotNegative
    """The time."""


class Exponential(Model):
    """Exponential with this mean."""

    kind: Literal["exponential"]
    mean_s: Positive
    """Its mean."""


class Lognormal(Model):
    """Lognormal through two of its quantiles."""

    kind: Literal["lognormal"]
    p50_s: Positive
    """Half take longer."""
    p99_s: Positive
    """One in a hundred takes longer."""


class Gamma(Model):
    """Gamma by mean and coefficient of variation (standard deviation / mean)."""

    kind: Literal["gamma"]
    mean_s: Positive
    """Its mean."""
    cv: Positive
    """1 is exponential, above 1 has a longer tail."""


class Empirical(Model):
    """One of the listed times, each as likely as the others."""

    kind: Literal["empirical"]
    values_s: Annotated[list[NotNegative], Field(min_length=1)]
    """What was measured, say."""


class FromTable(Model):
    """The evaluation table's own column, of the same row as the answer."""

    kind: Literal["table"]
    column: str = "seconds"
    """What it is called there."""


class FromTrace(Model):
    """The trace's own column, of the same row as the arrival."""

    kind: Literal["trace"]


class FromTokens(Model):
    """Time to the first token, then so long for each output token."""

    kind: Literal["tokens"]
    ttft: SimpleLaw
    """Time to the first token."""
    tpot_s: NotNegative
    """Time for each output token."""
    prefill_s: NotNegative = 0.0
    """Before the first token, beside ttft: so long for each token of the prompt as it is sent."""


class Part(Model):
    """A component of a mixture."""

    weight: Positive
    """Its share is its weight over the sum of all."""
    law: SimpleLaw
    """How long it takes."""


class Mixture(Model):
    """One of several laws, chosen by weight: a body with a rare heavy component, say."""

    kind: Literal["mixture"]
    parts: Annotated[list[Part], Field(min_length=1)]
    """What is mixed."""


SimpleLaw = Annotated[
    Fixed | Exponential | Lognormal | Gamma | Empirical, Field(discriminator="kind")
]
Law = Annotated[
    Fixed | Exponential | Lognormal | Gamma | Empirical | FromTable | FromTokens | Mixture,
    Field(discriminator="kind"),
]


class Batching(Model):
    """A replica serves all that it has in service together, a token each a step.

    A step lasts step_s, step_s_per_request for each request in it, and prefill_s_per_prompt_token
    for each prompt token of those whose first step it is. A request takes a step for each of its
    output tokens, at least one. `slots` says how many a replica has in service at most.
    """

    kind: Literal["batching"]
    step_s: Positive
    """How long a step lasts at least."""
    step_s_per_request: NotNegative = 0.0
    """How much longer for each request in it."""
    prefill_s_per_prompt_token: NotNegative = 0.0
    """How much longer for each prompt token that is read in it."""

    def seconds(self, prompt_tokens: Any, output_tokens: Any, among: int = 1) -> Any:
        """Return how long requests hold a slot among so many, each of which waits for prefills."""
        steps = np.maximum(output_tokens, 1) * (self.step_s + self.step_s_per_request * among)
        return steps + prompt_tokens * (self.prefill_s_per_prompt_token * among)


ServiceLaw = Annotated[
    Fixed
    | Exponential
    | Lognormal
    | Gamma
    | Empirical
    | FromTable
    | FromTokens
    | Mixture
    | Batching,
    Field(discriminator="kind"),
]


class FixedTokens(Model):
    """Always so many tokens."""

    kind: Literal["fixed"]
    tokens: Annotated[int, Field(ge=0)]
    """How many."""


class LognormalTokens(Model):
    """Lognormal through two of its quantiles, rounded, at least one token."""

    kind: Literal["lognormal"]
    p50_tokens: Positive
    """Half have more."""
    p99_tokens: Positive
    """One in a hundred has more."""


TokenLaw = Annotated[
    FixedTokens | LognormalTokens | FromTable | FromTrace, Field(discriminator="kind")
]

FromTokens.model_rebuild()
Part.model_rebuild()
