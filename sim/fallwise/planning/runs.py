"""Many runs at once: on all cores, or on a Dask cluster; the same results in the same order.

What is done is written to a journal line by line, so that a killed sweep goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario import Scenario, override

__all__ = ["MEASURES", "Job", "Point", "run_all"]

Point = dict[str, float | None]

MEASURES: Final = (
    "cost_usd_mean",
    "quality",
    "escalation_rate",
    "sojourn_s_p50",
    "sojourn_s_p95",
    "sojourn_s_p99",
)
"""What a run of a sweep is asked for; `saving` too, where the job asks for the baselines."""


@dataclass(frozen=True)
class Job:
    """One run: a scenario, the values that are put in, and the seed."""

    scenario: Scenario
    values: tuple[tuple[str, Any], ...] = ()
    seed: int = 1
    engine: Engine = "compiled"
    baselines: bool = False

    @property
    def key(self) -> str:
        """Return what tells this job from all others, the same in every process."""
        parts = [self.scenario.hash, self.values, self.seed, self.baselines]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def run_all(
    jobs: Sequence[Job],
    scheduler: str | None = None,
    journal: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Point]:
    """Return the points of all jobs, in their order; they do not depend on who ran them.

    scheduler is the address of a Dask scheduler; without one, all cores of this machine work.
    journal is a file of finished jobs: those in it are not run again. progress(done, total) is
    called as jobs finish. ScenarioError: values that break a rule, no such scheduler.
    """
    done = _read(journal)
    todo = list({job.key: job for job in jobs if job.key not in done}.values())
    progress(len(jobs) - len(todo), len(jobs))
    if todo:
        with _executor(scheduler, len(todo)) as executor:
            # Long enough that handing a batch over costs nothing, short enough to share the end.
            size = max(1, min(8, len(todo) // 16))
            batches = [todo[i : i + size] for i in range(0, len(todo), size)]
            for batch, points in zip(batches, executor.map(_points, batches), strict=True):
                for job, point in zip(batch, points, strict=True):
                    done[job.key] = point
                _append(journal, {job.key: done[job.key] for job in batch})
                progress(len(jobs) - len(todo) + _finished(todo, done), len(jobs))
    return [done[job.key] for job in jobs]


def _finished(todo: list[Job], done: dict[str, Point]) -> int:
    return sum(job.key in done for job in todo)


def _points(jobs: list[Job]) -> list[Point]:
    return [_point(job) for job in jobs]


def _point(job: Job) -> Point:
    scenario = override(job.scenario, dict(job.values))
    summary = summarise(predict(scenario, job.seed, None, job.engine), "sweep", job.baselines)
    point: Point = {}
    for name in (*MEASURES, *(("saving",) if job.baselines else ())):
        estimate = summary[name]
        point[name] = None if estimate is None else estimate["value"]
    return point


@contextmanager
def _executor(scheduler: str | None, jobs: int) -> Iterator[Executor]:
    """Return who runs the jobs; both kinds have the same interface."""
    if scheduler is None:
        import multiprocessing
        import os
        from concurrent.futures import ProcessPoolExecutor

        # A forked child would share the threads' locks of numba and BLAS, and can hang.
        context = multiprocessing.get_context("spawn")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        with ProcessPoolExecutor(min(cores or 1, jobs), mp_context=context) as pool:
            yield pool
        return
    try:
        import distributed

        client: Any = distributed
        client = client.Client(scheduler, timeout="5s")
    except ImportError:
        rule, remedy = "needs Dask", "install fallwise[dask]"
        raise ScenarioError(Problem(rule, remedy, value=scheduler, file="--scheduler")) from None
    except OSError:
        rule, remedy = "no scheduler answers there", "start one: dask scheduler"
        raise ScenarioError(Problem(rule, remedy, value=scheduler, file="--scheduler")) from None
    with client:
        yield client.get_executor(pure=False)


def _read(journal: Path | None) -> dict[str, Point]:
    """Return the finished jobs; a last line that was cut off while it was written is not one."""
    done: dict[str, Point] = {}
    if journal is not None and journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                done |= json.loads(line)
            except json.JSONDecodeError:
                continue
    return done


def _append(journal: Path | None, points: dict[str, Point]) -> None:
    if journal is None:
        return
    journal.parent.mkdir(parents=True, exist_ok=True)
    with open(journal, "a", encoding="utf-8") as file:
        # The newline first ends a line that a killed sweep left half-written.
        file.write("\n" + json.dumps(points) + "\n")
