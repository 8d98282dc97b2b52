"""A way to Redis that loses replies: what was asked is done, and nobody hears of it."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path


class Lossy:
    """Passes connections on to a server, until `cut` or while `down`."""

    def __init__(self, server: str) -> None:
        self.down = False
        #: Connections turned away, and replies lost.
        self.refused = 0
        self.lost = 0
        #: Called with what is asked, before it is passed on.
        self.hear: Callable[[bytes], None] = lambda asked: None
        self._server = server
        self._until_loss = 1
        self._to_lose = 0
        self._open: set[StreamWriter] = set()

    def lose_reply(self, nth: int = 1, *, times: int = 1) -> None:
        """Lose the reply of the n-th call of a script from now on, and of those that follow it."""
        self._until_loss, self._to_lose = nth, times

    def cut(self) -> None:
        """Cut every connection there is."""
        for writer in self._open:
            writer.transport.abort()

    async def handle(self, asks: StreamReader, client: StreamWriter) -> None:
        if self.down:
            self.refused += 1
            return client.transport.abort()
        answers, server = await asyncio.open_unix_connection(self._server)
        self._open |= {client, server}
        await asyncio.gather(*_Pair(self, client, server).run(asks, answers))
        self._open -= {client, server}

    def is_lost(self, asked: bytes) -> bool:
        """Count a request; tell whether its reply is the one to lose."""
        if b"\r\nFCALL" not in asked or not self._to_lose:
            return False
        self._until_loss = max(0, self._until_loss - 1)
        self._to_lose -= self._until_loss == 0
        return self._until_loss == 0

    def spare(self) -> None:
        """Lose one reply more: the last one was none."""
        self._to_lose += 1


class _Pair:
    """One client's connection and ours to the server; requests are answered one by one."""

    def __init__(self, lossy: Lossy, client: StreamWriter, server: StreamWriter) -> None:
        self._lossy, self._client, self._server = lossy, client, server
        self._loses = False

    def run(self, asks: StreamReader, answers: StreamReader) -> list[asyncio.Future[None]]:
        return [
            asyncio.ensure_future(self._pass_on(asks, self._server)),
            asyncio.ensure_future(self._pass_on(answers, self._client)),
        ]

    async def _pass_on(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Pass on until the end of one side, which ends the other."""
        try:
            while data := await reader.read(64 * 1024):
                if writer is self._server:
                    self._lossy.hear(data)
                    self._loses |= self._lossy.is_lost(data)
                elif self._loses and self._lose(data):
                    break
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _lose(self, answer: bytes) -> bool:
        self._loses = False
        if answer.startswith(b"-ERR Function not found"):
            # Nothing was done: what counts is the call after the library was loaded.
            self._lossy.spare()
            return False
        self._lossy.lost += 1
        self._client.transport.abort()
        return True


@asynccontextmanager
async def lossy_way(url: str) -> AsyncGenerator[tuple[Lossy, str], None]:
    """A way to the server at a unix:// URL, and the URL of its near end."""
    server = url.removeprefix("unix://")
    lossy, near = Lossy(server), Path(server).with_name("lossy.sock")
    listener = await asyncio.start_unix_server(lossy.handle, near)
    try:
        yield lossy, f"unix://{near}"
    finally:
        listener.close()
        lossy.cut()
        near.unlink(missing_ok=True)
