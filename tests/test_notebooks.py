from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupytext", reason="needs pip install fallwise[notebooks]")
import jupytext

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = [path.stem for path in sorted(FOLDER.glob("0*.py"))]
LIVE = "04-simulator-against-live"
"""Drives a deployment; it stands in tests/live, where the machine is free."""


def executed(name: str) -> Any:
    spec = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.executed(FOLDER / f"{name}.py")


def said(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.get("outputs", ()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", [name for name in NAMES if name != LIVE])
def test_a_notebook_runs_from_its_question_to_its_answer(name: str) -> None:
    cells = executed(name).cells
    assert "**Question:**" in cells[0].source
    answers = [i for i, cell in enumerate(cells) if cell.source.startswith("**Answer:**")]
    assert len(answers) == 1
    assert len(said(cells[answers[0] + 1])) > 100


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_what_its_source_says(name: str) -> None:
    source = jupytext.read(FOLDER / f"{name}.py")
    made = jupytext.read(FOLDER / f"{name}.ipynb")
    assert [cell.source for cell in made.cells] == [cell.source for cell in source.cells], (
        f"make it again: python notebooks/make.py {name}"
    )
    answer = next(i for i, cell in enumerate(made.cells) if cell.source.startswith("**Answer:**"))
    assert said(made.cells[answer + 1])


def test_the_public_names_lead_to_what_they_say() -> None:
    import fallwise

    for name in fallwise.__all__:
        assert getattr(fallwise, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fallwise.nothing  # noqa: B018
