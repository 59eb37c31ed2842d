"""What comes in: when, what mix, and how often the same question again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fallwise.scenario.hours import Moment
from fallwise.scenario.laws import FixedTokens, Model, NotNegative, Positive, TokenLaw

__all__ = [
    "Arrivals",
    "Client",
    "Clients",
    "Cox",
    "Mmpp",
    "Poisson",
    "Profile",
    "Renewal",
    "Repeats",
    "Segment",
    "State",
    "Surge",
    "Trace",
    "Traffic",
    "Week",
]

Share = Annotated[float, Field(ge=0, le=1)]


class Poisson(Model):
    """Independent arrivals at a constant rate."""

    kind: Literal["poisson"]
    rate_rps: Positive
    """Mean rate."""


class Renewal(Model):
    """Independent gamma gaps: cv 1 is Poisson, above 1 is burstier."""

    kind: Literal["gamma"]
    rate_rps: Positive
    """Mean rate."""
    cv: Positive
    """Standard deviation of the gaps over their mean."""


class Profile(Model):
    """Poisson at a rate that changes by steps, and begins again after the last one."""

    kind: Literal["profile"]
    step_s: Positive
    """How long each rate lasts."""
    rates_rps: Annotated[list[NotNegative], Field(min_length=1)]
    """One rate a step."""

    @property
    def rate_rps(self) -> float:
        """Return the mean rate."""
        return sum(self.rates_rps) / len(self.rates_rps)


class State(Model):
    """A state of mmpp traffic; it lasts an exponential time."""

    rate_rps: NotNegative
    """How many come while it lasts."""
    mean_s: Positive
    """How long the state lasts on average."""
    next: list[Share] | None = None
    """How likely each of the states is to follow this one, in their order, 0 for itself; by default
    all others are as likely."""


class Mmpp(Model):
    """Bursts: Poisson at the rate of a state, after which comes another one by chance.

    A Markov-modulated Poisson process. The run begins in each state by its share of the time.
    """

    kind: Literal["mmpp"]
    states: Annotated[list[State], Field(min_length=2)]
    """A quiet and a busy one, say."""

    @property
    def rate_rps(self) -> float:
        """Return the mean rate."""
        shares = zip(self.states, self.time_shares, strict=True)
        return sum(state.rate_rps * share for state, share in shares)

    @property
    def follows(self) -> list[list[float]]:
        """Return for each state how likely each of the states is to follow it."""
        n = len(self.states)
        alike = [[float(i != j) / (n - 1) for j in range(n)] for i in range(n)]
        return [x if s.next is None else s.next for s, x in zip(self.states, alike, strict=True)]

    @property
    def time_shares(self) -> list[float]:
        """Return the share of the time that each state lasts, in the long run.

        How often each is visited, times how long it lasts. States are taken out of the chain one by
        one, and put in again. Source: Grassmann, Taksar and Heyman, Operations Research 33 (1985).
        """
        p = [list(row) for row in self.follows]
        for k in range(len(p) - 1, 0, -1):
            leaves = sum(p[k][:k])
            for i in range(k):
                p[i][k] /= leaves
                for j in range(k):
                    p[i][j] += p[i][k] * p[k][j]
        visits = [1.0]
        for k in range(1, len(p)):
            visits.append(sum(visits[i] * p[i][k] for i in range(k)))
        times = [v * state.mean_s for v, state in zip(visits, self.states, strict=True)]
        return [time / sum(times) for time in times]


class Cox(Model):
    """Poisson at a rate that is drawn anew again and again: a doubly stochastic process."""

    kind: Literal["cox"]
    rate_rps: Positive
    """Mean of the rates."""
    rate_cv: Positive
    """Coefficient of variation of the rates."""
    every_s: Positive
    """How long each rate lasts."""
    law: Literal["gamma", "lognormal"] = "gamma"
    """Of the rates; the lognormal has the rarer and higher peaks."""


class Client(Model):
    """One client of many: independent gamma gaps; cv 1 is Poisson, above 1 is burstier."""

    rate_rps: Positive
    """How many of its requests come."""
    cv: Positive
    """Standard deviation of the gaps over their mean."""


class Clients(Model):
    """A few bursty clients and a Poisson background of all others.

    So real traffic is put together: of ServeGen's services (arXiv 2505.09999) ten clients are 63
    to 93 % of the rate, each with a cv of about 2. `fallwise import` makes the list of its files.
    """

    kind: Literal["clients"]
    clients: Annotated[list[Client], Field(min_length=1)]
    """The busiest ones."""
    background_rps: NotNegative = 0.0
    """All others together."""

    @property
    def rate_rps(self) -> float:
        """Return the rate of all together."""
        return self.background_rps + sum(client.rate_rps for client in self.clients)


class Trace(Model):
    """A recorded trace: when requests came and, where it says so, their tokens and their keys.

    CSV, JSON lines (either gzipped) or parquet, known by its columns: arrival_s, prompt_tokens,
    output_tokens, key; or as published by Azure (TIMESTAMP, ContextTokens, GeneratedTokens),
    Mooncake (timestamp, input_length, output_length, hash_ids) and BurstGPT (Timestamp, Request
    tokens, Response tokens). A trace that is shorter than the run begins again.
    """

    kind: Literal["trace"]
    file: str
    """Found from the scenario's folder."""
    dither_s: NotNegative = 0.0
    """Each arrival is moved by a random time below this: for stamps in whole seconds."""
    rate_factor: Positive = 1.0
    """So many times as fast as it was recorded."""


Arrivals = Annotated[
    Poisson | Renewal | Profile | Mmpp | Cox | Clients | Trace, Field(discriminator="kind")
]


class Week(Model):
    """Busy and quiet hours: the rate is multiplied by its hour's and its day's number.

    Only their proportions count: over a whole week the mean rate is that of the arrivals.
    """

    hours: Annotated[list[NotNegative], Field(min_length=24, max_length=24)]
    """From midnight on."""
    days: Annotated[list[NotNegative], Field(min_length=7, max_length=7)] = [1.0] * 7
    """From Monday on, whichever day traffic.starts names."""


class Surge(Model):
    """A flash crowd: between two times of the run the rate is multiplied by a factor."""

    from_s: NotNegative
    """When it begins."""
    to_s: Positive
    """When it is over."""
    factor: NotNegative
    """0: nobody comes."""


class Repeats(Model):
    """With probability repeat_share the question is one of distinct_keys, by Zipf's law."""

    repeat_share: Share
    """Of the segment's requests; all others ask something new."""
    distinct_keys: Annotated[int, Field(ge=1)]
    """How many questions come again."""
    zipf_exponent: NotNegative = 1.0
    """0: each as often; the higher, the more often the most popular."""


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
    """The stream of requests.

    week, growth_per_month and surges multiply the rate of any arrivals. The states of mmpp and the
    rates of cox last as long as before; of gamma, clients and traces the clock runs faster or
    slower, so that what was bursty stays so.
    """

    arrivals: Arrivals
    """When requests come."""
    week: Week | None = None
    """Busy and quiet hours."""
    growth_per_month: Annotated[float, Field(gt=-1, le=10)] = 0.0
    """0.1: a tenth more each month of 365.25 / 12 days, added from day to day."""
    surges: list[Surge] = []
    """Where they overlap, their factors are multiplied."""
    segments: Annotated[list[Segment], Field(min_length=1)] = [Segment()]
    """The mix of requests; by default all are of one kind."""
    starts: Moment = "mon 00:00"
    """Day and time at which the run starts, for week and for opening hours."""
