"""Visits of several calls over HTTP: how often an upstream is called, and what is paid."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from fallwise.gateway import attempts as attempts_module
from fallwise.gateway.attempts import pause_s
from fallwise.gateway.question import now_ns
from fallwise.tables import CALL_COUNTS, CALL_TIMES
from gateway_servers import Live, live, scenario_of, served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BIG: dict[str, Any] = {
    **{"name": "big", "kind": "api", "answers": {"accuracy": 0.8}, "usd_per_request": 0.01},
    **{"service": {"kind": "fixed", "value_s": 0.002}},
}
AGAIN = {"attempts": 3, "backoff_s": 0.001}
Reply = Callable[[], Awaitable[Response]]


async def answers() -> Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}}
    usage = {"prompt_tokens": 70, "completion_tokens": 30}
    return JSONResponse({"choices": [choice], "usage": usage})


def says(status: int, **headers: str) -> Reply:
    async def reply() -> Response:
        return Response("no", status, {k.replace("_", "-"): v for k, v in headers.items()})

    return reply


async def hangs() -> Response:
    await asyncio.sleep(3600)
    return await answers()


@asynccontextmanager
async def scripted(
    tier: dict[str, Any], script: list[Reply], n: int = 50
) -> AsyncIterator[tuple[Live, list[str]]]:
    """A gateway whose tier's upstream replies by the script, its last line again and again.

    With it comes the list of the upstream's calls: x-fallwise-call of each.
    """
    calls: list[str] = []

    async def complete(request: Request) -> Response:
        reply = script[min(len(calls), len(script) - 1)]
        calls.append(request.headers.get("x-fallwise-call", "0"))
        await request.body()
        replied = asyncio.ensure_future(reply())
        gone = asyncio.ensure_future(request.receive())
        await asyncio.wait({gone, replied}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        return replied.result() if replied.done() else Response("", 499)

    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    async with served(app) as (url, _):
        own = {**tier, "live": {"kind": "upstream", "url": url}}
        async with live(scenario_of([own], n=n)) as it:
            yield it, calls


def counted(headers: Any) -> dict[str, int]:
    """What the response says of the one tier's calls; what is 0 is not there."""
    name, *counts = headers["x-fallwise-calls"].split(":")
    assert name == "big"
    found = dict(zip(CALL_COUNTS + CALL_TIMES, map(int, counts), strict=True))
    return {name: count for name, count in found.items() if count and name not in CALL_TIMES}


def test_calls_that_fail_are_made_again_and_every_cent_is_accounted_for() -> None:
    tier = {**BIG, "error_rate": 0.4, "retries": AGAIN, "output_usd_per_mtok": 10.0}

    async def main() -> None:
        async with live(scenario_of([tier], n=120)) as it:
            replies = await asyncio.gather(*(it.ask(i) for i in range(120)))
            fails = it.requests.call_fails
            assert fails is not None
            lost = np.asarray(fails.all(axis=1))
            made = np.where(lost, 3, 1 + fails.argmin(axis=1))
            assert set(made[~lost]) == {1, 2, 3} and 0 < lost.sum() < 30
            for i, (status, headers, _) in enumerate(replies):
                assert status == (502 if lost[i] else 200)
                expected = {"attempts": made[i], "errors": made[i] - (not lost[i])}
                assert counted(headers) == {k: v for k, v in expected.items() if v}
                assert (float(headers["x-fallwise-cost-usd"]) == 0) == lost[i]
                assert "x-fallwise-cost-partial" not in headers
            ledger = it.stub.ledger
            assert len(ledger) == made.sum()
            owed = math.fsum(call["usd"] for call in ledger)
            paid = math.fsum(float(headers["x-fallwise-cost-usd"]) for _, headers, _ in replies)
            assert math.isclose(owed, paid, rel_tol=1e-12)
            metrics = await it.get("/metrics")
            assert f'fallwise_calls_total{{tier="big",what="attempts"}} {made.sum()}' in metrics

    asyncio.run(main())


LATER = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("script", "retries", "status", "expected"),
    [
        ([says(500), says(503), answers], AGAIN, 200, {"attempts": 3, "errors": 2}),
        ([says(500)], AGAIN, 502, {"attempts": 3, "errors": 3}),
        ([says(500)], None, 502, {"attempts": 1, "errors": 1}),
        # What is wrong with the request itself is wrong again.
        ([says(400)], AGAIN, 502, {"attempts": 1, "errors": 1}),
        ([says(500)], {**AGAIN, "on": ["timeout"]}, 502, {"attempts": 1, "errors": 1}),
        ([says(429), answers], AGAIN, 200, {"attempts": 2, "rate_limited": 1}),
        ([says(429)], {**AGAIN, "on": ["error"]}, 502, {"attempts": 1, "rate_limited": 1}),
        # The visit is over before the pause is.
        ([says(429, retry_after="60")], AGAIN, 504, {"attempts": 1, "rate_limited": 1}),
        ([says(429, retry_after=LATER)], AGAIN, 504, {"attempts": 1, "rate_limited": 1}),
        ([says(429, retry_after="soon"), answers], AGAIN, 200, {"attempts": 2, "rate_limited": 1}),
    ],
)
def test_an_upstream_is_called_as_often_as_the_scenario_says(
    script: list[Reply], retries: Any, status: int, expected: dict[str, int]
) -> None:
    # A timeout of an attempt makes it a visit of several calls, also without retries.
    tier = {**BIG, "retries": retries, "attempt_timeout_s": 30.0, "timeout_s": 2.0}

    async def main() -> None:
        async with scripted(tier, script) as (it, calls):
            found, headers, _ = await it.ask(0)
            assert (found, counted(headers)) == (status, expected)
            assert calls == [str(2 * attempt) for attempt in range(expected["attempts"])]
            assert float(headers["x-fallwise-cost-usd"]) == 0.01 * (status == 200)

    asyncio.run(main())


