import math

import numpy as np
import pytest
from fallwise.planning.volume import Costs, Rent, pays_from, pays_in
from fallwise.tables import Floats


def side(usage: float, upkeep: float = 0.0, *rents: tuple[float, float]) -> Costs:
    return Costs(usage, upkeep, tuple(Rent("pool", usd, each) for usd, each in rents))


def looked_at(ours: Costs, theirs: Costs, volume: Floats) -> list[tuple[float, float]]:
    """Return the ranges by looking at every volume of a fine grid."""
    pays = ours.monthly_usd(volume) <= theirs.monthly_usd(volume) + 1e-9
    edges = np.flatnonzero(np.diff(np.concatenate([[False], pays, [False]]).astype(int)))
    return [(volume[a], volume[b - 1]) for a, b in edges.reshape(-1, 2)]


def test_two_lines_cross_once() -> None:
    assert pays_from(side(1.0, 50.0), side(2.0)) == pytest.approx(50.0)
    assert pays_in(side(2.0), side(1.0)) == []
    assert pays_from(side(1.0), side(1.0)) == 0.0
    assert pays_from(side(1.0, 5.0), side(1.0)) == math.inf


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (side(0.0, 10.0, (50.0, 60.0)), side(1.0)),
        (side(0.5, 0.0, (20.0, 100.0), (9.0, 33.0)), side(0.0, 0.0, (80.0, 70.0))),
        (side(1.0, 20.0), side(0.0, 0.0, (100.0, 120.0))),
        (side(1.0, 5.0), side(0.2, 0.0, (60.0, 90.0))),
    ],
)
def test_the_ranges_are_those_that_a_fine_grid_shows(ours: Costs, theirs: Costs) -> None:
    volume = np.linspace(0.001, 4000, 4_000_001)
    seen = looked_at(ours, theirs, volume)
    found = [pair for pair in pays_in(ours, theirs) if pair[0] < 4000]
    assert len(seen) == len(found) > 0
    for (a, b), (begin, end) in zip(seen, found, strict=True):
        assert a == pytest.approx(begin, abs=0.002)
        assert b == pytest.approx(min(end, 4000), abs=0.002)


def test_what_follows_the_load_is_in_proportion_beyond_what_was_seen() -> None:
    # Half a unit at rest, one for the work of 100 requests, and 3 for that of 200.
    pool = Rent("pool", 10.0, 100.0, ((0.0, 0.5), (1.0, 1.0), (2.0, 3.0)))
    seen = pool.units(np.array([0.0, 50.0, 100.0, 150.0, 200.0, 400.0]))
    assert seen.tolist() == [0.5, 0.75, 1.0, 2.0, 3.0, 6.0]
    ours, theirs = Costs(0.0, 0.0, (pool,)), side(0.12)
    assert ours.full_usd == pytest.approx(10 * 1.5 / 100)
    # 5 + 0.05 v = 0.12 v at v = 500 / 7, and 10 + 0.2 (v - 100) = 0.12 v at v = 125.
    (found,) = pays_in(ours, theirs)
    assert found == pytest.approx((500 / 7, 125.0))
    volume = np.linspace(0.001, 400, 400_001)
    ((a, b),) = looked_at(ours, theirs, volume)
    assert (a, b) == pytest.approx((500 / 7, 125.0), abs=0.002)
    assert ours.fixed_usd == pytest.approx(5.0)


def test_the_last_crossing_counts_when_steps_make_several() -> None:
    ours, theirs = side(0.0, 10.0, (50.0, 60.0)), side(1.0)
    ranges = pays_in(ours, theirs)
    assert len(ranges) > 1
    assert pays_from(ours, theirs) == ranges[-1][0]


def test_rents_that_differ_by_nothing_but_steps_are_parted_without_overflow() -> None:
    # Both cost as much within a step: the gain is a constant, and there is no root to look for.
    ours, theirs = side(0.0, 0.0, (29.22, 3.2e8), (58.44, math.inf)), side(0.0, 0.0, (58.44, 1e8))
    (first,) = pays_in(ours, theirs)
    assert first[0] == pytest.approx(1e8) and math.isinf(first[1])


def test_millions_of_units_are_a_straight_line() -> None:
    ours, theirs = side(0.0, 1e9, (1.0, 1.0)), side(1.1)
    assert pays_from(ours, theirs) == pytest.approx(1e10, rel=1e-3)
