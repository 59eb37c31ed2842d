"""The compiled engine itself: its arrays grow, its memory does not, its disk cache is never old."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fallwise
import numpy as np
import pytest
from engines_worlds import World, blank_requests, places
from fallwise.engines import compiled, jit, loop, reference, simulate, sweep
from fallwise.engines.blocks import simulate_blocks
from fallwise.engines.compiled import Way
from fallwise.engines.layout import Rows, Visits
from fallwise.engines.plan import UNLIMITED, Plan
from fallwise.errors import TableError
from fallwise.tables import LONGEST_NS, MISSED, Decisions, RequestTable

WAYS: list[Way] = ["loop", "pass"]


def world(plan: Plan, n: int, gap_ns: float, work_ns: float = 1e9, keys: int = 0) -> World:
    """Return n requests; 40 % of the answers are not accepted."""
    rng, tiers = np.random.default_rng(n), len(plan.role)
    requests = blank_requests(
        np.cumsum(rng.exponential(gap_ns, n).astype(np.int64)),
        rng.exponential(work_ns, (n, tiers)).astype(np.int64),
        # From the least to the greatest key there is.
        key=rng.integers(-(1 << 63), (1 << 63) - 1, max(keys, 1))[rng.integers(0, max(keys, 1), n)],
    )
    accept = np.asfortranarray(rng.random((n, tiers)) < 0.6)
    first = int(plan.role[0])
    return World(plan, requests, Decisions(np.full(n, first, np.int8), accept, accept & False))


@pytest.mark.parametrize("way", WAYS)
def test_more_servers_in_use_and_more_waiting_than_there_is_room_to_begin_with(way: Way) -> None:
    plan = places(2, servers=[300, 7], timeout_ns=[2_000_000_000, UNLIMITED], cancel=False)
    given = world(plan, 6000, gap_ns=2e6)
    out = compiled.simulate(*given, way=way)
    assert out.equals(reference.simulate(*given))
    assert out.wait_s[:, 1].max() > 100  # A queue far longer than the ring was.


@pytest.mark.parametrize("servers", [1, 2, sweep.FEW, sweep.FEW + 1, 4 * sweep.FEW, UNLIMITED])
@pytest.mark.parametrize("work_ns", [1e6, 1e12])  # They go on nearly in order, or in none.
def test_few_servers_and_many_are_kept_in_different_ways(servers: int, work_ns: float) -> None:
    plan = places(2, servers=[servers, 3], timeout_ns=[int(3 * work_ns), UNLIMITED], cancel=False)
    given = world(plan, 4000, gap_ns=work_ns / min(servers, 1000), work_ns=work_ns)
    out = compiled.simulate(*given, way="pass")
    assert out.equals(reference.simulate(*given))
    assert servers == UNLIMITED or (out.wait_s[:, 0] > 0).any()


@pytest.mark.parametrize("capacity", [1, 63, 64, 65, 1000, 10**9])
def test_a_cache_of_any_capacity_is_the_one_of_the_reference(capacity: int) -> None:
    plan = places(2, capacity=capacity, ttl_ns=700_000_000, servers=9, fills=[False, True])
    given = world(plan, 6000, gap_ns=1e6, work_ns=4e6, keys=1500)
    out = compiled.simulate(*given)
    assert out.equals(reference.simulate(*given))
    assert (out.hit_tier == 0).any()


def test_the_pass_is_taken_just_where_nothing_feeds_back() -> None:
    assert sweep.is_exact(places(3))
    assert sweep.is_exact(places(2, capacity=5))  # Nothing fills that cache.
    assert sweep.is_exact(places(1, servers=UNLIMITED, queue_limit=3))
    assert not sweep.is_exact(places(2, capacity=5, fills=[False, True]))
    assert not sweep.is_exact(places(2, paired=[False, True]))
    assert not sweep.is_exact(places(2, queue_limit=[UNLIMITED, 4]))


@pytest.mark.parametrize("way", WAYS)
def test_no_requests_give_an_empty_table(way: Way) -> None:
    given = world(places(3), 0, gap_ns=1)
    assert len(compiled.simulate(*given, way=way).check()) == 0
    assert list(simulate_blocks(given.plan, [given[1:]], lambda r: r.correct, way)) == []


@pytest.mark.parametrize("way", WAYS)
def test_times_that_leave_int64_are_refused(way: Way) -> None:
    requests = blank_requests(np.zeros(20, np.int64), np.full((20, 1), LONGEST_NS))
    yes = np.ones((20, 1), np.bool_)
    with pytest.raises(TableError, match="292 years"):
        compiled.simulate(places(1), requests, Decisions(np.zeros(20, np.int8), yes, ~yes), way)


@pytest.mark.parametrize("way", WAYS)
def test_how_the_columns_lie_in_memory_neither_matters_nor_compiles_anew(way: Way) -> None:
    given = world(places(2, servers=3), 500, gap_ns=1e9)
    expected = compiled.simulate(*given, way=way)
    before = [len(f.signatures) for f in (loop.run, sweep.serve, sweep.admit)]  # type: ignore[attr-defined]
    service = np.ascontiguousarray(given.requests.service_ns)
    spread = np.repeat(given.requests.arrival_ns, 2)[::2]
    arrival = given.requests.arrival_ns.copy()
    arrival.flags.writeable = False
    for requests in (
        replace(given.requests, service_ns=service),
        replace(given.requests, arrival_ns=spread),
        replace(given.requests, arrival_ns=arrival),
    ):
        assert compiled.simulate(given.plan, requests, given.decisions, way).equals(expected)
    compiled.simulate(*world(places(1), 1, gap_ns=1), way=way)
    after = [len(f.signatures) for f in (loop.run, sweep.serve, sweep.admit)]  # type: ignore[attr-defined]
    assert after == before


def test_both_engines_are_to_be_had_by_name() -> None:
    given = world(places(2), 50, gap_ns=1e9)
    assert simulate(*given, engine="reference").equals(simulate(*given))


@pytest.mark.parametrize("way", WAYS)
def test_memory_does_not_grow_with_the_number_of_blocks(way: Way) -> None:
    # Servers that stay busy long after the timeout, and patience that ends long after the start.
    plan = places(2, servers=50, timeout_ns=[1_000_000_000, UNLIMITED], cancel=False)
    fills = np.array([False, way == "loop"])
    if way == "loop":
        plan = replace(places(2, capacity=100, fills=fills), servers=plan.servers)

    def blocks(count: int) -> Iterator[tuple[RequestTable, Decisions]]:
        for j in range(count):
            _, requests, decisions = world(plan, 2000, gap_ns=1e8, work_ns=2e9, keys=5000)
            late = replace(requests, arrival_ns=requests.arrival_ns + j * 2000 * 200_000_000)
            patience = np.full((2000, 2), 10**15, order="F")
            yield replace(late, patience_ns=patience), decisions

    def peak(count: int) -> int:
        tracemalloc.start()
        done = sum(len(s.outcomes) for s in simulate_blocks(plan, blocks(count), _correct, way))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert done == count * 2000
        return most

    peak(1)  # What is loaded or compiled once is no growth.
    assert peak(100) < 1.5 * peak(20)


def _correct(requests: RequestTable) -> Any:
    return requests.correct


def test_a_cache_slot_that_was_given_back_is_used_again() -> None:
    # Seven questions in turn, each of them too old when it comes again.
    plan = places(2, capacity=1000, ttl_ns=10, fills=[False, True], servers=UNLIMITED)
    now = np.arange(0, 100_000, 10)
    requests = blank_requests(now, np.zeros((len(now), 2), np.int64), key=now % 70)
    yes = np.ones((len(now), 2), bool, order="F")
    decisions = Decisions(np.zeros(len(now), np.int8), yes, ~yes)
    going = compiled.run(plan, "loop")
    out = Visits.empty(np.arange(len(now)), requests, False)
    going.advance(Rows.of(plan, requests, decisions), out, final=True)
    assert (out.visit[: len(now)] == MISSED).all()
    assert going.lru.state["unused"][0] <= 7  # type: ignore[attr-defined]


# The disk cache. What would be cheap is wrong here: numba alone looks at one file's time and size.

PROGRAM = """
import numpy as np
from engines_worlds import blank_requests, places
from fallwise.engines import compiled, sweep
from fallwise.tables import Decisions
yes = np.ones((3, 1), bool)
requests = blank_requests(np.arange(3), np.ones((3, 1), np.int64))
out = compiled.simulate(places(1), requests, Decisions(np.zeros(3, np.int8), yes, ~yes), "pass")
print(out.hit_tier[0], sum(sweep.serve.stats.cache_hits.values()))
"""


def test_a_changed_kernel_is_never_answered_by_the_old_one(tmp_path: Path) -> None:
    assert fallwise.__file__ is not None
    source = tmp_path / "fallwise"
    shutil.copytree(
        Path(fallwise.__file__).parent, source, ignore=shutil.ignore_patterns("__pycache__")
    )
    path = f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}"
    env = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)

    def hit_tier_and_cache_hits() -> list[int]:
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    assert hit_tier_and_cache_hits() == [0, 0]
    assert hit_tier_and_cache_hits() == [0, 1]
    # Another file than the kernel's own, as long and as old as it was.
    helper = source / "engines" / "layout.py"
    stat, text = helper.stat(), helper.read_text()
    assert text.count("= ANSWERED, at_ns, k\n") == 1
    helper.write_text(text.replace("= ANSWERED, at_ns, k\n", "= ANSWERED, at_ns, 5\n"))
    os.utime(helper, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert helper.stat().st_size == stat.st_size
    # Python does not see it either: it loads what it compiled from the old text, and so the old
    # kernel is right. That must not be kept as the kernel of the new text.
    assert hit_tier_and_cache_hits() == [0, 1]
    shutil.rmtree(source / "engines" / "__pycache__")
    assert hit_tier_and_cache_hits() == [5, 0]
    assert hit_tier_and_cache_hits() == [5, 1]


KEPT = """
import sys
from fallwise.engines import jit
ADDED = int(sys.argv[1])
if sys.argv[2] == "full":
    class Full(type(jit.Path())):
        def write_bytes(self, data):
            super().write_bytes(data[:50])
            raise OSError(28, "No space left on device")
    jit.Path = Full
