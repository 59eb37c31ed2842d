"""From YAML 1.2 to a checked Scenario."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fallwise.scenario.study import Scenario

__all__ = ["override", "parse", "read", "schema"]


def read(path: Path, values: Mapping[str, Any] | None = None) -> Scenario:
    """Return the scenario of a file, with the given values put in place of its own."""
    from ruamel.yaml import YAML

    data = YAML(typ="safe", pure=True).load(path.read_text())
    return override(parse(data, path.parent), values or {})


def parse(data: Mapping[str, Any], folder: Path = Path()) -> Scenario:
    """Return the scenario of plain data, every rule checked."""
    return Scenario.model_validate({**data, "folder": folder})


def override(scenario: Scenario, values: Mapping[str, Any]) -> Scenario:
    """Return the scenario with values put in by key: {"tiers.small.threshold": 0.8}."""
    data = scenario.model_dump(exclude_unset=True)
    for key, value in values.items():
        at: Any = data
        *parents, last = key.split(".")
        for part in parents:
            at = next(x for x in at if x["name"] == part) if isinstance(at, list) else at[part]
        at[last] = value
    return parse(data, scenario.folder)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario."""
    return Scenario.model_json_schema()
