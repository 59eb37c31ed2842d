"""Gateway logs: one JSON object a line, a call each, under LiteLLM's or OpenTelemetry's names.

LiteLLM: its StandardLoggingPayload, by itself or under `standard_logging_object`. OpenTelemetry:
spans with `gen_ai` attributes, flat, or nested as OTLP has them. Texts are only read for
their hash.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from fallwise.errors import Problem, TableError
from fallwise.tables import Bools, Floats, Int64s

__all__ = ["LOGS", "GatewayLog", "read_log"]

LOGS: Final = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
"""How the names of logs end."""
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "model": ("gen_ai.request.model", "gen_ai.response.model", "model"),
    "start": ("startTime", "startTimeUnixNano", "start_time"),
    "end": ("endTime", "endTimeUnixNano", "end_time"),
    "first": ("completionStartTime",),
    "prompt": ("prompt_tokens", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output": ("completion_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cost": ("response_cost", "gen_ai.usage.cost"),
    "trace": ("trace_id", "traceId", "context.trace_id"),
    "question": ("messages", "gen_ai.input.messages", "gen_ai.prompt", "input"),
}
"""What a call is described by, and under which names; the first that is there counts."""


@dataclass(frozen=True)
class GatewayLog:
    """n calls by the time of their start, which is in seconds from the first one's.

    seconds, first_s  (n,)  float64  to the end, and to the first token (NaN: not known)
    prompt_tokens, output_tokens, cost_usd  (n,)  float64  NaN where not known
    model    (n,)  int64  position in models
    request  (n,)  int64  calls of one trace belong to one request
    key      (n,)  int64  equal for equal questions; None where no line has one
    ok, cached  (n,)  bool
    skipped  lines that are no call of a model
    """

    file: str
    models: tuple[str, ...]
    start_s: Floats
    seconds: Floats
    first_s: Floats
    prompt_tokens: Floats
    output_tokens: Floats
    cost_usd: Floats
    model: Int64s
    request: Int64s
    key: Int64s | None
    ok: Bools
    cached: Bools
    skipped: int

    def __len__(self) -> int:
        """Return n."""
        return len(self.start_s)


def read_log(path: Path, key: str | None = None) -> GatewayLog:
    """Return the calls of a log.

    key names the field that tells equal questions from others, by default the messages.
    TableError: no such file, a line that is no JSON object, a call that ends before it starts, and
    where no line is a finished call of a model.
    """
    calls, skipped = [], 0
    for number, record in _records(path):
        found = _call(path, number, record, key)
        if found is None:
            skipped += 1
        else:
            calls.append(found)
    if not calls:
        names = ", ".join(NAMES["model"]), ", ".join(NAMES["start"])
        rule = f"has no line with a model ({names[0]}) and its times ({names[1]}, ...)"
        raise TableError(Problem(rule, "give a gateway's log, one call a line", file=str(path)))
    calls.sort(key=lambda call: call["start"])
    models = tuple(dict.fromkeys(call["model"] for call in calls))
    texts = [call["question"] for call in calls]
    start_s = np.array([call["start"] for call in calls])

    def numbers(name: str) -> Floats:
        return np.array([call[name] for call in calls], np.float64)

    return GatewayLog(
        str(path),
        models,
        start_s - start_s[0],
        numbers("end") - start_s,
        numbers("first") - start_s,
        numbers("prompt"),
        numbers("output"),
        numbers("cost"),
        np.array([models.index(call["model"]) for call in calls]),
        _codes([call["trace"] or i for i, call in enumerate(calls)]),
        None if not any(texts) else _codes([text or i for i, text in enumerate(texts)]),
        np.array([call["ok"] for call in calls]),
        np.array([call["cached"] for call in calls]),
        skipped,
    )


def _codes(values: list[Any]) -> Int64s:
    known: dict[Any, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every record with the number of its line; a line of OTLP has many."""
    if not path.is_file():
        raise TableError(Problem("does not exist", "give the path of a log", file=str(path)))
    opened: Any = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield from ((number, one) for one in _spans(json.loads(line)))
    except (ValueError, OSError, EOFError) as error:
        rule = f"cannot be read as JSON: {str(error).splitlines()[0]}"
        problem = Problem(rule, "give one object a line", file=str(path), line=max(number, 1))
        raise TableError(problem) from None


def _spans(value: Any) -> Iterator[dict[str, Any]]:
    """Yield flat records: names of attributes beside those of the record."""
    if not isinstance(value, dict):
        raise ValueError("no object")
    if "resourceSpans" in value:
        for resource in value["resourceSpans"]:
            for scope in resource.get("scopeSpans", ()):
                for span in scope.get("spans", ()):
                    yield from _spans(span)
        return
    inner = value.get("standard_logging_object")
    record = dict(inner) if isinstance(inner, dict) else dict(value)
    found = record.get("attributes") or {}
    if isinstance(found, list):  # as OTLP has them: [{"key": ..., "value": {"intValue": ...}}]
        found = {one["key"]: next(iter(one["value"].values()), None) for one in found}
    context = record.get("context")
    if isinstance(context, dict):
        record |= {f"context.{name}": x for name, x in context.items()}
    yield record | found


def _call(
    path: Path, number: int, record: dict[str, Any], key: str | None
) -> dict[str, Any] | None:
    """Return a call, or None where the record is none of a model."""
    found: dict[str, Any] = {
        name: next((record[n] for n in names if record.get(n) is not None), None)
        for name, names in NAMES.items()
    }
    if key is not None:
        found["question"] = record.get(key)
    if not isinstance(found["model"], str) or found["start"] is None or found["end"] is None:
        return None
    for name in ("start", "end", "first"):
        found[name] = _seconds(found[name])
    for name in ("prompt", "output", "cost"):
        found[name] = _number(found[name])
    if not found["end"] >= found["start"]:
        rule, remedy = "must not be before the start, and both must be times", "correct the line"
        problem = Problem(rule, remedy, ("end",), found["end"] - found["start"], str(path), number)
        raise TableError(problem)
    if found["question"] is not None:
        text = json.dumps(found["question"], sort_keys=True).encode()
        found["question"] = hashlib.blake2b(text, digest_size=16).digest()
    status = record.get("status")
    code = status.get("status_code", status.get("code")) if isinstance(status, dict) else status
    failed = str(code).lower() in ("failure", "error", "status_code_error", "2")
    cached = str(record.get("cache_hit")).lower() == "true"
    return found | {"ok": not failed, "cached": cached}


def _number(value: Any) -> float:
    try:
        x = float(value)
    except (TypeError, ValueError):
        return math.nan
    return x if math.isfinite(x) and x >= 0 else math.nan


def _seconds(value: Any) -> float:
    """Return a time in seconds: ISO 8601, or a number of seconds, milli- or nanoseconds."""
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return math.nan
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    x = _number(value)
    # Seconds since 1970 have ten digits for the next two centuries.
    return x / 1e9 if x > 1e16 else x / 1e3 if x > 1e11 else x
