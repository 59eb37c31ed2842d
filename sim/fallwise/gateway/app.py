"""The gateway's HTTP side: an ASGI application over a cascade."""

from __future__ import annotations

import asyncio
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
from fallwise.gateway.crew import Crew
from fallwise.gateway.metrics import Metrics
from fallwise.gateway.question import now_ns
from fallwise.gateway.tickets import Tickets
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
            self.metrics = Metrics(self.scenario, self.cascade.desks)
            self.tickets = [t for t in self.tiers.answer.values() if isinstance(t, Tickets)]
            crews = [t for t in self.tiers.answer.values() if isinstance(t, Crew)]
            await asyncio.gather(*(crew.open() for crew in crews))
            # A later collection need not look at what is here already: less of a pause.
            gc.collect()
            gc.freeze()
            yield
            await asyncio.gather(*(crew.close() for crew in crews))
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
        self.metrics.note(outcome)
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

    async def measure(self, _: Request) -> Response:
        """GET /metrics, for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def list_tickets(self, _: Request) -> Response:
        """GET /tickets: those that wait for a person."""
        return JSONResponse([ticket for tier in self.tickets for ticket in tier.listed()])

    async def reply(self, request: Request) -> Response:
        """POST /tickets/{id}, with {"answer": text}: 200 just where a request gets this answer."""
        try:
            text = json.loads(await request.body())["answer"]
        except (ValueError, TypeError, KeyError):
            text = None
        if not isinstance(text, str):
            return _refusal(400, 'write {"answer": "..."}', "invalid_request_error")
        number = request.path_params["number"]
        if not any(tier.reply(number, text) for tier in self.tickets):
            return _refusal(410, f"ticket {number} is not open (any more)", "gone")
        return JSONResponse({"id": number, "status": "answered"})


def _refusal(status: int, message: str, kind: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "code": kind}}, status)


def application(scenario: Scenario) -> Starlette:
    """Return the ASGI application that serves a scenario."""
    gateway = Gateway(scenario)
    routes = [
        Route("/v1/chat/completions", gateway.complete, methods=["POST"]),
        Route("/healthz", gateway.health),
        Route("/metrics", gateway.measure),
        Route("/tickets", gateway.list_tickets),
        Route("/tickets/{number:int}", gateway.reply, methods=["POST"]),
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
