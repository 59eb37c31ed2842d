"""Values by rank are those of the sorted array, however they lie."""

import numpy as np
import pytest
from fallwise.analysis import ranked
from fallwise.analysis.ranked import Ranked
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None)
@given(
    values=st.lists(st.integers(0, 50), min_size=1, max_size=400),
    order=st.sampled_from(["as they come", "ascending", "descending"]),
    sample=st.integers(1, 60),
    near=st.integers(0, 9),
    ranks=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8),
)
def test_ranks_are_those_of_the_sorted_array(
    values: list[int], order: str, sample: int, near: int, ranks: list[float]
) -> None:
    if order != "as they come":
        values.sort(reverse=order == "descending")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranked, "SAMPLE", sample)
        patch.setattr(ranked, "NEAR", near)
        found = Ranked(np.array(values, np.float64))
        for share in ranks:
            rank = int(share * len(values))
            assert found[rank] == sorted(values)[rank]


def test_a_rank_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        Ranked(np.zeros(3))[3]


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99, 0.999])
def test_an_atom_and_a_tail(q: float) -> None:
    values = np.random.default_rng(7).exponential(size=300_000)
    values[::2] = 0
    rank = int(q * len(values))
    assert Ranked(values)[rank] == np.sort(values)[rank]
