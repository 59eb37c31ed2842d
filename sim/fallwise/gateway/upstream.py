"""Tiers that are OpenAI-compatible servers elsewhere."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from fallwise.errors import Problem, ScenarioError
from fallwise.gateway.question import Answer, CallFailed, Question, now_ns
from fallwise.scenario.live import Upstream

__all__ = ["Caller", "connections"]

CONNECT_S: Final = 5.0
TOO_MANY: Final = 429
PASSING: Final = (408, 409, TOO_MANY)
"""Statuses below 500 that may be others at the next try."""


def connections() -> aiohttp.ClientSession:
    """Return the one pool of connections to all upstreams; how many is the desks' business."""
    # Servers close idle connections after 5 s at the earliest: we do so before them.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    return aiohttp.ClientSession(connector=connector, timeout=timeout)


class Caller:
    """Asks one model of one upstream."""

    def __init__(self, session: aiohttp.ClientSession, upstream: Upstream, name: str):
        self.session, self.upstream = session, upstream
        self.url = upstream.url.rstrip("/") + "/v1/chat/completions"
        self.model = upstream.model or name
        self.host = urlsplit(upstream.url).netloc
        self.headers = {"content-type": "application/json"}
        if upstream.api_key_env is not None:
            key = os.environ.get(upstream.api_key_env)
            if not key:
                rule = f"the environment variable {upstream.api_key_env} is not set"
                raise ScenarioError(Problem(rule, "export it, with the key", ("tiers", name)))
            self.headers["authorization"] = f"Bearer {key}"

    async def __call__(self, question: Question) -> Answer:
        """Return the model's answer to a question, whole."""
        body = {**question.body, "model": self.model, "stream": False}
        if self.upstream.score == "logprobs":
            body["logprobs"] = True
        body.pop("stream_options", None)
        headers = {**self.headers, "x-fallwise-request": str(question.row)}
        if question.call:
            headers["x-fallwise-call"] = str(question.call)
        if question.origin_ns is not None:
            headers["x-fallwise-origin"] = str(question.origin_ns)
        try:
            async with self.session.post(self.url, json=body, headers=headers) as response:
                raw = await response.read()
                if response.status != 200:
                    raise _refused(self.host, response.status, response.headers)
                return self._answer(json.loads(raw), response.headers)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise CallFailed(f"{self.host}: {type(error).__name__}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            rule = "its answer is no chat completion"
            raise CallFailed(f"{self.host}: {rule} ({type(error).__name__})") from None

    def _answer(self, data: dict[str, Any], headers: Any) -> Answer:
        choice, usage = data["choices"][0], data.get("usage") or {}
        text = choice["message"].get("content") or ""
        said = headers.get("x-fallwise-score")
        score = None if said is None else float(said)
        if self.upstream.score == "logprobs":
            score = _mean_probability(choice)
        verdict, usd = headers.get("x-fallwise-passes"), headers.get("x-fallwise-usd")
        return Answer(
            text,
            headers.get("x-fallwise-answer") or " ".join(text.split()).casefold(),
            score,
            int(usage.get("prompt_tokens", 0)),
            int(usage.get("completion_tokens", 0)),
            None if verdict is None else verdict == "1",
            None if usd is None else float(usd),
        )


def _refused(host: str, status: int, headers: Mapping[str, str]) -> CallFailed:
    """Return what an answer that is none means for a next try."""
    return CallFailed(
        f"{host} answers {status}",
        over_limit=status == TOO_MANY,
        retry_after_s=_retry_after_s(headers.get("retry-after", "")),
        may_help=status >= 500 or status in PASSING,
    )


def _retry_after_s(text: str) -> float:
    """Return how long a Retry-After asks to wait, in seconds or until a date; 0 if it does not."""
    try:
        wait_s = float(text)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - now_ns() / 1e9
        except ValueError:
            return 0.0
    return wait_s if 0 < wait_s < math.inf else 0.0


def _mean_probability(choice: dict[str, Any]) -> float:
    """Return the geometric mean of the probabilities of an answer's tokens."""
    tokens = choice["logprobs"]["content"]
    return math.exp(math.fsum(token["logprob"] for token in tokens) / len(tokens))
