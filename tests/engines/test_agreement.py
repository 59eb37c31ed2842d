"""Two engines, two ways and any cut into blocks: the same table, to the last bit.

A few hundred random worlds a test by default; FALLWISE_WORLDS=10000 asks for more, and
FALLWISE_SEED=2 for others. With one version of hypothesis a seed's worlds are always the same ones.
docs/validation.md says which were run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engines_worlds import World, blank_requests, worlds
from fallwise.engines import compiled, reference
from fallwise.engines.blocks import Settled, simulate_blocks
from fallwise.engines.compiled import Way
from fallwise.engines.plan import CACHE, PLACE, UNLIMITED, Plan
from fallwise.engines.sweep import is_exact
from fallwise.tables import ANSWERED, Decisions, OutcomeTable, RequestTable
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

WORLDS = settings(
    max_examples=int(os.environ.get("FALLWISE_WORLDS", "200")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def many(test: Any) -> Any:
    return seed(int(os.environ.get("FALLWISE_SEED", "1")))(WORLDS(test))


def same(one: OutcomeTable, other: OutcomeTable) -> None:
    assert one.difference(other) is None
    for name, column in one.columns().items():
        assert column.dtype == other.columns()[name].dtype


def without_feedback(world: World) -> World:
    """Return the same world with a plan that the pass can do."""
    plan, tiers = world.plan, len(world.plan.role)
    no = np.zeros(tiers, np.bool_)
    limit = np.full(tiers, UNLIMITED)
    plan = replace(plan, paired=no, fills=no, queue_limit=limit, fallback=None, calls=None)
    return world._replace(plan=replace(plan, hours=None, fleet=None))


def part(world: World, rows: slice) -> tuple[RequestTable, Decisions]:
    decided = world.decisions
    accept, verify = (np.asfortranarray(c[rows]) for c in (decided.accept, decided.verify))
    return world.requests.take(rows), Decisions(decided.start[rows], accept, verify)


def in_blocks(world: World, cuts: list[int], way: Way | None = None) -> Iterator[Settled]:
    edges = [0, *sorted(cuts), len(world.requests)]
    blocks = (part(world, slice(a, b)) for a, b in pairwise(edges))
    return simulate_blocks(world.plan, blocks, lambda requests: requests.correct, way)


@many
@given(worlds())
def test_two_engines_give_the_same_rows(world: World) -> None:
    same(reference.simulate(*world), compiled.simulate(*world, way="loop").check())


@many
@given(worlds())
def test_the_pass_gives_the_same_rows(world: World) -> None:
    world = without_feedback(world)
    same(reference.simulate(*world), compiled.simulate(*world, way="pass").check())
    same(compiled.simulate(*world, way="loop"), compiled.simulate(*world))


@many
@given(worlds(), st.lists(st.integers(0, 80)), st.sampled_from(["loop", "pass"]))
def test_blocks_give_the_same_rows(world: World, cuts: list[int], way: Way) -> None:
    if way == "pass":
        world = without_feedback(world)
    n = len(world.requests)
    grades = np.random.default_rng(n).random((n, world.requests.tiers), np.float32)
    world = world._replace(requests=replace(world.requests, correct=np.asfortranarray(grades)))
    whole = compiled.simulate(*world, way=way)
    parts = list(in_blocks(world, [min(cut, n) for cut in cuts], way))
    assert bool(parts) == bool(n)
    if not n:
        return
    rows = np.concatenate([settled.outcomes.request for settled in parts])
    order = np.argsort(rows)
    assert (rows[order] == np.arange(n)).all()
    same(whole, OutcomeTable.concat([settled.outcomes for settled in parts]).take(order))
    requests = RequestTable.concat([settled.requests for settled in parts]).take(order)
    assert requests.equals(world.requests)
    accept = np.concatenate([settled.decisions.accept for settled in parts])[order]
    assert (accept == world.decisions.accept).all()
    answered = whole.status == ANSWERED
    worth = np.zeros(n, np.float32)
    worth[answered] = grades[whole.answer_of[answered], whole.answer_tier[answered]]
    assert (np.concatenate([settled.grade for settled in parts])[order] == worth).all()


@pytest.mark.parametrize("size", [1, 17, 80])
def test_every_block_size_gives_the_same_rows(size: int) -> None:
    world = coarse(400, tick_ns=50_000_000)
    parts = list(in_blocks(world, list(range(size, 400, size))))
    whole = OutcomeTable.concat([settled.outcomes for settled in parts])
    same(compiled.simulate(*world), whole.take(np.argsort(whole.request)))


def test_rows_that_were_yielded_do_not_change_afterwards() -> None:
    # A server stays busy with row 0 after it has ended: the row is carried on, and marked.
    plan = replace(coarse(1, 1).plan, cancel=np.zeros(5, np.bool_))
    world = coarse(60, tick_ns=200_000_000)._replace(plan=plan)
    seen = []
    for settled in in_blocks(world, list(range(60))):
        seen.append((settled, settled.outcomes.take(slice(None))))
    assert all(settled.outcomes.equals(before) for settled, before in seen)
    assert (compiled.simulate(*world).busy_ns > 1_000_000_000).any()


def coarse(n: int, tick_ns: int) -> World:
    """Return a world with everything in it, on a clock with so long ticks."""
    rng = np.random.default_rng(7)
    tiers = 5

    def ticks(mean_s: float, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return (rng.exponential(mean_s * 1e9, shape) // tick_ns).astype(np.int64) * tick_ns

    no = np.zeros(tiers, np.bool_)
    paired = no.copy()
    paired[3] = True
    plan = Plan(
        role=np.array([CACHE, PLACE, PLACE, PLACE, PLACE], np.int8),
        servers=np.array([UNLIMITED, 2, 3, 2, 1]),
        queue_limit=np.array([UNLIMITED, UNLIMITED, 6, UNLIMITED, 3]),
        timeout_ns=np.array([UNLIMITED, 1_000_000_000, 2_000_000_000, UNLIMITED, 4_000_000_000]),
        cancel=np.array([True, True, False, True, False]),
        local=np.array([True, True, False, False, False]),
        give_up=no,
        paired=paired,
        fills=np.array([False, True, True, True, True]),
        capacity=20,
        ttl_ns=3_000_000_000,
    )
    patience = ticks(2.0, n, tiers)
    patience[:, :4] = UNLIMITED
    requests = blank_requests(
        np.cumsum(ticks(0.05, n)) if n else np.empty(0, np.int64),
        ticks(0.5, n, tiers),
        key=rng.zipf(1.3, n) * np.where(rng.random(n) < 0.5, -1, 1_000_003),
        local=rng.random(n) < 0.1,
        verifier_ns=ticks(0.2, n, tiers),
        router_ns=ticks(0.1, n),
        patience_ns=patience,
    )
    accept = rng.random((n, tiers)) < 0.6
    accept[:, 2] = accept[:, 3]
    start = np.where(rng.random(n) < 0.8, 1, 2).astype(np.int8)
    decided = Decisions(start, np.asfortranarray(accept), np.asfortranarray(~accept))
    return World(plan, requests, decided)


@pytest.mark.parametrize("tick_ns", [1, 200_000_000])
def test_they_agree_on_a_clock_so_coarse_that_most_arrivals_tie(tick_ns: int) -> None:
    world = coarse(10_000, tick_ns)
    ties = np.diff(world.requests.arrival_ns) == 0
    assert ties.mean() > 0.9 if tick_ns > 1 else not ties.any()
    out = compiled.simulate(*world)
    same(reference.simulate(*world), out)
    # Everything that can happen did.
    assert set(np.unique(out.visit)) == set(range(8))
    assert set(np.unique(out.status)) == set(range(5))


def test_the_pass_agrees_on_a_coarse_clock() -> None:
    world = without_feedback(coarse(10_000, tick_ns=200_000_000))
    assert is_exact(world.plan)
    same(reference.simulate(*world), compiled.simulate(*world))
