"""From the rows of a live replay to the table of outcomes that a prediction has too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fallwise.engines.blank import blank
from fallwise.errors import Problem, TableError
from fallwise.scenario import Scenario
from fallwise.tables import (
    ANSWERED,
    CALL_COUNTS,
    CALL_TIMES,
    FAILED,
    STATUSES,
    VISITS,
    Bools,
    Floats,
    Int64s,
    OutcomeTable,
    RequestTable,
)

__all__ = ["Drive", "graded", "outcomes_of", "read_drive", "unanswered", "whole"]


@dataclass(frozen=True)
class Drive:
    """What a replay's client saw; row i is the i-th request of its table.

    request, scheduled_ns, sent_ns, first_byte_ns (of a stream its first words, else end_ns), end_ns
    (unix) and http_status are (n,); headers has each response's x-fallwise-* headers; facts are the
    client's own: workers, in_flight_max, pool, cpu_share_max, stolen_share, stopped, and t0_ns:
    when the clock of the arrivals began. replies hold what the answers say of themselves (model,
    tier, text, prompt_tokens, output_tokens, usd), where that was kept.
    """

    request: Int64s
    scheduled_ns: Int64s
    sent_ns: Int64s
    first_byte_ns: Int64s
    end_ns: Int64s
    http_status: Int64s
    headers: Sequence[dict[str, str]]
    facts: dict[str, Any]
    replies: Sequence[dict[str, Any]] = ()

    @property
    def send_lag_s(self) -> Floats:
        """(n,) seconds that the client itself was late."""
        lag: Floats = (self.sent_ns - self.scheduled_ns) / 1e9
        return lag

    @property
    def said(self) -> Bools:
        """(n,) True where the deployment said how the request ended."""
        return np.array(["x-fallwise-status" in found for found in self.headers], np.bool_)

    @property
    def transport_s(self) -> Floats:
        """(n,) seconds between the client and the gateway; NaN where the gateway said nothing."""
        inside = [
            int(found.get("x-fallwise-ended", 0)) - int(found.get("x-fallwise-received", 0))
            for found in self.headers
        ]
        took = (self.end_ns - self.sent_ns - np.array(inside, np.int64)) / 1e9
        return np.where(self.said, took, np.nan)

    @property
    def way_s(self) -> Floats:
        """(n,) seconds in no visit: transport, and what the gateway does before, between and after.

        The looks of verifiers and routers are part of it. NaN where the gateway said nothing.
        """
        visits_ns = np.zeros(len(self.headers), np.int64)
        for i, found in enumerate(self.headers):
            until = -1
            # Two visits at a time, of a pair, are one time.
            visits = _visits(found.get("x-fallwise-visits", ""))
            for enter, finish in sorted((enter, finish) for *_, enter, _, finish, _ in visits):
                visits_ns[i] += max(0, finish - max(enter, until))
                until = max(until, finish)
        took = (self.end_ns - self.sent_ns - visits_ns) / 1e9
        return np.where(self.said, took, np.nan)


def _visits(said: str) -> Iterator[tuple[Any, ...]]:
    """Yield tier, state, enter, start, finish and busy of each visit that a header says.

    Times are ns; the three moments since the request came, below 0 where there was none.
    """
    for text in filter(None, said.split(";")):
        name, state, *stamps = text.rsplit(":", 5)
        enter, start, finish, busy = map(int, stamps)
        yield name, state, enter, start, finish, busy


def read_drive(path: Path) -> Drive:
    """Return the rows that loadtests/replay.py has written; TableError if it did not."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    note = (table.schema.metadata or {}).get(b"fallwise_replay")
    if note is None:
        rule = "is no file of a replay's rows"
        raise TableError(Problem(rule, "give the --rows-file of loadtests/replay.py").at(str(path)))
    names = ("request", "scheduled_ns", "sent_ns", "first_byte_ns", "end_ns", "http_status")
    columns = {name: table[name].to_numpy() for name in names}
    headers = [json.loads(text) for text in table["headers"].to_pylist()]
    replies = [json.loads(text) for text in table["reply"].to_pylist()]
    return Drive(**columns, headers=headers, facts=json.loads(note), replies=replies)


def whole(drive: Drive, n: int, first: int = 0) -> None:
    """Raise TableError unless the drive has each of n requests once, numbered from first."""
    if not np.array_equal(drive.request, np.arange(first, first + n)):
        rule = f"has {len(np.unique(drive.request))} different requests, not all {n}"
        raise TableError(Problem(rule, "drive the same table again", ("request",)))


