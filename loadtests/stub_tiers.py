"""An upstream with known truth: an OpenAI-compatible server that does what a RequestTable says.

A call names its request by the header x-fallwise-request and its tier by `model`. It is held for
the table's service time, answered with the table's tokens, score, verdict and answer, and entered
in a ledger. Where the table has several calls a visit, x-fallwise-call says which one (0 if it is
not there): it is held for its own time, and fails if it fails there. `<tier>-verifier` takes the
verifier's time, `router` the router's. Outages are the scenario's, where x-fallwise-origin says
when (unix ns) the clock of the requests began.

    python loadtests/stub_tiers.py requests.parquet --scenario s.yaml --port 8001
    python loadtests/stub_tiers.py requests.parquet --tier cache,small,big --port 8001

--tier names the table's tiers in order (by default the scenario's). Prices are the scenario's.

    GET  /ledger   every call: request, tier, tokens, usd, state, times
    GET  /clock    {"origin_ns": ...}: when the clock began, as the last request that said so had it
    POST /faults   {"tier": "big", "slow": 2.0, "error_share": 0.1, "refuse": false}
    --concurrency big=8 --rpm big=600 --tpm big=90000      429 with Retry-After beyond
    --limits               the same for the limits of the scenario, as the scenario has them
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from collections import deque
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fallwise.analysis.money import call_usd
from fallwise.cli.options import scenario_of
from fallwise.policies.guards import Limit
from fallwise.scenario import Scenario, Tier
from fallwise.scenario.calls import Outage
from fallwise.tables import RequestTable
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TIMER_BIAS_S = 0.0006
"""A timer of the event loop fires so much late: it counts whole milliseconds."""
WINDOW_S = 60.0


class Limits:
    """What one tier lets through: so many at once, so many calls and tokens in any minute."""

    def __init__(self, concurrency: float, rpm: float, tpm: float):
        self.concurrency, self.rpm, self.tpm = concurrency, rpm, tpm
        self.in_service = self.tokens = 0
        self.calls: deque[tuple[float, int]] = deque()

    def retry_after_s(self, tokens: int) -> float:
        """Let a call in and return 0, or return how long to wait before the next try."""
        now = time.monotonic()
        while self.calls and now - self.calls[0][0] >= WINDOW_S:
            self.tokens -= self.calls.popleft()[1]
        if self.in_service >= self.concurrency:
            return 1.0
        if len(self.calls) >= self.rpm or (self.calls and self.tokens + tokens > self.tpm):
            return math.ceil(WINDOW_S - (now - self.calls[0][0]))
        self.calls.append((now, tokens))
        self.tokens += tokens
        self.in_service += 1
        return 0.0


class Buckets:
    """The same for a tier's limits as a scenario has them: buckets that fill up all the time."""

    def __init__(self, tier: Tier):
        burst_ns = round(tier.burst_s * 1e9)
        limits = tier.requests_per_minute, tier.tokens_per_minute
        self.limits = [Limit(limit, burst_ns) if limit else None for limit in limits]
        self.in_service = 0

    def retry_after_s(self, tokens: int) -> float:
        """Let a call in and return 0, or return how long to wait before the next try."""
        now_ns = time.monotonic_ns()
        wait_ns = max(limit.wait_ns(now_ns) if limit else 0 for limit in self.limits)
        for limit, amount in zip(self.limits, (1, tokens), strict=True):
            if limit is not None and not wait_ns:
                limit.charge(now_ns, amount)
        self.in_service += not wait_ns
        return wait_ns / 1e9


