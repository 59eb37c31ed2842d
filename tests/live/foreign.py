"""A deployment that is not ours: a proxy with a cascade of its own, and nothing to say about it.

It wants a key, names the vendor's model that answered, counts tokens, and answers in its own way.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

KEY = "sk-hunter2-not-to-be-seen"
SECONDS = {"vendor/mini-2": 0.01, "vendor/max-1": 0.05}


def application(escalated: float = 0.25, calls: list[dict[str, Any]] | None = None) -> Starlette:
    """Escalates this share of the questions, by their number; notes its calls."""

    async def complete(request: Request) -> JSONResponse:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            # As some vendors do: the key comes back in the error.
            said = f"wrong key {request.headers.get('authorization')}"
            return JSONResponse({"error": {"message": said}}, 401)
        if any(name.startswith("x-fallwise") for name in request.headers):
            return JSONResponse({"error": {"message": "what is that header?"}}, 400)
        body = json.loads(await request.body())
        number = int(body["messages"][-1]["content"].split()[-1])
        model = body["model"]
        if model not in SECONDS:
            await asyncio.sleep(SECONDS["vendor/mini-2"])
            hard = number % 100 >= 100 * (1 - escalated)
            model = "vendor/max-1" if hard else "vendor/mini-2"
            if hard:
                await asyncio.sleep(SECONDS[model])
        else:
            await asyncio.sleep(SECONDS[model])
        if calls is not None:
            calls.append({"number": number, "model": model})
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        message = {"role": "assistant", "content": f"Answer {number}"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return JSONResponse({"model": model, "choices": choices, "usage": usage})

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


if __name__ == "__main__":
    import sys

    import uvicorn

    port, share = int(sys.argv[1]), float(sys.argv[2])
    uvicorn.run(application(share), port=port, log_level="warning", access_log=False)
