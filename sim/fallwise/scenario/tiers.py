"""The handlers of a cascade, cheapest first. Five kinds that differ in numbers, not in classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from fallwise.scenario.calls import Breaker, Hedge, Outage, Retries
from fallwise.scenario.hours import WEEK_MINUTES, Shift, week
from fallwise.scenario.laws import Law, Model, NotNegative, Positive, ServiceLaw
from fallwise.scenario.live import Live, LiveVerifier, Upstream
from fallwise.scenario.replicas import Autoscale, Failures
from fallwise.scenario.traffic import Share

__all__ = ["Calibration", "Kind", "Prompt", "Router", "SyntheticAnswers", "Tier", "Verifier"]

Kind = Literal["cache", "rules", "pool", "api", "human"]
Name = Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Count = Annotated[int, Field(ge=1)]
PerMinute = Annotated[int, Field(ge=1, le=150_000_000)]


class Calibration(Model):
    """A monotone map of the score: what a threshold means moves, the ranking does not.

    With logit(p) = log(p / (1 - p)), the shown score is expit(logit(p) / temperature + bias).
    A table of [score, shown score] pairs, read between its points, is used instead when given.
    """

    temperature: Positive = 1.0
    """Above 1 the shown score is less sure than the true one."""
    bias: float = 0.0
    """Above 0 the shown score is higher."""
    table: list[Annotated[tuple[Share, Share], Field(strict=False)]] | None = None
    """Pairs of score and shown score, instead of both."""


class SyntheticAnswers(Model):
    """How good a tier's answers are, when no evaluation table says so.

    accuracy is at difficulty 0. loading is the correlation of the tier's ability margin with the
    shared difficulty (real models: .65 to .9, weak ones .3 to .6). auroc is of the score for the
    tier's own correctness. score_loading is the score's own correlation with the difficulty; by
    default the score sees the margin only. score_quantiles are the score's values at equal
    steps of probability from 0 to 1; a value that stands more than once is an atom. Without them
    the score is the calibrated probability of being right, before `calibration`.
    """

    accuracy: Annotated[float, Field(gt=0, le=1)]
    """Share of right answers, at difficulty 0."""
    loading: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """How much of what it gets wrong is due to the shared difficulty."""
    auroc: Annotated[float, Field(ge=0.5, lt=1)] = 0.5
    """How well its score tells right from wrong; 0.5 not at all."""
    score_loading: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The score's own correlation with the difficulty."""
    score_quantiles: Annotated[list[Share], Field(min_length=2)] | None = None
    """The score's values, at equal steps of probability."""
    calibration: Calibration = Calibration()
    """How the score that is shown differs from the probability."""
    wrong_choices: Count = 3
    """How many different wrong answers there are: two tiers that are both wrong may agree."""


class Prompt(Model):
    """How a tier's prompt differs from the segment's: shortened for it, say, or with examples."""

    token_factor: Positive
    """It has so many times the tokens; they are billed, and read, as so many."""
    accuracy_change: Annotated[float, Field(gt=-1, lt=1)] = 0.0
    """Synthetic answers: added to the tier's accuracy, -0.02 for two points less. Its auroc stays.
    The accuracies of an evaluation table are of the prompts that were measured."""


class Verifier(Model):
    """Looks at an answer and passes or refuses it. Takes its own time and money, holds no server.

    column: the evaluation table's column of verdicts (1 passes); otherwise the two rates are used.
    """

    column: str | None = None
    """Replay: the evaluation table's column of verdicts, 1 passes."""
    catch_rate: Share | None = None
    """Share of the wrong answers that it refuses."""
    false_alarm_rate: Share | None = None
    """Share of the right answers that it refuses."""
    service: Law | None = None
    """How long it takes."""
    usd_per_request: NotNegative = 0.0
    """Price of a look."""
    live: LiveVerifier | None = None
    """Who looks at answers in a live deployment."""


