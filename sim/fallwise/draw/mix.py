"""What is asked: the segment of a request, its question, and its row of the evaluation table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fallwise.draw.replay import Replay
from fallwise.draw.streams import Questions, Streams
from fallwise.draw.traces import Recording
from fallwise.errors import Problem, ScenarioError
from fallwise.scenario.traffic import Traffic
from fallwise.tables import Floats, Int16s, Int64s

__all__ = ["Asked", "ask", "most_popular", "popularity"]

MOST_KEYS: Final = 10_000_000
NONE: Final = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Asked:
    """A block of requests.

    row      (n,) int64  position in the run
    segment  (n,) int16
    query    (n,) int64  row of the evaluation table; None for synthetic answers
    """

    row: Int64s
    segment: Int16s
    questions: Questions
    query: Int64s | None

    def __len__(self) -> int:
        """Return n."""
        return len(self.row)


def popularity(traffic: Traffic) -> list[Floats | None]:
    """Return the cumulated Zipf probabilities of each segment's repeated keys; None without any.

    Source: Zipf's law, the key of rank r has a probability proportional to r**-exponent.
    """
    found: list[Floats | None] = []
    for g, segment in enumerate(traffic.segments):
        repeats = segment.repeats
        if repeats is None:
            found.append(None)
            continue
        if repeats.distinct_keys > MOST_KEYS:
            key = ("traffic", "segments", g, "repeats", "distinct_keys")
            rule = f"must be at most {MOST_KEYS}"
            raise ScenarioError(Problem(rule, "give fewer", key, repeats.distinct_keys))
        weights = np.arange(1, repeats.distinct_keys + 1, dtype=np.float64)
        cumulated = np.cumsum(weights**-repeats.zipf_exponent)
        found.append(cumulated / cumulated[-1])
    return found


def most_popular(traffic: Traffic, keys: int, local: bool = True) -> Int64s:
    """Return the keys that come again most often, the least popular of them first.

    local: segments that must stay local count too. There may be fewer than asked for.
    """
    share = []
    for segment, cumulated in zip(traffic.segments, popularity(traffic), strict=True):
        if segment.repeats is not None and cumulated is not None:
            seen = local or segment.residency == "anywhere"
            weight = segment.share * segment.repeats.repeat_share if seen else 0.0
            share.append(weight * np.diff(cumulated, prepend=0.0))
    asked = np.concatenate(share) if share else np.zeros(0)
    found = np.argsort(-asked, kind="stable")[:keys]
    return np.ascontiguousarray(found[asked[found] > 0][::-1])


def ask(
    traffic: Traffic,
    row: Int64s,
    chance: Streams,
    popular: list[Floats | None],
    replay: Replay | None,
    trace: Recording | None,
) -> Asked:
    """Return what the given rows of the run ask."""
    shares = np.cumsum([segment.share for segment in traffic.segments])
    recorded = None if trace is None else trace.keys(row)
    again = any(p is not None for p in popular)
    once = replay is not None and replay.order is not None
    if recorded is not None and (again or once):
        rule = "the trace has keys of its own"
        key = ("traffic", "segments") if again else ("answers", "sample")
        raise ScenarioError(Problem(rule, "take repeats or each_once away", key))
    if replay is not None and replay.order is not None and replay.segment is not None:
        of_order = replay.order[row]
        return Asked(row, replay.segment[of_order], Questions(chance, row, NONE), of_order)
    if recorded is not None:
        questions = Questions(chance, recorded, np.arange(len(row)))
        segment = _pick(shares, questions.uniform("segment") if len(shares) > 1 else None, row)
    else:
        drawn = chance["segment"].random(len(row)) if len(shares) > 1 else None
        segment = _pick(shares, drawn, row)
        questions = Questions(chance, row, NONE)
        if again:
            questions = _repeated(traffic, row, segment, chance, popular)
    query = None if replay is None else replay.pick(questions.uniform("row"), segment)
    return Asked(row, segment, questions, query)


def _pick(shares: Floats, u: Floats | None, row: Int64s) -> Int16s:
    if u is None:
        return np.zeros(len(row), np.int16)
    chosen = np.searchsorted(shares / shares[-1], u, side="right")
    return np.minimum(chosen, len(shares) - 1).astype(np.int16)


def _repeated(
    traffic: Traffic,
    row: Int64s,
    segment: Int16s,
    chance: Streams,
    popular: list[Floats | None],
) -> Questions:
    """Return the questions: keys 0, 1, ... for those that come again, then one key for each row."""
    sizes = [0 if p is None else len(p) for p in popular]
    first = np.concatenate([[0], np.cumsum(sizes)])
    key = first[-1] + row
    share = np.array([s.repeats.repeat_share if s.repeats else 0.0 for s in traffic.segments])
    repeats = chance["repeat"].random(len(row)) < share[segment]
    u = chance["key"].random(len(row))
    for g, cumulated in enumerate(popular):
        if cumulated is not None:
            rows = np.flatnonzero(repeats & (segment == g))
            key[rows] = first[g] + np.searchsorted(cumulated, u[rows], side="right")
    return Questions(chance, key, np.flatnonzero(repeats))
