"""How a page is made of its templates, and what every page ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fallwise.report.words import seconds
from fallwise.scenario import Scenario

__all__ = ["assumed", "templates"]

HOME: Final = Path(__file__).parent / "templates"


def templates() -> Environment:
    """Return where the templates are taken from; what a user wrote is text in them."""
    there = Environment(
        loader=FileSystemLoader(HOME),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    there.filters |= {"seconds": seconds, "file": _text}
    return there


def _text(name: str) -> Markup:
    return Markup((HOME / name).read_text("utf-8"))


def assumed(summary: dict[str, Any], scenario: Scenario) -> list[tuple[str, str, str]]:
    """Return the keys that nobody measured, with their values, where they are numbers, and why."""
    return [(a["key"], _value(scenario, a["key"]), a["why"]) for a in summary["assumptions"]]


def _value(scenario: Scenario, key: str) -> str:
    try:
        found = scenario.value_at(key)
    except LookupError:  # of a router that is only supposed
        return ""
    return f"{found:g}" if isinstance(found, int | float) else ""
