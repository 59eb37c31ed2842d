"""`fallwise check`."""

from __future__ import annotations

import re
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from fallwise.cli.answers import print_json
from fallwise.cli.options import (
    AsJson,
    Out,
    Requests,
    ScenarioFile,
    Seed,
    Settings,
    folder_for,
    placing,
    scenario_of,
)
from fallwise.errors import CheckError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fallwise.analysis.prompts import Prompts
    from fallwise.cli.checking import Judged
    from fallwise.cli.drives import Target
    from fallwise.scenario import Scenario
    from fallwise.scenario.live import Deployment

__all__ = ["How", "bundled_check", "check", "ended_by_signals"]

STATUS = {"agree": 0, "differ": 1, "inconclusive": 3}
REAL_TIME = 0.1
"""Tolerance of times where tiers are real: what they take is not the same twice."""
Players = Literal["stub", "real"]
Keeper = Literal["gateway", "upstream"]
Host = Annotated[
    str | None,
    typer.Option(metavar="URL", help="A deployment that runs already; by default the bundled one."),
]
Tiers = Annotated[
    Players,
    typer.Option(help="Who answers in the bundled deployment: a stub, or who `live` says."),
]
Limits = Annotated[
    Keeper, typer.Option(help="Who keeps the limits of tokens and requests a minute: 429 beyond.")
]
Plant = Annotated[
    list[str] | None,
    typer.Option("--plant", metavar="KEY=VALUE", help="Deploy this instead, to see it found."),
]
Profile = Annotated[
    int,
    typer.Option(
        "--profile",
        min=0,
        help="Requests to each tier alone, one by one, before: 0 or at least 20.",
    ),
]
Questions = Annotated[
    Path | None,
    typer.Option(help='JSON lines, {"id", "text" or "messages", "answer"}: what is asked.'),
]
AsProfiled = Annotated[
    bool, typer.Option("--as-profiled", help="Predict with the tiers' times as they were alone.")
]
ProfileLoad = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Predict with times as they were in N other requests at this rate: 0 or at least 20.",
    ),
]
Stream = Annotated[
    bool, typer.Option("--stream", help="Ask for streams, and judge the time to the first token.")
]


@dataclass(frozen=True)
class How:
    """How a check is made; each as the option of its name, `each` and `loaded` requests before."""

    players: Players = "stub"
    limits: Keeper = "gateway"
    questions: Path | None = None
    each: int = 50
    loaded: int = 0
    as_profiled: bool = False
    drives: int = 2
    stream: bool = False


