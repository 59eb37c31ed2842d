"""Open-loop replay of a request table against a live deployment.

Every request leaves at its scheduled time, whatever has come back before, and its latency counts
from that time: a slow server cannot slow the load down or hide its own delay (which is known as
coordinated omission).

    locust -f loadtests/replay.py --headless --host http://127.0.0.1:8000 \
        --requests-file requests.parquet --rows-file rows.parquet -u 1 -r 1
    ... --processes 2 -u 2 -r 2        two workers here; likewise --master and --worker elsewhere
    ... --foreign --api-key-env KEY --tier-header x-model --bodies-file b.jsonl   not our gateway

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
import os
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from budget import Budget
from fallwise.tables import RequestTable
from gevent.event import Event
from geventhttpclient.client import HTTPClientPool
from replies import reply_of

POOL = 4096
"""Connections a process may open. Below the requests in flight it would queue them here, unseen."""
PATIENCE_S, CONNECT_S = 600.0, 30.0
"""A request without an answer for so long has failed; so has a connection."""
LEAD_S = 2.0
"""From the broadcast of the common start to the first request."""
CHUNK = 2_000
"""Rows in one message to the master."""
TIMES = ("request", "scheduled_ns", "sent_ns", "first_byte_ns", "end_ns", "http_status")


class Rows:
    """What came back: one row per request, in arrays made before the first is sent.

    Times are unix nanoseconds. scheduled_ns is when the request had to leave, sent_ns when it did,
    first_byte_ns when the first of the answer was there (0: none), end_ns the last. http_status 0
    is a connection that failed; `headers` holds the deployment's own x-fallwise-* headers, as JSON,
    `reply` what its answer says of itself (replies.py), as JSON.
    """

    def __init__(self, ids: np.ndarray):
        self.times = {name: np.zeros(len(ids), np.int64) for name in TIMES}
        self.times["request"][:] = ids
        self.headers, self.reply = ["{}"] * len(ids), ["{}"] * len(ids)
        self.in_flight = self.in_flight_max = 0

    def cut(self, sent: int) -> None:
        """Forget the rows of requests that never left."""
        self.times = {name: column[:sent] for name, column in self.times.items()}
        self.headers, self.reply = self.headers[:sent], self.reply[:sent]

    def pieces(self) -> list[dict[str, Any]]:
        """Return the rows as plain data, in pieces that fit a message."""
        return [
            {name: column[a : a + CHUNK].tolist() for name, column in self.times.items()}
            | {"headers": self.headers[a : a + CHUNK], "reply": self.reply[a : a + CHUNK]}
            for a in range(0, max(1, len(self.headers)), CHUNK)
        ]


class Replay:
    """One process's part in a replay; the environment carries it."""

    def __init__(self, environment: Any):
        options = environment.parsed_options
        self.environment = environment
        self.options = options
        self.requests = RequestTable.load(Path(options.requests_file))
        self.first = options.first
        self.last = len(self.requests) if options.last is None else options.last
        self.bodies = _bodies(options.bodies_file)
        self.budget: Budget | None = None
        if options.budget_file:
            self.budget = Budget(json.loads(Path(options.budget_file).read_text("utf-8")))
        self.authorization = {}
        if options.api_key_env:
            self.authorization = {"Authorization": f"Bearer {os.environ[options.api_key_env]}"}
        self.rows_file = Path(options.rows_file)
        self.started = Event()
        self.t0_ns = self.origin_ns = 0
        self.workers = 1
        self.parts: list[dict[str, Any]] = []
        self.facts: list[dict[str, Any]] = []
        self.dispatching = False

    def begin(self, t0_ns: int, workers: int) -> None:
        """Start at t0_ns (unix), one of so many workers."""
        self.t0_ns, self.workers = t0_ns, workers
        self.origin_ns = t0_ns - int(self.requests.arrival_ns[self.first])
        self.started.set()

    def body(self, i: int) -> dict[str, Any]:
        """Return the JSON body of request i: from the file, or a placeholder of known length."""
        if self.bodies is not None:
            return self.bodies[i]
        return {
            "model": self.options.model,
            "messages": [{"role": "user", "content": f"request {i}"}],
            "stream": self.options.stream,
        }

    def headers(self, i: int) -> dict[str, str]:
        """Return the headers of request i; a deployment that is not ours is sent none of ours."""
        found = {"Content-Type": "application/json", **self.authorization}
        if not self.options.foreign:
            found["x-fallwise-request"] = str(i)
            found["x-fallwise-key"] = str(self.requests.key[i])
            found["x-fallwise-local"] = str(int(self.requests.local[i]))
            if not self.options.one_by_one:
                found["x-fallwise-origin"] = str(self.origin_ns)
        return found

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
            for name in (*TIMES, "headers", "reply")
        }
        table = pa.table(columns).sort_by("request")
        facts = {
            # When the requests' own clock began: the first of them came later.
            "t0_ns": self.t0_ns - int(self.requests.arrival_ns[self.first]),
            "workers": self.workers,
            "in_flight_max": max(f["in_flight_max"] for f in self.facts),
            "cpu_share_max": max(f["cpu_share"] for f in self.facts),
            "pool": POOL,
            "machine_cpu_share": max(f["machine_cpu_share"] for f in self.facts),
            "cpu_wait_share": max(f["cpu_wait_share"] for f in self.facts),
            "stolen_share": max(f["stolen_share"] for f in self.facts),
            "stopped": any(f["stopped"] for f in self.facts),
            "spent_usd": sum(f["spent_usd"] for f in self.facts),
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
    parser.add_argument("--first", type=int, default=0, help="row of the table to begin with")
    parser.add_argument("--last", type=int, default=None, help="row of the table to end before")
    parser.add_argument("--one-by-one", action="store_true", help="each after the one before")
    gaps = "seconds between them, in turn, unless the one before takes longer"
    parser.add_argument("--gaps-s", type=float, nargs="*", default=[], help=gaps)
    parser.add_argument("--keep-replies", action="store_true", help="note what answers say")
    parser.add_argument("--foreign", action="store_true", help="send no headers of our own")
    parser.add_argument("--api-key-env", default="", help="environment variable with the key")
    parser.add_argument("--tier-header", default="", help="response header that names the tier")
    parser.add_argument("--cost-header", default="", help="response header with the cost in USD")
    parser.add_argument("--budget-file", default="", help="limit and prices (budget.py), as JSON")


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
        ids = np.arange(replay.first, replay.last)[index :: replay.workers]
        arrivals = (replay.requests.arrival_ns[ids] + replay.origin_ns).tolist()
        rows = Rows(ids)
        # The pool's own default gives up after 5 s; it checks certificates, as a key needs it.
        pool = HTTPClientPool(
            concurrency=POOL, network_timeout=PATIENCE_S, connection_timeout=CONNECT_S
        )
        session = FastHttpSession(
            self.host,
            self.environment.events.request,
            self,
            client_pool=pool,
            max_retries=0,
            max_redirects=0,
        )
        bodies = [json.dumps(replay.body(int(i))).encode() for i in ids]
        headers = [replay.headers(int(i)) for i in ids]
        # A collection stops every greenlet for tens of milliseconds: send lag that is our own.
        gc.collect()
        gc.freeze()
        gc.disable()
        began, cpu, machine = time.monotonic(), time.process_time(), _machine()
        waited_s = _waited_s()
        sent = []
        for row, due_ns in enumerate(arrivals):
            if replay.options.one_by_one:
                due_ns = max(due_ns, _next_ns(replay.options.gaps_s, row))
                gevent.joinall(sent[-1:])
                due_ns = max(due_ns, time.time_ns())
            gevent.sleep(max(0.0, (due_ns - time.time_ns()) / 1e9))
            if replay.budget is not None and not replay.budget.lets_out():
                rows.cut(row)
                break
            sent.append(
                gevent.spawn(_send, session, rows, row, due_ns, bodies[row], headers[row], replay)
            )
        gevent.joinall(sent)
        gc.enable()
        lasted_s = max(1e-9, time.monotonic() - began)
        share = (time.process_time() - cpu) / lasted_s
        ended, budget = _machine(), replay.budget
        facts = {
            "in_flight_max": rows.in_flight_max,
            "cpu_share": share,
            "machine_cpu_share": (ended[0] - machine[0]) / max(1e-9, ended[1] - machine[1]),
            "cpu_wait_share": (_waited_s() - waited_s) / lasted_s,
            "stolen_share": (ended[2] - machine[2]) / max(1e-9, ended[0] - machine[0]),
            "stopped": budget is not None and budget.stopped,
            "spent_usd": 0.0 if budget is None else budget.spent_usd,
        }
        _hand_over(runner, replay, rows, facts)
        raise StopUser


def _next_ns(gaps_s: list[float], row: int) -> int:
    """Return when the next of the requests that come one by one is due."""
    gap_s = gaps_s[row % len(gaps_s)] if gaps_s else 0.0
    return time.time_ns() + round(gap_s * 1e9)


def _machine() -> tuple[float, float, float]:
    """Return the seconds that all processors together were busy, were there, and were stolen.

    Stolen is what a host of virtual machines gives to another one while this one has work.
    """
    try:
        numbers = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return 0.0, 0.0, 0.0
    return float(sum(numbers) - numbers[3] - numbers[4]), float(sum(numbers)), float(numbers[7])


def _waited_s() -> float:
    """Return the seconds in which some program here has waited for a processor; 0 if not told."""
    try:
        return int(Path("/proc/pressure/cpu").read_text().split("total=")[1].split()[0]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0


def _send(
    session: FastHttpSession,
    rows: Rows,
    row: int,
    due_ns: int,
    body: bytes,
    headers: dict[str, str],
    replay: Replay,
) -> None:
    times, options = rows.times, replay.options
    rows.in_flight += 1
    rows.in_flight_max = max(rows.in_flight_max, rows.in_flight)
    times["scheduled_ns"][row] = due_ns
    times["sent_ns"][row] = time.time_ns()
    reply: dict[str, Any] = {}
    with session.request(
        "POST",
        "/v1/chat/completions",
        data=body,
        headers=headers,
        stream=options.stream,
        catch_response=True,
    ) as response:
        first_ns, last, raw = _read(response, options.stream)
        times["end_ns"][row] = time.time_ns()
        times["first_byte_ns"][row] = first_ns or times["end_ns"][row]
        times["http_status"][row] = response.status_code
        known = response.headers or {}
        found = {k: v for k, v in known.items() if k.startswith("x-fallwise")}
        rows.headers[row] = last or json.dumps(found)
        if found or response.status_code == 200:
            response.success()
        if options.keep_replies:
            reply = reply_of(raw, known, options.tier_header, options.cost_header)
            rows.reply[row] = json.dumps(reply)
    if replay.budget is not None:
        replay.budget.note(reply)
    rows.in_flight -= 1


def _read(response: Any, stream: bool) -> tuple[int, str, bytes]:
    """Return when the first words of a streamed answer came, its fallwise line, and the body."""
    if not stream or response.status_code != 200:
        return 0, "", response.content or b""
    first_ns, last, events = 0, "", []
    # readline, because iter_lines waits until 1,024 bytes are there.
    while event := response.stream.readline(b"\n\n"):
        events.append(event)
        if event.startswith(b": fallwise "):
            last = event[len(b": fallwise ") :].decode().strip()
        elif not first_ns and event.startswith(b"data:") and b'"content"' in event:
            first_ns = time.time_ns()
        if event.startswith(b"data: [DONE]"):
            break
    return first_ns, last, b"".join(events)


def _hand_over(runner: Any, replay: Replay, rows: Rows, facts: dict[str, Any]) -> None:
    pieces = rows.pieces()
    for piece in pieces:
        closing = facts if piece is pieces[-1] else None
        if isinstance(runner, WorkerRunner):
            runner.send_message("rows", {"rows": piece, "facts": closing})
        else:
            replay.part(piece, closing)
