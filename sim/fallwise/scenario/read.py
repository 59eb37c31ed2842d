"""From YAML 1.2 to a checked Scenario; all that is wrong with a file is said at once."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fallwise.errors import Problem, ScenarioError
from fallwise.scenario.problems import MISSING, UNKNOWN, problems_of, proposal, stand_in
from fallwise.scenario.rules import broken_rules
from fallwise.scenario.source import Key, Source, load
from fallwise.scenario.study import Scenario

__all__ = ["override", "parse", "read", "schema"]

NAME = re.compile(r"[^.\[\]]+(\.[^.\[\]]+|\[\d+\])*")
PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def read(path: Path | str, values: Mapping[str, Any] | None = None) -> Scenario:
    """Return the scenario of a file, with the given values put in place of its own."""
    path = Path(path)
    source = load(path)
    return _checked(source, path.parent, values or {})


def parse(data: Mapping[str, Any], folder: Path = Path()) -> Scenario:
    """Return the scenario of plain data, every rule checked."""
    return _checked(Source(data), folder, {})


def override(scenario: Scenario, values: Mapping[str, Any]) -> Scenario:
    """Return the scenario with values put in by key: {"tiers.small.threshold": 0.8}.

    Members of a list are named by their name, or by position: tiers[0].threshold.
    """
    data = scenario.model_dump(exclude_unset=True)
    return _checked(Source(data), scenario.folder, values)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a scenario."""
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, **Scenario.model_json_schema()}


def _checked(source: Source, folder: Path, values: Mapping[str, Any]) -> Scenario:
    """Return the scenario, or raise everything that is wrong with it."""
    if not isinstance(source.data, Mapping):
        rule, remedy = "a scenario is a set of keys and values", "begin with name, traffic, tiers"
        raise ScenarioError(source.placed(Problem(rule, remedy, value=source.data)))
    source.data = _whole(source.data)
    misnamed = [_put(source, name, value) for name, value in values.items()]
    problems = [problem for problem in misnamed if problem]
    try:
        scenario = Scenario.model_validate(source.data)
        found = broken_rules(scenario)
    except ValidationError as error:
        found = problems_of(error.errors(include_url=False), source.data)
        found += _other_rules(source.data, found)
    problems += [source.placed(p, at_key=p.rule == UNKNOWN) for p in found]
    if problems:
        raise ScenarioError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return scenario.placed_in(folder)


def _other_rules(data: Any, wrong: list[Problem]) -> list[Problem]:
    """Return the rules between keys that are broken too, once what is wrong by itself is put right.

    What they say about a key that was touched is not the user's fault, and is left out.
    """
    whole, data = data, copy.deepcopy(data)
    for problem in wrong:
        _replace(data, *stand_in(problem.key, whole))
    try:
        found = broken_rules(Scenario.model_validate(data))
    except ValidationError:
        return []
    return [problem for problem in found if not any(_follows(problem, w) for w in wrong)]


def _follows(problem: Problem, wrong: Problem) -> bool:
    """Return True where a broken rule may only be the consequence of a value that is wrong."""
    if wrong.rule == UNKNOWN:  # perhaps the missing key, misspelt
        return problem.rule.startswith(MISSING) and problem.key[:-1] == wrong.key[:-1]
    touched = wrong.key[:-1] if wrong.key[-1] in ("kind", "source") else wrong.key
    n = min(len(problem.key), len(touched))
    return problem.key[:n] == touched[:n]


def _replace(data: Any, key: Key, value: Any) -> None:
    """Put a value for a key of the data, or take the key out where the value is None."""
    for part in key[:-1]:
        data = data[part]
    if isinstance(data, dict) and value is None:
        data.pop(key[-1], None)
    elif value is not None:
        data[key[-1]] = value


def _whole(value: Any) -> Any:
    """Return the data with numbers like 1e6, which YAML reads as a float, as whole numbers."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _put(source: Source, name: str, value: Any) -> Problem | None:
    """Put a value into the data by its name, or return what is wrong with the name."""
    if not NAME.fullmatch(name):
        rule, remedy = "this is no name of a value", "write it like tiers.small.threshold"
        return Problem(rule, remedy, (name,), value, "--set")
    parts = [int(n) if n else word for word, n in PART.findall(name)]
    at: Any = source.data
    key: Key = ()
    for part in parts:
        if isinstance(at, list):
            part, remedy = _member(at, part)
            if remedy:
                return Problem("there is no such entry", remedy, (*key, part), value, "--set")
        elif not isinstance(at, dict):
            return Problem(UNKNOWN, "the value before it has no keys", (*key, part), value, "--set")
        key = (*key, part)
        if len(key) < len(parts):
            if isinstance(at, dict) and at.get(part) is None:
                at[part] = {}
                source.put.append(key)
            at = at[part]
    at[key[-1]] = _whole(value)
    source.put.append(key)
    return None


def _member(items: list[Any], part: str | int) -> tuple[str | int, str]:
    """Return the position of a list's entry; or the part, and the remedy, where there is none."""
    if isinstance(part, int):
        return part, "" if part < len(items) else f"there are {len(items)}, counted from 0"
    names = [str(item.get("name")) if isinstance(item, dict) else "" for item in items]
    return (names.index(part), "") if part in names else (part, proposal(part, names))
