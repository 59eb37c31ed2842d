import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fallwise.errors import ScenarioError
from fallwise.planning import runs
from fallwise.planning.pick import Goal
from fallwise.planning.repeats import repeated
from fallwise.planning.runs import Job, run_all
from fallwise.scenario import Scenario, parse


def scenario(requests: int = 400) -> Scenario:
    return parse(
        {
            "name": "swept",
            "traffic": {"arrivals": {"kind": "poisson", "rate_rps": 1}},
            "answers": {"source": "synthetic"},
            "tiers": [
                {
                    "name": "one",
                    "kind": "api",
                    "service": {"kind": "fixed", "value_s": 1},
                    "answers": {"accuracy": 0.8},
                    "usd_per_request": 0.5,
                }
            ],
            "run": {"requests": requests, "warmup": 0},
        }
    )


def jobs(count: int, requests: int = 400) -> list[Job]:
    key = "tiers.one.usd_per_request"
    return [Job(scenario(requests), ((key, j / 4),), seed=3) for j in range(count)]


class Here(Executor):
    """Runs what it is given at once, and notes which jobs they were."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        self.asked += [job.key for job in args[0]]
        done.set_result(work(*args))
        return done


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    found = Here()

    @contextmanager
    def executor(scheduler: str | None, count: int) -> Iterator[Executor]:
        yield found

    monkeypatch.setattr(runs, "_executor", executor)
    return found


def test_processes_give_what_one_process_gives_in_order() -> None:
    wanted = [runs._point(job) for job in jobs(5)]
    assert json.dumps(run_all(jobs(5))) == json.dumps(wanted)
    assert [point["cost_usd_mean"]["value"] for point in wanted] == [0, 0.25, 0.5, 0.75, 1]


def test_a_dask_cluster_gives_the_same_bytes() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        host="127.0.0.1",
        protocol="tcp",
        dashboard_address=None,
    ) as cluster:
        found = run_all(jobs(5), scheduler=cluster.scheduler_address)
    assert json.dumps(found) == json.dumps([runs._point(job) for job in jobs(5)])


def test_short_jobs_are_handed_over_together_and_long_ones_alone() -> None:
    assert [len(batch) for batch in runs._batches(jobs(300, requests=1000))] == [100, 100, 100]
    assert [len(batch) for batch in runs._batches(jobs(3, requests=200_000))] == [1, 1, 1]


def test_progress_counts_every_job_once(here: Here, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run_all(jobs(3), journal=tmp_path / "j", progress=lambda *pair: told.append(pair))
    run_all(jobs(5), journal=tmp_path / "j", progress=lambda *pair: told.append(pair))
    assert told == [(0, 3), (3, 3), (3, 5), (5, 5)]


SWEEP = """\
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_runs import jobs
from fallwise.planning.runs import run_all
if __name__ == "__main__":
    run_all(jobs(60, requests=100_000), journal=Path({journal!r}))
"""


def test_a_sweep_that_is_killed_goes_on_where_it_was(here: Here, tmp_path: Path) -> None:
    journal, script = tmp_path / "sweep" / "journal.jsonl", tmp_path / "sweep.py"
    tests = str(Path(__file__).parent)
    script.write_text(SWEEP.format(tests=tests, journal=str(journal)))
    sweep = subprocess.Popen([sys.executable, str(script)])
    until = time.monotonic() + 120
    while not (journal.exists() and journal.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.01)
    children = Path(f"/proc/{sweep.pid}/task/{sweep.pid}/children")
    workers = children.read_text().split() if children.exists() else []
    os.kill(sweep.pid, signal.SIGKILL)
    assert sweep.wait(60) == -signal.SIGKILL, "it was over before it was killed"

    kept = runs._read(journal)
    wanted = jobs(60, requests=100_000)
    assert 0 < len(kept) < len(wanted)
    with open(journal, "a", encoding="utf-8") as file:
        file.write('\n{"half-writ')
    found = run_all(wanted, journal=journal)
    assert sorted(here.asked) == sorted(job.key for job in wanted if job.key not in kept)
    assert [point["cost_usd_mean"]["value"] for point in found] == [j / 4 for j in range(60)]
    here.asked.clear()
    assert run_all(wanted, journal=journal) == found
    assert here.asked == []
    # Its workers do not stay behind.
    while any(_alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(_alive(pid) for pid in workers)


def _alive(pid: str) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_changed_table_is_another_job(tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    answers = scenario().answers.model_copy(update={"table": "answers.csv"})
    base = scenario().model_copy(update={"answers": answers})
    keys = []
    for text in ("one", "other"):
        table.write_text(text)
        keys.append(Job(base.placed_in(tmp_path)).key)
    assert keys[0] != keys[1]


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ScenarioError, match=r"127\.0\.0\.1:9"):
        run_all(jobs(1), scheduler="tcp://127.0.0.1:9")


def test_splits_are_jobs_too_and_go_on_where_they_were(here: Here, tmp_path: Path) -> None:
    big = scenario().tiers[0].model_dump(exclude_unset=True) | {"name": "big"}
    small = big | {"name": "small", "threshold": 0.7, "usd_per_request": 0.1}
    small["answers"] = {"accuracy": 0.6, "auroc": 0.8}
    data = scenario().model_dump(exclude_unset=True) | {"tiers": [small, big]}
    case, goal, journal = parse(data), Goal(margin=0.02), tmp_path / "journal.jsonl"
    wanted = repeated(case, goal, 4)
    assert len(set(here.asked)) == 4
    here.asked.clear()
    repeated(case, goal, 3, journal=journal)
    assert json.dumps(repeated(case, goal, 4, journal=journal)) == json.dumps(wanted)
    # The three that were done are not done again; another goal is another job.
    assert len(here.asked) == 4
    repeated(case, Goal(margin=0.01), 4, journal=journal)
    assert len(here.asked) == 8
