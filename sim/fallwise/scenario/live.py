"""What answers a tier's requests in a live deployment: the gateway's own keys of a scenario.

The simulator does not look at them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fallwise.scenario.laws import Model

__all__ = [
    "Arithmetic",
    "Deployment",
    "Intents",
    "Invoices",
    "Live",
    "LiveVerifier",
    "Tickets",
    "Upstream",
]


class Upstream(Model):
    """An OpenAI-compatible server: any that takes POST url/v1/chat/completions."""

    kind: Literal["upstream"]
    url: str
    """Of the server, without /v1."""
    model: str | None = None
    """Its name there; by default the tier's own."""
    api_key_env: str | None = None
    """The environment variable that holds the key; never the key."""
    score: Literal["header", "logprobs"] = "header"
    """header: the response's x-fallwise-score; logprobs: the mean probability of its tokens."""


class Invoices(Model):
    """The project's own readers of scanned amounts, trained at start on handwritten digits."""

    kind: Literal["invoices"]
    model: Literal["naive-bayes", "logistic", "svc"]
    """Which of them."""
    prompt_tokens: Annotated[int, Field(ge=0)] = 0
    """Billed for every answer, where the reader stands in the place of a hosted model."""
    output_tokens: Annotated[int, Field(ge=0)] = 0
    """Billed for every answer too."""


class Intents(Model):
    """The project's own readers of bank customers' questions, trained by a script and frozen."""

    kind: Literal["intents"]
    model: Literal["tfidf", "minilm", "ensemble"]
    """Which of them."""
    file: str
    """Of `python scenarios/measure/intents.py --save FILE`, found from the scenario's folder. It is
    a pickle, which runs what is in it: use your own only."""


class Tickets(Model):
    """People, who take their tickets from GET /tickets and answer to POST /tickets/{id}."""

    kind: Literal["tickets"]


class Arithmetic(Model):
    """A rule about a scanned invoice: subtotal + tax == total, or only total >= subtotal."""

    kind: Literal["arithmetic"]
    rule: Literal["sum", "order"] = "sum"
    """What has to hold of the amounts."""


Live = Annotated[Upstream | Invoices | Intents | Tickets, Field(discriminator="kind")]
LiveVerifier = Annotated[Upstream | Arithmetic, Field(discriminator="kind")]


class Deployment(Model):
    """A deployment that is not ours, and how its responses say which tier answered.

    For `fallwise check --host`. Needs one of tier_header and tier_from_model.
    """

    host: str | None = None
    """Its address, without /v1; --host on the command line goes before it."""
    model: str = "cascade"
    """The model that requests ask for."""
    api_key_env: str | None = None
    """The environment variable that holds the key; never the key."""
    tier_header: str | None = None
    """The response header that holds the name of the tier."""
    tier_from_model: dict[str, str] | None = None
    """The tier's name for each value of the response's `model`; a tier alone is asked by it."""
    cost_header: str | None = None
    """The response header that holds the cost of all calls of the request, in USD."""