@jit.kept
def add(number):
    return number + ADDED
print(add(1), sum(add.stats.cache_hits.values()))
"""


def test_a_kernel_that_could_not_be_written_is_not_answered_by_another(tmp_path: Path) -> None:
    file, kept = tmp_path / "adds.py", tmp_path / "kept"
    file.write_text(KEPT)

    def added_and_hits(added: int, disk: str = "free") -> list[int]:
        command = [sys.executable, str(file), str(added), disk]
        env = {**os.environ, "NUMBA_CACHE_DIR": str(kept)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    assert added_and_hits(1) == [2, 0]
    assert added_and_hits(2, "full") == [3, 0]
    assert added_and_hits(2) == [3, 0]
    assert added_and_hits(1) == [2, 1]  # Both are there.
    one, two = sorted(kept.rglob("*.kernel"), key=lambda path: path.stat().st_mtime)
    assert not [path for path in one.parent.iterdir() if path not in (one, two)]
    two.write_bytes(one.read_bytes())  # Of another key.
    assert added_and_hits(2) == [3, 0]
    two.write_bytes(two.read_bytes()[:-1])  # Torn.
    assert added_and_hits(2) == [3, 0]
    assert added_and_hits(2) == [3, 1]


def test_few_kernels_of_a_function_stay(tmp_path: Path) -> None:
    files = jit._Files(str(tmp_path), "f")
    for key in range(jit.MOST + 3):
        files.save(key, key)
        os.utime(files._path(key), (key, key))
    kept = [key for key in range(jit.MOST + 3) if files.load(key) == key]
    assert kept == list(range(3, jit.MOST + 3))


def test_without_a_folder_to_write_to_it_is_compiled_in_every_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless(function: Any) -> Any:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(jit, "_Kept", homeless)
    assert jit.kept(lambda number: number + 1)(3) == 4