def check(
    scenario: ScenarioFile,
    host: Host = None,
    seed: Seed = None,
    requests: Requests = 2000,
    settings: Settings = None,
    tiers: Tiers = "stub",
    limits: Limits = "gateway",
    plant: Plant = None,
    questions: Questions = None,
    profile: Profile = 50,
    as_profiled: AsProfiled = False,
    profile_load: ProfileLoad = 0,
    stream: Stream = False,
    drives: Annotated[
        int | None, typer.Option(min=1, max=2, help="2 gives the noise floor.")
    ] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Stop before more is spent.")] = None,
    max_requests: Annotated[int | None, typer.Option(min=1, help="Send no more in all.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before sending.")] = False,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compare the prediction with a live deployment under Locust: the bundled one, or --host.

    The bundled one serves the scenario on loopback over stub tiers that take as long and cost as
    much as the scenario says. Ends with 0 where they agree, 1 where they differ, 3 where the load
    could not be held or the run is too short to tell.
    """
    stated = scenario_of(scenario, settings, seed, requests)
    folder = folder_for(out, stated, "check")
    with placing(scenario), ended_by_signals(), tempfile.TemporaryDirectory() as home:
        if host is None and stated.deployment is not None:
            host = stated.deployment.host
        how = How(tiers, limits, questions, profile, profile_load, as_profiled, drives or 2, stream)
        if host is None:
            real = [*(settings or ()), *(plant or ())]
            judged = bundled_check(scenario, stated, real, how, Path(home))
        else:
            target = _target(stated, replace(how, drives=drives or 1), REAL_TIME)
            target = replace(target, max_usd=max_usd)
            target = _agreed(target, _address(host), max_requests, yes)
            judged = _of_host(target, _address(host), Path(home))
        _written(folder, judged, stated, Path(home))
    if as_json:
        print_json(judged.summary)
    else:
        _show(judged.summary, folder)
    if STATUS[judged.summary["verdict"]]:
        raise typer.Exit(STATUS[judged.summary["verdict"]])


def bundled_check(path: Path, stated: Scenario, real: list[str], how: How, home: Path) -> Judged:
    """Return what a check of the stated scenario against the bundled deployment finds.

    real are the settings that are deployed; files go to the folder home.
    """
    from fallwise.cli import bundled
    from fallwise.cli.checking import judged
    from fallwise.cli.drives import layout

    deploy = _cold(scenario_of(path, real, stated.run.seed, stated.run.requests))
    players, stubbed = how.players, _stubbed(deploy, how.players)
    if players == "real" and how.questions is None:
        kinds = {t.live.kind for t in deploy.tiers if t.live is not None} & {"invoices", "intents"}
        if kinds:
            how = replace(how, questions=home / "questions.jsonl")
            bundled.ask(kinds.pop(), home / "questions.jsonl")
    time = REAL_TIME if players == "real" else None
    target = _target(stated, how, time, bundled=True)
    own = [
        k for k, t in enumerate(deploy.tiers) if t.live is None or f"tiers.{t.name}.live" in stubbed
    ]
    target = replace(target, played=tuple(own))
    layout(deploy, target).save(home / "truth.parquet")
    limited = [t.name for t in deploy.tiers if how.limits == "upstream" and t.is_limited]
    lost = deploy.cache.name if deploy.cache and deploy.cache.outages else None
    truth = home / "truth.parquet"
    with bundled.deployed(truth, path, real, stubbed, limited, lost) as (gateway, stub):
        return judged(target, gateway, stub, home, _tell, stubbed=players == "stub")


def _stubbed(scenario: Scenario, players: Players) -> list[str]:
    """Return the keys of those who are played by the stub though the scenario names another."""
    found = []
    for tier in scenario.tiers:
        # Nobody is there to answer tickets.
        if tier.live is not None and (players == "stub" or tier.kind == "human"):
            found.append(f"tiers.{tier.name}.live")
        if tier.verifier is not None and tier.verifier.live is not None and players == "stub":
            found.append(f"tiers.{tier.name}.verifier.live")
    if scenario.router is not None and scenario.router.live is not None and players == "stub":
        found.append("router.live")
    return found


def _cold(scenario: Scenario) -> Scenario:
    """Return the scenario with a cache that is empty at first, as every drive meets it."""
    tiers = [tier.model_copy(update={"warm_keys": None}) for tier in scenario.tiers]
    return scenario.model_copy(update={"tiers": tiers})


def _target(scenario: Scenario, how: How, time: float | None, *, bundled: bool = False) -> Target:
    from fallwise.analysis.measures import TIME
    from fallwise.analysis.prompts import read_prompts
    from fallwise.cli.drives import Target

    deployment = None if bundled else scenario.deployment
    scenario = scenario if deployment is not None else _cold(scenario)
    prompts: Prompts | None = None if how.questions is None else read_prompts(how.questions)
    if deployment is not None:
        _suits_foreign(how)
    alone = _alone(scenario, deployment) if how.each else {}
    _tells_enough(how, alone)
    return Target(
        scenario=scenario,
        alone=alone,
        deployment=deployment,
        prompts=prompts,
        each=how.each,
        loaded=how.loaded,
        drives=how.drives,
        time=TIME if time is None else time,
        profiled=how.as_profiled or how.loaded > 0,
        max_usd=None,
        stream=how.stream,
    )


def _suits_foreign(how: How) -> None:
    """Raise CheckError where a deployment that is not ours cannot be checked like that."""
    if how.loaded:
        rule = "a deployment that is not ours does not say how long its tiers took"
        raise CheckError(Problem(rule, "leave it out", value=how.loaded, file="--profile-load"))
    if how.stream:
        rule = "when a deployment that is not ours begins to answer is not predicted"
        raise CheckError(Problem(rule, "leave it out", file="--stream"))
    if how.questions is None:
        rule = "a deployment that is not ours needs real questions"
        raise CheckError(Problem(rule, "give a file by --questions", ("deployment",)))


def _tells_enough(how: How, alone: dict[int, str]) -> None:
    """Raise CheckError where a profile that is asked for can tell nothing."""
    from fallwise.analysis.profile import FEWEST

    for option, n in (("--profile", how.each), ("--profile-load", how.loaded)):
        if 0 < n < FEWEST:
            rule = "so few requests tell nothing of a tier's time"
            raise CheckError(Problem(rule, f"give 0, or at least {FEWEST}", value=n, file=option))
    if how.as_profiled and not alone and not how.loaded:
        rule = "no tier is asked alone"
        remedy = "leave it out, or name the tiers' models by tier_from_model"
        raise CheckError(
            Problem(rule, remedy if how.each else "give --profile", file="--as-profiled")
        )


def _alone(scenario: Scenario, deployment: Deployment | None) -> dict[int, str]:
    """Return the tiers that can be asked alone, and the model by which each is asked."""
    from fallwise.scenario.live import Upstream

    alone: dict[int, str] = {}
    for k, tier in enumerate(scenario.tiers):
        if not tier.is_model:
            continue
        if deployment is None:
            alone[k] = tier.name
            continue
        known = deployment.tier_from_model or {}
        named = [model for model, name in known.items() if name == tier.name]
        if isinstance(tier.live, Upstream) and tier.live.model is not None:
            named.insert(0, tier.live.model)
        if named:
            alone[k] = named[0]
    return alone


def _address(host: str) -> str:
    if not re.fullmatch(r"https?://[^/\s@]+(/[^\s@]*)?", host):
        rule = "must be an http address without a password in it"
        raise CheckError(Problem(rule, "write it like http://127.0.0.1:8000", file="--host"))
    return host.rstrip("/").removesuffix("/v1")


def _agreed(target: Target, host: str, max_requests: int | None, yes: bool) -> Target:
    """Return the target, cut to what may be sent; off loopback after the user has agreed."""
    from fallwise.cli.drives import dearest_usd, layout

    n, before = target.scenario.run.requests, target.rows_before
    if max_requests is not None and before + target.drives * n > max_requests:
        n = (max_requests - before) // target.drives
        if n < 2:
            rule = f"leaves nothing after the profile, which takes {before} requests"
            remedy = f"allow more, or a smaller {target.profile_options}"
            raise CheckError(Problem(rule, remedy, (), max_requests))
        run = target.scenario.run.model_copy(update={"requests": n})
        target = replace(target, scenario=target.scenario.model_copy(update={"run": run}))
    name = urlsplit(host).hostname or ""
    if name in ("localhost", "::1") or name.startswith("127."):
        return target
    table = layout(target.scenario, target)
    total = before + target.drives * (len(table) - before)
    worst = dearest_usd(target.scenario, table) * total
    if target.max_usd is None:
        rule = f"{host} is not on this machine, and may cost up to {worst:.2f} USD"
        raise CheckError(Problem(rule, "say by --max-usd how much may be spent", file="--host"))
    said = f"This sends {total:,} requests to {host}, at the scenario's prices {worst:.2f} USD at "
    said += f"most; it stops before {target.max_usd:g} USD. Go on?"
    if not yes and not (sys.stdin.isatty() and typer.confirm(said, err=True)):
        rule = f"{host} is not on this machine"
        raise CheckError(Problem(rule, "agree, or give --yes", file="--host"))
    return target


def _of_host(target: Target, host: str, home: Path) -> Judged:
    import os

    from fallwise.cli.checking import judged

    key = target.deployment.api_key_env if target.deployment else None
    if key is not None and not os.environ.get(key):
        rule = f"the environment variable {key} is not set"
        raise CheckError(Problem(rule, "export it, with the key", ("deployment", "api_key_env")))
    return judged(target, host, None, home, _tell)


def _tell(words: str) -> None:
    typer.echo(f"fallwise: {words}", err=True)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end the block as an interrupt does: by way of whatever ends other processes."""

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _written(folder: Path, judged: Judged, scenario: Scenario, home: Path) -> None:
    from fallwise import plots, report

    def fill(folder: Path) -> None:
        judged.requests.save(folder / "requests.parquet")
        judged.predicted.save(folder / "predicted.parquet")
        judged.measured.save(folder / "measured.parquet")
        shutil.copy(home / "drive0.rows.parquet", folder / "rows.parquet")
        shutil.copytree(home / "locust", folder / "locust")

    html = report.answer(judged.summary, scenario, judged.predicted, judged.measured)
    figures = [
        ("check", plots.predicted_and_measured(judged.summary, judged.predicted, judged.measured)),
        ("check-over-time", plots.shape_over_time(judged.summary)),
    ]
    report.write(folder, judged.summary, None, html, figures, fill)


def _show(summary: dict[str, Any], folder: Path) -> None:
    """Print the rows, the verdict, and what is behind it."""
    from rich.console import Console
    from rich.table import Table

    from fallwise.report.studies.check import WORDS

    table = Table("measure", "predicted", "measured", "tolerance", "verdict", box=None)
    for row in summary["rows"]:
        numbers = row["predicted"]["value"], row["measured"]["value"], row["tolerance"]
        table.add_row(row["measure"], *(f"{x:.4g}" for x in numbers), WORDS[row["agree"]])
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for item in summary["not_judged"]:
        console.print(f"• not judged: {item['measure']}: {item['why']}", markup=False)
    console.print(f"\nVerdict: {summary['verdict']}; {summary['lost']} requests lost")
    for said in summary["doubts"]:
        console.print(f"• no verdict: {said}", markup=False)
    # A client or a machine that was too slow makes every tier look slow.
    but = "perhaps only for that: " if summary["doubts"] else ""
    for item in summary["culprits"]:
        console.print(f"• {but}{item['said']}", markup=False)
    if summary["billing_differs"]:
        bill, ledger = summary["billed_usd"], summary["ledger_usd"]
        console.print(f"• billed {bill:.4f} USD, the stub's ledger says {ledger:.4f} USD")
    for said in summary["findings"]:
        console.print(f"• {said}", markup=False)
    console.print(f"\nWritten to {folder}; open report.html there", markup=False)
