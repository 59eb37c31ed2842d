"""The scenario as a whole: traffic, answers, tiers, router, money, targets."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from fallwise.scenario.laws import Model, NotNegative
from fallwise.scenario.live import Deployment
from fallwise.scenario.tiers import Router, Tier
from fallwise.scenario.traffic import Traffic

__all__ = ["Answers", "Assumption", "Money", "Run", "Scenario", "Target"]


class Answers(Model):
    """Where answers come from.

    replay: whole rows of an evaluation table (long format: one row a query and model; columns
    query_id, model, correct and, where there, dataset, split, confidence, answer_id, seconds,
    cost_usd, prompt_tokens, output_tokens, verdict columns). sample `resample` draws rows with
    replacement; `each_once` takes every query once, shuffled, and ends the run there.
    synthetic: each tier's `answers`.
    """

    source: Literal["replay", "synthetic"]
    """From an evaluation table, or drawn from each tier's own numbers."""
    table: str | None = None
    """Replay: the file, found from the scenario's folder."""
    dataset: str | None = None
    """Replay: only its rows of this dataset."""
    split: str | None = None
    """Replay: only its rows of this split."""
    leave_out: str | None = None
    """Replay: rows where this column of the table is true (or not 0) are not used."""
    score_column: str = "confidence"
    """Replay: the column that a policy sees as the score."""
    sample: Literal["resample", "each_once"] = "resample"
    """Replay: queries drawn with replacement, or each of them once."""


class Money(Model):
    """What the cascade costs beyond its calls."""

    upkeep_usd_per_month: NotNegative = 0.0
    """Engineering, monitoring and evaluation that frontier-only would not need."""


class Target(Model):
    """A limit on one measure of the summary: sojourn_s_p99 at most 2, quality at least .9.

    segment: the limit is for the requests of this segment only.
    """

    measure: str
    """A name of the summary: quality, cost_usd_mean, sojourn_s_p99."""
    segment: str | None = None
    """Only the requests of this segment count; by default all do."""
    at_most: float | None = None
    """Met at this or below; either this or at_least."""
    at_least: float | None = None
    """Met at this or above."""


class Assumption(Model):
    """A number that nobody measured: which key it is, and why this value."""

    key: str
    """Where the number stands: tiers.small.service."""
    why: str
    """Where the value comes from, and why it is believed."""


class Run(Model):
    """How long to look, and how much of the start is not measured.

    warmup `auto` cuts the start by MSER-5, unless something happens at a time of the clock (hours,
    outages, surges, weeks, growth, profiles): that is no warm-up, and nothing is cut. A number cuts
    so many requests.
    """

    requests: Annotated[int, Field(ge=1, le=100_000_000_000)] = 100_000
    """How many are drawn."""
    seed: Annotated[int, Field(ge=0)] = 1
    """The same seed draws the same requests."""
    replications: Annotated[int, Field(ge=1)] = 1
    """Independent runs, each with all requests."""
    warmup: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """How many of the first requests are not measured."""


class Scenario(Model):
    """A cascade, its traffic and its prices. Made by read() or parse(), which check the rules."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Results go to results/<name>-<command>."""
    about: str = ""
    """What it is, for the reader of the results."""
    traffic: Traffic
    """What comes in."""
    answers: Answers
    """Where answers come from."""
    tiers: Annotated[list[Tier], Field(min_length=1, max_length=16)]
    """Cheapest first; a request goes from one to the next."""
    router: Router | None = None
    """Looks at a request first, and says where it starts."""
    money: Money = Money()
    """Upkeep: what is paid by the month, beyond calls."""
    targets: list[Target] = []
    """Limits on the results; a run that misses one ends with status 1."""
    assumptions: list[Assumption] = []
    """The numbers that nobody measured; results show them."""
    run: Run = Run()
    """How long to look."""
    deployment: Deployment | None = None
    """A live cascade that is not ours, for `fallwise check`."""
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """Return the scenario file's own folder: files that it names are found from there."""
        return self._folder

    def placed_in(self, folder: Path) -> Scenario:
        """Return the same scenario, as if its file stood in this folder."""
        placed = self.model_copy()
        placed._folder = folder
        return placed

    def with_tier(self, k: int, **changes: Any) -> Scenario:
        """Return the scenario with some values of tier k replaced; nothing is checked again."""
        tiers = list(self.tiers)
        tiers[k] = tiers[k].model_copy(update=changes)
        return self.model_copy(update={"tiers": tiers})

    def path_of(self, file: str) -> Path:
        """Return where a file named in the scenario stands."""
        return self._folder / file

    @property
    def hash(self) -> str:
        """Return 16 hex digits of the scenario's content, the same on every machine."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def cache(self) -> Tier | None:
        """Return the cache tier, always the first one, or None."""
        return self.tiers[0] if self.tiers[0].kind == "cache" else None

    @property
    def frontier(self) -> int:
        """Return the index of the last tier that is no person: what frontier-only would call.

        A fallback is the same model from somebody else.
        """
        models = [k for k, t in enumerate(self.tiers) if t.kind != "human" and not t.fallback]
        return max(models, default=0)

    @property
    def by_the_clock(self) -> bool:
        """Return True where what happens depends on when: a start that differs is no warm-up."""
        traffic = self.traffic
        changes = traffic.week or traffic.surges or traffic.growth_per_month
        places = any(tier.hours or tier.outages for tier in self.tiers)
        return bool(changes or places or traffic.arrivals.kind == "profile")

    @property
    def cheapest(self) -> int:
        """Return the index of the first tier that is no cache."""
        return 1 if self.cache and len(self.tiers) > 1 else 0

    def value_at(self, key: str, given: bool = False) -> Any:
        """Return a value in plain data: by keys, names and positions, as in tiers.small.threshold.

        With `given` only what was written, without defaults. LookupError, of the part that is not
        there and those that are, where there is none.
        """
        at: Any = self.model_dump(exclude_unset=given)
        for part in re.findall(r"[^.\[\]]+", key):
            if isinstance(at, list):
                names = [str(item.get("name")) if isinstance(item, dict) else "" for item in at]
                at = dict(enumerate(at)) | dict(zip(names, at, strict=True))
            known = {str(name): value for name, value in at.items()} if isinstance(at, dict) else {}
            if part not in known:
                raise LookupError(part, list(known))
            at = known[part]
        return at

    def index(self, name: str) -> int:
        """Return the position of the tier with this name."""
        return [tier.name for tier in self.tiers].index(name)
