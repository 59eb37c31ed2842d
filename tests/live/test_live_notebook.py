"""The notebook that drives a deployment, from its question to its answer."""

from __future__ import annotations

import importlib.util

import pytest

pytest.importorskip("jupytext", reason="needs pip install fallwise[notebooks]")
from test_notebooks import LIVE, executed, said


@pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="needs locust: pip install fallwise[live]"
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_live_notebook_finds_what_was_planted() -> None:
    cells = executed(LIVE).cells
    answer = next(i for i, cell in enumerate(cells) if cell.source.startswith("**Answer:**"))
    assert "measures came out as predicted" in said(cells[answer + 1])
    assert "cost_usd_mean first" in said(cells[answer + 1])
