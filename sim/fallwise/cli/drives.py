"""The drives of a check: which requests, what they ask, under which budget."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.analysis.live import Drive, graded, outcomes_of, read_drive
from fallwise.analysis.money import call_usd
from fallwise.analysis.outside import from_responses
from fallwise.analysis.prompts import Prompts, asked_by
from fallwise.cli import bundled
from fallwise.draw import draw
from fallwise.errors import CheckError, Problem
from fallwise.scenario import Scenario
from fallwise.scenario.live import Deployment
from fallwise.tables import Int64s, RequestTable

__all__ = ["Runs", "Target", "dearest_usd", "layout", "on_own_clock"]

GAPS = 200
LONGEST_GAP_S = 0.05
"""So many gaps lie between the requests of a profile, over and over; their mean, at most."""


@dataclass(frozen=True)
class Target:
    """What is checked, and how.

    alone maps tiers to the model by which each can be asked alone; deployment is None where the
    deployment is our gateway, which says in headers what happened inside. each is the requests of
    the profile for each tier, time the tolerance of times, max_usd None without limit. played are
    the tiers that a stub answers for: their answers are texts of no meaning, graded by the table.
    stream where answers are asked for as streams.
    """

    scenario: Scenario
    alone: dict[int, str]
    deployment: Deployment | None
    prompts: Prompts | None
    each: int
    loaded: int
    drives: int
    time: float
    profiled: bool
    max_usd: float | None
    played: tuple[int, ...] = ()
    stream: bool = False

    @property
    def each_alone(self) -> int:
        """Return how many requests each tier is asked alone."""
        return self.each if self.alone else 0

    @property
    def profile_rows(self) -> int:
        """Return how many requests the profile has: the first rows of the layout."""
        return self.each * len(self.alone)

    @property
    def rows_before(self) -> int:
        """Return how many requests come before those that are judged."""
        return self.profile_rows + self.loaded

    @property
    def profile_options(self) -> str:
        """Return the options that say how many."""
        return "--profile or --profile-load" if self.loaded else "--profile"


def layout(scenario: Scenario, target: Target) -> RequestTable:
    """Return all requests: first the same ones for each tier alone, in turn, then the drives'.

    The drives' begin with those of the profile under load. Those that are judged are the ones that
    the scenario has without a profile; what comes before them are the ones after. A drive's clock
    is the scenario's, and begins at the last arrival before it.
    """
    before = target.each_alone + target.loaded
    drawn = draw(scenario, n=before + scenario.run.requests)
    if len(drawn) <= before:
        rule = f"has {len(drawn)} requests, and the profile takes {before}"
        remedy = f"give a smaller {target.profile_options}"
        raise CheckError(Problem(rule, remedy, ("answers", "sample")))
    loaded_ns = drawn.arrival_ns[: target.loaded]
    judged_ns = drawn.arrival_ns[: len(drawn) - before] + loaded_ns.max(initial=0)
    arrival_ns = [np.zeros(target.profile_rows, np.int64), loaded_ns, judged_ns]
    rows = drawn.take(_order(target, len(drawn)))
    return replace(rows, arrival_ns=np.concatenate(arrival_ns))


def on_own_clock(table: RequestTable, first: int) -> Int64s:
    """Return when all requests come on the clock of the drive that begins with row `first`."""
    began_ns = table.arrival_ns[first - 1] if first else 0
    return np.maximum(table.arrival_ns - began_ns, 0)


def _order(target: Target, n: int) -> Int64s:
    """Return which of n requests each row of the layout is."""
    judged = n - target.each_alone - target.loaded
    alone = np.arange(judged, judged + target.each_alone)
    rest = np.arange(judged + target.each_alone, n), np.arange(judged)
    return np.concatenate([np.repeat(alone, len(target.alone)), *rest])


def dearest_usd(scenario: Scenario, requests: RequestTable) -> float:
    """Return the most that one of the requests can cost: a call of every tier and their judges."""
    calls = np.zeros(len(requests))
    for k, tier in enumerate(scenario.tiers):
        calls += call_usd(tier, requests, k)
        calls += tier.verifier.usd_per_request if tier.verifier else 0.0
    return float(calls.max()) + (scenario.router.usd_per_request if scenario.router else 0.0)


class Runs:
    """The drives of a check, one after the other, on one budget."""

    def __init__(self, target: Target, host: str, home: Path, table: RequestTable):
        self.target, self.host, self.home, self.table = target, host, home, table
        self.spent_usd, self.driven = 0.0, list[Drive]()
        self.asked: Any = None
        if target.prompts is not None:
            n = len(table) - target.profile_rows + target.each_alone
            asked = asked_by(target.scenario, target.prompts, target.scenario.run.seed, n)
            self.asked = asked[_order(target, n)]

    def run(self, name: str, first: int, last: int, options: list[str]) -> Drive:
        """Drive some rows of the table, and return what the client saw."""
        target, deployment = self.target, self.target.deployment
        # Every drive meets an empty cache: its keys are its own.
        salt = np.int64(uuid.uuid4().int >> 66)
        file, rows = self.home / f"{name}.requests.parquet", self.home / f"{name}.rows.parquet"
        arrival_ns = on_own_clock(self.table, first)
        replace(self.table, key=self.table.key ^ salt, arrival_ns=arrival_ns).save(file)
        if name == "profile":
            options = ["--one-by-one", "--gaps-s", *map(str, self._gaps_s()), *options]
        options = [*options, "--first", str(first), "--last", str(last)]
        options += ["--bodies-file", str(self._bodies()), "--keep-replies"]
        options += ["--stream"] * target.stream
        if deployment is not None:
            options += ["--foreign"]
            options += ["--tier-header", deployment.tier_header or ""]
            options += ["--cost-header", deployment.cost_header or ""]
            options += ["--api-key-env", deployment.api_key_env or ""]
        if target.max_usd is not None:
            options += ["--budget-file", str(self._budget())]
        bundled.drive(self.host, file, rows, options)
        drive = read_drive(rows)
        self.spent_usd += float(drive.facts["spent_usd"])
        self.driven.append(drive)
        if not len(drive.request):
            raise CheckError(Problem("no request could be paid", "give a higher --max-usd"))
        if deployment is None and not drive.said.any():
            rule = "does not say which tier answered"
            remedy = "add deployment to the scenario: a tier_header, or tier_from_model"
            raise CheckError(Problem(rule, remedy, value=self.host))
        return drive

    def _gaps_s(self) -> list[float]:
        """Return how far apart the requests of the profile come, in turn.

        Rounds of all tiers are as far apart as requests of the drives, but at least 20 a second;
        within a round there is no rest, as there is none within a request. It matters: a machine
        that has rested is slower at what comes next.
        """
        at_s = self.table.arrival_ns[self.target.rows_before :][: GAPS + 1] / 1e9
        gaps_s = np.diff(at_s)
        rounds_s = gaps_s * min(1.0, LONGEST_GAP_S / max(1e-9, gaps_s.mean()))
        rests = np.zeros((len(rounds_s), len(self.target.alone)))
        rests[:, 0] = rounds_s
        return list(rests.ravel().tolist())

    def kept(self, r: int) -> list[str]:
        """Return the options by which Locust keeps its own statistics of the first drive."""
        own = self.home / "locust"
        own.mkdir(exist_ok=True)
        return [] if r else ["--csv", str(own / "locust"), "--html", str(own / "locust.html")]

    def outcomes(self, requests: RequestTable, drive: Drive, first: int) -> tuple[Any, bool]:
        """Return what happened to a drive's requests, and whether the grades are known."""
        scenario, deployment = self.target.scenario, self.target.deployment
        if deployment is None:
            found = outcomes_of(scenario, requests, drive, first)
        else:
            found = from_responses(scenario, deployment, requests, drive, first)
        prompts = self.target.prompts
        if prompts is None:
            return found, deployment is None
        if not prompts.graded:
            return found, False
        right = [prompts.answers[j] or "" for j in self.asked[first : first + len(requests)]]
        return graded(drive, right, found, self.target.played), True

    def _bodies(self) -> Path:
        target, file = self.target, self.home / "bodies.jsonl"
        if file.exists():
            return file
        whole = target.deployment.model if target.deployment else "cascade"
        models = list(target.alone.values())
        with file.open("w", encoding="utf-8") as lines:
            for i in range(len(self.table)):
                model = models[i % len(models)] if i < target.profile_rows else whole
                messages: Any = [{"role": "user", "content": f"request {i}"}]
                if target.prompts is not None:
                    messages = target.prompts.messages[self.asked[i]]
                body = {"model": model, "messages": messages, "stream": target.stream}
                lines.write(json.dumps(body) + "\n")
        return file

    def _budget(self) -> Path:
        """Write what is left to spend, and the prices of the way up to each tier."""
        target, file = self.target, self.home / "budget.json"
        deployment, prices, way = target.deployment, {}, np.zeros(3)
        for k, tier in enumerate(target.scenario.tiers):
            per_token = np.array([tier.prompt_usd_per_mtok, tier.output_usd_per_mtok]) / 1e6
            judge_usd = tier.verifier.usd_per_request if tier.verifier else 0.0
            way = way + np.array([tier.usd_per_request + judge_usd, *per_token])
            prices[tier.name] = way.tolist()
            for model, name in ((deployment and deployment.tier_from_model) or {}).items():
                if name == tier.name:
                    prices[model] = way.tolist()
            if k in target.alone:
                prices.setdefault(target.alone[k], way.tolist())
        rules = {
            "limit_usd": (target.max_usd or 0.0) - self.spent_usd,
            "dearest_usd": dearest_usd(target.scenario, self.table),
            "prices": prices,
        }
        file.write_text(json.dumps(rules), encoding="utf-8")
        return file
