"""The way from one process to Redis: it can be cut, be stopped, and lose replies.

It also counts what the scripts answered, told apart by the digest that names a script, so that a
run knows what it has met without asking those it tests.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from agentainer_flow.core.library import function

#: What is counted: (script, what its reply has, name). Words are as MessagePack spells them.
SIGHTS: list[tuple[str, bytes, str]] = [
    *((script, rb"\xa6fenced", "commits fenced") for script in ("commit", "turn")),
    *((script, rb"\xa9duplicate", "duplicate commits told") for script in ("commit", "turn")),
    *((script, rb"\xa8conflict", "commits in conflict") for script in ("commit", "turn")),
    ("append", rb"\xa9duplicate", "duplicate commands told"),
    ("turn", rb"\r\n\x94[^\x90]", "results of tasks refused"),
    ("settle_job", rb"\xa4lost", "results of agents refused"),
    ("request_job", rb"\xa4lost", "requests of agents refused"),
    ("request_job", rb"\xa5found", "agents found again"),
    ("state", rb"\xa4lost", "changes of state refused"),
    ("record_effect", rb"\xa4lost", "effects refused"),
]
_BY_NAME = {function(script).encode(): script for script, _, _ in SIGHTS}
_PATTERNS = [(script, re.compile(words), name) for script, words, name in SIGHTS]
_ASKED = re.compile(rb"\$5\r\nFCALL\r\n\$\d+\r\n(\w+)\r\n")
#: What writing to a connection that the other side has closed is called; by uvloop a RuntimeError.
_GONE = (ConnectionError, RuntimeError)


class Proxy:
    """Passes the connections of one process on to the server."""

    def __init__(self, server: str, near: Path) -> None:
        self._server = server
        self._near = near
        self.seen: Counter[str] = Counter()
        self.url = f"unix://{near}"
        #: Set while things pass.
        self._passes = asyncio.Event()
        self._passes.set()
        self._to_swallow = 0
        self._open: set[StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Cut every connection there is."""
        self.seen["connections cut"] += len(self._open) // 2
        for writer in list(self._open):
            writer.transport.abort()

    def swallow(self, times: int) -> None:
        """Lose the replies of the next calls of scripts, each with its connection."""
        self._to_swallow = times

    def part(self) -> None:
        """Let nothing pass; what is sent meanwhile passes after `join`."""
        self._passes.clear()

    def join(self) -> None:
        self._passes.set()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None, None]:
        listener = await asyncio.start_unix_server(self._handle, self._near)
        try:
            yield
        finally:
            listener.close()
            self.join()
            self.cut()
            await asyncio.gather(*self._handlers)

    async def _handle(self, asks: StreamReader, client: StreamWriter) -> None:
        handler = asyncio.ensure_future(self._carry(asks, client))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)
        await handler

    async def _carry(self, asks: StreamReader, client: StreamWriter) -> None:
        await self._passes.wait()
        try:
            answers, server = await asyncio.open_unix_connection(self._server)
        except OSError:  # Redis is away
            return client.transport.abort()
        self._open |= {client, server}
        asked: deque[str] = deque()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(asks, server, asked))
                tasks.create_task(self._answer(answers, client, asked))
        finally:
            self._open -= {client, server}

    async def _ask(self, reader: StreamReader, server: StreamWriter, asked: deque[str]) -> None:
        try:
            while data := await reader.read(256 * 1024):
                await self._passes.wait()
                if found := _ASKED.search(data):
                    asked.append(_BY_NAME.get(found[1], "other"))
                server.write(data)
                await server.drain()
        except _GONE:
            pass
        finally:
            server.close()

    async def _answer(self, reader: StreamReader, client: StreamWriter, asked: deque[str]) -> None:
        try:
            while data := await reader.read(256 * 1024):
                await self._passes.wait()
                if asked and self._hear(asked.popleft(), data):
                    client.transport.abort()
                    break
                client.write(data)
                await client.drain()
        except _GONE:
            pass
        finally:
            client.close()

    def _hear(self, script: str, reply: bytes) -> bool:
        """Note what a script answered; whether the reply is to be lost."""
        if reply.startswith(b"-"):
            self.seen["scripts loaded anew"] += reply.startswith(b"-ERR Function not found")
            return False
        for name, pattern, sight in _PATTERNS:
            if name == script:
                self.seen[sight] += len(pattern.findall(reply))
        if self._to_swallow:
            self._to_swallow -= 1
            self.seen["replies swallowed"] += 1
            return True
        return False
