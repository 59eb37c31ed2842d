"""Open-loop replay of a request table against a live deployment.

Every request leaves at its scheduled time, whatever has come back before, and its latency counts
from that time: a slow server cannot slow the load down or hide its own delay (which is known as
coordinated omission).

    locust -f loadtests/replay.py --headless --host http://127.0.0.1:8000 \
        --requests-file requests.parquet --rows-file rows.parquet -u 1 -r 1
    ... --processes 2 -u 2 -r 2        two workers here; likewise --master and --worker elsewhere

One dispatching user per process, so -u is the number of workers. The product is the raw rows, one a
request, in --rows-file; Locust's own statistics, CSV and HTML report work as ever beside them.
"""

# Locust patches the process for gevent, so it has to be imported before all the rest.
from locust import User, events, task  # isort: skip
from locust.contrib.fasthttp import FastHttpSession  # isort: skip
from locust.exception import StopUser  # isort: skip
from locust.runners import MasterRunner, WorkerRunner  # isort: skip

import gc
import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from fallwise.tables import RequestTable
from gevent.event import Event
from geventhttpclient.client import HTTPClientPool

POOL = 4096
"""Connections a process may open. Below the requests in flight it would queue them here, unseen."""
LEAD_S = 2.0
"""From the broadcast of the common start to the first request."""
CHUNK = 2_000
"""Rows in one message to the master."""
TIMES = ("request", "scheduled_ns", "sent_ns", "first_byte_ns", "end_ns", "http_status")


class Rows:
    """What came back: one row per request, in arrays made before the first is sent.

    Times are unix nanoseconds. scheduled_ns is when the request had to leave, sent_ns when it did,
    first_byte_ns when the first of the answer was there (0: none), end_ns the last. http_status 0
    is a connection that failed; `headers` holds the deployment's own x-fallwise-* headers, as JSON.
    """

    def __init__(self, ids: np.ndarray):
        self.times = {name: np.zeros(len(ids), np.int64) for name in TIMES}
        self.times["request"][:] = ids
        self.headers = ["{}"] * len(ids)
        self.in_flight = self.in_flight_max = 0

    def pieces(self) -> list[dict[str, Any]]:
        """Return the rows as plain data, in pieces that fit a message."""
        return [
            {name: column[a : a + CHUNK].tolist() for name, column in self.times.items()}
            | {"headers": self.headers[a : a + CHUNK]}
            for a in range(0, max(1, len(self.headers)), CHUNK)
        ]


