"""What pydantic finds wrong with a scenario, said in the user's words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fallwise.errors import Problem
from fallwise.scenario.source import Key
from fallwise.scenario.study import Scenario

__all__ = ["MISSING", "UNKNOWN", "nearest", "problems_of", "proposal", "stand_in"]

MISSING = "this key is missing"
UNKNOWN = "there is no such key"

# How many of the key's own unit there are in one of the written unit.
FACTORS = {
    ("ns", "s"): 1e-9,
    ("us", "s"): 1e-6,
    ("ms", "s"): 1e-3,
    ("sec", "s"): 1,
    ("seconds", "s"): 1,
    ("min", "s"): 60,
    ("minutes", "s"): 60,
    ("h", "s"): 3600,
    ("hours", "s"): 3600,
    ("rpm", "rps"): 1 / 60,
    ("rph", "rps"): 1 / 3600,
    ("qps", "rps"): 1,
    ("cents", "usd"): 0.01,
    ("percent", "share"): 0.01,
    ("ktok", "mtok"): 1000,
    ("tok", "mtok"): 1e6,
}
UNITS = {unit for pair in FACTORS for unit in pair}

TYPES = {
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "model_type": "a set of keys and values",
    "model_attributes_type": "a set of keys and values",
    "list_type": "a list",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}
STAND_INS = {"number": 0.5, "integer": 1, "string": "x", "array": [0.5]}
"""Inside every range that the schema sets."""

LIMITS = {"greater_than": "above {gt:g}", "greater_than_equal": "at least {ge:g}"}
LIMITS |= {"less_than": "below {lt:g}", "less_than_equal": "at most {le:,}"}


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the word that was probably meant, or None.

    >>> nearest("smal", ["small", "big"]), nearest("x", ["small", "big"])
    ('small', None)
    """
    close = difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=0.6)
    return close[0] if close else None


def proposal(word: str, words: Sequence[str]) -> str:
    """Return the remedy for a word that is none of the known ones."""
    meant = nearest(word, words)
    return f"did you mean {meant}?" if meant else f"choose one of {', '.join(words) or 'none'}"


def problems_of(errors: Iterable[Any], data: Any) -> list[Problem]:
    """Return pydantic's errors about the data as problems, one for each key."""
    found: dict[Key, Problem] = {}
    for error in errors:
        key = _key(error["loc"], data, missing=error["type"] == "missing")
        problem = _problem(error, key, data)
        if problem.key in found:  # a union reports every branch that does not fit
            before = found[problem.key]
            rule = f"{before.rule} or {problem.rule.removeprefix('must be ')}"
            problem = Problem(rule, "write one of these", before.key, before.value)
        found[problem.key] = problem
    return [problem for problem in found.values() if not _proposed(problem, found.values())]


def _proposed(missing: Problem, found: Iterable[Problem]) -> bool:
    """Return True for a missing key that another problem already proposes."""
    return missing.rule == MISSING and any(
        other.rule == UNKNOWN
        and other.key[:-1] == missing.key[:-1]
        and missing.key[-1] in re.findall(r"\w+", other.remedy)
        for other in found
    )


def _key(loc: Sequence[str | int], data: Any, *, missing: bool) -> Key:
    """Return pydantic's place as keys of the data: without the names of the unions' branches."""
    key: list[str | int] = []
    for i, part in enumerate(loc):
        if isinstance(data, Mapping):
            known = part in data or (missing and i == len(loc) - 1)
        else:
            known = isinstance(data, list) and isinstance(part, int)
        if known:
            key.append(part)
            data = _below(data, part)
    return tuple(key)


def _below(data: Any, part: str | int) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _problem(error: Any, key: Key, data: Any) -> Problem:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return Problem(MISSING, f"add {key[-1]}", key)
    if kind == "extra_forbidden":
        return _unknown(key, value, data)
    if kind == "union_tag_not_found":
        return Problem(MISSING, "say which kind it is", (*key, "kind"))
    if kind == "union_tag_invalid":
        kinds = re.findall(r"'([^']*)'", context["expected_tags"])
        rule = f"must be one of {', '.join(kinds)}"
        return Problem(rule, proposal(str(context["tag"]), kinds), (*key, "kind"), context["tag"])
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        return Problem(f"must be {' or '.join(words)}", proposal(str(value), words), key, value)
    if kind in TYPES:
        return Problem(f"must be {TYPES[kind]}", _typed(kind, key, value), key, value)
    if kind in LIMITS:
        rule = f"must be {LIMITS[kind].format(**context)}"
        return Problem(rule, "put a value in that range", key, value)
    if kind in ("too_short", "too_long"):
        most = kind == "too_long"
        count = context["max_length" if most else "min_length"]
        rule = f"must have at {'most' if most else 'least'} {count} entries"
        return Problem(rule, "take some away" if most else "add what is missing", key, value)
    if kind == "string_pattern_mismatch":
        rule = "must begin with a letter and hold only letters, digits, - and _"
        return Problem(rule, "rename it", key, value)
    return Problem(str(error["msg"]), "put a value of that form", key, value)


