import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fallwise.errors import ScenarioError
from fallwise.planning import runs
from fallwise.planning.runs import Job, run_all
from fallwise.scenario import Scenario, parse


def scenario() -> Scenario:
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
            "run": {"requests": 400, "warmup": 0},
        }
    )


def jobs(count: int) -> list[Job]:
    return [Job(scenario(), (("tiers.one.usd_per_request", j / 4),), seed=3) for j in range(count)]


def test_processes_give_what_one_process_gives_in_order() -> None:
    wanted = [runs._point(job) for job in jobs(5)]
    assert run_all(jobs(5)) == wanted
    assert [point["cost_usd_mean"] for point in wanted] == [0, 0.25, 0.5, 0.75, 1]


def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path, monkeypatch: Any) -> None:
    journal = tmp_path / "sweep" / "journal.jsonl"
    first = run_all(jobs(3), journal=journal)
    with open(journal, "a", encoding="utf-8") as file:
        file.write('{"half-writ')
    asked: list[int] = []
    points = runs._points

    def count(batch: list[Job]) -> list[runs.Point]:
        asked.append(len(batch))
        return points(batch)

    monkeypatch.setattr(runs, "_points", count)
    monkeypatch.setattr(runs, "_executor", in_this_process)
    assert run_all(jobs(4), journal=journal)[:3] == first
    assert sum(asked) == 1
    lines = [line for line in journal.read_text().splitlines() if line.startswith("{")]
    assert len([line for line in lines if _whole(line)]) >= 4 - 1
    assert run_all(jobs(4), journal=journal)[:3] == first
    assert sum(asked) == 1


@contextmanager
def in_this_process(scheduler: str | None, count: int) -> Any:
    class Here:
        map = staticmethod(map)

    yield Here()


def _whole(line: str) -> bool:
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ScenarioError, match=r"127\.0\.0\.1:9"):
        run_all(jobs(1), scheduler="tcp://127.0.0.1:9")
