"""The way from one process to Redis: it can be cut, be stopped, and lose replies.

It also counts what the scripts answered, so that a run knows what it has met without asking those
that it tests.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis

#: What is counted: (scripts, what a reply of theirs has in MessagePack, name).
SIGHTS: list[tuple[tuple[str, ...], re.Pattern[bytes], str]] = [
    (("commit", "turn"), re.compile(rb"\xa6fenced"), "commits fenced"),
    (("commit", "turn"), re.compile(rb"\xa9duplicate"), "duplicate commits told"),
    (("commit", "turn"), re.compile(rb"\xa8conflict"), "commits in conflict"),
    (("append",), re.compile(rb"\xa9duplicate"), "duplicate commands told"),
    (("turn",), re.compile(rb"^\x95[^\x90]"), "results of tasks refused"),
    (("settle_job",), re.compile(rb"\xa4lost"), "results of agents refused"),
    (("request_job",), re.compile(rb"\xa4lost"), "requests of agents refused"),
    (("request_job",), re.compile(rb"\xa5found"), "agents found again"),
    (("state",), re.compile(rb"\xa4lost"), "changes of state refused"),
    (("record_effect",), re.compile(rb"\xa4lost"), "effects refused"),
]
#: Scripts whose answers are counted.
_COUNTED = {script for scripts, _, _ in SIGHTS for script in scripts}
#: Functions are called `<library>_<script>`, libraries after their content.
_FUNCTION = re.compile(rb"agentainer_[0-9a-f]+_(\w+)")
_UNKNOWN = "Function not found"
#: What writing to a connection that the other side has closed is called; by uvloop a RuntimeError.
_GONE = (ConnectionError, RuntimeError)
_PIECE = 256 * 1024


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
        self._to_swallow, self._any_will_do = 0, True
        self._open: set[StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Cut every connection there is."""
        self.seen["connections cut"] += len(self._open) // 2
        for writer in list(self._open):
            writer.transport.abort()

    def swallow(self, times: int) -> None:
        """Lose replies of calls of scripts, each with its connection.

        That is the next one, and then those of scripts whose answers are counted: most calls are
        of others, which are called all the time.
        """
        self._to_swallow, self._any_will_do = times, True

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
        way = _Way(self, client, server)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(way.ask(asks))
                tasks.create_task(way.answer(answers))
        finally:
            self._open -= {client, server}

    async def passing(self) -> None:
        await self._passes.wait()

    def hear(self, script: str, reply: bytes) -> bool:
        """Note what a script answered; whether the reply is to be lost."""
        for scripts, pattern, sight in SIGHTS:
            if script in scripts:
                self.seen[sight] += len(pattern.findall(reply))
        if not self._to_swallow or not (self._any_will_do or script in _COUNTED):
            return False
        self._to_swallow, self._any_will_do = self._to_swallow - 1, False
        self.seen["replies swallowed"] += 1
        return True


class _Way:
    """One connection: commands go one way, and as many replies come back in the same order."""

    def __init__(self, proxy: Proxy, client: StreamWriter, server: StreamWriter) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        #: The scripts of commands that are not answered yet; "" for what is no script.
        self._asked: deque[str] = deque()

    async def ask(self, reader: StreamReader) -> None:
        commands = hiredis.Reader()
        try:
            while data := await reader.read(_PIECE):
                await self._proxy.passing()
                self._asked.extend(map(_script, _parsed(commands, data)))
                self._server.write(data)
                await self._server.drain()
        except _GONE:
            pass
        finally:
            self._server.close()

    async def answer(self, reader: StreamReader) -> None:
        """Pass replies on; one that is to be lost takes those along that came with it."""
        replies = hiredis.Reader()
        try:
            while data := await reader.read(_PIECE):
                await self._proxy.passing()
                lost = [self._is_lost(reply) for reply in _parsed(replies, data)]
                if any(lost):
                    self._client.transport.abort()
                    break
                self._client.write(data)
                await self._client.drain()
        except _GONE:
            pass
        finally:
            self._client.close()

    def _is_lost(self, reply: object) -> bool:
        script = self._asked.popleft()
        if isinstance(reply, hiredis.ReplyError):
            self._proxy.seen["scripts loaded anew"] += _UNKNOWN in str(reply)
            return False
        return bool(script) and isinstance(reply, bytes) and self._proxy.hear(script, reply)


def _parsed(reader: Any, data: bytes) -> Iterator[Any]:
    """The whole commands or replies that are there with these bytes."""
    reader.feed(data)
    while (found := reader.gets()) is not False:
        yield found


def _script(command: list[bytes]) -> str:
    """The script that a command calls."""
    found = _FUNCTION.fullmatch(command[1]) if command[0] == b"FCALL" else None
    return found[1].decode() if found else ""
