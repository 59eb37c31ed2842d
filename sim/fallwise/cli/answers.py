"""What the commands that plan have in common: how their summary is written and shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fallwise.scenario import Scenario

__all__ = ["about", "counted", "deliver", "page_of", "print_json", "working"]

Json = dict[str, Any]


def about(scenario: Scenario, command: str, engine: str) -> Json:
    """Return the keys that every summary begins with."""
    from fallwise import __version__

    return {
        "scenario": scenario.name,
        "content": scenario.hash,
        "command": command,
        "seed": scenario.run.seed,
        "version": __version__,
        "engine": engine,
        "requests": scenario.run.requests,
        "assumptions": [item.model_dump() for item in scenario.assumptions],
    }


def deliver(
    summary: Json,
    folder: Path,
    as_json: bool,
    show: Callable[[Any, Json], None],
    html: str | None = None,
    drawn: Iterable[tuple[str, Any]] | None = None,
) -> None:
    """Write the summary and a page to a folder, and print it: as JSON, or by show(console, it).

    drawn are the figures, by default those that can be made of the summary.
    """
    from fallwise import report

    report.write(folder, summary, None, html, drawn)
    if as_json:
        print_json(summary)
        return
    from fallwise.cli.show import terminal

    console = terminal()
    show(console, summary)
    for item in summary["assumptions"]:
        console.print(f"• assumed: {item['key']}: {item['why']}", markup=False)
    said = f"\nWritten to {folder}" + ("; open report.html there" if html else "")
    console.print(said, markup=False, soft_wrap=True)


def print_json(summary: Json) -> None:
    """Print a summary on stdout, for another program."""
    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False))


def page_of(summary: Json, scenario: Scenario) -> str:
    """Return the page of a command that plans."""
    from fallwise import report

    return report.answer(summary, scenario)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on stderr that work goes on, where somebody looks at it."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the time left on stderr, on a terminal; yield what is told (done, total)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