def test_a_retry_after_is_waited_out() -> None:
    async def main() -> None:
        script = [says(429, retry_after="0.3"), answers]
        async with scripted({**BIG, "retries": AGAIN}, script) as (it, _):
            _, headers, _ = await it.ask(0)
            paused_ns = int(headers["x-fallwise-calls"].rsplit(":", 1)[1])
            assert paused_ns > 295_000_000

    asyncio.run(main())


def test_an_attempt_that_takes_too_long_is_cut_off_and_paid() -> None:
    tier = {**BIG, "attempt_timeout_s": 0.15, "retries": AGAIN}

    async def main() -> None:
        async with scripted(tier, [hangs, answers]) as (it, calls):
            status, headers, _ = await it.ask(0)
            assert (status, calls) == (200, ["0", "2"])
            assert counted(headers) == {"attempts": 2, "cut_off": 1}
            assert float(headers["x-fallwise-cost-usd"]) == 0.02
        tokens = {**tier, "prompt_usd_per_mtok": 3.0, "bill_timeouts": True}
        async with scripted(tokens, [hangs, hangs, hangs]) as (it, _):
            status, headers, _ = await it.ask(0)
            assert status == 504 and counted(headers) == {"attempts": 3, "cut_off": 3}
            assert headers["x-fallwise-cost-partial"] == "big"

    asyncio.run(main())


def test_a_budget_ends_retries() -> None:
    tier = {**BIG, "retries": {**AGAIN, "attempts": 2, "budget": 0.0}}

    async def main() -> None:
        async with scripted(tier, [says(500)]) as (it, calls):
            for i in range(15):
                assert (await it.ask(i))[0] == 502
            assert len(calls) == 15 + 10

    asyncio.run(main())


def test_a_second_call_is_made_where_the_first_takes_long_and_both_are_paid() -> None:
    async def main() -> None:
        async with scripted({**BIG, "hedge": {"after_s": 0.05}}, [hangs, answers]) as (it, calls):
            status, headers, _ = await it.ask(0)
            assert (status, calls) == (200, ["0", "1"])
            assert counted(headers) == {"attempts": 1, "hedges": 1, "outrun": 1}
            assert float(headers["x-fallwise-cost-usd"]) == 0.02
        one = {**BIG, "hedge": {"after_s": 0.0}, "concurrency": 1, "timeout_s": 0.3}
        async with scripted(one, [hangs]) as (it, calls):
            status, headers, _ = await it.ask(0)
            assert (status, calls) == (504, ["0"]), "no server was free for a second call"

    asyncio.run(main())


def test_a_breaker_spares_an_upstream_that_fails_until_a_probe_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terms = {"failure_share": 1.0, "window_calls": 3, "open_s": 900.0}
    fast_ns = [0]
    monkeypatch.setattr(attempts_module, "now_ns", lambda: now_ns() + fast_ns[0])

    async def main() -> None:
        script = [says(500)] * 4 + [answers]
        async with scripted({**BIG, "breaker": terms}, script) as (it, calls):
            for i in range(9):
                status, headers, _ = await it.ask(i)
                assert status == 502
                assert (":cut_short:" in headers["x-fallwise-visits"]) == (i >= 3)
            assert len(calls) == 3
            fast_ns[0] += 901 * 10**9
            assert [(await it.ask(i))[0] for i in range(3)] == [502] * 3
            assert len(calls) == 4, "one probe, which failed"
            fast_ns[0] += 901 * 10**9
            assert [(await it.ask(i))[0] for i in range(3)] == [200] * 3
            assert len(calls) == 7

    asyncio.run(main())


@pytest.mark.parametrize(
    ("limit", "calls_made"),
    [({"requests_per_minute": 3}, 4), ({"tokens_per_minute": 250}, 3)],
)
def test_what_is_over_a_limit_is_not_sent(limit: dict[str, int], calls_made: int) -> None:
    # A bucket of a minute lets the limit through, and the one that begins while it is not empty:
    # 3 requests and one; answers of 100 tokens after 0, 100 and 200 of 250.
    async def main() -> None:
        async with scripted({**BIG, **limit, "burst_s": 60.0}, [answers]) as (it, calls):
            replies = [await it.ask(i) for i in range(8)]
            made = [status for status, _, _ in replies].count(200)
            assert len(calls) == made == calls_made
            assert counted(replies[-1][1]) == {"attempts": 1, "rate_limited": 1}
            assert ":rate_limited:" in replies[-1][1]["x-fallwise-visits"]

    asyncio.run(main())


def test_pauses_grow_and_the_jitter_spreads_them_evenly() -> None:
    def pauses(attempt: int, **keys: float) -> Any:
        terms = {"attempts": 4, "backoff_s": 0.5, "factor": 3.0, **keys}
        tier = scenario_of([{**BIG, "retries": terms}]).tiers[0]
        return np.array([pause_s(tier, row, attempt) for row in range(2000)])

    assert [set(pauses(a, max_backoff_s=4.0)) for a in range(3)] == [{0.5}, {1.5}, {4.0}]
    half = pauses(1, jitter=0.5)
    assert half.min() >= 0.75 and half.max() < 1.5
    quantiles = np.quantile(half, [0.1, 0.25, 0.5, 0.75, 0.9])
    assert np.allclose(quantiles, 0.75 + 0.75 * np.array([0.1, 0.25, 0.5, 0.75, 0.9]), atol=0.03)
    assert abs(np.corrcoef(half, pauses(0, jitter=1.0))[0, 1]) < 0.08