class Stub:
    """The table's tiers, their limits, their faults and their ledger."""

    def __init__(
        self, requests: RequestTable, names: list[str], limits: Mapping[str, Limits | Buckets]
    ):
        self.requests, self.names, self.limits = requests, names, dict(limits)
        self.faults: dict[str, dict[str, Any]] = {}
        self.ledger: list[dict[str, Any]] = []
        self.usd = np.zeros(requests.score.shape)
        self.first: list[int] | None = None
        self.width = [1] * len(names)
        self.outages: dict[str, list[Outage]] = {}
        self.origin_ns: int | None = None
        self.prompt_tokens = np.repeat(requests.prompt_tokens[:, None], len(names), axis=1)

    def price(self, scenario: Scenario) -> None:
        """Take the scenario's prices, prompts and outages, and where its tiers' calls stand."""
        self.outages = {tier.name: tier.outages or [] for tier in scenario.tiers}
        if self.requests.call_ns is not None:
            self.first = list(accumulate((t.calls for t in scenario.tiers), initial=0))
            self.width = [2 if tier.hedge else 1 for tier in scenario.tiers]
        for k, tier in enumerate(scenario.tiers):
            self.prompt_tokens[:, k] = tier.prompt_tokens(self.requests.prompt_tokens)
            self.usd[:, k] = call_usd(tier, self.requests, k)

    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        body = await request.json()
        began = time.monotonic()
        model = str(body["model"])
        tier = model.removesuffix("-verifier")
        try:
            i = int(request.headers["x-fallwise-request"])
            k = -1 if model == "router" else self.names.index(tier)
            if not 0 <= i < len(self.requests):
                raise ValueError
        except (KeyError, ValueError):
            return _error(404, f"no request or no model: {model}")
        if model in self.limits or tier in self.faults:
            refusal = self._refusal(model, tier, i, k)
            if refusal is not None:
                return refusal
        column = self._column(k, model, int(request.headers.get("x-fallwise-call", 0)))
        fails = self.requests.call_fails
        failing = column >= 0 and fails is not None and bool(fails[i, column])
        pace = self._pace(model, request.headers.get("x-fallwise-origin"))
        failing = failing or not pace
        call = self._call(i, k, model)
        slow = float(self.faults.get(tier, {}).get("slow", 1.0)) * (pace or 1.0)
        until = began + self._held_ns(i, k, model, column, failing) * slow / 1e9
        whole = await _hold(request, until)
        if model in self.limits:
            self.limits[model].in_service -= 1
        call["ended_ns"] = time.time_ns()
        call["state"] = "cut off" if not whole else "failed" if failing else "answered"
        if failing and whole:
            call["usd"] = 0.0
            return _error(500, "failed, as the table says")
        return self._answer(i, k, model)

    def _refusal(self, model: str, tier: str, i: int, k: int) -> Response | None:
        """Return the error that a call gets at once, or None and let it in."""
        fault = self.faults.get(tier, {})
        if fault.get("refuse"):
            return _error(503, "refused, as told")
        # Which requests fail is fixed by their number: the same ones in every run.
        if (i * 2654435761 % 2**32) / 2**32 < float(fault.get("error_share", 0)):
            return _error(500, "failed, as told")
        if model in self.limits:
            wait_s = self.limits[model].retry_after_s(sum(self._tokens(i, k)))
            if wait_s:
                return _error(429, "over the limit", {"retry-after": f"{wait_s:.6f}"})
        return None

    def _pace(self, model: str, origin: str | None) -> float:
        """Return how many times as long a call takes that comes now; 0 where it fails."""
        if origin is None:
            return 1.0
        self.origin_ns = int(origin)
        at_s = (time.time_ns() - self.origin_ns) / 1e9
        paces = [o.thousandths for o in self.outages.get(model, []) if o.covers(at_s)]
        return 0.0 if 0 in paces else max(paces, default=1000) / 1000

    def _column(self, k: int, model: str, call: int) -> int:
        """Return where a call stands in the table's columns of calls; -1 where it has none."""
        if self.first is None or model not in self.names or self.first[k] == self.first[k + 1]:
            return -1
        return self.first[k] + call // 2 * self.width[k] + call % 2

    def _call(self, i: int, k: int, model: str) -> dict[str, Any]:
        """Enter a call in the ledger; it is owed from its begin, also when it is cut off."""
        prompt, output = self._tokens(i, k) if model in self.names else (0, 0)
        call = {
            "request": i,
            "tier": model,
            "prompt_tokens": prompt,
            "output_tokens": output,
            "usd": float(self.usd[i, k]) if model in self.names else 0.0,
            "state": "in service",
            "began_ns": time.time_ns(),
            "ended_ns": 0,
        }
        self.ledger.append(call)
        return call

    def _tokens(self, i: int, k: int) -> tuple[int, int]:
        return int(self.prompt_tokens[i, k]), int(self.requests.output_tokens[i, k])

    def _held_ns(self, i: int, k: int, model: str, column: int, failing: bool) -> int:
        requests = self.requests
        if column >= 0:
            takes_ns = requests.call_ns
            if failing and requests.error_ns is not None:
                takes_ns = requests.error_ns
            assert takes_ns is not None
            return int(takes_ns[i, column])
        if model == "router":
            return 0 if requests.router_ns is None else int(requests.router_ns[i])
        if model in self.names:
            return int(requests.service_ns[i, k])
        return 0 if requests.verifier_ns is None else int(requests.verifier_ns[i, k])

    def _answer(self, i: int, k: int, model: str) -> Response:
        requests = self.requests
        headers = {}
        prompt = output = 0
        if model == "router":
            assert requests.router_score is not None
            text = "router"
            headers["x-fallwise-score"] = repr(float(requests.router_score[i]))
        else:
            passes = bool(requests.passes[i, k])
            headers["x-fallwise-passes"] = str(int(passes))
            text = "yes" if passes else "no"
        if model in self.names:
            text = f"answer {requests.answer[i, k]}"
            prompt, output = self._tokens(i, k)
            headers["x-fallwise-score"] = repr(float(requests.score[i, k]))
            headers["x-fallwise-answer"] = str(int(requests.answer[i, k]))
            if requests.call_usd is not None:
                headers["x-fallwise-usd"] = repr(float(requests.call_usd[i, k]))
        message = {"role": "assistant", "content": text}
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
        }
        body = {
            "id": f"stub-{i}",
            "object": "chat.completion",
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
        return JSONResponse(body, 200, headers)

    async def show(self, _: Request) -> Response:
        """GET /ledger."""
        usd = math.fsum(call["usd"] for call in self.ledger)
        return JSONResponse({"usd": usd, "calls": self.ledger})

    async def fault(self, request: Request) -> Response:
        """POST /faults: what is wrong with a tier from now on; {"tier": ...} alone heals it."""
        fault = await request.json()
        if fault.get("tier") not in [*self.names, "router"]:
            return _error(404, f"tier must be one of {', '.join(self.names)}, router")
        self.faults[fault.pop("tier")] = fault
        return JSONResponse(self.faults)

    async def clock(self, _: Request) -> Response:
        """GET /clock."""
        return JSONResponse({"origin_ns": self.origin_ns})

    async def health(self, _: Request) -> Response:
        """GET /healthz."""
        return JSONResponse({"status": "ok", "requests": len(self.requests), "tiers": self.names})


async def _hold(request: Request, until: float) -> bool:
    """Wait until a time of the monotonic clock; False where the caller left before."""
    left = until - time.monotonic() - TIMER_BIAS_S
    if left <= 0:
        return True
    gone = asyncio.ensure_future(request.receive())
    await asyncio.wait({gone}, timeout=left)
    if gone.done():
        return False
    gone.cancel()
    return True


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "code": status}}, status, headers)


