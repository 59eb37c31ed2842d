"""Readers in processes of their own: nobody gets another one's answer, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fallwise.gateway.crew import COMMAND, Crew
from fallwise.gateway.invoices import Reader, text_of
from fallwise.gateway.question import CallFailed, Question
from fallwise.scenario.live import Invoices

pytest.importorskip("sklearn", reason="scikit-learn comes with the extra `measure`")
LIVE = Invoices(kind="invoices", model="logistic", prompt_tokens=7)


def scans(n: int) -> list[str]:
    """Return questions that are read differently: invoices of real scans."""
    from sklearn.datasets import load_digits

    pixels = load_digits().data
    return [text_of(pixels[9 * i : 9 * i + 9]) for i in range(n)]


def asking(text: str) -> Question:
    """Return the question with this text."""
    return Question({"messages": [{"role": "user", "content": text}]}, 0, 0, False, 0)


def with_crew(servers: int, body: Callable[[Crew], Awaitable[None]]) -> Crew:
    """Run the body with an open crew, and return the crew after it was closed."""
    crew = Crew(LIVE, Path(), servers)

    async def whole() -> None:
        await crew.open()
        try:
            await body(crew)
        finally:
            await crew.close()

    asyncio.run(asyncio.wait_for(whole(), 120))
    return crew


def test_each_question_gets_its_own_answer_and_no_process_stays() -> None:
    texts = scans(20)
    reader = Reader(LIVE)

    async def body(crew: Crew) -> None:
        answers = await asyncio.gather(*(crew(asking(text)) for text in texts))
        assert answers == [reader.read(text) for text in texts]
        assert len({answer.text for answer in answers}) > 10
        with pytest.raises(CallFailed, match="576 letters"):
            await crew(asking("no invoice"))
        assert await crew(asking(texts[0])) == answers[0]

    crew = with_crew(50, body)
    assert len(crew.all) == min(50, os.cpu_count() or 1)
    assert all(process.returncode == 0 for process in crew.all)


def test_who_no_longer_waits_leaves_no_answer_for_the_next() -> None:
    texts = scans(3)

    async def body(crew: Crew) -> None:
        left = asyncio.ensure_future(crew(asking(texts[0])))
        await asyncio.sleep(0)
        left.cancel()
        assert (await crew(asking(texts[1]))).text == Reader(LIVE).read(texts[1]).text
        assert left.cancelled()

    with_crew(1, body)


def test_a_process_that_dies_fails_one_call_and_is_replaced() -> None:
    text = scans(1)[0]

    async def body(crew: Crew) -> None:
        (process,) = crew.all
        process.kill()
        with pytest.raises(CallFailed, match="ended"):
            await crew(asking(text))
        assert (await crew(asking(text))).text == Reader(LIVE).read(text).text
        assert len(crew.all) == 1

    with_crew(1, body)


def test_a_reader_that_cannot_start_stops_the_gateway() -> None:
    crew = Crew(LIVE.model_copy(update={"model": "nothing"}), Path(), 1)
    with pytest.raises(OSError, match="could not start"):
        asyncio.run(asyncio.wait_for(crew.open(), 120))


def test_a_process_ends_with_whoever_started_it() -> None:
    command = [sys.executable, "-c", COMMAND, Crew(LIVE, Path(), 1).says]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.close()
        assert process.wait(30) == 0
