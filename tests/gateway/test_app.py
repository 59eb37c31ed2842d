"""The gateway over HTTP: a real server, a stub upstream with known truth, a real client."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import numpy as np
import pytest
from fallwise.errors import ScenarioError
from fallwise.gateway import application, with_upstream
from fallwise.policies import decide
from gateway_servers import live, scenario_of, served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ANSWERS = {"accuracy": 0.8, "auroc": 0.8}
SMALL: dict[str, Any] = {
    **{"name": "small", "kind": "pool", "slots": 4, "threshold": 0.8, "answers": ANSWERS},
    **{"service": {"kind": "fixed", "value_s": 0.005}, "usd_per_request": 0.001},
}
BIG: dict[str, Any] = {
    **{"name": "big", "kind": "api", "answers": ANSWERS, "prompt_usd_per_mtok": 2.5},
    **{"service": {"kind": "fixed", "value_s": 0.01}, "output_usd_per_mtok": 10.0},
}
CACHE: dict[str, Any] = {
    **{"name": "cache", "kind": "cache", "capacity": 100, "lookup_s": 0.0},
    **{"filled_by": ["small", "big"]},
}
HUMAN: dict[str, Any] = {
    **{"name": "human", "kind": "human", "agents": 2, "service": {"kind": "fixed", "value_s": 1}},
    **{"live": {"kind": "tickets"}, "answers": ANSWERS, "timeout_s": 5.0},
}


def test_every_token_and_every_cent_is_accounted_for() -> None:
    async def main() -> None:
        # Half of the prompt goes to the big one, and is what it bills.
        short = {**BIG, "prompt": {"token_factor": 0.5}}
        async with live(scenario_of([SMALL, short], n=300)) as it:
            sent = it.requests.prompt_tokens[:, None] * np.array([1, 0.5])
            replies = await asyncio.gather(*(it.ask(i) for i in range(300)))
            accept = decide(it.scenario, it.requests).accept
            tier = np.where(accept[:, 0], 0, 1)
            for i, (status, headers, body) in enumerate(replies):
                k = tier[i]
                assert status == 200 and headers["x-fallwise-status"] == "answered"
                assert headers["x-fallwise-tier"] == body["model"] == ("small", "big")[k]
                assert headers["x-fallwise-path"] == ("small", "small,big")[k]
                assert headers["x-fallwise-answer-of"] == str(i)
                assert body["usage"]["prompt_tokens"] == round(sent[i, k])
                assert body["usage"]["completion_tokens"] == it.requests.output_tokens[i, k]
                assert body["choices"][0]["message"]["content"].startswith("answer ")
            ledger = it.stub.ledger
            assert len(ledger) == 300 + int((tier == 1).sum())
            assert len({(call["request"], call["tier"]) for call in ledger}) == len(ledger)
            owed = math.fsum(call["usd"] for call in ledger)
            paid = math.fsum(float(headers["x-fallwise-cost-usd"]) for _, headers, _ in replies)
            assert math.isclose(owed, paid, rel_tol=1e-12)
            metrics = await it.get("/metrics")
            assert 'fallwise_requests_total{status="answered"} 300' in metrics
            assert f'fallwise_visits_total{{tier="big",state="accepted"}} {sum(tier)}' in metrics
            assert "fallwise_sojourn_seconds_count 300" in metrics
            assert json.loads(await it.get("/healthz"))["tiers"] == ["small", "big"]

    asyncio.run(main())


def test_stamps_are_in_order_and_a_visit_is_as_long_as_the_stub_held_it() -> None:
    async def main() -> None:
        async with live(scenario_of([{**SMALL, "threshold": None}], n=20)) as it:
            for i in range(20):
                _, headers, _ = await it.ask(i)
                name, state, *stamps = headers["x-fallwise-visits"].split(":")
                enter, start, finish, busy = map(int, stamps)
                length = int(headers["x-fallwise-ended"]) - int(headers["x-fallwise-received"])
                assert (name, state) == ("small", "accepted")
                assert 0 <= enter <= start < finish <= length
                assert busy == finish - start > 4_000_000

    asyncio.run(main())


def test_a_stream_ends_with_the_headers_and_done() -> None:
    async def main() -> None:
        async with live(scenario_of([SMALL, BIG])) as it:
            status, headers, text = await it.ask(3, stream=True)
            assert status == 200 and headers["content-type"].startswith("text/event-stream")
            *data, note, done, end = text.split("\n\n")
            assert (done, end) == ("data: [DONE]", "")
            said = json.loads(note.removeprefix(": fallwise "))
            assert said["x-fallwise-status"] == "answered"
            chunks = [json.loads(event.removeprefix("data: ")) for event in data]
            words = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
            assert "".join(words) == f"answer {it.requests.answer[3, 0 if said else 1]}"
            _, _, whole = await it.ask(3)
            assert "".join(words) == whole["choices"][0]["message"]["content"]
            assert chunks[-1]["usage"] == whole["usage"]

    asyncio.run(main())


def test_the_cache_answers_the_second_time_for_nothing() -> None:
    async def main() -> None:
        async with live(scenario_of([CACHE, SMALL, BIG])) as it:
            first = await it.ask(0, {"x-fallwise-key": "7"})
            again = await it.ask(1, {"x-fallwise-key": "7"})
            assert first[1]["x-fallwise-cache"] == "miss"
            assert again[1]["x-fallwise-cache"] == "hit"
            assert again[1]["x-fallwise-tier"] == "cache"
            assert again[1]["x-fallwise-answer-of"] == "0"
            assert float(again[1]["x-fallwise-cost-usd"]) == 0
            assert again[2]["choices"] == first[2]["choices"]
            assert len({call["request"] for call in it.stub.ledger}) == 1

    asyncio.run(main())


def test_without_a_key_equal_messages_are_the_same_question() -> None:
    async def main() -> None:
        async with live(scenario_of([CACHE, SMALL, BIG])) as it:
            path = f"{it.url}/v1/chat/completions"
            seen = []
            for i, text in enumerate(["a", "b", "a"]):
                body = {"messages": [{"role": "user", "content": text}]}
                own = {"x-fallwise-request": str(i)}
                async with it.client.post(path, json=body, headers=own) as response:
                    seen.append(response.headers["x-fallwise-cache"])
            assert seen == ["miss", "miss", "hit"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "tiers", "status", "said"),
    [
        ({"tier": "small", "refuse": True}, [SMALL, BIG], 200, "answered"),
        ({"tier": "big", "refuse": True}, [BIG], 502, "failed"),
        ({"tier": "big", "error_share": 1}, [BIG], 502, "failed"),
        ({"tier": "big", "slow": 1000}, [{**BIG, "timeout_s": 0.5}], 504, "timed_out"),
        ({"tier": "small", "slow": 1000}, [{**SMALL, "timeout_s": 0.5}, BIG], 200, "answered"),
    ],
)
def test_a_fault_ends_as_the_scenario_says(
    fault: dict[str, Any], tiers: list[Any], status: int, said: str
) -> None:
    async def main() -> None:
        async with live(scenario_of(tiers)) as it:
            it.stub.faults[fault["tier"]] = fault
            found, headers, body = await it.ask(0)
            assert (found, headers["x-fallwise-status"]) == (status, said)
            if status != 200:
                assert body["error"]["type"] == said and "choices" not in body
            else:
                assert headers["x-fallwise-path"] == "small,big"
            del it.stub.faults[fault["tier"]]
            healed, _, _ = await it.ask(1)
            assert healed == 200

    asyncio.run(main())


def test_a_fallback_is_asked_only_when_the_tier_before_it_has_failed() -> None:
    spare = {**BIG, "name": "spare", "fallback": True}

    async def main() -> None:
        async with live(scenario_of([{**BIG, "threshold": 0.0}, spare])) as it:
            _, headers, _ = await it.ask(0)
            assert headers["x-fallwise-path"] == "big"
            it.stub.faults["big"] = {"refuse": True}
            status, headers, body = await it.ask(1)
            assert (status, body["model"]) == (200, "spare")
            assert headers["x-fallwise-path"] == "big,spare"
            calls = it.stub.ledger
            assert [(call["request"], call["tier"]) for call in calls] == [(0, "big"), (1, "spare")]
            assert float(headers["x-fallwise-cost-usd"]) == calls[1]["usd"]

    asyncio.run(main())


def test_a_call_that_is_cut_off_stands_in_the_ledger_and_its_price_is_said_to_be_unknown() -> None:
    async def main() -> None:
        async with live(scenario_of([{**BIG, "timeout_s": 0.1}])) as it:
            it.stub.faults["big"] = {"slow": 50}
            _, headers, _ = await it.ask(0)
            assert headers["x-fallwise-cost-partial"] == "big"
            assert "big:worked_out:" in headers["x-fallwise-visits"]
            for _ in range(100):
                await asyncio.sleep(0.01)
                if it.stub.ledger[0]["state"] != "in service":
                    break
            assert it.stub.ledger[0]["state"] == "cut off"

    asyncio.run(main())


def test_a_full_queue_sheds_and_nothing_else_does() -> None:
    one = {**BIG, "concurrency": 1, "queue_limit": 1}

    async def main() -> None:
        async with live(scenario_of([one])) as it:
            it.stub.faults["big"] = {"slow": 60}
            replies = await asyncio.gather(*(it.ask(i) for i in range(4)))
            assert sorted(status for status, _, _ in replies) == [200, 200, 503, 503]

    asyncio.run(main())


def test_people_answer_tickets_and_a_closed_one_takes_no_answer() -> None:
    async def main() -> None:
        async with live(scenario_of([{**SMALL, "threshold": 1.01}, HUMAN])) as it:
            asked = [asyncio.create_task(it.ask(i)) for i in range(3)]
            tickets: list[Any] = []
            while len(tickets) < 2:
                await asyncio.sleep(0.01)
                tickets = json.loads(await it.get("/tickets"))
            assert len(tickets) == 2, "there are two agents"
            first = tickets[0]
            assert first["messages"][0]["content"] == f"request {first['request']}"
            assert await it.post(f"/tickets/{first['id']}", {"answer": "Yes, you may."}) == 200
            assert await it.post(f"/tickets/{first['id']}", {"answer": "No."}) == 410
            assert await it.post(f"/tickets/{first['id']}", {"text": "No."}) == 400
            _, headers, body = await asked[first["request"]]
            assert body["choices"][0]["message"]["content"] == "Yes, you may."
            assert headers["x-fallwise-path"] == "small,human"
            while any(not task.done() for task in asked):
                for ticket in json.loads(await it.get("/tickets")):
                    await it.post(f"/tickets/{ticket['id']}", {"answer": "so"})
                await asyncio.sleep(0.01)
            assert all(task.result()[0] == 200 for task in asked)

    asyncio.run(main())


def test_requests_in_flight_are_finished_when_it_is_told_to_end() -> None:
    async def main() -> None:
        async with live(scenario_of([BIG])) as it:
            it.stub.faults["big"] = {"slow": 30}
            asked = [asyncio.create_task(it.ask(i)) for i in range(5)]
            while len(it.stub.ledger) < 5:
                await asyncio.sleep(0.01)
            it.server.should_exit = True
            replies = await asyncio.gather(*asked)
            assert [status for status, _, _ in replies] == [200] * 5

    asyncio.run(main())


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"messages": []}', b'{"messages": ["hi"]}', b"\xff"]
)
def test_what_is_no_request_is_refused_in_words(body: bytes) -> None:
    async def main() -> None:
        async with live(scenario_of([BIG])) as it:
            path = f"{it.url}/v1/chat/completions"
            async with it.client.post(path, data=body) as response:
                assert response.status == 400
                assert (await response.json())["error"]["message"]
            assert it.stub.ledger == []

    asyncio.run(main())


def test_the_api_key_goes_to_its_upstream_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk-very-secret"
    seen: list[str | None] = []

    async def refuse(request: Request) -> Response:
        seen.append(request.headers.get("authorization"))
        return Response(f"wrong key {secret}", 401)

    async def main() -> None:
        app = Starlette(routes=[Route("/v1/chat/completions", refuse, methods=["POST"])])
        async with served(app) as (url, _):
            own = {"kind": "upstream", "url": url, "api_key_env": "SOME_KEY"}
            async with live(scenario_of([SMALL, {**BIG, "live": own}])) as it:
                it.stub.faults["small"] = {"refuse": True}
                status, headers, body = await it.ask(0)
                assert status == 502
                assert secret not in f"{headers} {body} {await it.get('/metrics')}"

    monkeypatch.setenv("SOME_KEY", secret)
    asyncio.run(main())
    assert seen == [f"Bearer {secret}"]
    assert secret not in caplog.text and "answers 401" in caplog.text


def test_a_tier_that_nobody_answers_for_is_said_before_the_start() -> None:
    with pytest.raises(ScenarioError, match=r"tiers\[1\]\.live: nothing answers for this tier"):
        application(scenario_of([{**SMALL, "live": {"kind": "invoices", "model": "svc"}}, BIG]))


def test_a_request_for_one_tier_is_answered_by_it_alone_and_judged_by_nobody() -> None:
    async def main() -> None:
        async with live(scenario_of([CACHE, {**SMALL, "threshold": 1.0}, BIG], n=10)) as it:
            for _ in range(2):
                status, headers, body = await it.ask(0, model="small")
                assert (status, body["model"]) == (200, "small")
                assert headers["x-fallwise-path"] == "small"
                assert float(headers["x-fallwise-cost-usd"]) == 0.001
            status, headers, _ = await it.ask(0, model="cascade")
            assert headers["x-fallwise-path"] == "cache,small,big"
            assert headers["x-fallwise-cache"] == "miss"
            stub = it.stub
            stub.faults["big"] = {"refuse": True}
            assert (await it.ask(1, model="big"))[0] == 502

    asyncio.run(main())


@pytest.mark.parametrize(
    ("key", "tier"),
    [
        ("hours", {**HUMAN, "hours": [{"days": ["mon"], "from": "09:00", "to": "17:00"}]}),
        ("false_hit_rate", {**CACHE, "filled_by": ["big"], "false_hit_rate": 0.1}),
    ],
)
def test_what_the_gateway_does_not_do_is_refused_and_never_ignored(
    key: str, tier: dict[str, Any]
) -> None:
    tiers = [tier, BIG] if key == "false_hit_rate" else [BIG, tier]
    with pytest.raises(ScenarioError, match=rf"{key}: the gateway does not do this"):
        application(with_upstream(scenario_of(tiers), "http://127.0.0.1:1"))
