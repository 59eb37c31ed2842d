"""The gateway's HTTP side: an ASGI application over a cascade."""

from __future__ import annotations

import gc
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fallwise.gateway.cascade import Cascade
from fallwise.gateway.question import now_ns
from fallwise.gateway.tiers import check_live, open_tiers
from fallwise.gateway.upstream import connections
from fallwise.gateway.wire import (
    HTTP_STATUS,
    BadRequest,
    body_of,
    chunks_of,
    headers_of,
    question_of,
)
from fallwise.scenario import Scenario

__all__ = ["Gateway", "application", "serve"]


class Gateway:
    """Answers HTTP requests by a cascade."""

    def __init__(self, scenario: Scenario):
        check_live(scenario)
        self.scenario = scenario
        self.numbers: Iterator[int] = itertools.count()

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Open the tiers, serve, close them."""
        async with connections() as session:
            self.tiers = open_tiers(self.scenario, session)
            self.cascade = Cascade(self.scenario, self.tiers)
            # A later collection need not look at what is here already: less of a pause.
            gc.collect()
            gc.freeze()
            yield
            if self.tiers.cache is not None:
                await self.tiers.cache.close()

    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        received_ns = now_ns()
        try:
            raw = await request.body()
            question = question_of(raw, request.headers, next(self.numbers), received_ns)
        except BadRequest as error:
            return _refusal(400, str(error), "invalid_request_error")
        outcome = await self.cascade.handle(question)
        headers = headers_of(self.scenario, outcome)
        if outcome.answer is not None and question.body.get("stream"):
            events = b"".join(chunks_of(self.scenario, outcome))
            return Response(events, 200, headers, "text/event-stream")
        body = json.dumps(body_of(self.scenario, outcome))
        status = HTTP_STATUS[outcome.status]
        return Response(body, status, headers, "application/json")

    async def health(self, _: Request) -> Response:
        """GET /healthz: who answers here."""
        names = [tier.name for tier in self.scenario.tiers]
        about = {"status": "ok", "scenario": self.scenario.name, "hash": self.scenario.hash}
        return JSONResponse({**about, "tiers": names})


def _refusal(status: int, message: str, kind: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "code": kind}}, status)


def application(scenario: Scenario) -> Starlette:
    """Return the ASGI application that serves a scenario."""
    gateway = Gateway(scenario)
    routes = [
        Route("/v1/chat/completions", gateway.complete, methods=["POST"]),
        Route("/healthz", gateway.health),
    ]
    return Starlette(routes=routes, lifespan=gateway.running)


def serve(app: Starlette, host: str, port: int) -> None:
    """Serve an application until SIGTERM or SIGINT; requests in flight are finished."""
    import uvicorn

    # A client must not meet a connection that is just being closed: keep idle ones for long.
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
        backlog=4096,
    )
