"""Run the notebooks, and write them with what they show: python notebooks/make.py [NAME ...].

What one edits is the .py (jupytext, percent); the .ipynb beside it is made of it by this command.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def executed(source: Path) -> nbformat.NotebookNode:
    """Return a notebook with its outputs, without times and other things that change."""
    notebook = jupytext.read(source)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(HERE)}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
    notebook.metadata.pop("language_info", None)
    return notebook


def main(names: list[str]) -> None:
    """Make the named notebooks, or all."""
    for source in sorted(HERE.glob("0*.py")):
        if not names or source.stem in names:
            nbformat.write(executed(source), source.with_suffix(".ipynb"))


if __name__ == "__main__":
    main(sys.argv[1:])