class Router(Model):
    """Looks at a request before any tier does, and says where it starts.

    A score below cuts[0] starts at starts[0], below cuts[1] at starts[1], and so on; at or above
    the last cut at the last of starts. Without a column the score is uniform on [0, 1], with this
    auroc for the correctness of the tier named in `about`.
    """

    column: str | None = None
    """Replay: the evaluation table's column with the router's score."""
    auroc: Annotated[float, Field(ge=0.5, lt=1)] | None = None
    """Without a column: how well its score tells what `about` gets right."""
    about: Name | None = None
    """The tier whose being right the score is about."""
    cuts: Annotated[list[float], Field(min_length=1)]
    """Scores, ascending, that part the starts."""
    starts: Annotated[list[Name], Field(min_length=2)]
    """Tiers, one more than cuts."""
    service: Law | None = None
    """How long it takes."""
    usd_per_request: NotNegative = 0.0
    """Price of a look."""
    live: Upstream | None = None
    """Who looks at requests in a live deployment."""


class Tier(Model):
    """One handler. Keys that its kind does not have are refused when the scenario is read."""

    name: Name
    """What it is called, here and in results."""
    kind: Kind
    """Each has its own keys: others are refused."""
    local: bool = False
    """Requests with residency `local` may come here."""

    # Answers: a model of the evaluation table (by default the tier's own name), or synthetic.
    model: str | None = None
    """Replay: whose rows of the evaluation table; by default those of the tier's own name."""
    answers: SyntheticAnswers | None = None
    """Synthetic: how good its answers are."""
    prompt: Prompt | None = None
    """What is sent to it instead of the whole prompt."""
    output_token_factor: Positive = 1.0
    """Its answers are so many times as long as the segment says."""

    # Decision after the answer. It is accepted when score >= threshold and the verifier passes.
    threshold: float | None = None
    """An answer is accepted when its score is at or above this; without it always."""
    verifier: Verifier | None = None
    """Looks at the answers that the threshold would accept."""
    agree_with: Name | None = None
    """Runs side by side with the tier just before; accepted when both give the same answer."""

    # Servers and time.
    replicas: Count | None = None
    """Pool, rules: machines, each with `slots` servers; 1 unless given."""
    slots: Count | None = None
    """Requests that one replica serves at once; 1 unless given."""
    concurrency: Count | None = None
    """Api: requests in service at once; without it, no limit."""
    agents: Count | None = None
    """Human: people, one request each."""
    failures: Failures | None = None
    """When replicas fail, and for how long; by default they never do."""
    autoscale: Autoscale | None = None
    """How the number of replicas follows the load, instead of `replicas`."""
    hours: Annotated[list[Shift], Field(min_length=1)] | None = None
    """When people work; without it they always do. Whoever comes at night waits for the morning,
    and agents are paid in these hours only, busy or not."""
    service: ServiceLaw | None = None
    """How long a request holds a server, waiting not included."""
    queue_limit: Annotated[int, Field(ge=0)] | None = None
    """So many may wait; the next one escalates at once. Without it, no limit."""
    timeout_s: Positive | None = None
    """A visit ends so long after it entered the tier, waiting included, and escalates."""
    cancel: bool = True
    """A timeout in service frees the server at that instant; otherwise the work runs to its end."""
    patience: Law | None = None
    """How long a request stays in the queue before it gives this tier up."""
    on_failure: Literal["escalate", "give_up"] = "escalate"
    """What follows a visit without an answer."""

    # Calls that fail, and what is done about it.
    error_rate: Share | None = None
    """Share of the calls that fail (5xx), each by itself."""
    error_after: Law | None = None
    """How long a call that fails holds a server; by default as long as if it had not failed."""
    outages: list[Outage] | None = None
    """When all of its calls fail. A cache then answers nothing, and comes back empty."""
    retries: Retries | None = None
    """What is tried again when it failed, how often, and after which pauses."""
    attempt_timeout_s: Positive | None = None
    """Ends one attempt, waiting included, where timeout_s ends the visit with all its attempts."""
    requests_per_minute: PerMinute | None = None
    """What is over a limit is refused (429), with the Retry-After that would have been enough."""
    tokens_per_minute: PerMinute | None = None
    """Of prompt and output together. A call may start while anything is left in the bucket."""
    burst_s: NotNegative = 60.0
    """Both limits are buckets that hold what flows into them in so many seconds. A call may start
    when its bucket is just empty: 60 requests a minute let 61 through at once, then one a second.
    """
    breaker: Breaker | None = None
    """Makes no call for a while when too many have failed."""
    hedge: Hedge | None = None
    """A second call where the first takes long."""
    fallback: bool = False
    """Visited only when the tier before it failed: another provider of the same model, say."""

    # Cache.
    capacity: Count | None = None
    """Cache: answers that are kept, the least recently used goes first."""
    ttl_s: Positive | None = None
    """Cache: how long an answer is kept."""
    lookup_s: NotNegative | None = None
    """Cache: how long a look-up takes, hit or miss."""
    false_hit_rate: Share | None = None
    """Cache: share of hits that are the answer to a different question."""
    filled_by: list[Name] | None = None
    """Cache: the tiers whose accepted answers are stored."""
    warm_keys: Count | None = None
    """Cache: so many of the most often repeated questions are in it when the run begins, as if the
    tiers of filled_by had answered them just then. Live it begins empty."""
    url: str | None = None
    """Live: a Redis or Valkey server, redis://host:port; by default it is in the gateway itself."""

    live: Live | None = None
    """What answers in a live deployment."""

    # Money.
    usd_per_request: NotNegative = 0.0
    """Price of a call."""
    prompt_usd_per_mtok: NotNegative = 0.0
    """Price of a million prompt tokens."""
    output_usd_per_mtok: NotNegative = 0.0
    """Price of a million output tokens."""
    usd_column: str | None = None
    """Replay: the evaluation table's column with the price of each call."""
    bill_timeouts: bool = True
    """A call that timed out in service is paid for."""
    replica_usd_per_hour: NotNegative = 0.0
    """Rent of each replica, busy or not; a cache is one replica."""
    agent_usd_per_hour: NotNegative = 0.0
    """Human: wage of one agent, busy or not."""

    def prompt_tokens(self, asked: Any) -> Any:
        """Return (n,) how many tokens are sent to it, for the segment's own prompt tokens."""
        return asked if self.prompt is None else (asked * self.prompt.token_factor).round()

    @property
    def adapted(self) -> SyntheticAnswers | None:
        """Its synthetic answers, as good as they are with its own prompt."""
        change = self.prompt.accuracy_change if self.prompt else 0.0
        if self.answers is None or not change:
            return self.answers
        accuracy = self.answers.accuracy + change
        return self.answers.model_copy(update={"accuracy": accuracy})

    def week(self, starts: str) -> list[tuple[int, int]]:
        """Return from which minute after `starts` how many work, or nothing without hours."""
        return [] if self.hours is None else week(self.hours, self.agents or 1, starts)

    @property
    def elastic(self) -> bool:
        """Return True where servers come and go, so that a run says how many there were."""
        return self.hours is not None or self.autoscale is not None

    @property
    def servers_mean(self) -> float | None:
        """Return how many servers can serve, on average by the clock; None is without limit.

        Those of people off duty and of replicas that are down cannot; an autoscaler's all can.
        """
        if self.failures is not None:
            mean_s = self.failures.mean_between_s
            return (self.servers or 1) * mean_s / (mean_s + self.failures.mean_repair_s)
        if self.hours is None:
            return self.servers
        steps = self.week("mon 00:00")
        ends = [minute for minute, _ in steps[1:]] + [WEEK_MINUTES]
        spans = zip(steps, ends, strict=True)
        return sum(c * (end - begin) for (begin, c), end in spans) / WEEK_MINUTES

    @property
    def servers(self) -> int | None:
        """How many requests are in service at once; None is without limit."""
        if self.kind == "cache":
            return None
        if self.kind == "api":
            return self.concurrency
        if self.kind == "human":
            return self.agents or 1
        most = self.autoscale.max_replicas if self.autoscale else self.replicas
        return (most or 1) * (self.slots or 1)

    @property
    def is_model(self) -> bool:
        """Return True where a model or rules answer: it is neither a cache nor people."""
        return self.kind not in ("cache", "human")

    @property
    def is_limited(self) -> bool:
        """Return True where it has a limit of requests or of tokens a minute."""
        return bool(self.requests_per_minute or self.tokens_per_minute)

    @property
    def calls(self) -> int:
        """Return how many calls a visit may need; 0 where it is simply one."""
        special = (
            *(self.error_rate, self.outages, self.retries, self.attempt_timeout_s, self.breaker),
            *(self.requests_per_minute, self.tokens_per_minute, self.hedge),
        )
        if not any(special) or self.kind == "cache":
            return 0
        return (self.retries.attempts if self.retries else 1) * (2 if self.hedge else 1)
