"""Many runs at once: on all cores, or on a Dask cluster; the same results in the same order.

What is done is written to a journal line by line, so that a killed sweep goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from fallwise import __version__
from fallwise.analysis.movement import MOVED, movement
from fallwise.analysis.predict import predict
from fallwise.analysis.summary import summarise
from fallwise.engines.engine import Engine
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario import Scenario, override

__all__ = [
    "ALONE",
    "MEASURES",
    "Job",
    "Point",
    "Progress",
    "Run",
    "Work",
    "crew",
    "here",
    "key_of",
    "run_all",
]

Point = dict[str, Any]
Progress = Callable[[int, int], None]
Run = Callable[[Sequence["Work"], Progress], list[Point]]

MEASURES: Final = MOVED
"""What a run of a sweep is asked for."""
ALONE: Final = 1_000_000
"""So few requests are simulated before processes have started."""
ENOUGH: Final = 100_000
"""Requests that keep a worker busy for more than 10 ms, so that handing them over is nothing."""


@dataclass(frozen=True)
class Job:
    """One run: a scenario, the values that are put in, and the seed.

    Its point has an estimate of every measure. With `against`, a second run has these values
    instead: the point then has `at_low` and `at_high` (each measure of the two) and `swing`, by how
    much the second has more, with intervals of the difference on the same requests.
    """

    scenario: Scenario
    values: tuple[tuple[str, Any], ...] = ()
    seed: int = 1
    engine: Engine = "compiled"
    against: tuple[tuple[str, Any], ...] | None = None

    @property
    def key(self) -> str:
        """Return what tells this job from all others."""
        return key_of(self.scenario, self.values, self.against, self.seed)

    @property
    def requests(self) -> int:
        """Return about how many requests are simulated."""
        run = self.scenario.run
        return run.requests * run.replications * (1 if self.against is None else 2)

    def point(self) -> Point:
        """Return what the run, or the two, came to."""
        return _point(self)


class Work(Protocol):
    """What many runs are made of: a job that knows its name and how long it is, and can be sent."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def requests(self) -> int: ...  # noqa: D102

    def point(self) -> Point:
        """Return what it came to, ready for JSON."""


def key_of(scenario: Scenario, *parts: Any) -> str:
    """Return what tells a job from all others, the same in every process and on every day.

    The files that the scenario names are in it by their content.
    """
    files = [_content(path, path.stat().st_mtime_ns) for path in _files(scenario)]
    whole = [__version__, scenario.hash, files, *parts]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:24]


def _files(scenario: Scenario) -> list[Path]:
    names = [scenario.answers.table, getattr(scenario.traffic.arrivals, "file", None)]
    paths = [scenario.path_of(name) for name in names if name is not None]
    return [path for path in paths if path.exists()]


@lru_cache
def _content(path: Path, changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_all(
    jobs: Sequence[Work],
    scheduler: str | None = None,
    journal: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Point]:
    """Return the points of all jobs, in their order; see crew."""
    with crew(scheduler, journal) as run:
        return run(jobs, progress)


@contextmanager
def crew(
    scheduler: str | None = None, journal: Path | None = None, alone: int = 0
) -> Iterator[Run]:
    """Yield what returns the points of jobs, in their order; they do not depend on who ran them.

    scheduler is the address of a Dask scheduler; without one, all cores of this machine work. They
    are started for the first job, and stay for those that are asked for later; jobs of fewer
    requests than `alone` in all are not worth it. journal is a file of finished jobs: those in it
    are not run again. progress(done, total) is called as jobs finish.
    ScenarioError: values that break a rule, no such scheduler.
    """
    done = _read(journal)
    with ExitStack() as stack:
        workers: list[Executor] = []

        def run(jobs: Sequence[Work], progress: Progress) -> list[Point]:
            keys = [job.key for job in jobs]
            todo = {key: job for key, job in zip(keys, jobs, strict=True) if key not in done}
            finished = sum(key in done for key in keys)
            progress(finished, len(jobs))
            small = scheduler is None and sum(job.requests for job in todo.values()) < alone
            if todo and not workers and not small:
                workers.append(stack.enter_context(_executor(scheduler, len(todo))))
            who, handed = workers[0] if workers else _Alone(), []
            try:
                for batch in _batches(list(todo.values())):
                    handed.append(who.submit(_points, batch))
                for future in as_completed(handed):
                    points = dict(future.result())
                    done.update(points)
                    _append(journal, points)
                    finished += sum(key in points for key in keys)
                    progress(finished, len(jobs))
            except BaseException:
                for future in handed:
                    future.cancel()
                raise
            return [done[key] for key in keys]

        yield run


def here(jobs: Sequence[Work], progress: Progress) -> list[Point]:
    """Return the points of jobs, run one after the other in this process."""
    points = []
    for i, job in enumerate(jobs):
        points.append(job.point())
        progress(i + 1, len(jobs))
    return points


class _Alone(Executor):
    """Does at once what it is given, in this process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def _batches(jobs: Sequence[Work]) -> Iterator[list[Work]]:
    """Yield the jobs in batches, long enough that handing one over costs nothing beside it."""
    batch: list[Work] = []
    for job in jobs:
        batch.append(job)
        if sum(one.requests for one in batch) >= ENOUGH:
            yield batch
            batch = []
    if batch:
        yield batch


def _points(jobs: list[Work]) -> list[tuple[str, Point]]:
    return [(job.key, job.point()) for job in jobs]


def _point(job: Job) -> Point:
    run = predict(override(job.scenario, dict(job.values)), job.seed, None, job.engine)
    if job.against is not None:
        other = override(job.scenario, dict(job.against))
        return movement(run, predict(other, job.seed, None, job.engine))
    summary = summarise(run, "sweep", baselines=False)
    return {name: summary[name] for name in MEASURES}


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
        number = min(cores or 1, jobs)
        with ProcessPoolExecutor(number, mp_context=context, initializer=_end_with) as pool:
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


def _end_with() -> None:
    """Let a worker end when the sweep is killed; otherwise it would wait for work for ever."""
    import multiprocessing
    import multiprocessing.connection
    import os
    import threading

    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
