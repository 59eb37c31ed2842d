"""The reference page of scenario files, made of their JSON Schema: every key, its type and rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["reference"]

Json = Mapping[str, Any]

TOP = "Scenario"
HEAD = """\
# Scenario reference

<!-- Made by `fallwise schema --markdown`, of the docstrings in sim/fallwise/scenario. -->

Every key that a scenario file may have. The unit is the last part of a name: `_s` seconds, `_usd`
US dollars, `_rps` requests a second, `_tokens`, `_mtok` million tokens. A key whose default is –
has to be given; an empty default means that there is none of it. `fallwise schema` prints the same
as JSON Schema, for editors that complete and check YAML."""
TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true, false",
}
BOUNDS = {
    "exclusiveMinimum": "above {:g}",
    "minimum": "at least {:g}",
    "exclusiveMaximum": "below {:g}",
    "maximum": "at most {:g}",
    "minItems": "at least {:g} of them",
    "maxItems": "at most {:g} of them",
}


def reference(schema: Json) -> str:
    """Return the page, in Markdown: one section for each object, in the order of their use."""
    parts = {TOP: schema, **schema["$defs"]}
    lines = [HEAD]
    for name in _in_order(parts):
        lines += ["", *_section(name, parts[name])]
    return "\n".join(lines) + "\n"


def _in_order(parts: Json) -> list[str]:
    """Return the objects, each after the first one that mentions it."""
    found = [TOP]
    for name in found:
        for inner in re.findall(r'"#/\$defs/(\w+)"', json.dumps(parts[name].get("properties", {}))):
            if inner not in found:
                found.append(inner)
    return found


def _section(name: str, part: Json) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    text = part.get("description", "")
    yield from (line.rstrip() for line in text.splitlines())
    yield ""
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    for key, item in part.get("properties", {}).items():
        default = "–" if key in part.get("required", ()) else _default(item)
        usual = "chooses this form" if "const" in item else ""
        about = " ".join(item.get("description", usual).split())
        cells = f"`{key}`", _value(item), default, about
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(item: Json) -> str:
    value = item.get("default")
    if value is None or value == [] or value == "":
        return ""
    if isinstance(value, dict | list):
        return "see there"
    return f"`{json.dumps(value)}`".replace('"', "")


def _value(item: Json) -> str:
    """Return what may stand there, in words."""
    if "$ref" in item:
        return _link(item["$ref"])
    if "const" in item:
        return f"`{item['const']}`"
    if "enum" in item:
        return ", ".join(f"`{word}`" for word in item["enum"])
    for several in ("anyOf", "oneOf"):
        if several in item:
            kinds = [_value(one) for one in item[several] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    rules = [words.format(item[rule]) for rule, words in BOUNDS.items() if rule in item]
    kind = TYPES.get(item.get("type", ""), "")
    if item.get("type") == "array":
        inner = item.get("items", {})
        kind = f"list of {_value(inner)}" if inner else "list of pairs"
    return ", ".join([kind, *rules])


def _link(ref: str) -> str:
    name = ref.rpartition("/")[2]
    return f"[{name}](#{name.lower()})"
