"""What the commands that plan have in common: how their summary is written and shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
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
def working(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr that work goes on, where somebody looks at it; how far, it does not know."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(what) if console.is_terminal else nullcontext():
        yield lambda done, total: None


@contextmanager
def counted(what: str, after_s: float = 1.0) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the time left on stderr, on a terminal; yield what is told (done, total).

    What is over in after_s seconds has no bar.
    """
    from threading import Timer

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
    )
    from rich.text import Text

    class Left(ProgressColumn):
        """The time left, from the first part that is done: rich's own waits for the second."""

        def render(self, task: Task) -> Text:
            if not task.completed or not task.total or task.elapsed is None:
                return Text("")
            left = task.elapsed * (task.total / task.completed - 1)
            return Text(f"{left // 60:.0f}:{left % 60:02.0f} left")

    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), Left()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=None)
    begin = Timer(after_s, bar.start)
    begin.daemon = True
    begin.start()
    try:
        yield lambda done, total: bar.update(task, completed=done, total=total)
    finally:
        begin.cancel()
        begin.join()
        bar.stop()
