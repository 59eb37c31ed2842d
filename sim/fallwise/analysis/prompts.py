"""What the requests of a table ask a live deployment, and what the right answers are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.draw import questions
from fallwise.draw.replay import open_replay
from fallwise.draw.streams import Streams
from fallwise.errors import Problem, TableError
from fallwise.scenario import Scenario
from fallwise.tables import Int64s

__all__ = ["Prompts", "asked_by", "read_prompts"]


@dataclass(frozen=True)
class Prompts:
    """Questions by their id: the messages, and the right answer where it is known."""

    file: str
    ids: Sequence[str]
    messages: Sequence[list[dict[str, Any]]]
    answers: Sequence[str | None]

    @property
    def graded(self) -> bool:
        """Return whether every question has its right answer."""
        return all(answer is not None for answer in self.answers)


def read_prompts(path: Path) -> Prompts:
    """Return the questions in a file of JSON lines: {"id": ..., "messages": [...], "answer": ...}.

    `text` may stand for one message of a user. answer is optional. TableError with file and line.
    """
    ids, messages, answers = [], [], []

    def refused(rule: str, line: int, value: object = None) -> TableError:
        remedy = 'write a line like {"id": "7", "text": "What is ...?", "answer": "..."}'
        return TableError(Problem(rule, remedy, value=value).at(str(path), line))

    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise refused(f"cannot be read ({type(error).__name__})", 0) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            said = row.get("messages") or [{"role": "user", "content": row["text"]}]
            ids.append(str(row["id"]))
        except (ValueError, LookupError, AttributeError, TypeError):
            raise refused("is no question: it needs an id, and text or messages", number) from None
        messages.append(said)
        answers.append(None if row.get("answer") is None else str(row["answer"]))
    if not ids:
        raise refused("has no questions", 0)
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise refused("has an id twice", 0, twice)
    return Prompts(str(path), ids, messages, answers)


def asked_by(scenario: Scenario, prompts: Prompts, seed: int, n: int) -> Int64s:
    """Return (n,) which of the prompts each request of draw() asks.

    Replayed requests ask the question with their row's query_id; TableError where it is not there.
    Synthetic ones take the prompts in turn, equal keys the same one.
    """
    row = questions(scenario, seed, n)
    replay = open_replay(scenario, Streams(seed))
    if replay is None:
        turn: Int64s = np.unique(row, return_inverse=True)[1] % len(prompts.ids)
        return turn
    place = {name: at for at, name in enumerate(prompts.ids)}
    ids = [str(name) for name in replay.table.query_id[row]]
    missing = next((name for name in ids if name not in place), None)
    if missing is not None:
        rule = f"has no question for a query_id of {replay.table.file}"
        raise TableError(Problem(rule, "add it", ("id",), missing).at(prompts.file))
    return np.array([place[name] for name in ids], np.int64)