class Replay:
    """One process's part in a replay; the environment carries it."""

    def __init__(self, environment: Any):
        options = environment.parsed_options
        self.environment = environment
        self.requests = RequestTable.load(Path(options.requests_file))
        self.bodies = _bodies(options.bodies_file)
        self.model = options.model
        self.stream = options.stream
        self.rows_file = Path(options.rows_file)
        self.started = Event()
        self.t0_ns = 0
        self.workers = 1
        self.parts: list[dict[str, Any]] = []
        self.facts: list[dict[str, Any]] = []
        self.dispatching = False

    def begin(self, t0_ns: int, workers: int) -> None:
        """Start at t0_ns (unix), one of so many workers."""
        self.t0_ns, self.workers = t0_ns, workers
        self.started.set()

    def body(self, i: int) -> dict[str, Any]:
        """Return the JSON body of request i: from the file, or a placeholder of known length."""
        if self.bodies is not None:
            return self.bodies[i]
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": f"request {i}"}],
            "stream": self.stream,
        }

    def part(self, rows: dict[str, Any], facts: dict[str, Any] | None) -> None:
        """Take some of a worker's rows in; its last ones come with facts. Then write, and end."""
        self.parts.append(rows)
        if facts is not None:
            self.facts.append(facts)
        if len(self.facts) == self.workers:
            self.write()
            # Not from inside a message handler: quitting waits for the handlers.
            gevent.spawn_later(0.1, self.environment.runner.quit)

    def write(self) -> None:
        """Write the rows of all workers, by request, through a temporary file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            name: [value for part in self.parts for value in part[name]]
            for name in (*TIMES, "headers")
        }
        table = pa.table(columns).sort_by("request")
        facts = {
            "t0_ns": self.t0_ns,
            "workers": self.workers,
            "in_flight_max": max(f["in_flight_max"] for f in self.facts),
            "cpu_share_max": max(f["cpu_share"] for f in self.facts),
            "pool": POOL,
        }
        table = table.replace_schema_metadata({"fallwise_replay": json.dumps(facts)})
        temporary = self.rows_file.with_suffix(".tmp")
        pq.write_table(table, temporary)
        temporary.rename(self.rows_file)


def _bodies(file: str) -> list[dict[str, Any]] | None:
    if not file:
        return None
    with open(file, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@events.init_command_line_parser.add_listener
def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--requests-file", required=True, help="RequestTable to replay (parquet)")
    parser.add_argument("--rows-file", required=True, help="where the raw rows go (parquet)")
    parser.add_argument("--bodies-file", default="", help="JSON lines, line i is request i's body")
    parser.add_argument("--model", default="cascade", help="model named in placeholder bodies")
    parser.add_argument("--stream", action="store_true", help="ask for streamed answers")


@events.init.add_listener
def _init(environment: Any, runner: Any, **_: Any) -> None:
    replay = environment.replay = Replay(environment)
    if isinstance(runner, WorkerRunner):
        runner.register_message(
            "begin", lambda msg, **_: replay.begin(msg.data["t0_ns"], msg.data["workers"])
        )
    if isinstance(runner, MasterRunner):
        runner.register_message(
            "rows", lambda msg, **_: replay.part(msg.data["rows"], msg.data["facts"])
        )


@events.spawning_complete.add_listener
def _all_spawned(user_count: int, **_: Any) -> None:
    environment = DispatchUser.environment_of_process
    if environment is None or isinstance(environment.runner, WorkerRunner):
        return
    t0_ns = time.time_ns() + int(LEAD_S * 1e9)
    runner, replay = environment.runner, environment.replay
    if isinstance(runner, MasterRunner):
        replay.t0_ns, replay.workers = t0_ns, runner.worker_count
        runner.send_message("begin", {"t0_ns": t0_ns, "workers": runner.worker_count})
    else:
        replay.begin(t0_ns, 1)


@events.init.add_listener
def _remember(environment: Any, **_: Any) -> None:
    DispatchUser.environment_of_process = environment


@events.quitting.add_listener
def _exit_code(environment: Any, **_: Any) -> None:
    # A refused or rejected request is a result, not a failure of the load test; missing rows are.
    whole = isinstance(environment.runner, WorkerRunner) or environment.replay.rows_file.exists()
    environment.process_exit_code = 0 if whole else 1


class DispatchUser(User):
    """Sends this process's share of the requests, each at its time, each in its own greenlet."""

    environment_of_process: Any = None

    @task
    def dispatch(self) -> None:
        """Send them all, wait for the last, hand the rows over, stop."""
        replay: Replay = self.environment.replay
        if replay.dispatching:
            raise StopUser
        replay.dispatching = True
        replay.started.wait()
        runner = self.environment.runner
        index = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        ids = np.arange(len(replay.requests))[index :: replay.workers]
        rows = Rows(ids)
        pool = HTTPClientPool(concurrency=POOL)
        session = FastHttpSession(
            self.host, self.environment.events.request, self, client_pool=pool
        )
        arrivals = (replay.t0_ns + replay.requests.arrival_ns[ids]).tolist()
        bodies = [json.dumps(replay.body(int(i))).encode() for i in ids]
        headers = [_headers(replay.requests, int(i)) for i in ids]
        # A collection stops every greenlet for tens of milliseconds: send lag that is our own.
        gc.collect()
        gc.freeze()
        gc.disable()
        began, cpu = time.monotonic(), time.process_time()
        sent = []
        for row, due_ns in enumerate(arrivals):
            gevent.sleep(max(0.0, (due_ns - time.time_ns()) / 1e9))
            sent.append(
                gevent.spawn(_send, session, rows, row, due_ns, bodies[row], headers[row], replay)
            )
        gevent.joinall(sent)
        gc.enable()
        share = (time.process_time() - cpu) / max(1e-9, time.monotonic() - began)
        facts = {"in_flight_max": rows.in_flight_max, "cpu_share": share}
        _hand_over(runner, replay, rows, facts)
        raise StopUser


def _headers(requests: RequestTable, i: int) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "x-fallwise-request": str(i),
        "x-fallwise-key": str(requests.key[i]),
        "x-fallwise-local": str(int(requests.local[i])),
    }


def _send(
    session: FastHttpSession,
    rows: Rows,
    row: int,
    due_ns: int,
    body: bytes,
    headers: dict[str, str],
    replay: Replay,
) -> None:
    times = rows.times
    rows.in_flight += 1
    rows.in_flight_max = max(rows.in_flight_max, rows.in_flight)
    times["scheduled_ns"][row] = due_ns
    times["sent_ns"][row] = time.time_ns()
    with session.request(
        "POST",
        "/v1/chat/completions",
        data=body,
        headers=headers,
        stream=replay.stream,
        catch_response=True,
    ) as response:
        first_ns, last = _read(response, replay.stream)
        times["end_ns"][row] = time.time_ns()
        times["first_byte_ns"][row] = first_ns or times["end_ns"][row]
        times["http_status"][row] = response.status_code
        found = {k: v for k, v in (response.headers or {}).items() if k.startswith("x-fallwise")}
        rows.headers[row] = last or json.dumps(found)
        if found or response.status_code == 200:
            response.success()
    rows.in_flight -= 1


def _read(response: Any, stream: bool) -> tuple[int, str]:
    """Return when the first event of a streamed answer came, and its closing fallwise line."""
    if not stream or response.status_code != 200:
        return 0, ""
    first_ns, last = 0, ""
    # readline, because iter_lines waits until 1,024 bytes are there.
    while event := response.stream.readline(b"\n\n"):
        if event.startswith(b": fallwise "):
            last = event[len(b": fallwise ") :].decode().strip()
        elif not first_ns and event.startswith(b"data:"):
            first_ns = time.time_ns()
        if event.startswith(b"data: [DONE]"):
            break
    return first_ns, last


def _hand_over(runner: Any, replay: Replay, rows: Rows, facts: dict[str, Any]) -> None:
    pieces = rows.pieces()
    for piece in pieces:
        closing = facts if piece is pieces[-1] else None
        if isinstance(runner, WorkerRunner):
            runner.send_message("rows", {"rows": piece, "facts": closing})
        else:
            replay.part(piece, closing)