def application(stub: Stub) -> Starlette:
    """Return the ASGI application over a stub."""
    routes = [
        Route("/v1/chat/completions", stub.complete, methods=["POST"]),
        Route("/ledger", stub.show),
        Route("/clock", stub.clock),
        Route("/faults", stub.fault, methods=["POST"]),
        Route("/healthz", stub.health),
    ]
    return Starlette(routes=routes)


def open_stub(arguments: list[str] | None = None) -> tuple[Stub, argparse.Namespace]:
    """Return the stub that the command line describes, and the command line."""
    parser = argparse.ArgumentParser(description="An upstream with known truth.")
    parser.add_argument("requests", type=Path, help="RequestTable (parquet)")
    parser.add_argument("--scenario", type=Path, help="its tiers' names and prices")
    parser.add_argument("--tier", default="", help="names of the table's tiers, in order")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--limits", action="store_true", help="keep the scenario's limits")
    for name in ("concurrency", "rpm", "tpm"):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="TIER=N")
    options = parser.parse_args(arguments)
    requests = RequestTable.load(options.requests)
    scenario = None
    if options.scenario is not None:
        scenario = scenario_of(options.scenario, options.settings, None, None)
    names = options.tier.split(",") if options.tier else []
    if scenario is not None and not names:
        names = [tier.name for tier in scenario.tiers]
    if len(names) != requests.score.shape[1]:
        parser.error(f"the table has {requests.score.shape[1]} tiers, and {len(names)} names came")
    given: dict[str, dict[str, float]] = {}
    for kind in ("concurrency", "rpm", "tpm"):
        for text in getattr(options, kind):
            name, _, number = text.partition("=")
            if name not in names or not number.isdigit():
                parser.error(f"--{kind} {text}: write it like {names[-1]}=10")
            given.setdefault(name, {})[kind] = float(number)
    free = {"concurrency": math.inf, "rpm": math.inf, "tpm": math.inf}
    stub = Stub(requests, names, {name: Limits(**{**free, **own}) for name, own in given.items()})
    if scenario is not None:
        stub.price(scenario)
        for tier in scenario.tiers if options.limits else ():
            if tier.is_limited:
                stub.limits[tier.name] = Buckets(tier)
    return stub, options


def main() -> None:
    """Serve until a signal comes; say on the last line of stdout what was owed."""
    stub, options = open_stub()
    uvicorn.run(
        application(stub),
        host="127.0.0.1",
        port=options.port,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
        backlog=4096,
    )
    usd = math.fsum(call["usd"] for call in stub.ledger)
    print(json.dumps({"calls": len(stub.ledger), "usd": usd}))


if __name__ == "__main__":
    main()