def graded(
    drive: Drive, right: Sequence[str], outcomes: OutcomeTable, played: Sequence[int] = ()
) -> OutcomeTable:
    """Return the outcomes with grades by the text of the answer: right has each request's own.

    Case and white space do not count. A request that was not answered is wrong. Answers of the
    tiers in `played` keep the grade that they have.
    """
    same = [
        _plain(reply.get("text", "")) == _plain(text)
        for reply, text in zip(drive.replies, right, strict=True)
    ]
    grade = np.array(same, np.float32) * (outcomes.status == ANSWERED)
    kept = np.isin(outcomes.answer_tier, list(played))
    assert outcomes.correct is not None
    found = np.where(kept, outcomes.correct, grade).astype(np.float32)
    return replace(outcomes, correct=found)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def unanswered(drive: Drive, requests: RequestTable, tiers: int) -> OutcomeTable:
    """Return a drive's outcomes before anything is known of them: all have failed, at no tier."""
    t0_ns, n = int(drive.facts["t0_ns"]), len(requests)
    return replace(
        blank(replace(requests, call_ns=None), tiers, rents=False),
        arrival_ns=drive.scheduled_ns - t0_ns,
        end_ns=drive.end_ns - t0_ns,
        status=np.full(n, FAILED, np.int8),
        cost_usd=np.zeros(n),
        correct=np.zeros(n, np.float32),
    )


def outcomes_of(
    scenario: Scenario, requests: RequestTable, drive: Drive, first: int = 0
) -> OutcomeTable:
    """Return what happened to the requests, all of which must be in the drive, in order.

    first is the number that the drive gave to row 0 of requests. Times are on the arrivals' clock.
    The gateway's stamps are its own clock's: they are laid so that what the way there and back took
    is equal, and need no common clock. The cost is what the gateway said; the grade is that of the
    answer shipped, in the row and tier it was made for. A request of which the deployment said
    nothing has failed.
    """
    whole(drive, len(requests), first)
    names = [tier.name for tier in scenario.tiers]
    out = unanswered(drive, requests, len(names))
    assert out.cost_usd is not None
    way_ns = np.nan_to_num(drive.transport_s * 1e9 / 2).astype(np.int64)
    for i, found in enumerate(drive.headers):
        if "x-fallwise-status" not in found:
            continue
        out.status[i] = STATUSES.index(found["x-fallwise-status"])
        out.cost_usd[i] = float(found["x-fallwise-cost-usd"])
        if out.status[i] == ANSWERED:
            out.hit_tier[i] = names.index(found["x-fallwise-tier"])
            out.answer_tier[i] = names.index(found["x-fallwise-answer-tier"])
            out.answer_of[i] = int(found["x-fallwise-answer-of"]) - first
        since = int(drive.sent_ns[i]) + max(0, int(way_ns[i])) - int(drive.facts["t0_ns"])
        for name, state, *stamps, busy in _visits(found["x-fallwise-visits"]):
            k = names.index(name)
            out.visit[i, k] = VISITS.index(state)
            columns = (out.enter_ns, out.start_ns, out.finish_ns)
            for column, at in zip(columns, stamps, strict=True):
                column[i, k] = -1 if at < 0 else since + at
            out.busy_ns[i, k] = busy
    row, k_of = np.maximum(out.answer_of, 0), np.maximum(out.answer_tier, 0)
    right = np.where(out.status == ANSWERED, requests.correct[row, k_of], np.float32(0))
    calls = _calls(names, drive) if any(tier.calls for tier in scenario.tiers) else {}
    return replace(out, correct=right.astype(np.float32), **calls).check()


def _calls(names: list[str], drive: Drive) -> dict[str, Any]:
    """Return CALL_COUNTS and CALL_TIMES (n, K), as the deployment said them."""
    shape = len(drive.headers), len(names)
    dtypes = dict.fromkeys(CALL_COUNTS, np.int8) | dict.fromkeys(CALL_TIMES, np.int64)
    calls = {name: np.zeros(shape, dtype, order="F") for name, dtype in dtypes.items()}
    for i, found in enumerate(drive.headers):
        for text in filter(None, found.get("x-fallwise-calls", "").split(";")):
            name, *counted = text.rsplit(":", len(calls))
            for column, count in zip(calls.values(), map(int, counted), strict=True):
                column[i, names.index(name)] = count
    return calls