def _typed(kind: str, key: Key, value: Any) -> str:
    """Return the remedy for a value of a wrong type: the number in a text with a unit, say."""
    if kind == "bool_type":
        return "write true or false"
    if value is None:
        return "give a value, or take the key away"
    text = str(value).strip() if isinstance(value, str) else ""
    parts = re.fullmatch(r"\$?\s*([-+]?[\d.,]*\d(?:[eE][-+]?\d+)?)\s*([A-Za-z%]*)", text)
    if kind not in ("float_type", "int_type") or not parts:
        return f"write {TYPES[kind]}"
    number, unit = float(parts[1].replace(",", "")), parts[2]
    if not unit:
        return f"write {number:g}, without quotes or signs"
    own = str(key[-1]).rpartition("_")[2]
    factor = {own: 1, "%": 0.01}.get(unit) or FACTORS.get((unit, own))
    return f"write {number * factor:g}" if factor else f"write {TYPES[kind]}, without a unit"


def _unknown(key: Key, value: Any, data: Any) -> Problem:
    """Return the problem of a key that does not exist, with the one that was meant."""
    known = list(_schema_at(key[:-1], data).get("properties", ()))
    word = str(key[-1])
    stem, _, unit = word.rpartition("_")
    if unit not in UNITS:
        stem, unit = word, ""
    for name in known:
        name_stem, _, own = name.rpartition("_")
        if name_stem == stem and name != word:
            factor = FACTORS.get((unit, own))
            if factor and isinstance(value, int | float):
                return Problem(UNKNOWN, f"write {name}: {value * factor:g}", key, value)
            if own in UNITS:
                return Problem(UNKNOWN, f"did you mean {name}?", key, value)
    return Problem(UNKNOWN, proposal(word, known), key, value)


def stand_in(key: Key, data: Any) -> tuple[Key, Any]:
    """Return what to put in place of a wrong value, and where, to see what else is wrong.

    None stands for nothing: the key may be left out, or no simple value would do.
    """
    around = _schema_at(key[:-1], data)
    here = around.get("properties", {}).get(key[-1], {})
    if "const" in here:  # the kind of a law: another law takes its place
        needed = around["required"]
        law = {n: _simple(around["properties"][n]) for n in needed} | {"kind": here["const"]}
        return key[:-1], law
    return key, _simple(here) if key[-1] in around.get("required", ()) else None


def _simple(node: Mapping[str, Any]) -> Any:
    if "enum" in node:
        return node["enum"][-1]
    return STAND_INS.get(node.get("type", ""))


def _schema_at(path: Key, data: Any) -> Mapping[str, Any]:
    """Return the schema that counts at a place of the data."""
    schema = Scenario.model_json_schema()
    node = _branch(schema, schema, data)
    for part in path:
        data = _below(data, part)
        inner = node.get("items") if isinstance(part, int) else node.get("properties", {}).get(part)
        node = _branch(inner or {}, schema, data)
    return node


def _branch(node: Mapping[str, Any], schema: Mapping[str, Any], data: Any) -> Mapping[str, Any]:
    """Return the schema that counts for the data: references followed, the branch chosen."""
    if "$ref" in node:
        return _branch(schema["$defs"][node["$ref"].rpartition("/")[2]], schema, data)
    if "discriminator" in node:
        kinds = node["discriminator"]["mapping"]
        kind = data.get("kind") if isinstance(data, Mapping) else None
        known = isinstance(kind, str) and kind in kinds
        return _branch({"$ref": kinds[kind] if known else min(kinds.values())}, schema, data)
    for choice in node.get("anyOf", ()):
        branch = _branch(choice, schema, data)
        if "properties" in branch or "items" in branch:
            return branch
    return node
