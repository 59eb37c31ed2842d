"""Users who ask, wait for the answer, think, and ask again: a closed loop.

Its load falls when the deployment slows down, so it hides delays that an open loop (replay.py)
shows. It is for how people share a deployment, and not for judging a prediction.

    locust -f loadtests/closed_loop.py --headless --host http://127.0.0.1:8000 \
        --questions-file questions.jsonl --think-s 2 -u 50 -r 10 -t 60s --csv closed

Each user takes the questions ({"id", "text" or "messages"} a line) in an order of its own.
Statistics are by the tier that answered. Distributed as any Locust test: --processes 2.
"""

# Locust patches the process for gevent, so it has to be imported before all the rest.
from locust import FastHttpUser, events, task  # isort: skip

import itertools
import json
import os
import random
from argparse import ArgumentParser
from typing import Any

import gevent

PATIENCE_S = 600.0
NUMBERS = itertools.count()


@events.init_command_line_parser.add_listener
def _options(parser: ArgumentParser) -> None:
    parser.add_argument("--questions-file", required=True, help="JSON lines, a question each")
    parser.add_argument("--think-s", type=float, default=1.0, help="mean pause, exponential")
    parser.add_argument("--model", default="cascade", help="model that is asked for")
    parser.add_argument("--api-key-env", default="", help="environment variable with the key")


@events.init.add_listener
def _init(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    with open(options.questions_file, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    environment.questions = [
        row.get("messages") or [{"role": "user", "content": row["text"]}] for row in rows
    ]
    key = os.environ[options.api_key_env] if options.api_key_env else ""
    environment.authorization = {"Authorization": f"Bearer {key}"} if key else {}


class AskingUser(FastHttpUser):
    """Asks one question after the other, with a pause after each answer."""

    network_timeout = PATIENCE_S
    insecure = False
    max_redirects = max_retries = 0

    def on_start(self) -> None:
        """Take an order of the questions: the same for the same user of every run."""
        self.chance = random.Random(next(NUMBERS))
        questions = self.environment.questions
        self.order = itertools.cycle(self.chance.sample(range(len(questions)), len(questions)))

    @task
    def ask(self) -> None:
        """Ask, wait for the answer, think."""
        options = self.environment.parsed_options
        body = {"model": options.model, "messages": self.environment.questions[next(self.order)]}
        with self.client.post(
            "/v1/chat/completions",
            data=json.dumps(body),
            headers={"Content-Type": "application/json", **self.environment.authorization},
            catch_response=True,
        ) as response:
            found = response.headers or {}
            status = found.get("x-fallwise-status")
            # A refused or rejected request is a result, not a failure of the load test.
            if status is not None or response.status_code == 200:
                response.request_meta["name"] = found.get("x-fallwise-tier") or status or "answered"
                response.success()
        gevent.sleep(self.chance.expovariate(1 / max(options.think_s, 1e-9)))
