"""Readers at work: processes of their own, so that no tier takes another one's time.

Threads of one process take turns at Python: a reading of 1 ms takes 3 while another reader is at
work, which no tier alone would show. A process gets a question a line on its standard input, and
says the answer on its standard output; it ends when the gateway does, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import asdict
from pathlib import Path
from typing import IO, Protocol

from fallwise.gateway.intents import IntentReader
from fallwise.gateway.invoices import Reader
from fallwise.gateway.question import Answer, CallFailed, Question
from fallwise.scenario.live import Intents, Invoices

__all__ = ["Crew", "read_on"]

COMMAND = "from fallwise.gateway.crew import read_on; read_on()"
PATIENCE_S = 10.0
"""A reader that takes longer to end is killed."""


class _Reads(Protocol):
    def read(self, text: str) -> Answer:
        """Return the answer, or raise CallFailed."""


class Crew:
    """Answers with one model, in as many processes as the tier has servers or the machine cores."""

    def __init__(self, live: Invoices | Intents, folder: Path, servers: int):
        self.says = json.dumps([live.model_dump(), str(folder)])
        self.size = min(servers, os.cpu_count() or 1)
        self.all: set[Process] = set()
        self.idle: asyncio.Queue[Process] = asyncio.Queue()
        self.asking: set[asyncio.Task[Answer]] = set()

    async def open(self) -> None:
        """Start the processes; they are ready when this returns. OSError where one cannot read."""
        await asyncio.gather(*(self._hire() for _ in range(self.size)))

    async def close(self) -> None:
        """End the processes, each after what it reads."""
        if self.asking:
            await asyncio.wait(self.asking, timeout=PATIENCE_S)
        await asyncio.gather(*(_end(process) for process in self.all))

    async def __call__(self, question: Question) -> Answer:
        """Return what the model reads; CallFailed where it cannot."""
        process = await self.idle.get()
        # Whoever asked may not wait to the end; the process reads on, and is not idle until then.
        asking = asyncio.ensure_future(self._ask(process, question.text))
        self.asking.add(asking)
        asking.add_done_callback(self.asking.discard)
        return await asyncio.shield(asking)

    async def _hire(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND, self.says, stdin=PIPE, stdout=PIPE
        )
        assert process.stdout is not None
        if not await process.stdout.readline():
            await _end(process)
            raise OSError(f"a reader could not start: {self.says}")
        self.all.add(process)
        self.idle.put_nowait(process)

    async def _ask(self, process: Process, text: str) -> Answer:
        assert process.stdin is not None and process.stdout is not None
        said = b""
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(text).encode() + b"\n")
            await process.stdin.drain()
            said = await process.stdout.readline()
        if not said:
            self.all.discard(process)
            await _end(process)
            await self._hire()
            raise CallFailed("the reader has ended")
        self.idle.put_nowait(process)
        found = json.loads(said)
        if isinstance(found, str):
            raise CallFailed(found)
        return Answer(**found)


async def _end(process: Process) -> None:
    try:
        await asyncio.wait_for(process.communicate(b""), PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.communicate()


def read_on() -> None:
    """Read questions from the standard input until it ends: the whole life of such a process."""
    from threadpoolctl import threadpool_limits

    # An interrupt at the terminal is for the gateway, which still wants the answers under way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What a library prints is no answer.
    live, folder = json.loads(sys.argv[1])
    reader: _Reads
    if live["kind"] == "invoices":
        reader = Reader(Invoices(**live))
    else:
        reader = IntentReader(live["model"], Path(folder) / live["file"])
    # One short text is no work to share: more threads only make the slowest readings slower.
    threadpool_limits(1)
    gc.collect()
    gc.freeze()
    _say(answers, "ready")
    for line in sys.stdin.buffer:
        try:
            said = json.dumps(asdict(reader.read(json.loads(line))))
        except CallFailed as error:
            said = json.dumps(str(error))
        _say(answers, said)


def _say(answers: IO[str], line: str) -> None:
    answers.write(line + "\n")
    answers.flush()
