"""What can go wrong, and how it is said.

    FallwiseError            anything a user can put right; the command prints it and exits with 2
    ├── ScenarioError        a scenario file, or a value set from the command line
    ├── TableError           an evaluation table, a trace, a log, a saved request or outcome table
    └── CheckError           a live check that could not be made

Each carries a list of problems, and each problem says where, what, which rule and the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["CheckError", "FallwiseError", "Problem", "ScenarioError", "TableError"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    key is the path of keys and list positions below the file's root: ("tiers", 0, "threshold").
    """

    rule: str
    remedy: str
    key: tuple[str | int, ...] = ()
    value: object = None
    file: str = ""
    line: int = 0
    column: int = 0

    def at(self, file: str, line: int = 0, column: int = 0) -> Problem:
        """Return the same problem, with the place where it stands."""
        return replace(self, file=file, line=line, column=column)

    def __str__(self) -> str:
        """Return one line: file:line:column: key: value: rule; remedy."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        key = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in self.key).lstrip(".")
        value = "" if self.value is None else f"{_short(self.value)}: "
        head = "".join(f"{part}: " for part in (place, key) if part)
        return f"{head}{value}{self.rule}; {self.remedy}"


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class FallwiseError(Exception):
    """Something a user can put right."""

    def __init__(self, problems: Problem | Sequence[Problem]):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        # Exceptions are made again from these arguments when they come from another process.
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Return one line for each problem."""
        return "\n".join(str(problem) for problem in self.problems)


class ScenarioError(FallwiseError):
    """A scenario, or a value set on the command line, breaks a rule."""


class TableError(FallwiseError):
    """A table, a trace or a log breaks a rule."""


class CheckError(FallwiseError):
    """A live check could not be made."""
