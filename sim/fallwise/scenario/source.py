"""A scenario file's text as plain data, and where each value of it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fallwise.errors import Problem, ScenarioError

__all__ = ["Key", "Source", "load", "value_of"]

Key = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_VALUES = 200_000
"""Aliases can make a short text huge."""


@dataclass
class Source:
    """Plain data, and the line and column of every value and of every key, counted from 1.

    put are the keys whose values come from the command line instead.
    """

    data: Any
    file: str = ""
    values: dict[Key, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Key, tuple[int, int]] = field(default_factory=dict)
    put: list[Key] = field(default_factory=list)

    def placed(self, problem: Problem, *, at_key: bool = False) -> Problem:
        """Return the problem with its place: its value's, its key's, or the nearest one around."""
        key = problem.key
        if any(key[: len(put)] == put for put in self.put):
            return problem.at("--set")
        if at_key and key in self.keys:
            return problem.at(self.file, *self.keys[key])
        while key and key not in self.values:
            key = key[:-1]
        return problem.at(self.file, *self.values.get(key, (0, 0)))


def load(path: Path) -> Source:
    """Return the data of a YAML 1.2 file; its places too."""
    return _parsed(_text(path), str(path))


def value_of(text: str, name: str = "") -> Any:
    """Return the value that a text on the command line stands for, read as YAML 1.2.

    >>> value_of("1e3"), value_of("off"), value_of("[1, 2]"), value_of("null")
    (1000.0, 'off', [1, 2], None)
    """
    return _parsed(text, name).data


def _text(path: Path) -> str:
    def refused(rule: str, remedy: str) -> ScenarioError:
        return ScenarioError(Problem(rule, remedy, file=str(path)))

    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refused("there is no such file", "give the path of a scenario file") from None
    except IsADirectoryError:
        raise refused("this is a folder", "give the path of a scenario file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise refused(f"cannot be read ({reason})", "give a file that can be read") from None
    if len(raw) > MAX_BYTES:
        raise refused(
            f"a scenario has at most {MAX_BYTES:,} bytes",
            "put long lists into a table or a trace, and name its file in the scenario",
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refused("the encoding is UTF-16", "save the file as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused(
            f"byte {error.start} is not UTF-8",
            "give a scenario in YAML, saved as UTF-8 (tables go under answers.table)",
        ) from None
    if not text.strip():
        raise refused("the file is empty", "begin with scenarios/mm1.yaml, the smallest scenario")
    return text


def _parsed(text: str, file: str) -> Source:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    def refused(rule: str, line: int = 0, column: int = 0) -> ScenarioError:
        remedy = "mend the YAML (version 1.2) there"
        return ScenarioError(Problem(rule, remedy, file=file, line=line, column=column))

    yaml = YAML(typ="safe", pure=True)
    source = Source(None, file)
    problems: list[Problem] = []
    try:
        root = yaml.compose(text)
        if root is None:
            return source
        source.data = _plain(root, (), source, problems, yaml.constructor, iter(range(MAX_VALUES)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise refused(" ".join(filter(None, (error.problem, error.context))), *place) from None
    except RecursionError:
        raise refused("the data is nested too deeply, or holds itself") from None
    except (YAMLError, ValueError) as error:
        raise refused(" ".join(str(error).split())) from None
    if problems:
        raise ScenarioError(problems)
    return source


def _plain(
    node: Any,
    path: Key,
    source: Source,
    problems: list[Problem],
    constructor: Any,
    budget: Iterator[int],
) -> Any:
    """Return a YAML node as dict, list or scalar; note places, and keys that stand twice."""
    if next(budget, None) is None:
        raise ValueError(f"the data has more than {MAX_VALUES:,} values")
    source.values.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if node.id == "sequence":
        return [
            _plain(item, (*path, i), source, problems, constructor, budget)
            for i, item in enumerate(node.value)
        ]
    if node.id != "mapping":
        return constructor.construct_object(node, deep=True)
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        key = key_node.value if key_node.id == "scalar" else "?"
        here = (*path, key)
        if key in data:
            first = source.keys[here]
            rule = f"the key stands twice, first in line {first[0]}"
            problems.append(Problem(rule, "keep one of the two", here).at(source.file, *place))
            continue
        source.keys[here] = place
        data[key] = _plain(value_node, here, source, problems, constructor, budget)
    return data
